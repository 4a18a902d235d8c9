# Two commands set everything up on a machine with Python 3.11 or later, pip and make:
#   make demo   install, fine-tune a real BERT on the embedded data, print the scores and the path of the report
#   make test   install, then lint, type check and test
# For development:
#   make fuzz     20,000 random inputs for the readers, the cells and the inputs of a loaded model
#   make fast     the tests that train no model, under a minute on 2 cores
#   make fix      format the code and fix what ruff can fix
#   make test-lowest, make test-newest
#                 the tests of tasks, models and training with the lowest or newest allowed versions of the Hugging Face libraries,
#                 in an environment of their own (build/venv-lowest)
#   make sbom     write a bill of materials of the installed packages (CycloneDX) into build/sbom.json
#   make vulnerabilities
#                 compare constraints.txt with the known vulnerabilities of OSV; exit code 3 if this was not possible
#   make schemas  write the JSON Schemas of the run folder's files into docs/schemas
#   make docs     build the documentation site into docs/_build/html
#   make all      everything, the slow tests included: what must pass before a release
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# constraints.txt pins torch to its CPU build; leave the file out of the command for a GPU build
PIP_INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt
PYTEST = $(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Packages whose versions depend on those in supply_chain/lowest.txt and newest.txt.
CHOSEN = transformers|datasets|accelerate|peft|torch|huggingface_hub|tokenizers|safetensors|hf-xet|fsspec|dill|multiprocess|pyarrow|pandas|numpy
# earlier versions of transformers use torch.jit.script, which torch 2.13 deprecates; 5.24 deprecates an argument
VERSION_TESTS = -W 'ignore:`torch.jit.script`:DeprecationWarning' -W 'ignore:`past_key_values`:FutureWarning' tests/test_contract.py tests/core tests/models tests/tasks tests/training

.PHONY: demo test fuzz fast all lint fix schemas docs wheel clean test-lowest test-newest sbom vulnerabilities

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

test-lowest test-newest: test-%:
	rm -rf build/venv-$* && mkdir -p build && $(PYTHON) -m venv build/venv-$*
	grep -vE '^($(CHOSEN))==' constraints.txt > build/constraints-$*.txt
	cat supply_chain/$*.txt >> build/constraints-$*.txt
	build/venv-$*/bin/python -m pip install --quiet --constraint build/constraints-$*.txt torch
	build/venv-$*/bin/python -m pip install --quiet --constraint build/constraints-$*.txt --editable '.[test]'
	build/venv-$*/bin/python -m pytest --numprocesses auto --dist worksteal -m "not slow and not processes" $(VERSION_TESTS)

sbom: $(VENV)/.test
	$(BIN)/python supply_chain/sbom.py build/sbom.json --extra test

vulnerabilities: $(VENV)/.test
	$(BIN)/python supply_chain/vulnerabilities.py

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
