#!/usr/bin/env bash
# Builds the Kubernetes control plane of this module (go.mod names the versions) and prints the folder it is in.
#
#   build.sh               build what is missing, link .local/bin to it, print the folder
#   build.sh --print-dir   print the folder only; build nothing
#
# The folder is named by the hash of everything that decides what is built, so a change of version never runs
# yesterday's binaries, and lies in the user's cache, so that two clones share it. Progress goes to stderr and
# the folder alone to stdout:  KUBEBUILDER_ASSETS="$(hack/controlplane/build.sh)" go test ./test/integration/...
set -euo pipefail

here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
root="$(cd "$here/../.." && pwd)"
cd "$here"

# The binaries run on this machine, whatever the caller builds for.
unset GOOS GOARCH GOFLAGS
export CGO_ENABLED=0 GOWORK=off

say() { printf '%s\n' "$*" >&2; }

if ! command -v go >/dev/null; then
  say "go is not on PATH: install Go 1.26 or newer (https://go.dev/dl) and run this again"
  exit 1
fi

sha256() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi; }

version_of() { awk -v module="$1" '$1 == module && $2 ~ /^v/ { print $2; exit }' go.mod; }

ldflags() {
  local kubernetes kwok minor flags package
  kubernetes="$(version_of k8s.io/kubernetes)"
  kwok="$(version_of sigs.k8s.io/kwok)"
  minor="${kubernetes#v1.}"
  flags="-s -w -X sigs.k8s.io/kwok/pkg/consts.Version=$kwok"
  for package in k8s.io/component-base/version k8s.io/client-go/pkg/version; do
    flags+=" -X $package.gitVersion=$kubernetes -X $package.gitMajor=1 -X $package.gitMinor=${minor%%.*}"
  done
  printf '%s' "$flags"
}

build=(go build -trimpath -buildvcs=false -mod=readonly -ldflags "$(ldflags)")

cache="${XDG_CACHE_HOME:-${HOME:-/tmp}/.cache}/itil-operator/controlplane"
key="$({
  cat go.mod go.sum
  go version
  echo "${build[@]}"
} | sha256 | cut -c1-16)"
dir="$cache/$key"

case "${1:-}" in
  --print-dir)
    printf '%s\n' "$dir"
    exit 0
    ;;
  '') ;;
  *)
    say "unknown argument $1: only --print-dir is known"
    exit 2
    ;;
esac

# binary=package. A kubectl that is installed is the one its user knows; it is built only where there is none.
wanted=(
  etcd=go.etcd.io/etcd/server/v3
  kube-apiserver=k8s.io/kubernetes/cmd/kube-apiserver
  kube-controller-manager=k8s.io/kubernetes/cmd/kube-controller-manager
  kube-scheduler=k8s.io/kubernetes/cmd/kube-scheduler
  kwok=sigs.k8s.io/kwok/cmd/kwok
)
command -v kubectl >/dev/null || wanted+=(kubectl=k8s.io/kubernetes/cmd/kubectl)

missing() {
  local pair
  for pair in "${wanted[@]}"; do
    [[ -x "$dir/${pair%%=*}" ]] || printf '%s\n' "$pair"
  done
}

# build_one NAME PACKAGE: renamed into place when finished, so that an interrupted build leaves nothing half made
# and the next run goes on where this one stopped.
build_one() {
  local name="$1" package="$2" begin=$SECONDS
  local log="$dir/.$name.log" temp="$dir/.$name.$$" mark=30 pid
  "${build[@]}" -o "$temp" "$package" >"$log" 2>&1 &
  pid=$!
  # shellcheck disable=SC2064 # this build's pid and file, not those at the time of the signal
  trap "kill $pid 2>/dev/null || true; rm -f '$temp'; exit 130" INT TERM
  while kill -0 "$pid" 2>/dev/null; do
    sleep 1
    if [[ -t 2 ]]; then
      printf '\r  %-26s %3ds ' "$name" $((SECONDS - begin)) >&2
    elif ((SECONDS - begin >= mark)); then
      say "  $name: still building after ${mark}s"
      mark=$((mark + 30))
    fi
  done
  if ! wait "$pid"; then
    say ""
    say "building $name failed:"
    tail -n 30 "$log" >&2
    say "Nothing was installed for it. If modules could not be downloaded, check the network and 'go env GOPROXY'."
    rm -f "$temp"
    exit 1
  fi
  trap - INT TERM
  mv "$temp" "$dir/$name"
  rm -f "$log"
  [[ -t 2 ]] && printf '\r' >&2
  say "$(printf '  %-26s %3ds' "$name" $((SECONDS - begin)))"
}

build_missing() {
  local todo=() pair
  while IFS= read -r pair; do todo+=("$pair"); done < <(missing)
  ((${#todo[@]})) || return 0
  say "building ${#todo[@]} control plane binaries ($(version_of k8s.io/kubernetes)) into $dir"
  say "(all of them take about 8 minutes on 2 cores, once; nothing afterwards)"
  for pair in "${todo[@]}"; do build_one "${pair%%=*}" "${pair#*=}"; done
  # Nobody ran these for a month: versions that were left behind.
  find "$cache" -mindepth 1 -maxdepth 1 -type d -mtime +30 -exec rm -rf {} +
}

mkdir -p "$dir"
touch "$dir"
if [[ -n "$(missing)" ]]; then
  if command -v flock >/dev/null; then
    # One build at a time: a second one would do the same work beside it, and both take twice as long.
    exec 9>"$cache/.lock"
    if ! flock --nonblock 9; then
      say "waiting for another build of the control plane to finish"
      flock 9
    fi
    build_missing 9>&-
    exec 9>&-
  else
    build_missing
  fi
fi

mkdir -p "$root/.local"
[[ -e "$root/.local/.gitignore" ]] || printf '*\n' >"$root/.local/.gitignore"
ln -sfn "$dir" "$root/.local/bin"
printf '%s\n' "$dir"
