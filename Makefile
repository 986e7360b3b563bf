# Everything from a bare clone with Python 3.11+ and make. `make` lists what there is.
PYTHON ?= python3
BIN := .venv/bin
ARGS ?=
# Most tests wait for processes: three files at a time keep two cores busy.
JOBS ?= 3

.DEFAULT_GOAL := help
.PHONY: help demo test faults lint format bench docs clean

help: ## list the targets
	@grep -E '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

demo: .venv/installed ## watch simulated offers spread (ARGS="--seed 2" for more)
	@$(BIN)/ricochet demo $(ARGS)

test: .venv/installed ## run the tests (ARGS="-k tree" for some)
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile $(ARGS)

faults: .venv/installed ## hurt real workers and brokers, and see that nothing is lost
	$(BIN)/pytest --numprocesses $(JOBS) --dist loadfile $(ARGS) tests/faults

lint: .venv/installed ## check style and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/installed ## put the style right
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: .venv/installed ## measure ratios of one run
	$(BIN)/python -m bench $(ARGS)

docs: .venv/installed ## make the generated pages again
	$(BIN)/python -m ricochet.metrics > docs/metrics.md
	$(BIN)/python -m ricochet.demo > docs/demo.svg
	$(BIN)/python -m dashboards

clean: ## remove what was installed and built
	rm -rf .venv dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

.venv/installed: pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Ricochet needs Python 3.11 or newer; name one with PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet --editable . --group dev
	@touch $@
