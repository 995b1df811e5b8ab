# Everything a developer runs. `make help` lists it; CONTRIBUTING.md explains it.
#
# Needed: Go, git, GNU make, bash. What else is used (control plane, linter, generators, kubectl where there is none)
# is built from Go modules on first use, into the user's cache.

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules --no-print-directory

ifeq ($(shell command -v go),)
  ifneq ($(MAKECMDGOALS),)
    ifneq ($(MAKECMDGOALS),help)
      $(error go is not on PATH: install Go 1.26 or newer (https://go.dev/dl), then run 'make $(MAKECMDGOALS)' again)
    endif
  endif
endif

# --- Settings: make deploy IMG=registry.example/itil-operator:v0.1.0 ------------------------------------------------

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
IMG ?= ghcr.io/itil-dev/itil-operator:$(VERSION)
# Platforms of docker-push; docker-build builds for this machine only.
PLATFORMS ?= linux/amd64,linux/arm64
# More arguments for go test: make test-unit TESTFLAGS='-run TestPriority -v'
TESTFLAGS ?=
# What to test: make test PKG=./internal/practice/...
PKG ?= ./...
FUZZTIME ?= 10s
BENCH ?= .
BENCHTIME ?= 1s

# --- How ------------------------------------------------------------------------------------------------------------

LDFLAGS = -s -w -X main.version=$(VERSION)
GO_BUILD = CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "$(LDFLAGS)"

# Expanded in recipes only, so that nothing is built by `make help`.
CONTROLLER_GEN = "$$(hack/tools/build.sh controller-gen)"
GOLANGCI_LINT = "$$(hack/tools/build.sh golangci-lint)"
GOVULNCHECK = "$$(hack/tools/build.sh govulncheck)"
CONTROLPLANE = "$$(hack/controlplane/build.sh)"
LOCAL = go run ./hack/local
# The kubectl that is installed is the one its user knows; else the control plane's build makes one.
KUBECTL = $(or $(shell command -v kubectl),.local/bin/kubectl)

GO_MODULES = . hack/tools hack/tools/lint hack/controlplane hack/promcheck
SHELL_SCRIPTS = .ci/run $(shell git ls-files -co --exclude-standard '*.sh')

# The race detector needs a C compiler, and nothing else here does.
RACE = $(shell command -v "$$(go env CC)" >/dev/null && echo -race)
define warn-race
	@[[ -n "$(RACE)" ]] || echo "No C compiler: running WITHOUT the race detector. For it: apt-get install gcc libc6-dev" >&2
endef

# Packages of PKG without those that need a whole cluster of their own.
test-packages = $$(go list $(PKG) | grep -vE '/test/(e2e|perf)(/|$$)')
unit-packages = $$(go list $(PKG) | grep -vE '/test/')

##@ Try it

.PHONY: run
run: ## A local cluster with the operator, the demo on it, then its log until Ctrl-C.
	$(LOCAL) run

.PHONY: up
up: ## Start control plane, simulated nodes and the operator, detached; kubeconfig at .local/kubeconfig.
	$(LOCAL) up

.PHONY: demo
demo: ## Play the main job on the running local cluster; fails if an outcome is not the expected one.
	$(LOCAL) demo

.PHONY: down
down: ## Stop the local cluster and remove its data.
	$(LOCAL) down

##@ Develop

.PHONY: generate
generate: ## Write the DeepCopy methods of the API.
	$(CONTROLLER_GEN) object paths=./api/...

.PHONY: manifests
manifests: ## Write CRDs, the operator's role and the webhook configurations into config/, from the markers in the code.
	$(CONTROLLER_GEN) crd paths=./api/... output:crd:artifacts:config=config/crd/bases
	$(CONTROLLER_GEN) rbac:roleName=itil-operator webhook paths=./... \
	  output:rbac:artifacts:config=config/rbac output:webhook:artifacts:config=config/webhook

.PHONY: fmt
fmt: ## Format the Go files and sort their imports.
	$(GOLANGCI_LINT) fmt ./...

.PHONY: tidy
tidy: ## go mod tidy in every module.
	for module in $(GO_MODULES); do (cd "$$module" && go mod tidy); done

.PHONY: vet
vet: ## go vet.
	go vet ./...

.PHONY: lint
lint: ## golangci-lint with kube-api-linter; LINTFLAGS=--fix repairs what can be repaired.
	$(GOLANGCI_LINT) config verify
	$(GOLANGCI_LINT) run $(LINTFLAGS) $(PKG)

.PHONY: build
build: ## Build the operator and the kubectl plugin into bin/.
	@mkdir -p bin
	for command in ./cmd/*/; do $(GO_BUILD) -o bin/ "$$command"; done

.PHONY: tools
tools: ## Build the tools and the control plane beforehand (everything builds what it needs on its own).
	@for tool in controller-gen golangci-lint; do hack/tools/build.sh "$$tool"; done
	@hack/controlplane/build.sh

.PHONY: clean
clean: ## Remove what was built here; the caches outside stay. Run `make down` first if a local cluster runs.
	@if [[ -e .local/state.json ]]; then echo "A local cluster may be running: 'make down' first" >&2; exit 1; fi
	rm -rf bin dist .local

##@ Test

.PHONY: test
test: ## Unit and integration tests, the latter on a real kube-apiserver, with the race detector.
	$(warn-race)
	assets=$(CONTROLPLANE); packages=$(test-packages); \
	  KUBEBUILDER_ASSETS="$$assets" go test $(RACE) -timeout 20m $(TESTFLAGS) $$packages

.PHONY: test-kinds
test-kinds: ## That a kind of workload is one entry in a table: an operator that is built with one more, on a real kube-apiserver.
	assets=$(CONTROLPLANE); KUBEBUILDER_ASSETS="$$assets" go test -tags fleetset $(TESTFLAGS) ./test/integration/kinds

.PHONY: test-unit
test-unit: ## Unit tests only: no API server, seconds.
	$(warn-race)
	packages=$(unit-packages); go test $(RACE) $(TESTFLAGS) $$packages

.PHONY: e2e
e2e: ## End-to-end tests on a whole control plane with simulated nodes.
	assets=$(CONTROLPLANE); KUBEBUILDER_ASSETS="$$assets" go test -count=1 -timeout 40m -v $(TESTFLAGS) ./test/e2e/...

.PHONY: faults
faults: ## Long runs with faults (leaders killed, storms, API server away), checked by an oracle; FAULTS_SEED=n repeats one.
	assets=$(CONTROLPLANE); KUBEBUILDER_ASSETS="$$assets" FAULTS_LONG=1 go test -count=1 -timeout 60m -v $(TESTFLAGS) ./test/faults/...

.PHONY: bench
bench: ## Benchmarks, with the ratios that docs promise; PODS=20000 for the size that they are about (docs/performance.md).
	assets=$(CONTROLPLANE); KUBEBUILDER_ASSETS="$$assets" go test -run '^$$' -bench '$(BENCH)' -benchmem -benchtime $(BENCHTIME) -timeout 60m $(TESTFLAGS) ./test/perf/...

.PHONY: fuzz
fuzz: ## Every fuzz target for FUZZTIME (10s) each.
	hack/fuzz.sh $(FUZZTIME)

.PHONY: verify
verify: verify-generated verify-tidy lint verify-shell verify-prometheus ## What a pull request must pass besides the tests; `make -k verify` shows all failures.

.PHONY: verify-generated
verify-generated: ## Regenerate in a copy and fail on a difference or on a generated file that was not committed.
	hack/verify-generated.sh

.PHONY: verify-tidy
verify-tidy: ## Fail if `make tidy` would change something.
	@failed=; for module in $(GO_MODULES); do \
	  (cd "$$module" && go mod tidy -diff 2>&1 | head -n 40) || { echo "$$module/go.mod is not tidy: run 'make tidy' and commit" >&2; failed=1; }; \
	done; [[ -z "$$failed" ]]

.PHONY: verify-shell
verify-shell: ## Syntax of the shell scripts, and shellcheck where it is installed.
	@for script in $(SHELL_SCRIPTS); do bash -n "$$script"; done
	@if command -v shellcheck >/dev/null; then shellcheck $(SHELL_SCRIPTS); \
	  else echo "shellcheck is not installed: the scripts were checked for syntax only (apt-get install shellcheck)"; fi

.PHONY: verify-prometheus
verify-prometheus: ## The alerts of config/prometheus against what the operator exports, and on series that must fire or not.
	go test ./test/monitoring
	cd hack/promcheck && go vet ./... && go test -count=1 ./... # the cache of tests does not see files of another module

.PHONY: vuln
vuln: ## govulncheck: known vulnerabilities in what the operator calls. Needs access to https://vuln.go.dev.
	$(GOVULNCHECK) ./...

##@ Install on the cluster of the current kubeconfig

.PHONY: kubectl
kubectl:
	@[[ -x "$(KUBECTL)" ]] || hack/controlplane/build.sh >/dev/null

.PHONY: cluster
cluster: kubectl
	@$(KUBECTL) get --raw /version >/dev/null 2>&1 || { \
	  echo "No cluster answers. Name one with KUBECONFIG or 'kubectl config use-context'; or for a local one:" >&2; \
	  echo "  make up && export KUBECONFIG=$(CURDIR)/.local/kubeconfig" >&2; exit 1; }

.PHONY: install
install: cluster ## Install the CRDs.
	$(KUBECTL) apply --server-side -f config/crd/bases

.PHONY: uninstall
uninstall: cluster ## Remove the CRDs, and with them every object of itil.dev.
	$(KUBECTL) delete --ignore-not-found -f config/crd/bases

.PHONY: deploy
deploy: cluster ## Install everything, with the image IMG.
	KUBECTL=$(KUBECTL) hack/deploy.sh $(IMG)

.PHONY: undeploy
undeploy: cluster ## Remove everything: webhooks, then operator, then CRDs. KEEP_CRDS=1 leaves the CRDs and the objects.
	KUBECTL=$(KUBECTL) KEEP_CRDS=$(KEEP_CRDS) hack/undeploy.sh

.PHONY: build-installer
build-installer: kubectl ## Write dist/install.yaml, everything in one file, with the image IMG, and dist/install-stamped.yaml for 1.36.
	@mkdir -p dist
	KUBECTL=$(KUBECTL) hack/render.sh $(IMG) >dist/install.yaml
	KUBECTL=$(KUBECTL) hack/render.sh $(IMG) stamped >dist/install-stamped.yaml
	@echo "dist/install.yaml: install it with kubectl apply --server-side -f dist/install.yaml"
	@echo "dist/install-stamped.yaml: in its place, where MutatingAdmissionPolicy is served (Kubernetes 1.36 and newer)"

##@ Image

define need-docker
	@command -v docker >/dev/null || { echo "docker is not installed: https://docs.docker.com/engine/install, or build Dockerfile with another builder" >&2; exit 1; }
	@docker buildx version >/dev/null 2>&1 || { echo "docker has no buildx: install the package docker-buildx (Debian) or docker-buildx-plugin" >&2; exit 1; }
endef

.PHONY: docker-build
docker-build: ## Build the image IMG for this machine.
	$(need-docker)
	docker buildx build --load --build-arg VERSION=$(VERSION) --tag $(IMG) .

.PHONY: docker-push
docker-push: ## Build the image IMG for PLATFORMS and push it.
	$(need-docker)
	docker buildx build --push --platform $(PLATFORMS) --build-arg VERSION=$(VERSION) --tag $(IMG) .

##@ Help

.PHONY: help
help: ## This list.
	@awk 'BEGIN { FS = ":.*## " } \
	  /^##@ / { printf "\n%s\n", substr($$0, 5) } \
	  /^[a-z0-9-]+:.*## / { printf "  %-18s %s\n", $$1, $$2 }' $(firstword $(MAKEFILE_LIST))
	@printf '\nSettings: VERSION=%s IMG=%s\n' '$(VERSION)' '$(IMG)'
