# Everything this project does, on a machine with Python 3.11 or newer and make.
# Nothing has to be installed or activated first: each target makes what it needs.

PYTHON ?= python3
PORT ?= 8000
ARGS ?=
WORKERS ?= auto
TARGETS ?= tokens nested fields doors settings
SECONDS ?= 600
FILES ?=

VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet

.DEFAULT_GOAL := help
.PHONY: docs help demo demo-check test races explore fuzz fuzz-keep sim sizes load requirements lint format build clean

help: ## What can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

# ── Try it ──────────────────────────────────────────────────────────────────────

demo: $(VENV)/.demo ## Watch it in a browser: tokens, requests, a thief, on PORT (8000)
	$(BIN)/python -m jwt_middleware demo --port $(PORT)

demo-check: $(VENV)/.demo ## The demo's story, played and checked by itself
	$(BIN)/python -m jwt_middleware demo --check

# ── Check it ────────────────────────────────────────────────────────────────────

# The stores for Redis and for databases are tested on real servers. Where one is missing, its
# tests are skipped and say how to have it, and its store is not covered. REQUIRE_SERVICES=1
# makes such a skip a failure and asks for every line.
COVERED := $(if $(REQUIRE_SERVICES),100,80)

test: $(VENV)/.dev $(if $(REQUIRE_SERVICES),$(VENV)/.fuzz) ## All tests; with REQUIRE_SERVICES=1 every line and branch must be covered
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --cov --cov-fail-under=$(COVERED) $(ARGS)

.PHONY: nox lowest

nox: $(VENV)/.dev ## The tests on Python 3.11 to 3.13, and what the core needs at its oldest
	@$(BIN)/nox $(ARGS)

lowest: $(VENV)/.dev ## The oldest PyJWT, Werkzeug and asgiref that will do, on PYTHON
	@$(BIN)/nox --session lowest --force-python $(PYTHON) $(ARGS)

races: $(VENV)/.dev ## The race tests, 100 rounds each
	@RACE_ROUNDS=100 $(BIN)/python -m pytest -m race -o faulthandler_timeout=0 $(ARGS)

explore: $(VENV)/.dev ## Every interleaving of a larger world than in make test
	@EXPLORE=deep $(BIN)/python -m pytest -m explore -o faulthandler_timeout=0 $(ARGS)

sim: $(VENV)/.dev ## False logouts and noticed thefts, simulated; ARGS=--quick for a short run
	@$(BIN)/python benchmarks/rotation_sim.py $(ARGS)

sizes: $(VENV)/.dev ## Bytes and times of large stores, on servers of this machine; ARGS="--store sqlite"
	@$(BIN)/python benchmarks/store_sizes.py $(ARGS)

growth: $(VENV)/.dev ## Load and rotate over 10³ to 10⁶ sessions in every store, drawn; ARGS="--store sqlite"
	@$(BIN)/python -W ignore -m benchmarks.store_growth $(ARGS)

.PHONY: differential mutants bench bench-serve growth

differential: $(VENV)/.dev ## 100,000 odd tokens, read by us, by PyJWT and by joserfc
	@DIFFERENTIAL=100000 $(BIN)/python -m pytest -o faulthandler_timeout=0 tests/test_differential.py $(ARGS)

fuzz: $(VENV)/.fuzz ## Each fuzz target for SECONDS (600), from the kept corpus; TARGETS=tokens
	@for target in $(TARGETS); do \
	  $(BIN)/python tests/fuzz/run.py $$target -max_total_time=$(SECONDS) $(ARGS) || exit 1; done

fuzz-keep: $(VENV)/.fuzz ## Adds to the kept corpus what fuzzing has found beyond it
	@for target in $(TARGETS); do $(BIN)/python tests/fuzz/run.py $$target --keep || exit 1; done

bench: $(VENV)/.dev ## What the middleware costs, beside others, in pairs; ARGS=--quick, ARGS="--only 3"
	@$(BIN)/python -W ignore -m benchmarks.bench $(ARGS)

bench-serve: $(VENV)/.dev ## Requests a second behind real servers, by wrk; ARGS=--quick
	@$(BIN)/python -W ignore -m benchmarks.bench.serving $(ARGS)

load: $(VENV)/.dev ## What refusing hostile requests costs; ARGS=--quick for a tenth
	@$(BIN)/python benchmarks/load.py $(ARGS)

requirements: $(VENV)/.dev ## The table of security requirements in docs/security.md, from the tests
	@$(BIN)/python tests/requirements.py

mutants: $(VENV)/.dev ## Small changes to the files that decide: the tests must notice 95 %; FILES=csrf
	@$(BIN)/python tests/mutation/measure.py $(FILES)

# `--verifytypes` looks for the package where the `python` on PATH would.
lint: $(VENV)/.dev ## ruff, mypy and pyright; every public name has its type
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy --strict
	$(BIN)/pyright
	PATH="$(CURDIR)/$(BIN):$$PATH" pyright --verifytypes jwt_middleware --ignoreexternal

format: $(VENV)/.dev ## Mend what ruff can mend by itself
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.dev ## The documentation site, in build/site; any warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet
	@echo "build/site/index.html is written"

# ── Ship it ─────────────────────────────────────────────────────────────────────

# Installed alone, the wheel must bring its three dependencies and theirs, and no more.
define SMOKE
import sys
from importlib import resources
from importlib.metadata import distributions, version

import jwt_middleware
import jwt_middleware.asgi
import jwt_middleware.wsgi

name = "jwt-session-middleware"
installed = {found.metadata["Name"].lower() for found in distributions()}
installed -= {"pip", "setuptools"}
expected = {name, "pyjwt", "werkzeug", "markupsafe", "asgiref"}  # markupsafe is werkzeug's
if installed != expected:
    sys.exit(f"smoke: expected {sorted(expected)}, installed {sorted(installed)}")
if version(name) != jwt_middleware.__version__:
    sys.exit(f"smoke: {version(name)} is installed, {jwt_middleware.__version__} imported")
if not resources.files(jwt_middleware).joinpath("py.typed").is_file():
    sys.exit("smoke: py.typed is missing")
print(f"smoke: {name} {version(name)} works with its core dependencies alone")
endef
export SMOKE

build: $(VENV)/.dev ## The sdist and the wheel, tried in an environment of its own
	rm -rf dist .smoke
	$(BIN)/python -m build --outdir dist .
	$(BIN)/python -m venv .smoke
	.smoke/bin/python -m pip --disable-pip-version-check --quiet install dist/*.whl
	@.smoke/bin/python -I -W error -c "$$SMOKE"
	rm -rf .smoke

clean: ## Away with everything that was made
	rm -rf $(VENV) .smoke .fuzz .migrate build dist htmlcov .coverage .coverage.* .hypothesis
	rm -rf .nox .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +

# ── The environment ─────────────────────────────────────────────────────────────
# A stamp says what was installed; it is made anew when pyproject.toml changes.

$(BIN)/python:
	@command -v $(PYTHON) >/dev/null || { \
	  echo "Python 3.11 or newer is needed, and there is no '$(PYTHON)'."; \
	  echo "Say where yours is: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) --version 2>&1)."; \
	  echo "Say where a newer one is: make PYTHON=/path/to/python3.11 ..."; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo "This Python cannot make virtual environments."; \
	  echo "On Debian and Ubuntu: apt install python3-venv"; exit 1; }

$(VENV)/.demo: pyproject.toml | $(BIN)/python
	@echo "Installing what the demo needs into $(VENV) ..."
	@$(PIP) install --editable '.[demo]'
	@touch $@

$(VENV)/.fuzz: pyproject.toml $(VENV)/.dev
	@echo "Installing what fuzzing needs into $(VENV) ..."
	@$(PIP) install --editable '.[fuzz]'
	@touch $@

$(VENV)/.dev: pyproject.toml | $(BIN)/python
	@echo "Installing what development needs into $(VENV) ..."
	@$(PIP) install --editable '.[dev]'
	@touch $@
