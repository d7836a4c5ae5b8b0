# Everything runs in .venv, from locked packages; `make help` lists the commands.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
TOOLS_INSTALLED := $(VENV)/.tools-installed
BENCH_INSTALLED := $(VENV)/.bench-installed
GENERATED := service/conversations/v1/.generated
DESCRIPTORS := envoy/conversations.binpb
# Folders too: removing a proto changes its folder.
PROTOS := $(shell find protos)
UV_COMPILE := $(BIN)/uv --no-config pip compile pyproject.toml --universal --python-version 3.11 \
	--generate-hashes --quiet --custom-compile-command 'make lock'

PIP_INSTALL := $(BIN)/python -m pip install --disable-pip-version-check --require-virtualenv
# Whether .venv was completely set up, for its own and the requested Python, and in this folder: the programs in a moved
# one look for the old path.
VERSION := -c 'import sys; print("Python %d.%d" % sys.version_info[:2])'
PYTHONS := $(BIN)/python $(if $(filter file,$(origin PYTHON)),,$(PYTHON))
VENV_IS_WHOLE := $(shell for python in $(PYTHONS); do \
	[ "$$(cat $(INSTALLED))" = "$$($$python $(VERSION)) in $$(pwd -P)" ] || exit; done 2>/dev/null; echo yes)

# What `make run` passes on: make run HTTP_PORT=8081
UP_OPTIONS = $(if $(HTTP_PORT),--http-port '$(HTTP_PORT)') $(if $(GRPC_PORT),--grpc-port '$(GRPC_PORT)') \
	$(if $(WORKERS),--workers '$(WORKERS)') $(if $(DATA_DIR),--data-dir '$(DATA_DIR)')

FUZZ_CORPORA ?= 100
FUZZ_FILTERS ?= 1000
FUZZ_SEED ?= $(shell date +%s)

.DEFAULT_GOAL := help
.PHONY: help setup tools generate run test unit integration e2e fuzz faults bench bench-full bench-filters check lint type fmt \
	lock clean

help: ## list the commands
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(INSTALLED) $(GENERATED) $(DESCRIPTORS) ## install the runtime packages and generate code, for .venv/bin/conversations

tools: setup $(TOOLS_INSTALLED) ## also install the packages for lint, types and tests

generate: $(GENERATED) $(DESCRIPTORS) ## generate code from protos/, if they changed

run: setup ## start everything on this machine, with demo data; takes HTTP_PORT=, GRPC_PORT=, WORKERS=, DATA_DIR=
	@exec $(BIN)/conversations up --demo $(UP_OPTIONS)

test: check ## check everything, then run every test
	$(BIN)/pytest

unit: tools ## run the tests that need no server
	$(BIN)/pytest tests/unit

integration: tools ## run the tests against a real Redis
	$(BIN)/pytest tests/integration

e2e: tools ## run the tests through a real Envoy
	$(BIN)/pytest tests/e2e

fuzz: tools ## compare many random filters with the reference: make fuzz FUZZ_CORPORA=1000 FUZZ_SEED=1
	FUZZ_CORPORA=$(FUZZ_CORPORA) FUZZ_FILTERS=$(FUZZ_FILTERS) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/pytest -q tests/property/test_filters.py \
		tests/integration/store/test_searches.py

faults: tools ## inject faults into its own services, and print how other callers fare
	$(BIN)/python -m tests.faults

bench: setup $(BENCH_INSTALLED) ## measure against the peers in bench/README.md, quickly, with 100,000 conversations
	$(BIN)/python -m bench --conversations 100000 --filters 150000 --seconds 1 --rounds 1 --output .bench

bench-full: setup $(BENCH_INSTALLED) ## the same with 100,000 and 1,000,000, thoroughly, into bench/RESULTS.md
	$(BIN)/python -m bench --conversations 100000 --conversations 1000000 --filters 150000 --filters 1000000 \
		--changes 1000000 --seconds 1 --rounds 3 --output bench

bench-filters: setup $(BENCH_INSTALLED) ## measure broad filters alone, with 150,000 conversations
	$(BIN)/python -m bench.filters

check: lint type ## lint and type-check

lint: tools ## lint protos and code; compare the protos with branch main
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
	$(BIN)/python -m tests.lua.lint

type: tools ## check the types
	$(BIN)/mypy

fmt: tools ## format protos and code
	$(BIN)/buf format --write --path protos/conversations
	$(BIN)/ruff check --fix --exit-zero
	$(BIN)/ruff format

lock: ## lock the newest packages that fit pyproject.toml (run `make tools` first)
	$(UV_COMPILE) --upgrade --output-file requirements.txt
	$(UV_COMPILE) --upgrade --extra local --extra checkout --constraint requirements.txt \
		--output-file requirements-run.txt
	$(UV_COMPILE) --upgrade --extra local --extra checkout --extra dev --constraint requirements-run.txt \
		--output-file requirements-dev.txt
	$(UV_COMPILE) --upgrade --extra bench --constraint requirements.txt --constraint requirements-dev.txt \
		--output-file requirements-bench.txt

clean: ## remove what was installed and generated, but no data
	rm -rf $(VENV) service/conversations/v1 service/*.egg-info $(DESCRIPTORS) .mypy_cache .pytest_cache .ruff_cache .hypothesis

ifneq ($(VENV_IS_WHOLE),yes)
.PHONY: $(INSTALLED)
endif
# The marker is absent during installation, so that an interrupted one is redone.
$(INSTALLED): requirements-run.txt pyproject.toml
ifneq ($(VENV_IS_WHOLE),yes)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Python 3.11 or newer is required; '$(PYTHON)' is older. Choose another: make PYTHON=python3.12 ..." >&2; exit 1; }
	@if [ -e $(VENV) ]; then echo "$(VENV) is incomplete, moved, or made with another Python: rebuilding it"; fi
	@rm -rf $(VENV)
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
		echo "'$(PYTHON)' cannot make a virtual environment; on Debian and Ubuntu: apt install python3-venv" >&2; exit 1; }
endif
	@rm -f $@
	@echo "installing the runtime packages into $(VENV): some 150 MB to download, 480 MB on the disk"
	$(PIP_INSTALL) --require-hashes -r requirements-run.txt
	$(PIP_INSTALL) --quiet --no-deps --no-build-isolation --editable .
	@echo "$$($(BIN)/python $(VERSION)) in $$(pwd -P)" > $@

$(TOOLS_INSTALLED): requirements-dev.txt $(INSTALLED)
	@mv $(INSTALLED) $(INSTALLED)-before
	@echo "installing the packages for lint, types and tests into $(VENV): some 55 MB to download, 170 MB on the disk"
	$(PIP_INSTALL) --require-hashes -r requirements-dev.txt
	@mv $(INSTALLED)-before $(INSTALLED)
	@touch $@

# Only the benchmark needs its peers' packages.
$(BENCH_INSTALLED): requirements-bench.txt $(INSTALLED)
	$(PIP_INSTALL) --require-hashes -r requirements-bench.txt
	@touch $@

# Generated elsewhere and moved into place: the old code stays complete until then.
$(GENERATED): $(PROTOS) $(INSTALLED)
	@rm -rf $(VENV)/generated && mkdir $(VENV)/generated
	PATH="$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I protos --python_out=$(VENV)/generated \
		--pyi_out=$(VENV)/generated --grpc_python_out=$(VENV)/generated --mypy_grpc_out=quiet:$(VENV)/generated \
		protos/conversations/v1/*.proto
	@rm -rf service/conversations/v1 && mv $(VENV)/generated/conversations/v1 service/conversations/v1
	@touch $@

$(DESCRIPTORS): $(PROTOS) $(INSTALLED) buf.yaml
	$(BIN)/buf build --as-file-descriptor-set --exclude-source-info -o $@
