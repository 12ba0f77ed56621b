# Works on a fresh clone with Python 3.11 or newer and make: the first target installs .venv from the lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete
# Each pytest worker runs its own broker and its own ClickHouse, about 1 GiB. Tests wait for servers: on two
# cores, four workers take three quarters of the time of two.
PYTEST_WORKERS ?= 4
PYTEST := $(BIN)/pytest -q -n $(PYTEST_WORKERS) --no-loadscope-reorder $(PYTEST_FLAGS)
PRODUCT := gateway processors schemas deploy

.DEFAULT_GOAL := help
.PHONY: help run check test all-tests sdk tools faults hostile bench lint format lock release

help:
	@echo "make run      start the whole pipeline on this machine"
	@echo "make check    run linters, type checks, unit tests and in-memory contracts: about a minute"
	@echo "make test     run every check that a merge needs: half an hour on two cores"
	@echo "make sdk      send with each unmodified library and print what arrived: a few minutes"
	@echo "make tools    query with BI tools and drivers as they come and print what they showed: a few minutes"
	@echo "make faults   kill, pause and disconnect each service under load, and count; ONLY=name selects"
	@echo "make hostile  attack a gateway with malformed, slow and random requests and 10,000 connections"
	@echo "make bench    measure each stage beside the naive implementation; ONLY=name selects"
	@echo "make lint     check style, types, imports and secrets"
	@echo "make format   format the code and apply safe fixes"
	@echo "make lock     update the lock files after a change of dependencies; needs uv"
	@echo "make release  build the files of a release into dist"

run: $(STAMP)
	@exec $(BIN)/sequence up --parent $$PPID

check: lint
	$(PYTEST) -m "not (services or faults or hostile or bench)" tests/contracts tests/unit

# Includes everything that `make check` runs. With `make -j2`, the linters run beside the tests.
test: lint all-tests

all-tests: $(STAMP)
	$(BIN)/python -m tests.support.inspection vulnerabilities
	$(PYTEST)

# Needs Go, a JDK and Chromium. `make test` skips the libraries whose tools are missing, except in CI.
sdk: $(STAMP)
	$(BIN)/python -m tests.sdk

# Needs Go and a JDK, and a gigabyte for the tools.
tools: $(STAMP)
	$(BIN)/python -m tests.tools

faults: $(STAMP)
	$(if $(ONLY),,$(BIN)/pytest -q -m faults)
	$(BIN)/python -m tests.faults.run --only "$(ONLY)"

hostile: $(STAMP)
	$(BIN)/pytest -q -m "" tests/hostile

bench: $(STAMP)
	$(if $(ONLY),,$(BIN)/pytest -q -m bench)
	$(BIN)/python -m tests.benchmarks --only "$(ONLY)"

# Tests import development dependencies (DEP004) and leave out those of the product (DEP002).
lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/deptry $(PRODUCT)
	$(BIN)/deptry tests --ignore DEP002,DEP004
	$(BIN)/python -m tests.support.inspection secrets

RESOLVE := uv pip compile -q --universal --no-emit-index-url --no-header --python-version 3.11
LOCK := $(RESOLVE) --generate-hashes

lock:
	$(LOCK) --extra local --group dev pyproject.toml -o requirements.lock
	$(RESOLVE) --no-annotate -c requirements.lock --extra local pyproject.toml -o constraints.txt
	$(LOCK) --no-annotate -c requirements.lock pyproject.toml -o deploy/docker/runtime.lock
	$(LOCK) --no-annotate -c requirements.lock --group image -o deploy/docker/build.lock
	$(LOCK) --no-annotate --group sdk -o tests/sdk/python/requirements.lock
	$(LOCK) --no-annotate --group tools -o tests/tools/python/requirements.lock
	$(LOCK) --no-annotate --group superset -o tests/tools/superset/requirements.lock

release: $(STAMP)
	$(BIN)/python -m tests.support.release dist

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "$(PYTHON) is older than Python 3.11. Set PYTHON=/path/to/python3.11 or newer." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@
