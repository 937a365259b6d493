# make run    starts an instance          make test   runs every test
# make servers starts its PostgreSQL and Redis alone, for a restore
# make demo   plays two devices           make check  lints, types, imports, migrations
# make bench  measures                    make soak   lives a week of 200 listeners, in ten minutes
# make screenshots   takes the pictures of the README
# make lock   writes down the newest packages for the image (requirements.lock)
# make clean  forgets the installation, not the data          make coverage  which lines the tests run
#
# Python 3.11 or newer: PYTHON=/path/to/python chooses one.

PYTHON ?= $(shell for python in python3 python3.13 python3.12 python3.11; do \
	$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$python && exit; \
	done; echo python3)
BIN := .venv/bin
# Machines that build images often set it; then each process of an instance compiles every module anew, for seconds.
unexport PYTHONDONTWRITEBYTECODE
PIP := $(BIN)/python -m pip install -qq --disable-pip-version-check --editable
# in a tenth of the time, where it is in .venv and finds the packages (.ci/run)
UV := $(BIN)/uv pip install --quiet --python $(BIN)/python --editable

.PHONY: run servers test coverage check lint demo screenshots bench soak lock install install-dev clean

run: .venv/runs
	@exec $(BIN)/python -m balados.launch

servers: .venv/runs
	@exec $(BIN)/python -m balados.launch servers

test: .venv/tests
	@$(BIN)/python -m tests.run $(ARGS)

coverage: .venv/tests
	@$(BIN)/python -m tests.run --coverage

lint: .venv/tests
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

check: lint
	$(BIN)/python -m pytest --quiet tests/test_house.py
	$(BIN)/python -m tests.audit

demo: .venv/demo
	@$(BIN)/python -m examples $(ARGS)

screenshots: .venv/tests
	@$(BIN)/python -m examples.screenshots

bench: .venv/bench
	@$(BIN)/python -m benchmarks $(ARGS)

soak: .venv/tests
	@$(BIN)/python -m tests.soak $(ARGS)

install: .venv/runs
install-dev: .venv/tests

lock:
	$(PYTHON) -m venv --clear .venv-lock
	.venv-lock/bin/pip install -qq --disable-pip-version-check --editable '.[run]'
	{ head -1 requirements.lock; .venv-lock/bin/pip freeze --exclude-editable; } > requirements.new
	mv requirements.new requirements.lock; rm -rf .venv-lock

clean:
	rm -rf .venv *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache

# One file for each set of packages that has been installed from this pyproject.toml.
.venv/runs: pyproject.toml | .venv/bin/python
	@echo "installing into .venv (once)"
	@$(PIP) '.[run]' && touch $@

.venv/demo .venv/bench: .venv/%: pyproject.toml | .venv/runs
	@echo "installing what $* needs"
	@$(PIP) '.[$*]' && touch $@

# all of the above but the benchmarks' peer, in one go
.venv/tests: pyproject.toml | .venv/bin/python
	@echo "installing what the tests need"
	@{ test -x $(BIN)/uv && $(UV) '.[dev]'; } || $(PIP) '.[dev]'
	@touch .venv/runs .venv/demo $@

.venv/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
		echo "Balados needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1)." \
			"Name another: make run PYTHON=/path/to/python3.11" >&2; exit 1; }
	@$(PYTHON) -m venv .venv
