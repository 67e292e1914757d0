# Two commands set everything up on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt

# Compiles four times as fast; results differ in the last digits, which tests marked `exact` look at.
QUICK := XLA_FLAGS="--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true \
	--xla_cpu_use_fusion_emitters=false"
TESTS := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 40

.PHONY: demo hil-demo test test-all lint bench clean help

help: ## list the commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed 's/:.*## /\t/'

$(VENV)/.core: pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "installing gridenv into $(VENV) (about two minutes) ..."
	@$(PIP) -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "installing the tools for tests and benchmarks ..."
	@$(PIP) -e '.[dev,bench,simbench,opendss,marl,sb3,hil,wandb,opt,forecast]'
	@touch $@

$(VENV)/.ray: $(VENV)/.dev
	@echo "installing Ray for the slow tests of sweeps and RLlib ..."
	@$(PIP) -e '.[ray]'
	@touch $@

demo: $(VENV)/.core ## train a volt-var agent on IEEE-33 with three seeds, score it on the test days, write a report
	@$(BIN)/gridenv demo

$(VENV)/.hil: $(VENV)/.core
	@echo "installing what policies on rigs need ..."
	@$(PIP) -e '.[hil]'
	@touch $@

hil-demo: $(VENV)/.hil ## the demo's policy on the virtual rig over Modbus: check, shadow, control, report
	@$(BIN)/gridenv hil demo

test: $(VENV)/.dev ## all tests but the slow ones
	@$(QUICK) $(TESTS) -m "not slow and not exact"
	@$(TESTS) -m "not slow and exact"

test-all: $(VENV)/.ray ## all tests
	@$(QUICK) $(TESTS) -m "not exact"
	@$(TESTS) -m exact

lint: $(VENV)/.dev ## format, lint, types and import directions
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

bench: $(VENV)/.dev ## power flow, environment and training speed, side by side with peers
	@$(BIN)/gridenv bench powerflow --json runs/bench_powerflow.json
	@$(BIN)/gridenv bench env --json runs/bench_env.json
	@$(BIN)/gridenv bench train --json runs/bench_train.json

clean: ## remove the environment and caches
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache "$${XDG_CACHE_HOME:-$$HOME/.cache}/gridenv/jax-tests"
