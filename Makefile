# Two commands do everything: `make gate` judges the MLX operators, `make test` tests the judge.
# Both set up .venv on a machine that has Python 3.11 or newer and git, and reuse it afterwards.

PYTHON ?= python3
BACKEND ?= mlx
ARGS ?=
# Per cent of the lines and branches of keeprate that the quick tests reach.
FLOOR := 38
BIN := .venv/bin
READY := .venv/ready
# Nothing is compiled before it is imported, as most of it never is.
INSTALL := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check --constraint constraints.txt

unexport PYTHONDONTWRITEBYTECODE  # hundreds of processes import the same modules

.DEFAULT_GOAL := help
.PHONY: help venv extras gate test quick lint coverage mutants calibrate compare figures site clean

help:  ## show this list
	@grep -hE '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 8

venv: $(READY)  ## make the environment in .venv (the other targets do so by themselves)

$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "keeprate needs Python 3.11 or newer; name one: make PYTHON=python3.12 $(MAKECMDGOALS)" >&2; exit 2; }
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(INSTALL) --editable '.[mlx,dev]'
	@touch $@

extras: $(READY)  ## install every framework, clang and Chromium, so that `make test` skips no test for lack of one
	$(INSTALL) --editable '.[frameworks,numba,triton]'
	.ci/programs clang chromium,chromium-browser,google-chrome

gate: $(READY)  ## judge the MLX operators against PyTorch (BACKEND=torch judges another backend, ARGS=... adds options)
	$(BIN)/keeprate gate --backend $(BACKEND) $(ARGS)

test: $(READY)  ## run our own tests, in parallel
	$(BIN)/python -m pytest -n auto --dist worksteal $(ARGS)

quick: $(READY)  ## run the tests that take less than a minute in all
	$(BIN)/python -m pytest -n auto -q -m quick $(ARGS)

lint: $(READY)  ## style, strict types, import layers, workflows
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/zizmor --offline --quiet --no-progress .github/workflows action.yml
	$(BIN)/jactionlint --strict-exit --shellcheck=$(BIN)/shellcheck

coverage: $(READY)  ## which branches the quick tests reach; fails below a floor
	$(INSTALL) --editable '.[coverage]'
	$(BIN)/python -m pytest -n auto -q -m quick --cov --cov-fail-under=$(FLOOR) $(ARGS)

mutants: $(READY)  ## judge every faulty backend; writes docs/kill-matrix.md and the key of likely causes
	$(BIN)/python benchmarks/kill_matrix.py $(ARGS)
	$(BIN)/python benchmarks/likely_causes.py

calibrate: $(READY)  ## does the evidence do as it promises? writes docs/calibration.json
	$(BIN)/python benchmarks/calibrate.py $(ARGS)

compare: $(READY)  ## the tests that people use today, over the same mutants; writes docs/comparison.svg
	$(BIN)/python benchmarks/comparison.py $(ARGS)

figures: mutants calibrate compare  ## make the pictures and tables of docs/ anew; more than an hour
	$(BIN)/python benchmarks/figures.py
	$(BIN)/python benchmarks/tables.py
	$(BIN)/python benchmarks/failures.py

site: $(READY)  ## build the website into site/; a warning is an error
	$(INSTALL) --editable '.[site]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## remove the environment and everything that tools leave behind
	rm -rf .venv build dist site .coverage *.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
