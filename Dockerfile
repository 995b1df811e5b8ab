# syntax=docker/dockerfile:1
# The operator as one static binary on distroless, as an unprivileged user:
#   docker buildx build --platform linux/amd64,linux/arm64 --build-arg VERSION=v0.1.0 -t … .

# For a reproducible image give both by digest: --build-arg BASE_IMAGE=gcr.io/distroless/static@sha256:…
ARG GO_IMAGE=golang:1.26
ARG BASE_IMAGE=gcr.io/distroless/static:nonroot

# Go cross-compiles: the build runs on the builder's own platform, for the target's.
FROM --platform=$BUILDPLATFORM ${GO_IMAGE} AS build
WORKDIR /src

# Modules first: they change less often than the code.
COPY go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod go mod download

COPY api api
COPY cmd/manager cmd/manager
COPY config/crd config/crd
COPY controllers controllers
COPY internal internal

ARG TARGETOS=linux
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=${TARGETOS} GOARCH=${TARGETARCH} \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /manager ./cmd/manager

FROM ${BASE_IMAGE}
ARG VERSION=dev
LABEL org.opencontainers.image.title="itil-operator" \
      org.opencontainers.image.description="ITIL service management in the Kubernetes API" \
      org.opencontainers.image.source="https://github.com/itil-dev/itil-operator" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build /manager /manager
# By number, so that runAsNonRoot can be checked.
USER 65532:65532
ENTRYPOINT ["/manager"]
