# Two commands: `make demo` runs the main job, `make test` passes the tests. Both begin with `make setup`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.stamp
PIP := $(BIN)/python -m pip --quiet --disable-pip-version-check

# Environments beside .venv; each holds what one target needs and no other.
FUZZ := .venv-fuzz
AUDIT := .venv-audit

PEERS := .venv-peers
PEERS_STAMP := $(PEERS)/.stamp
BENCH_PEERS := .venv-bench
BENCH_PEERS_STAMP := $(BENCH_PEERS)/.stamp

# An environment holds absolute paths: one that was made elsewhere (a moved or copied checkout) is made again.
ifneq ($(shell cat $(STAMP) 2>/dev/null),$(CURDIR))
$(shell rm -f $(STAMP))
endif
ifneq ($(shell cat $(PEERS_STAMP) 2>/dev/null),$(CURDIR))
$(shell rm -f $(PEERS_STAMP))
endif
ifneq ($(shell cat $(BENCH_PEERS_STAMP) 2>/dev/null),$(CURDIR))
$(shell rm -f $(BENCH_PEERS_STAMP))
endif

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fault prove bench bench-full bench-report bench-peers mutate peers compare-prices fuzz audit deploy-check lint types imports fmt lock simulate

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-15s%s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv with the ratestream command in it

$(STAMP): requirements/dev.txt pyproject.toml producers/client/pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Ratestream needs Python 3.11 or newer, found " + sys.version)'
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || { echo "Python cannot make environments: install python3-venv"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(PIP) install --require-hashes -r requirements/dev.txt
	$(PIP) install --no-deps --no-build-isolation -e producers/client -e .
	@echo '$(CURDIR)' > $(STAMP)

demo: setup ## run the main job on the local stack and prove the result
	$(BIN)/ratestream demo

test: lint types imports ## lint, types, import rules and all tests but the slow ones, in lanes; then one seed of prove
	$(BIN)/python -m tests --prove

test-fault: setup ## the whole fault matrix: kills, pauses and aborts real processes
	$(BIN)/python -m pytest tests/fault

SEED ?= 1
prove: setup ## the whole pipeline under faults: SEED=n MINUTES=m; prints what was injected, seen and held
	$(BIN)/python -m tests.prove --seed $(SEED) --minutes $(or $(MINUTES),4)

simulate: setup ## 10,000 seeds of the simulator: the services' own code in a world of faults
	$(BIN)/python -m tests.simulation

bench: setup bench-peers ## measure for half an hour, peers beside it, answers checked first; writes bench/results
	$(BIN)/python -m bench

bench-full: setup bench-peers ## the same for hours: a million customers, 100 million known ids
	$(BIN)/python -m bench --full

bench-report: setup bench-peers ## docs/performance.md anew: its figures and plots, of RESULT=file or of the one kept
	$(BIN)/python -m bench.report $(RESULT)
	$(BENCH_PEERS)/bin/python -m bench.plots

bench-peers: $(BENCH_PEERS_STAMP) ## make .venv-bench with the frameworks that we measure beside us

$(BENCH_PEERS_STAMP): requirements/bench.txt
	$(PYTHON) -m venv $(BENCH_PEERS)
	$(BENCH_PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/bench.txt
	@echo '$(CURDIR)' > $(BENCH_PEERS_STAMP)

peers: $(PEERS_STAMP) ## make .venv-peers with the packages that we compare with; no other target needs it

$(PEERS_STAMP): requirements/peers.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/peers.txt
	@echo '$(CURDIR)' > $(PEERS_STAMP)

mutate: setup ## change each line of the price computation and see whether a test notices; about an hour
	$(PIP) install --require-hashes -r requirements/mutation.txt
	$(BIN)/mutmut run
	$(BIN)/mutmut results

compare-prices: setup peers ## our prices beside those of genai-prices and LiteLLM: each disagreement, who is right, why
	$(BIN)/python -m bench.peers

$(FUZZ)/.stamp: requirements/prod.txt requirements/fuzz.txt
	$(PYTHON) -m venv --clear $(FUZZ)
	$(FUZZ)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/prod.txt -r requirements/fuzz.txt
	@touch $@

fuzz: $(FUZZ)/.stamp ## coverage-guided fuzzing of every input for MINUTES (16); findings in .ratestream/fuzz
	PYTHONPATH=.:producers/client $(FUZZ)/bin/python -m tests.fuzz --minutes $(or $(MINUTES),16)

$(AUDIT)/.stamp: requirements/audit.txt
	$(PYTHON) -m venv --clear $(AUDIT)
	$(AUDIT)/bin/python -m pip --quiet --disable-pip-version-check install --require-hashes -r requirements/audit.txt
	@touch $@

deploy-check: setup ## build the production environment as the Dockerfile does and try every service in it
	$(BIN)/python -m tests.deploy.check

audit: $(AUDIT)/.stamp ## ask for known vulnerabilities of the locked requirements; needs the network
	$(AUDIT)/bin/python -m tests.deploy.audit

lint: setup ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: setup ## mypy, strict
	$(BIN)/mypy

imports: setup ## import-linter: the arrows between packages
	$(BIN)/lint-imports

fmt: setup ## format and fix what can be fixed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lock: ## pin requirements anew with uv: exact versions and hashes, no download addresses
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 --extra stack --extra dev --no-emit-package ratestream-client \
	  pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 requirements/peers.in -o requirements/peers.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 requirements/bench.in -o requirements/bench.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 -c requirements/dev.txt requirements/mutation.in -o requirements/mutation.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 -c requirements/dev.txt --no-emit-package ratestream-client \
	  pyproject.toml -o requirements/prod.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 requirements/fuzz.in -o requirements/fuzz.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 requirements/audit.in -o requirements/audit.txt
	uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --no-emit-index-url \
	  --python-version 3.11 -c requirements/dev.txt requirements/build.in -o requirements/build.txt
