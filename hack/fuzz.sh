#!/usr/bin/env bash
# Runs every fuzz target of this module for a while each (go test can run only one at a time):
#
#   fuzz.sh [TIME]      TIME as go test's -fuzztime takes it, default 10s
#
# Making an input that finds new code smaller is bounded by executions, since its default (60 s) is longer than the whole
# of a short run.
#
# A target that fails leaves its input in testdata/fuzz beside it: commit it with the fix, it is a test from then on.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

time="${1:-10s}"
targets=0 failed=()
while IFS=: read -r file target; do
  targets=$((targets + 1))
  package="./$(dirname "$file")"
  echo "--- $package $target ($time)"
  go test -run '^$' -fuzz "^$target\$" -fuzztime "$time" -fuzzminimizetime 200x "$package" || failed+=("$package $target")
done < <(git ls-files -co --exclude-standard '*_test.go' |
  xargs grep -HoE '^func Fuzz[A-Za-z0-9_]*' /dev/null | sed 's/:func /:/')

echo "$targets fuzz targets, ${#failed[@]} failed"
((targets > 0 && ${#failed[@]} == 0)) || {
  ((${#failed[@]})) && printf 'failed: %s\n' "${failed[@]}" >&2
  exit 1
}
