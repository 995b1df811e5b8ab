#!/usr/bin/env bash
# Installs the operator with IMAGE on the cluster of the current kubeconfig, and waits until it runs:
#
#   deploy.sh IMAGE
#
# It may be run again at any time, for another version too: server-side apply changes only what differs, and the
# namespaces that the gate is for, which the operator keeps in its webhooks, stay as they are.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image="${1:?usage: deploy.sh IMAGE}"
kubectl="${KUBECTL:-kubectl}"
gate=itil-operator-gate

patches="$(mktemp)"
trap 'rm -f "$patches"' EXIT

# live_selectors prints a kustomize patch with the gate's namespace selectors as they are now. Without it, applying
# the manifest would be a conflict with the operator, or, forced, would open the gate until the operator mends it.
live_selectors() {
  local selectors name selector
  selectors="$("$kubectl" get validatingwebhookconfiguration "$gate" --ignore-not-found \
    -o jsonpath='{range .webhooks[*]}{.name}{" "}{.namespaceSelector}{"\n"}{end}')"
  [[ -n "$selectors" ]] || return 0
  printf 'patches:\n- patch: |\n    apiVersion: admissionregistration.k8s.io/v1\n    kind: ValidatingWebhookConfiguration\n'
  printf '    metadata: {name: %s}\n    webhooks:\n' "$gate"
  while read -r name selector; do
    # A webhook that this version no longer has is not brought back.
    grep -q "name: $name\$" config/webhook/*.yaml || continue
    printf '    - {name: %s, namespaceSelector: %s}\n' "$name" "$selector"
  done <<<"$selectors"
}

echo "installing $image on $("$kubectl" config current-context)"
live_selectors >"$patches"
# Whoever asks, reports or votes is stamped from Kubernetes 1.36 on.
if "$kubectl" get --raw /apis/admissionregistration.k8s.io/v1 | grep -q '"mutatingadmissionpolicies"'; then
  hack/render.sh "$image" stamped "$patches" | "$kubectl" apply --server-side -f -
  # Of before this cluster stamped.
  "$kubectl" delete --ignore-not-found -f config/unstamped/copies.yaml
else
  hack/render.sh "$image" default "$patches" | "$kubectl" apply --server-side -f -
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
