# `make test`, `make demo`, `make bench` and `make busy` do all that a fresh Debian machine with a Rust toolchain needs.

CARGO ?= cargo

.PHONY: test soak test-matrix demo bench bench-pure busy faults limits verify-million lint deny deb package-files needs

# Most tests wait for databases more than they compute: more of them at once than there are cores.
test: needs
	$(CARGO) test --locked -- --test-threads 4

# The tests that take a minute and more each, which `make test` leaves out: it is to be done in a quarter of an hour on two cores.
SOAK = a_node_that_is_far_away a_node_that_falls_silent whatever_happens_to_the_databases memory_does_not_grow an_outbox_is_bounded
soak: needs
	$(CARGO) test --locked --test it -- $(SOAK) --include-ignored --test-threads 2

# The tests on each major version of PostgreSQL (13 to 18), and a mesh of several. The server programs come from npm, which has to be
# there; MATRIX_MAJORS="13 18" MATRIX_TESTS="mesh migrate" chooses a part, see tests/matrix/run.
test-matrix: needs
	CARGO="$(CARGO)" tests/matrix/run

demo: needs
	$(CARGO) run --release --locked -- demo

# dbmail-mesh beside PostgreSQL's own logical replication, in one run and on the same mail. It measures, checks the guarantees, and prints a table;
# it fails for no figure. BENCH chooses: BENCH=--list, BENCH="catch-up --rounds 1", BENCH=--json. See docs/bench.md.
bench: needs
	$(CARGO) bench --locked --bench side_by_side -- $(BENCH)

# The pure code alone, without a database. BENCH_PURE chooses by name: BENCH_PURE=settlement.
bench-pure:
	$(CARGO) bench --locked --bench pure -- $(BENCH_PURE)

# A mailbox that receives BUSY_RATE messages a second on each of three nodes for BUSY_SECONDS, and how long everything took.
busy: needs
	BUSY_SECONDS=$${BUSY_SECONDS:-60} BUSY_RATE=$${BUSY_RATE:-50} \
	  $(CARGO) test --release --locked --test it a_busy_mailbox_settles -- --nocapture

# FAULTS faults at random under traffic on three clusters, and what came of it. 200 take a quarter of an hour; DBMAIL_MESH_SEED repeats a run.
faults: needs
	FAULTS=$${FAULTS:-200} $(CARGO) test --release --locked --test it whatever_happens_to_the_databases -- --include-ignored --nocapture

# What the worker takes of memory: LIMITS_MESSAGES changes of a backlog (and a tenth of that), messages of 100 MB, of LIMITS_ROWS headers, and
# twenty links at once. Takes half an hour, and some gigabytes in the temporary folder.
limits: needs
	LIMITS_MESSAGES=$${LIMITS_MESSAGES:-1000000} LIMITS_ROWS=$${LIMITS_ROWS:-1000000} \
	  $(CARGO) test --release --locked --test it memory_ -- --include-ignored --nocapture --test-threads 1

# How long `verify` takes for VERIFY_MESSAGES messages on each of two nodes. Takes minutes, and 3 GB in the temporary folder.
verify-million: needs
	VERIFY_MESSAGES=$${VERIFY_MESSAGES:-1000000} \
	  $(CARGO) test --release --locked --test it a_million_messages -- --ignored --nocapture

lint:
	$(CARGO) fmt --check
	$(CARGO) clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --locked --no-deps

# Licences, sources and crates that must not be among ours, by deny.toml. cargo-deny is a program of some size, so this is no part of
# what runs before a merge; the most of it is a test, tests/it/supply.rs. What is known of holes in crates has to be fetched:
# DENY_CHECKS=advisories.
deny:
	command -v cargo-deny >/dev/null || $(CARGO) install --locked cargo-deny
	$(CARGO) deny --offline --locked check $${DENY_CHECKS:-bans licenses sources}

# target/debian/dbmail-mesh_*.deb
deb: needs
	$(CARGO) build --release --locked
	$(MAKE) package-files PROGRAM=target/release/dbmail-mesh
	command -v cargo-deb >/dev/null || $(CARGO) install --locked cargo-deb
	$(CARGO) deb --no-build --locked

# What a package carries besides the program and what is in the repository as it is: see Cargo.toml, package.metadata.deb.
PACKAGE = target/package
package-files:
	rm -rf $(PACKAGE)
	mkdir -p $(PACKAGE)/completions $(PACKAGE)/share/sql
	$(PROGRAM) man --out $(PACKAGE)/man
	$(PROGRAM) completions bash > $(PACKAGE)/completions/dbmail-mesh
	$(PROGRAM) completions zsh > $(PACKAGE)/completions/_dbmail-mesh
	$(PROGRAM) completions fish > $(PACKAGE)/completions/dbmail-mesh.fish
	cp -R migrations $(PACKAGE)/share/
	for part in sql/inspect sql/rights dashboards; do [ ! -d $$part ] || cp -R $$part $(PACKAGE)/share/$$part; done

# A C linker for Rust, systemd-analyze, openssl (which a page of the documentation uses), the PostgreSQL server programs and psql. What is
# there is left alone. The places are those where the program itself looks, see src/scratch/binaries.rs.
needs:
	@missing=""; \
	command -v cc >/dev/null || missing="build-essential"; \
	command -v systemd-analyze >/dev/null || missing="$$missing systemd"; \
	command -v openssl >/dev/null || missing="$$missing openssl"; \
	server=""; \
	for dir in "$$DBMAIL_MESH_PG_BIN" $$(echo "$$PATH" | tr ':' ' ') $$(pg_config --bindir 2>/dev/null) \
	    /usr/lib/postgresql/*/bin; do \
	  if [ -x "$$dir/initdb" ] && [ -x "$$dir/postgres" ]; then server="$$dir"; break; fi; \
	done; \
	[ -n "$$server" ] || missing="$$missing postgresql"; \
	command -v psql >/dev/null || missing="$$missing postgresql-client"; \
	[ -n "$$missing" ] || exit 0; \
	if ! command -v apt-get >/dev/null; then \
	  echo "missing here: $$missing (names of Debian packages); install them, then run this again" >&2; exit 1; \
	fi; \
	as_root=""; [ "$$(id -u)" = 0 ] || as_root="sudo"; \
	echo "installing: $$missing"; \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get update -q; \
	$$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$missing
