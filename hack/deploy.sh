#!/usr/bin/env bash
# Installs the operator with IMAGE on the cluster of the current kubeconfig, and waits until it runs:
#
#   deploy.sh IMAGE
#
# It may be run again at any time: server-side apply changes only what differs.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image="${1:?usage: deploy.sh IMAGE}"
kubectl="${KUBECTL:-kubectl}"

echo "installing $image on $("$kubectl" config current-context)"
hack/render.sh "$image" | "$kubectl" apply --server-side -f -

# Stamps who asks, reports and votes; Kubernetes 1.36 and newer.
if "$kubectl" get --raw /apis/admissionregistration.k8s.io/v1 | grep -q '"mutatingadmissionpolicies"'; then
  hack/render.sh "$image" stamping | "$kubectl" apply --server-side -f -
else
  echo "this cluster has no MutatingAdmissionPolicy (Kubernetes 1.36): requester and approver must be written in manifests"
fi

if ! "$kubectl" --namespace itil-system rollout status deployment/itil-operator --timeout=180s; then
  cat >&2 <<END
The operator is installed but does not run yet. Nothing is refused meanwhile, unless a ChangePolicy says Enforce.
  Can the nodes pull $image?   kubectl --namespace itil-system describe pods
  On kind, load it first:      kind load docker-image $image
  What does it say?            kubectl --namespace itil-system logs deployment/itil-operator
END
  exit 1
fi
