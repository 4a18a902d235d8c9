# Two commands set everything up on a machine with Python 3.11 or later, pip and make:
#   make demo   install, fine-tune a real BERT on the embedded data, print the scores and where the report is
#   make test   install, then lint, type check and test
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# constraints.txt pins torch to a build for the CPU's use; leave the file out of the call for a GPU build
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint schemas wheel clean

demo: $(VENV)/.demo
	$(BIN)/ftk run demo

test: $(VENV)/.test lint
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

lint: $(VENV)/.test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

schemas: $(VENV)/.test
	$(BIN)/python -m ft_toolkit.core.run_schemas docs/schemas

wheel: $(VENV)/.test
	$(BIN)/python -m build --wheel --outdir dist .

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache

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
