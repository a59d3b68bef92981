# Sets itself up: needs Python 3.11 or newer (with venv and pip) and make, nothing else.
#
#   make quickstart   set up, run a first small experiment, write its report to runs/quickstart
#   make test         set up, run the tests          (make test ARGS="tests/cells -k gru")
#   make test ALL=1   every case of every grid (more than 40 minutes on two cores)
#   make test WHEEL=1 the same against the built wheel, in a virtual environment of its own
#   make check        format, lint, types, and the floors of the house
#   make format       mend what can be mended mechanically
#   make benchmark    speed and cost against PyTorch, in a virtual environment of its own
#   make clean        remove the environments and every cache; runs/ stays

.DEFAULT_GOAL := help
.PHONY: help quickstart test check format benchmark clean

# The first of these that is new enough, whatever python3 happens to be.
CANDIDATES := python3 python3.14 python3.13 python3.12 python3.11
PYTHON ?= $(shell for python in $(CANDIDATES); do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$python; break; }; done)

PIP_INSTALL = -m pip install -qq --disable-pip-version-check -c constraints.txt
BIN := .venv/bin

# One environment, two depths: what runs capax, and what also tests it. Redone when the requirements change.
RUNTIME := .venv/.installed
DEVELOPMENT := .venv/.installed-dev
PEERS := .venv-torch/.installed
BUILT := .venv-wheel/.installed
TESTED := $(if $(WHEEL),$(BUILT),$(DEVELOPMENT))

help:
	@sed -n 's/^#   //p' Makefile

quickstart: $(RUNTIME)
	@$(BIN)/capax run quickstart --out runs/quickstart

test: $(TESTED)
	@$(dir $(TESTED))bin/python -m pytest -n auto $(if $(ALL),--all) $(ARGS)

check: $(DEVELOPMENT)
	@$(BIN)/ruff format --check
	@$(BIN)/ruff check
	@$(BIN)/pyright
	@$(BIN)/lint-imports --no-logo

format: $(DEVELOPMENT)
	@$(BIN)/ruff check --fix-only
	@$(BIN)/ruff format

benchmark: $(RUNTIME) $(PEERS)
	@$(BIN)/python benchmarks/population.py $(ARGS)

clean:
	rm -rf .venv .venv-wheel .venv-torch dist .pytest_cache .ruff_cache .hypothesis .import_linter_cache
	find src tests benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python .venv-wheel/bin/python .venv-torch/bin/python:
	@test -n "$(PYTHON)" || { echo "capax needs Python 3.11 or newer: none of $(CANDIDATES) is. Install one, or name it: make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "capax needs Python 3.11 or newer, and $(PYTHON) is not: name another with make PYTHON=/path/to/python" >&2; exit 1; }
	@$(PYTHON) -m venv $(@D:/bin=) || { rm -rf $(@D:/bin=); exit 1; }

$(RUNTIME): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing capax into .venv (a minute or two, the first time) ..."
	@$(BIN)/python $(PIP_INSTALL) -e .
	@touch $@

$(DEVELOPMENT): pyproject.toml constraints.txt | .venv/bin/python
	@echo "Installing capax and its development tools into .venv (a few minutes, the first time) ..."
	@$(BIN)/python $(PIP_INSTALL) -e '.[dev]'
	@touch $(RUNTIME) $@

# The wheel, as people install it: files that it lacks, or that only a checkout has, show here.
$(BUILT): pyproject.toml constraints.txt README.md $(shell find src -type f -not -name '*.pyc') | .venv-wheel/bin/python
	@echo "Building the wheel and installing it into .venv-wheel (a few minutes, the first time) ..."
	@rm -rf dist && .venv-wheel/bin/python -m pip wheel -q --disable-pip-version-check --no-deps -w dist .
	@.venv-wheel/bin/python $(PIP_INSTALL) "$$(echo dist/capax-*.whl)[dev]"
	@.venv-wheel/bin/python $(PIP_INSTALL) --force-reinstall --no-deps dist/capax-*.whl
	@touch $@

# 2.13.0 is the version that was measured; its own requirements come with it.
$(PEERS): constraints.txt | .venv-torch/bin/python
	@echo "Installing PyTorch into .venv-torch, for the comparison only ..."
	@.venv-torch/bin/python $(PIP_INSTALL) torch==2.13.0 numpy
	@touch $@
