# `make demo` and `make test` are all that a fresh machine needs: Python 3.11 or newer with venv and pip, make, npm.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SNAKEMAKE := $(BIN)/snakemake
export PYTHONPATH := scripts

.PHONY: demo test check coverage envs bench soak config clean

demo: $(VENV)/.installed
	$(SNAKEMAKE) --cores all demo
	@$(BIN)/python -m unbraid.outcome results/demo

test: $(VENV)/.installed-dev
	$(BIN)/python -m pytest

coverage: $(VENV)/.installed-dev
	$(BIN)/python -m pytest --cov --cov-report=term-missing --cov-fail-under=95

# What CI checks besides the tests.
check: $(VENV)/.installed-dev
	$(BIN)/snakefmt --check Snakefile rules
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(SNAKEMAKE) --lint

# The pins of each stack resolve for their platform.
envs: $(VENV)/.installed-dev
	$(BIN)/python tests/envs/resolve.py

# Measurements; each prints a table. They take a while and assert nothing.
bench: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/overhead.py
	$(BIN)/python tests/bench/memory.py network
	$(BIN)/python tests/bench/quality.py

# Two hours of audio through every stage, with the peak memory of each.
soak: $(VENV)/.installed-dev
	$(BIN)/python tests/bench/memory.py stages --minutes 120

# Renders config/config.yaml and the table of keys from their definition.
config: $(VENV)/.installed
	$(BIN)/python -m unbraid.config

$(VENV)/.installed: requirements.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --requirement requirements.txt
	$(BIN)/pip install --quiet --no-deps audio-separator==0.47.1
	@touch $@

$(VENV)/.installed-dev: $(VENV)/.installed envs/requirements-dev.txt
	$(BIN)/pip install --quiet --requirement envs/requirements-dev.txt
	@touch $@

clean:
	rm -rf $(VENV) .snakemake work logs
