# The commands of this repository. `make` alone lists them.
.DEFAULT_GOAL := help
.PHONY: help test demo bench schemas format ready

help: ## This list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 18

test: ## All that CI runs: format, lints, dependency policy, tests, fresh schemas
	@tests/ready.sh test
	@tests/test.sh

demo: ready ## The product's story, on a sandbox; leaves nothing behind
	@tests/demo.sh

bench: ready ## Requests, bytes, instructions, memory; from a push to the first write; limits and purges beside the best
	@tests/bench.sh
	@tests/bench_controller.sh
	@tests/ready.sh test
	RECONCILER_BENCH=1 cargo test --quiet --locked --test suite -- --nocapture --test-threads=1 redis::limits redis::purges

schemas: ready ## Write schemas/ anew from the Rust types
	cargo run --quiet --locked -- schema --write schemas

format: ## Format the code
	cargo fmt --all

ready:
	@tests/ready.sh
