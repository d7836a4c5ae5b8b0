# Everything runs in .venv, from locked packages; `make help` lists the commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
BENCH_INSTALLED := $(VENV)/.bench-installed
GENERATED := service/conversations/v1/.generated
DESCRIPTORS := envoy/conversations.binpb
# Folders too: a proto that is gone changes its folder.
PROTOS := $(shell find protos)
UV_COMPILE := $(BIN)/uv --no-config pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --quiet --custom-compile-command 'make lock'

FUZZ_CORPORA ?= 100
FUZZ_FILTERS ?= 1000
FUZZ_SEED ?= $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help setup generate run test unit integration e2e fuzz faults bench bench-full bench-filters check lint type fmt lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) $(GENERATED) $(DESCRIPTORS) ## install the locked packages and generate code: then .venv/bin/conversations works

generate: $(GENERATED) $(DESCRIPTORS) ## generate code from protos/, if they changed

run: setup ## start everything on this machine, with demo data
	@exec $(BIN)/conversations up --demo

test: check ## check everything, then run every test
	$(BIN)/pytest

unit: setup ## run the tests that need no server
	$(BIN)/pytest tests/unit

integration: setup ## run the tests against a real Redis
	$(BIN)/pytest tests/integration

e2e: setup ## run the tests through a real Envoy
	$(BIN)/pytest tests/e2e

fuzz: setup ## compare random filters with the reference for long: make fuzz FUZZ_CORPORA=1000 FUZZ_SEED=1
	FUZZ_CORPORA=$(FUZZ_CORPORA) FUZZ_FILTERS=$(FUZZ_FILTERS) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/pytest -q tests/property/test_filters.py

faults: setup ## do harm to a service of its own, and print what that did to others
	$(BIN)/python -m tests.faults

bench: setup $(BENCH_INSTALLED) ## measure against the peers in bench/README.md, quickly, with 100,000 conversations
	$(BIN)/python -m bench --conversations 100000 --seconds 1 --rounds 1 --output .bench

bench-full: setup $(BENCH_INSTALLED) ## the same with 100,000 and 1,000,000, thoroughly, into bench/RESULTS.md
	$(BIN)/python -m bench --conversations 100000 --conversations 1000000 --seconds 1 --rounds 3 --user-data --output bench

bench-filters: setup ## measure how long filters keep Redis busy, with 100,000 conversations
	$(BIN)/python -m bench.filters

check: lint type ## lint and type-check

lint: setup ## lint protos and code; compare the protos with branch main
	$(BIN)/buf lint
	$(BIN)/buf format --diff --exit-code --path protos/conversations
	@if git cat-file -e main:protos/conversations 2>/dev/null; then \
		echo "$(BIN)/buf breaking --against .git#branch=main"; \
		$(BIN)/buf breaking --against '.git#branch=main'; \
	else \
		echo "buf breaking: branch main has no protos to compare with"; \
	fi
	$(BIN)/ruff check
	$(BIN)/ruff format --check

type: setup ## check the types
	$(BIN)/mypy

fmt: setup ## format protos and code
	$(BIN)/buf format --write --path protos/conversations
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

lock: ## lock the newest packages that fit pyproject.toml (wants a .venv)
	$(UV_COMPILE) --upgrade --output-file requirements.txt
	$(UV_COMPILE) --upgrade --extra local --extra dev --constraint requirements.txt --output-file requirements-dev.txt
	$(UV_COMPILE) --upgrade --extra bench --constraint requirements.txt --constraint requirements-dev.txt \
		--output-file requirements-bench.txt

clean: ## remove what was installed and generated; data stays
	rm -rf $(VENV) service/conversations/v1 service/*.egg-info $(DESCRIPTORS) .mypy_cache .pytest_cache .ruff_cache .hypothesis

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is needed; '$(PYTHON)' is not. Name another one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(INSTALLED): requirements-dev.txt pyproject.toml | $(VENV)/bin/python
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

# Only the benchmark needs its peers' packages.
$(BENCH_INSTALLED): requirements-bench.txt $(INSTALLED)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-bench.txt
	@touch $@

# Made beside and moved into place: what was there stays whole until then.
$(GENERATED): $(PROTOS) $(INSTALLED)
	@rm -rf $(VENV)/generated && mkdir $(VENV)/generated
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(VENV)/generated \
		--pyi_out=$(VENV)/generated --grpc_python_out=$(VENV)/generated --mypy_grpc_out=quiet:$(VENV)/generated \
		protos/conversations/v1/*.proto
	@rm -rf service/conversations/v1 && mv $(VENV)/generated/conversations/v1 service/conversations/v1
	@touch $@

$(DESCRIPTORS): $(PROTOS) $(INSTALLED) buf.yaml
	$(BIN)/buf build --as-file-descriptor-set --exclude-source-info -o $@
