#!/usr/bin/env bash
# Removes what `make deploy` installed, in an order in which nothing gets stuck: first what stands in the way of
# requests (webhooks, admission policies), then the operator, then the CRDs with the objects, then the namespace.
#
#   KEEP_CRDS=1 undeploy.sh      leave the CRDs and all objects of itil.dev where they are
#
# It may be run again at any time: what is already gone is not an error.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

kubectl="${KUBECTL:-kubectl}"
rendered="$(mktemp)"
trap 'rm -f "$rendered"' EXIT
# Whichever was installed.
hack/render.sh none >"$rendered"
{
  echo ---
  hack/render.sh none stamping
} >>"$rendered"

# documents REGEX: the manifests whose kind matches.
documents() {
  awk -v kinds="^kind: ($1)\$" '
    /^---$/ { if (wanted) printf "---\n%s", document; document = ""; wanted = 0; next }
    $0 ~ kinds { wanted = 1 }
    { document = document $0 "\n" }
    END { if (wanted) printf "---\n%s", document }' "$rendered"
}

# remove REGEX [ARGUMENT...]: deletes the manifests of these kinds. A kind that this cluster does not serve (an
# admission policy on an older one) was not installed either.
remove() {
  local kinds="$1" output
  shift
  if output="$(documents "$kinds" | "$kubectl" delete --ignore-not-found --timeout=120s "$@" -f - 2>&1)"; then
    [[ -z "$output" ]] || printf '%s\n' "$output"
    return
  fi
  printf '%s\n' "$output" | grep -v 'no matches for kind' || true
  if printf '%s\n' "$output" | grep -iE '^error' | grep -vq 'no matches for kind'; then
    echo "Stopped before the next step, so that nothing is left without what it needs. Mend this and run it again." >&2
    exit 1
  fi
}

admission='(Validating|Mutating)(WebhookConfiguration|AdmissionPolicyBinding|AdmissionPolicy)'

echo "1. webhooks and admission policies: from here on no request is refused"
remove "$admission"

echo "2. the operator"
remove 'Deployment' --cascade=foreground
remove 'PodDisruptionBudget|Service|ConfigMap|Secret|ServiceAccount|Role|RoleBinding|ClusterRole|ClusterRoleBinding|NetworkPolicy|ServiceMonitor|Certificate|Issuer'

if [[ -n "${KEEP_CRDS:-}" ]]; then
  echo "3. kept: the CRDs and all objects of itil.dev (KEEP_CRDS)"
else
  echo "3. the CRDs, and with them all objects of itil.dev"
  # A finalizer that nobody is left to serve would hold its object, and so its CRD and namespace, for ever.
  for resource in $(documents CustomResourceDefinition | awk '/^  name: .*\.itil\.dev$/ { print $2 }'); do
    "$kubectl" get crd "$resource" >/dev/null 2>&1 || continue
    "$kubectl" get "$resource" --all-namespaces --no-headers -o custom-columns=NS:.metadata.namespace,NAME:.metadata.name,F:.metadata.finalizers |
      while read -r namespace name finalizers; do
        [[ "$finalizers" != '<none>' ]] || continue
        place=()
        [[ "$namespace" == '<none>' ]] || place=(--namespace "$namespace")
        "$kubectl" patch "$resource" "$name" "${place[@]}" --type=merge -p '{"metadata":{"finalizers":null}}'
      done
  done
  remove CustomResourceDefinition
fi

echo "4. the namespace"
remove Namespace
echo "Nothing is left of the operator."
