# The developer's interface; `make help` lists it.
PYTHON ?= python3
BIN := .venv/bin
RECIPE ?= demo
# One process of tests for each core, up to four. The tests of a file stay together, since they share whole runs, and
# files begin in the order of their names: those with whole runs are the longest, and come first. Nothing: one after
# the other, as plain pytest does.
PYTEST_ARGS ?= --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

.DEFAULT_GOAL := help
.PHONY: help run test check format golden slow chaos peers conformance bench block-model clean

help:  ## list the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | expand -t 12

run: .venv/run.stamp  ## set up, then run the whole pipeline on the documentation of installed packages
	$(BIN)/gristmill run $(RECIPE)

test: .venv/dev.stamp  ## set up, then run all tests that take seconds, on all cores (PYTEST_ARGS= for one after the other)
	$(BIN)/python -m pytest -m "not slow and not peers" $(PYTEST_ARGS)

check: .venv/dev.stamp  ## format, lint, types, import directions, spelling
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/codespell

format: .venv/dev.stamp  ## rewrite the sources in the house's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

golden: .venv/dev.stamp  ## write the golden texts anew (command reference); read the difference before you commit
	$(BIN)/python -m pytest tests/test_readme.py --renew

slow: .venv/dev.stamp  ## the tests that take minutes
	$(BIN)/python -m pytest -m slow --timeout 1800

chaos: .venv/dev.stamp  ## kills and corruption, all of them
	$(BIN)/python -m pytest -m chaos --timeout 1800

peers: .venv-peers/peers.stamp  ## set up the environment of the projects that ours is measured beside

conformance: .venv/dev.stamp .venv-peers/peers.stamp  ## our decisions beside the peers' own, on real pages (needs ../shared/data; DCLM's: GRISTMILL_DCLM)
	$(BIN)/python -m pytest -m peers -s

bench: .venv/dev.stamp .venv-peers/peers.stamp  ## speed beside the peers', in turn, on real pages (needs ../shared/data)
	$(BIN)/python tests/benchmarks/bench_filters.py
	$(BIN)/python tests/benchmarks/bench_what_if.py
	$(BIN)/python tests/benchmarks/bench_browse.py
	$(BIN)/python tests/benchmarks/bench_extraction.py
	$(BIN)/python tests/benchmarks/bench_decontamination.py
	$(BIN)/python tests/benchmarks/bench_dedup_quality.py
	$(BIN)/python tests/benchmarks/bench_dedup.py
	$(BIN)/python tests/benchmarks/bench_growth.py
	$(BIN)/python tests/benchmarks/bench_scheduler.py

block-model: .venv-model/model.stamp  ## train the model that finds main text anew (needs ../shared/data)
	.venv-model/bin/python tests/benchmarks/train_block_model.py

clean:  ## remove the environment and caches; runs in .gristmill stay
	rm -rf .venv .venv-peers .venv-model .bench .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache *.egg-info build

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gristmill needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Name another: make PYTHON=/path/to/python3.12")'
	$(PYTHON) -m venv .venv

.venv/run.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable .
	touch $@

.venv/dev.stamp: .venv/bin/python pyproject.toml constraints.txt
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@ .venv/run.stamp

# Curator and Dolma come without what they ask for: gigabytes (Ray, PyTorch), none of which the compared rules use.
.venv-peers/peers.stamp: pyproject.toml
	$(PYTHON) -m venv .venv-peers
	.venv-peers/bin/python -m pip install --quiet --upgrade pip
	.venv-peers/bin/python -m pip install --quiet --group peers
	.venv-peers/bin/python -m pip install --quiet --no-deps --group peers-alone
	touch $@

.venv-model/model.stamp: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-model
	.venv-model/bin/python -m pip install --quiet --constraint constraints.txt --editable .
	.venv-model/bin/python -m pip install --quiet --group block-model
	touch $@
