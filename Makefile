# Complete on a fresh clone with Python 3.11 or newer and make: the first target builds .venv from the lock file.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.complete

.DEFAULT_GOAL := help
.PHONY: help run test faults bench lint format lock

help:
	@echo "make run     start everything on this machine"
	@echo "make test    run every test"
	@echo "make faults  kill, pause and cut off each part and count; ONLY=name runs a selection"
	@echo "make bench   measure each stage beside what others run; ONLY=name runs a selection"
	@echo "make lint    check style, types, secrets and known weaknesses"
	@echo "make format  bring the code into its form"
	@echo "make lock    write the lock files again after a change of dependencies; needs uv"

run: $(STAMP)
	@exec $(BIN)/sequence up --parent $$PPID

test: $(STAMP)
	$(BIN)/pytest -q

faults: $(STAMP)
	$(BIN)/python -m tests.faults.run --only "$(ONLY)"

bench: $(STAMP)
	$(BIN)/python -m tests.benchmarks --only "$(ONLY)"

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python -m tests.support.inspection

LOCK := uv pip compile -q --universal --generate-hashes --no-emit-index-url --no-header --python-version 3.11

lock:
	$(LOCK) --extra local --group dev pyproject.toml -o requirements.lock
	$(LOCK) --no-annotate -c requirements.lock pyproject.toml -o deploy/docker/runtime.lock
	$(LOCK) --no-annotate -c requirements.lock --group image -o deploy/docker/build.lock
	$(LOCK) --no-annotate --group sdk -o tests/sdk/python/requirements.lock

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; PYTHON=/path/to/python names another one." >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation -e .
	@touch $@
