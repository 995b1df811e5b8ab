#!/usr/bin/env bash
# Prints config/default with the operator's image replaced:
#
#   render.sh IMAGE [OVERLAY]     OVERLAY is a folder under config/, default: default
#
# It goes through an overlay of its own, so that the files in git are not edited (kubectl has no `kustomize edit`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image="${1:?usage: render.sh IMAGE [OVERLAY]}"
overlay="${2:-default}"
kubectl="${KUBECTL:-kubectl}"
if [[ ! -f "config/$overlay/kustomization.yaml" ]]; then
  echo "config/$overlay/kustomization.yaml does not exist: OVERLAY is a folder under config/" >&2
  exit 1
fi

folder="$(mktemp -d config/.render.XXXXXX)"
trap 'rm -rf "$folder"' EXIT
{
  printf 'resources: [../%s]\nimages:\n- name: controller\n' "$overlay"
  case "$image" in
    *@*) printf '  newName: %s\n  digest: %s\n' "${image%%@*}" "${image#*@}" ;;
    *:*) # the colon of a tag, not of a registry's port
      if [[ "${image##*:}" == */* ]]; then
        printf '  newName: %s\n' "$image"
      else
        printf '  newName: %s\n  newTag: "%s"\n' "${image%:*}" "${image##*:}"
      fi
      ;;
    *) printf '  newName: %s\n' "$image" ;;
  esac
} >"$folder/kustomization.yaml"
"$kubectl" kustomize "$folder"
