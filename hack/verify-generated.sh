#!/usr/bin/env bash
# Fails if what is generated is not what the sources say, or if a generated file was not added to git.
# It regenerates in a copy: the work tree is not touched, whatever is unfinished in it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

# Where generators write.
generated=(api config/crd/bases config/rbac config/webhook)

copy="$(mktemp -d "${TMPDIR:-/tmp}/itil-operator-verify.XXXXXX")"
trap 'rm -rf "$copy"' EXIT
git ls-files -z -co --exclude-standard | while IFS= read -r -d '' file; do
  if [[ -e "$file" ]]; then printf '%s\0' "$file"; fi # deleted, but not yet in git
done | tar --null -T - -cf - | tar -xf - -C "$copy"

# Generated files that no source makes any more must not survive in the copy.
rm -rf "$copy"/config/crd/bases "$copy"/config/rbac/role.yaml "$copy"/config/webhook/manifests.yaml
find "$copy/api" -name 'zz_generated.*' -delete
make -C "$copy" generate manifests >/dev/null

failed=
for folder in "${generated[@]}"; do
  [[ -e "$folder" || -e "$copy/$folder" ]] || continue
  diff -ruN "$folder" "$copy/$folder" || failed=1
done
if [[ -n "$failed" ]]; then
  echo "Generated files are out of date (+ is what they should be): run 'make generate manifests' and commit" >&2
fi
untracked="$(git ls-files -o --exclude-standard -- "${generated[@]}")"
if [[ -n "$untracked" ]]; then
  printf 'Not in git, beside what is generated: add or delete it\n%s\n' "$untracked" >&2
  failed=1
fi
[[ -z "$failed" ]] && echo "generated files are up to date"
