# Everything a newcomer needs. Each line calls `sutler` or a tool from the virtual environment.
# Needs make and Python 3.11 or newer: make up PYTHON=python3.12

PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/installed
COMPILE := UV_CUSTOM_COMPILE_COMMAND="make lock" $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url

PYTEST := $(BIN)/pytest -n 2 --dist loadfile --no-loadscope-reorder
# Tests of whole shops, and those that ask the whole API. What they run is covered by the tests of its parts, and to
# measure it would take them twice as long.
WHOLE_API := any_input disputes flash_sale fuzz idempotency late_money taxed_checkouts who_may_what
SHOPS := $(addprefix tests/,chaos journeys failures operations replay gateway) $(WHOLE_API:%=tests/api/test_%.py)

# Dozens of processes are started here, and each would read all its code anew where no bytecode may be kept.
export PYTHONDONTWRITEBYTECODE :=

.DEFAULT_GOAL := help
.PHONY: help up reset test soak fuzz lint docs licences vulnerabilities sbom chaos payments charges outage drill bench growth lock

help: ## Show this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 16

up: $(INSTALLED) ## Run the whole platform here; Ctrl-C stops it, the data stays; GATEWAY=1
	@$(BIN)/sutler up $(if $(GATEWAY),--gateway)

reset: $(INSTALLED) ## Delete the data of `make up`, after asking
	@$(BIN)/sutler reset

test: $(INSTALLED) ## Run all tests against real servers, and measure what they cover
	@$(PYTEST) $(SHOPS); shops=$$?; $(PYTEST) --cov --cov-report=term $(SHOPS:%=--ignore=%) && exit $$shops

soak: $(INSTALLED) ## Run the tests that take many minutes
	$(BIN)/pytest -o faulthandler_timeout=0 -m soak --ignore tests/api/test_fuzz.py

fuzz: $(INSTALLED) ## Ask every operation of the API what nobody thought of, again and again; EXAMPLES=100
	FUZZ_EXAMPLES=$(or $(EXAMPLES),100) $(BIN)/pytest -o faulthandler_timeout=0 -m soak -rP tests/api/test_fuzz.py

lint: $(INSTALLED) ## Check style, types, import directions, and links between pages
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/python -m deploy.links

docs: $(INSTALLED) ## Build the documentation as a site, build/site; what it warns of fails it
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict

licences: $(INSTALLED) ## Check that every package of production may be used
	@$(BIN)/python -m deploy.components licences

vulnerabilities: $(INSTALLED) ## Ask PyPI for known weaknesses of what production installs
	@$(BIN)/python -m deploy.components vulnerabilities

sbom: $(INSTALLED) ## Write sbom.json, a CycloneDX list of what production installs
	@$(BIN)/python -m deploy.components sbom

chaos: $(INSTALLED) ## Kill everything under load and check that no order is lost; SEED=… MINUTES=60
	@$(BIN)/python -m chaos $(if $(SEED),--seed $(SEED)) $(if $(MINUTES),--minutes $(MINUTES)) \
		$(if $(PAUSE),--pause $(PAUSE)) $(if $(SHOPPERS),--shoppers $(SHOPPERS))

payments: $(INSTALLED) ## Pay 10000 orders while the provider's answers get lost and its news double; COUNT=…
	@$(BIN)/python -m chaos.payments $(if $(COUNT),--count $(COUNT))

charges: $(INSTALLED) ## The same with payments alone, without orders around them: minutes instead of an hour; COUNT=…
	@$(BIN)/python -m chaos.charges $(if $(COUNT),--count $(COUNT))

outage: $(INSTALLED) ## Take the workflow engine, or another PART=…, away for a minute under load; SECONDS_AWAY=…
	@$(BIN)/python -m chaos.outage $(if $(PART),--part $(PART)) $(if $(SECONDS_AWAY),--seconds $(SECONDS_AWAY))

drill: $(INSTALLED) ## Lose the database of a shop, restore it to a moment before, and audit what is there; ORDERS=… LOST=…
	@$(BIN)/python -m chaos.restore $(if $(ORDERS),--orders $(ORDERS)) $(if $(LOST),--lost $(LOST))

bench: $(INSTALLED) ## Measure
	$(BIN)/python -m benchmarks

growth: $(INSTALLED) ## Look at what statements cost behind a million orders; ORDERS=…
	@$(BIN)/python -m benchmarks.growth $(ORDERS)

lock: $(INSTALLED) ## Write the lock files anew from pyproject.toml, keeping versions that still fit
	$(COMPILE) pyproject.toml requirements/build.in requirements/demo.in --extra stack --extra gateway --group dev --group docs -o requirements/all.lock
	$(COMPILE) -c requirements/all.lock pyproject.toml -o requirements/runtime.lock
	$(COMPILE) -c requirements/all.lock requirements/build.in -o requirements/build.lock
	$(COMPILE) -c requirements/all.lock requirements/demo.in -o requirements/demo.lock

# pip brings uv, uv brings the rest in seconds. uv does not know pip's configuration (mirrors, local indexes); where
# it finds no registry, pip does the same work slowly.
$(INSTALLED): requirements/all.lock requirements/build.lock Makefile
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Sutler needs Python 3.11 or newer. Name one that you have: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
	@test -x $(BIN)/pip || $(PYTHON) -m venv .venv || { \
	  echo "$(PYTHON) cannot make virtual environments; on Debian and Ubuntu: apt install python3-venv"; exit 1; }
	@echo "Installing what requirements/all.lock names; a minute at the first time."
	@$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/build.lock
	@$(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements/all.lock || \
	  $(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/all.lock
	@$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation -e .
	@touch $@
