# One command for each thing people do here; `make` alone lists them. CI runs the same targets.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
BIN := .venv/bin
export PATH := $(CURDIR)/.venv/bin:$(PATH)

.PHONY: help
help:  ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' Makefile | awk -F'|' '{printf "%-18s %s\n", $$1, $$2}'

.PHONY: tools
tools:  ## Install missing Debian packages (python, java, curl, jq) as root, or print the line to run
	@.ci/tools

.PHONY: setup
setup:  ## Build .venv from requirements.lock and fetch Spark's S3 jars; quick when both are current
	@.ci/setup

.PHONY: setup-tests
setup-tests:  ## As setup, and Spark 3.5 into .cache, which only tests run
	@.ci/setup --tests

.PHONY: demo
demo:  ## Start Airflow, PostgreSQL and a local EMR endpoint, run flight_delays, print the URLs; Ctrl-C stops it all
	@started=$$(date +%s); .ci/setup; exec $(BIN)/python -m demo up --started-at $$started

.PHONY: demo-check
demo-check: setup  ## Run the demo headless on free ports and check every figure it promises
	@$(BIN)/python -m demo check

.PHONY: demo-clean
demo-clean:  ## End what the demo left running and remove .demo/
	@if [ -x $(BIN)/python ]; then $(BIN)/python -m demo clean; else rm -rf .demo; fi

.PHONY: lint
lint: setup  ## Format, lint, types, layers
	@$(BIN)/ruff format --check --quiet . && $(BIN)/ruff check --quiet .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo >.cache/lint-imports.log || { cat .cache/lint-imports.log; exit 1; }

.PHONY: check
check: lint  ## Lint and unit tests
	@$(BIN)/pytest -q -n 2 --dist worksteal tests/unit

.PHONY: test
test: tools setup-tests lint  ## Everything: lint, then all tests with real servers and Spark, and coverage; the end-to-end ones share one Airflow
	@$(BIN)/coverage erase
	@$(BIN)/pytest -q -n 2 --dist worksteal --cov --cov-report= --ignore tests/e2e tests
	@$(BIN)/pytest -q --cov --cov-append --cov-report=term:skip-covered tests/e2e

.PHONY: bench
bench: setup  ## Print measured ratios; nothing here fails by a timing
	@for file in bench/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done

.PHONY: format
format: setup  ## Format the code and mend what ruff can mend
	@$(BIN)/ruff format . && $(BIN)/ruff check --fix .

.PHONY: lock
lock: setup  ## Resolve both lock files, keeping versions that still fit
	@$(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 --extra demo --group dev pyproject.toml -o requirements.lock
	@echo 'pyspark==3.5.*' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --python-version 3.11 - -o requirements-spark35.lock
