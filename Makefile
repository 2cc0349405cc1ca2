# Each target works alone on a fresh clone that has Python 3.11 or newer, and make.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
# A command that has to compile its modules first takes twice as long.
COMPILE = $(BIN)/python -m compileall -q common config master minion runners
DEV := .venv/.ready-dev

.PHONY: demo test check bench soak chaos clean help

help:
	@grep -hE '^[a-z]+:.*##' Makefile | sed 's/:.*##/\t/'

demo: $(READY)  ## play the main story on a real fleet of this machine
	$(BIN)/jr-local demo

test: $(DEV)  ## run all tests
	$(BIN)/pytest -n 2 --dist loadfile

check: $(DEV)  ## lint, types, layers; the style figures as a report
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache
	@if [ -f ../shared/tools/stylecheck.py ]; then \
		$(BIN)/python ../shared/tools/stylecheck.py --tests tests master minion common runners config || true; fi

bench: $(DEV)  ## measure, each figure beside a yardstick of the same run
	$(BIN)/python -m tests.bench

soak: $(DEV)  ## run 1,000 simulated worlds
	$(BIN)/python -m tests.sim.soak 1000

chaos: $(DEV)  ## run 1,000 real jobs while daemons are killed at random; then kill each process at each third system call
	$(BIN)/python -m tests.chaos storm
	$(BIN)/python -m tests.chaos crash --every 3

clean:  ## remove what the other targets made
	rm -rf .venv .pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/bin/python:
	$(PYTHON) -c 'import sys; sys.exit("jr needs Python 3.11 or newer") if sys.version_info < (3, 11) else None'
	$(PYTHON) -m venv .venv

$(READY): pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable .
	@$(COMPILE)
	@touch $@

$(DEV): pyproject.toml | .venv/bin/python
	$(BIN)/pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@$(COMPILE)
	@touch $@ $(READY)
