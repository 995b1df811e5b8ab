#!/usr/bin/env bash
# Prints config/default with the operator's image replaced:
#
#   render.sh IMAGE [OVERLAY [PATCHES]]     OVERLAY is a folder under config/, default: default
#                                           PATCHES is a file with more lines for a kustomization.yaml
#
# It goes through an overlay of its own, so that the files in git are not edited (kubectl has no `kustomize edit`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

image="${1:?usage: render.sh IMAGE [OVERLAY [PATCHES]]}"
overlay="${2:-default}"
patches="${3:-/dev/null}"
kubectl="${KUBECTL:-kubectl}"
if [[ ! -f "config/$overlay/kustomization.yaml" ]]; then
  echo "config/$overlay/kustomization.yaml does not exist: OVERLAY is a folder under config/" >&2
  exit 1
fi

folder="$(mktemp -d config/.render.XXXXXX)"
trap 'rm -rf "$folder"' EXIT
if [[ "$image" == *@* ]]; then
  new="newName: \"${image%%@*}\", digest: \"${image#*@}\""
elif [[ "${image##*/}" == *:* ]]; then # in the last part it is a tag's colon, before that a port's
  new="newName: \"${image%:*}\", newTag: \"${image##*:}\""
else
  new="newName: \"$image\""
fi
# The names that the image has before and after config/manager.
{
  cat <<END
resources: [../$overlay]
images:
- {name: controller, $new}
- {name: ghcr.io/itil-dev/itil-operator, $new}
END
  cat "$patches"
} >"$folder/kustomization.yaml"
"$kubectl" kustomize "$folder"
