# The agent, and nothing else: one static binary with the certificates of the public authorities in it.
#
# Without a compiler from a registry: docker build --build-context build=FOLDER, where FOLDER holds what
# `.ci/static FOLDER` made.

FROM docker.io/library/rust:1.95-bookworm AS build
ARG SOURCE_DATE_EPOCH=0
WORKDIR /source
COPY Cargo.toml Cargo.lock ./
COPY .ci/static .ci/static
COPY tests/sandbox tests/sandbox
COPY src src
RUN .ci/static /

FROM scratch
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="kubernetes-agent" \
      org.opencontainers.image.description="Reports the usage of a Kubernetes cluster to a backend and carries out its signed actions" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION" \
      org.opencontainers.image.vendor="ML Optimizer"
COPY --from=build /kubernetes-agent /kubernetes-agent
# By number, since Kubernetes cannot tell from a name that it is not root.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/kubernetes-agent"]
