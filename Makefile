# Two commands set everything up on a machine with Python 3.11 or later, pip and make:
#   make demo   install, fine-tune a real BERT on the embedded data, print the scores and the path of the report
#   make test   install, then lint, type check and test
# For development:
#   make fuzz     20,000 random inputs for the readers, the cells and the inputs of a loaded model
#   make fast     the tests that train no model, under a minute on 2 cores
#   make fix      format the code and fix what ruff can fix
#   make schemas  write the JSON Schemas of the run folder's files into docs/schemas
#   make docs     build the documentation site into docs/_build/html
#   make all      everything, the slow tests included: what must pass before a release
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# constraints.txt pins torch to its CPU build; leave the file out of the command for a GPU build
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal

.PHONY: demo test fuzz fast all lint fix schemas docs wheel clean

demo: $(VENV)/.demo
	$(BIN)/ftk run demo

test: $(VENV)/.test lint
	$(PYTEST) -m "not slow"

fuzz: $(VENV)/.test
	FT_TOOLKIT_FUZZ_CASES=1500 $(PYTEST) tests/fuzz

fast: $(VENV)/.test
	$(PYTEST) -m "not slow and not processes and not hub and not trains"

all: $(VENV)/.test lint docs
	$(PYTEST)

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

fix: $(VENV)/.test
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(VENV)/.docs
	$(BIN)/python -m sphinx --fail-on-warning --keep-going --quiet -b html docs docs/_build/html
	@echo docs/_build/html/index.html

schemas: $(VENV)/.test
	$(BIN)/python -m ft_toolkit.core.run_schemas docs/schemas

wheel: $(VENV)/.test
	$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf $(VENV) build dist docs/_build .mypy_cache .pytest_cache .ruff_cache

$(VENV)/.demo: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) --editable '.[demo]'
	touch $@

$(VENV)/.test: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) --editable '.[test]'
	touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.test
	$(PIP_INSTALL) --editable '.[test,docs]'
	touch $@
