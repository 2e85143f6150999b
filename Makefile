# Everything a newcomer or CI calls. `make help` lists it.

PYTHON ?= python3.11
VENV ?= .venv
PIP_ARGS ?=
PYTEST_ARGS ?=
# Where the real data sets lie, if they are there; tests that need them skip with a reason if not.
UNLEARNKIT_TEST_DATA ?= ../shared/data
export UNLEARNKIT_TEST_DATA := $(abspath $(UNLEARNKIT_TEST_DATA))

# Which notebooks `make notebooks` and its like work on, by their sources; empty is all of them.
NOTEBOOKS ?=
STUDENT ?= student

BIN := $(VENV)/bin
PAIRS := $(BIN)/python -m unlearnkit.testing.pairs
NBVAL = $(BIN)/python -m pytest --nbval --nbval-current-env --nbval-sanitize-with tests/nbval_sanitize.cfg \
  --nbval-cell-timeout=120 -n 2 --dist loadfile $(or $(NOTEBOOKS:.py=.ipynb),$(wildcard tutorials/*.ipynb notebooks/*.ipynb))
EXTRAS := notebook,diffusion,lora,quant,baselines,test,dev
PIP := $(BIN)/python -m pip install --disable-pip-version-check --quiet $(PIP_ARGS) -c constraints.txt
MADE_FROM := pyproject.toml constraints.txt

.DEFAULT_GOAL := help
.PHONY: help venv install quickstart test notebooks notebooks-test notebooks-portable student traps lint format table lab clean

help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo "  Variables: NOTEBOOKS='tutorials/03_ngdiff.py' STUDENT=$(STUDENT)"
	@echo "  Variables: PYTHON=$(PYTHON) VENV=$(VENV) PIP_ARGS= PYTEST_ARGS= UNLEARNKIT_TEST_DATA=$(UNLEARNKIT_TEST_DATA)"

# The stamps lie inside the environment and are younger than what they were made from, so that a
# second call installs nothing. The full installation contains the core one.
$(BIN)/python:
	@$(PYTHON) -c 'import sys; assert sys.version_info >= (3, 11)' 2>/dev/null || \
	  { echo "error: \`PYTHON\` must be Python 3.11 or newer. Found '$(PYTHON)'. Try: make PYTHON=/path/to/python3.11" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

$(VENV)/.core: $(MADE_FROM) | $(BIN)/python
	@echo "Installing unlearnkit into $(VENV) (about 6 GB with PyTorch's CUDA libraries; once)"
	$(PIP) -e .
	@touch $@

$(VENV)/.all: $(MADE_FROM) | $(BIN)/python
	@echo "Installing unlearnkit with all extras into $(VENV) (about 6.5 GB; once)"
	$(PIP) -e '.[$(EXTRAS)]'
	@touch $(VENV)/.core $@

venv: $(BIN)/python ## Make the virtual environment

install: $(VENV)/.core ## Install unlearnkit alone, at known-good versions

quickstart: $(VENV)/.core ## Install, then run the main job on generated data (no network)
	$(BIN)/unlearnkit compare --config tofu/quickstart.yaml

test: lint ## Install everything, check style and types, run all tests and all notebooks
	$(BIN)/python -m pytest -n 2 --dist loadfile $(PYTEST_ARGS)
	$(NBVAL)

notebooks: $(VENV)/.all ## Execute the notebooks' sources and write the notebooks beside them
	$(PAIRS) build $(NOTEBOOKS)

notebooks-test: $(VENV)/.all ## Run the notebooks and compare every output with what is stored
	$(NBVAL)

notebooks-portable: $(VENV)/.all ## The same on another instruction set: claims must not hang on the processor
	ATEN_CPU_CAPABILITY=default $(NBVAL)

student: $(VENV)/.all ## Write the notebooks without solutions into the folder STUDENT
	$(PAIRS) student $(STUDENT) $(NOTEBOOKS)

traps: $(VENV)/.all ## Re-introduce each known mistake, and see that a test notices
	$(BIN)/python -m tests.traps

lint: $(VENV)/.all ## Check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/.all ## Bring the code into form
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

table: $(VENV)/.core ## Write the README's table of strategies anew from their source
	$(BIN)/python -m tests.readme_table

lab: $(VENV)/.all ## Open JupyterLab on the notebooks
	$(BIN)/jupyter lab tutorials/README.md

clean: ## Remove caches, not the environment and not results
	rm -rf .pytest_cache .mypy_cache .ruff_cache .hypothesis build dist
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
