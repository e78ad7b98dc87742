# Each target works alone on a fresh clone: .venv is made and filled when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

# one single-threaded process per core, eight at most: each holds some 0.7 GB and fits the shared models for itself
PYTEST = $(BIN)/python -m pytest -n logical --maxprocesses 8 --dist worksteal

.PHONY: demo test test-slow test-all lint notebooks docs pictures clean

$(VENV)/.made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "bayestl needs Python 3.11 or newer")'
	$(PYTHON) -m venv $(VENV)
	@touch $@

# torch first: the pinned version has a CPU build; without the pin pip takes gigabytes of CUDA packages
$(VENV)/.run: $(VENV)/.made pyproject.toml constraints.txt
	$(PIP) install --quiet -c constraints.txt torch
	$(PIP) install --quiet -c constraints.txt -e '.[materials]'
	@touch $@

$(VENV)/.dev: $(VENV)/.run
	$(PIP) install --quiet -c constraints.txt -e '.[dev]'
	@touch $@

$(VENV)/.docs: $(VENV)/.run
	$(PIP) install --quiet -c constraints.txt -e '.[docs]'
	@touch $@

demo: $(VENV)/.run
	$(BIN)/bayestl demo --output bayestl-demo

test: $(VENV)/.dev
	$(PYTEST) -m "not slow"

test-slow: $(VENV)/.dev
	$(PYTEST) -m slow

test-all: $(VENV)/.dev
	$(PYTEST)

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

notebooks: $(VENV)/.dev
	$(BIN)/python notebooks/execute.py

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

pictures: $(VENV)/.run
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) docs/_build bayestl-demo
