# Two commands: `make demo` runs the main job, `make test` passes the tests. Both begin with `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp

.PHONY: setup demo test test-fault bench lint types imports fmt lock clean

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml producers/client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Ratestream needs Python 3.11 or newer, found " + sys.version)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot make environments: install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e producers/client -e .
	@touch $(STAMP)

demo: setup
	$(BIN)/ratestream demo

test: lint types imports
	$(BIN)/python -m pytest -m "not slow"

test-fault: setup
	$(BIN)/python -m pytest tests/fault

bench: setup
	$(BIN)/python -m bench

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup
	$(BIN)/mypy

imports: setup
	$(BIN)/lint-imports

fmt: setup
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
