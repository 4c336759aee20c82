# The commands of the project; `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help run lint test browser contract chaos hostile bench soak build clean

help: ## List these commands
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):.*## /\1\t/'

run: ## Serve the API, with a MongoDB of its own under .data/
	python3 scripts/run.py

build: ## Build everything
	cargo build --locked

lint: ## Check format, lints, dependencies and documentation
	cargo fmt --check
	cargo clippy --all-targets --locked -- -D warnings
	cargo clippy --all-targets --locked --features chaos -- -D warnings
	cargo clippy --test hostile --locked -- -D warnings
	deny="$$(python3 scripts/tools.py cargo-deny)" && "$$deny" --locked check --hide-inclusion-graph licenses bans sources
	python3 scripts/check_docker.py
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --locked --document-private-items

test: lint ## Everything that CI runs; gets a mongod of its own
	cargo test --locked
	$(MAKE) browser contract
	$(MAKE) chaos CHAOS="--short --seed 1"
	cargo test --locked --test hostile -- --short

browser: build ## Use the documentation pages in a Chromium
	chromium="$$(python3 scripts/tools.py chromium)" && \
	python="$$(python3 scripts/tools.py venv browser)" && \
	CHROMIUM="$$chromium" python3 scripts/with_server.py "$$python" tests/browser/pages.py

contract: build ## Hold the server's answers against its OpenAPI document
	python="$$(python3 scripts/tools.py venv contract)" && \
	python3 scripts/with_server.py "$$python" tests/contract/contract.py

chaos: ## Kill, stop and cut off what can be; CHAOS="--short" is CI's form, CHAOS="--help" says more
	cargo test --locked --features chaos --test chaos -- $(CHAOS)

hostile: ## Attack a server, and show what its neighbours feel, into docs/BENCHMARKS.md; HOSTILE="--rows 3,9" does a part
	cargo test --release --locked --test hostile -- --record $(HOSTILE)

bench: ## Measure what is claimed about speed, into docs/BENCHMARKS.md; BENCH="reads logins" measures a part
	cargo bench --locked --bench speed -- $(BENCH)

soak: ## Mixed traffic while MongoDB comes and goes; SOAK=30 for half an hour instead of 5 minutes
	cargo bench --locked --bench speed -- soak $(SOAK)

clean: ## Remove what was built and fetched
	cargo clean
	rm -rf .tools
