# Each target works alone on a fresh clone: .venv is made and filled when it is not there.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check

.PHONY: demo test lint notebooks docs pictures clean

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
	$(BIN)/python -m pytest

lint: $(VENV)/.dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

notebooks: $(VENV)/.dev
	$(BIN)/python notebooks/execute.py

docs: $(VENV)/.docs
	$(BIN)/sphinx-build -W --keep-going -b html docs docs/_build/html

pictures: $(VENV)/.run
	$(BIN)/python docs/pictures.py

clean:
	rm -rf $(VENV) docs/_build bayestl-demo
