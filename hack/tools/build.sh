#!/usr/bin/env bash
# Builds one of the tools that develop this project and prints where it is:
#
#   build.sh TOOL     TOOL is controller-gen, golangci-lint or govulncheck
#
# The versions are those of go.mod (lint/go.mod for the linter, whose dependencies would otherwise decide those of
# the generator). Binaries lie in the user's cache, in a folder named by the hash of all that decides what is built:
# clones share them, and a change of version never runs yesterday's tool. Progress goes to stderr and the path
# alone to stdout:  "$(hack/tools/build.sh golangci-lint)" run ./...
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"

# A tool runs on this machine, whatever the caller builds for.
unset GOOS GOARCH GOFLAGS
export CGO_ENABLED=0 GOWORK=off

say() { printf '%s\n' "$*" >&2; }

tool="${1:-}"
case "$tool" in
  controller-gen) module=. package=sigs.k8s.io/controller-tools/cmd/controller-gen ;;
  govulncheck) module=. package=golang.org/x/vuln/cmd/govulncheck ;;
  golangci-lint) module=lint package=sigs.k8s.io/kube-api-linter/cmd/golangci-lint-kube-api-linter ;;
  *)
    say "unknown tool '$tool': controller-gen, golangci-lint or govulncheck"
    exit 2
    ;;
esac

if ! command -v go >/dev/null; then
  say "go is not on PATH: install Go 1.26 or newer (https://go.dev/dl) and run this again"
  exit 1
fi

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

cd "$here/$module"
build=(go build -trimpath -buildvcs=false -mod=readonly -ldflags "-s -w")
cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/itil-operator/tools"
key="$({ cat go.mod go.sum; go version; echo "${build[@]}"; } | sha256 | cut -c1-16)"
bin="$cache/$key/$tool"

# build_tool renames the binary into place when it is finished: an interrupted build leaves nothing half made.
build_tool() {
  local begin=$SECONDS log="$bin.log.$$" temp="$bin.$$" pid
  "${build[@]}" -o "$temp" "$package" >"$log" 2>&1 &
  pid=$!
  # shellcheck disable=SC2064 # this build's pid and files, not those at the time of the signal
  trap "kill $pid 2>/dev/null || true; rm -f '$temp' '$log'; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 0.5
    if [[ -t 2 ]]; then
      printf '\r  %-26s %3ds ' "$tool" $((SECONDS - begin)) >&2
    elif (((SECONDS - begin) % 30 == 29)); then
      say "  $tool: still building after $((SECONDS - begin))s"
      sleep 1
    fi
  done
  if ! wait "$pid"; then
    say ""
    say "building $tool failed:"
    tail -n 30 "$log" >&2
    say "If modules could not be downloaded, check the network and 'go env GOPROXY', and run this again."
    rm -f "$temp" "$log"
    exit 1
  fi
  trap - INT TERM
  rm -f "$log"
  mv "$temp" "$bin"
  [[ -t 2 ]] && printf '\r' >&2
  say "$(printf '  %-26s %3ds' "$tool" $((SECONDS - begin)))"
}

mkdir -p "${bin%/*}"
touch "${bin%/*}"
if [[ ! -x "$bin" ]]; then
  say "building $tool into ${bin%/*} (golangci-lint takes about 4 minutes on 2 cores, the others less than one; then nothing)"
  if command -v flock >/dev/null; then
    # One build of a tool at a time: a second one would do the same work beside it.
    exec 9>"$bin.lock"
    flock 9
    [[ -x "$bin" ]] || build_tool 9>&-
    exec 9>&-
    rm -f "$bin.lock"
  else
    build_tool
  fi
  # Versions that nobody ran for a month.
  find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
fi
printf '%s\n' "$bin"
