# Builds Tenantry and puts its binary, and no other program, into a small image:
#
#     docker build --tag tenantry .
#
# docker-compose.yml runs it, docs/DOCKER.md says how. Only plain instructions, so that it also builds without BuildKit
# and with Podman.

# ---- Build

# Debian 12, while the final image is Debian 13: a binary runs with the C library that it was linked to or a later one.
FROM rust:1.95.0-bookworm AS build

# AWS-LC, the cryptography of TLS and of the tokens, is C and assembly. On Linux x86-64 and arm64 its build script
# needs a C compiler, which this image has, and neither CMake nor bindgen. 0: compile it, and never link a library
# that is here but not in the final image.
ENV AWS_LC_SYS_USE_SYSTEM=0
# jemalloc (make and the C compiler) is built for one size of pages and works with smaller ones. Of arm64 machines some have
# 64 KiB, whatever the machine that builds has.
ENV JEMALLOC_SYS_WITH_LG_PAGE=16

WORKDIR /build

# The dependencies, in a layer that only Cargo.toml and Cargo.lock change: they are built for an empty package. A
# cache mount on target/ would be simpler, but some builders have none, a registry's cache does not carry it, and it
# can give the binary of other sources: Cargo compares times, and those of a checkout may be older than the cache.
COPY Cargo.toml Cargo.lock ./
# Tests and benchmarks that the manifest names are taken out of it: Cargo looks for their files, which are not here.
RUN awk '/^\[/ { skip = /^\[\[(test|bench|example)\]\]/ } !skip' Cargo.toml > stripped.toml \
    && mv stripped.toml Cargo.toml \
    && mkdir src \
    && echo 'fn main() {}' > src/main.rs \
    && touch src/lib.rs \
    && cargo build --release --locked

# src/http/docs.rs includes a file of assets/.
COPY assets assets
COPY src src
# touch: the sources may be older than the empty ones that were just built, and then Cargo would keep those.
RUN touch src/main.rs src/lib.rs \
    && cargo build --release --locked

# ---- The image

# The C library, libgcc, and neither a shell nor a package manager. distroless has no tags for versions: build with
# --pull to get Debian's fixes. The server needs no CA certificates from here: the MongoDB driver's TLS trusts
# Mozilla's, which are compiled in (webpki-roots). A private CA is given in MONGO_URI, with tlsCAFile=/path, and
# mounted.
FROM gcr.io/distroless/cc-debian13:nonroot

LABEL org.opencontainers.image.title="Tenantry" \
      org.opencontainers.image.description="A self-hosted backend for multi-tenant organizations on MongoDB"

COPY --from=build /build/target/release/tenantry /usr/local/bin/tenantry

# A number, so that Kubernetes' runAsNonRoot can tell that it is not root. It is the image's own user nonroot.
USER 65532:65532

# All other settings come from the environment (.env.example lists them). The server would also read a file .env in
# its working directory; there is none in this image.
ENV HOST=0.0.0.0
EXPOSE 8000

# Whether the server can serve, MongoDB included. Docker only shows it; it restarts nothing. The command itself gives
# up after 4 seconds.
HEALTHCHECK --interval=10s --timeout=6s --start-period=30s --retries=3 \
    CMD ["/usr/local/bin/tenantry", "healthcheck"]

# Without a shell in between, so that SIGTERM reaches the server, which then finishes what runs.
ENTRYPOINT ["/usr/local/bin/tenantry"]
