# Everything runs in .venv, which is made on first use with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help quickstart test test-fast check format clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

quickstart: $(READY)  ## Train GRPO and ABC-GRPO on countdown, measure both, write runs/quickstart/report/report.html
	$(BIN)/abcgrpo run quickstart

test: $(READY)  ## Run every test
	$(BIN)/python -m pytest

test-fast: $(READY)  ## Run the tests that take seconds
	$(BIN)/python -m pytest -m "not slow"

check: $(READY)  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(READY)  ## Format, and mend what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environment and caches; runs stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis build dist

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test]"
	touch $@
