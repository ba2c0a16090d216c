# The worker in a container. See docs/install.md. `demo` and the tests need PostgreSQL's programs and do not run in it.

FROM rust:1-slim-bookworm AS build
WORKDIR /src
COPY Cargo.toml Cargo.lock ./
COPY migrations migrations
COPY sql sql
COPY src src
# tests/ is not copied: cargo wants the targets of the manifest to be there.
RUN mkdir -p tests/it && touch tests/it/main.rs README.md \
 && cargo build --release --locked --bin dbmail-mesh

FROM debian:bookworm-slim
# The authorities that are believed where the settings name none.
RUN apt-get update -q && apt-get install -q -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*
COPY --from=build /src/target/release/dbmail-mesh /usr/bin/dbmail-mesh
COPY LICENSE-MIT LICENSE-APACHE /usr/share/doc/dbmail-mesh/
USER 10001:10001
# Settings are mounted to /etc/dbmail-mesh, read-only.
# Whether links and nodes are in order is for `status --check`; this says that the program is there and its settings can be used.
HEALTHCHECK --interval=1m --timeout=10s --start-period=30s \
  CMD ["dbmail-mesh", "config", "check"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["dbmail-mesh"]
CMD ["run"]
