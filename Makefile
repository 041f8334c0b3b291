# Everything is set up by itself: Python 3.11 or newer, git and make are all that is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# Jupyter asks root to say so; in a container there is often nobody else.
LAB_OPTIONS := $(shell [ "$$(id -u)" = 0 ] && echo --allow-root)
SOURCES := pyproject.toml hatch_build.py labextension/package.json labextension/package-lock.json \
	$(wildcard labextension/src/*.ts labextension/src/*.tsx labextension/src/*/*.tsx labextension/style/*)

.PHONY: demo lab test bench bench-batches campaigns operations lint format clean help

help:
	@echo "make demo    publish a notebook's function, call it, and show what happened"
	@echo "make lab     open JupyterLab on the quickstart, with the extension"
	@echo "make test    set everything up and run the tests"
	@echo "make bench   measure the server beside bare Tornado and FastAPI; needs wrk; takes about eight minutes"
	@echo "make bench-batches   measure batches beside plain programs; takes about ten minutes"
	@echo "make lint    ruff, mypy, import-linter"
	@echo "make operations   write docs/operations.md anew, after a change to the HTTP interface"
	@echo "make campaigns   kill kernels under load and send made-up requests, for about half an hour"

demo: $(VENV)/.demo
	@$(BIN)/python notebooks/demo.py

lab: $(VENV)/.demo
	$(BIN)/jupyter lab $(LAB_OPTIONS) notebooks/quickstart.ipynb

test: $(VENV)/.test
	$(BIN)/python -m pytest -m "not ui and not slow" -n auto --dist loadfile --no-loadscope-reorder --durations=10

bench: $(VENV)/.bench
	$(BIN)/python benchmarks/run.py
	@echo "Batches are measured by themselves: make bench-batches; snapshots by $(BIN)/python benchmarks/snapshots.py"

bench-batches: $(VENV)/.test
	$(BIN)/python benchmarks/batches.py

lint: $(VENV)/.test
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.test
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

clean:
	rm -rf $(VENV) build dist labextension/node_modules labextension/lib jupyter_mlops/labextension \
		jupyter_mlops/static/swagger-ui

$(VENV)/.python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed; $(PYTHON) is `$(PYTHON) --version`. Try: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@touch $@

$(VENV)/.demo: $(VENV)/.python $(SOURCES)
	@echo "Installing the package, its JupyterLab extension and scikit-learn into $(VENV); the first time takes a minute or two."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[demo]'
	@touch $@

$(VENV)/.bench: $(VENV)/.python $(SOURCES)
	@echo "Installing the package and what it is measured against into $(VENV); the first time takes a minute or two."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[bench]'
	@touch $@

$(VENV)/.test: $(VENV)/.python $(SOURCES)
	@echo "Installing the package, its JupyterLab extension and the test tools into $(VENV); the first time takes a minute or two."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-compile -e '.[test]'
	@$(BIN)/python -W ignore -m compileall -q -q -j 0 $(VENV)/lib || true  # on all cores, where pip uses one
	@touch $@ $(VENV)/.demo

campaigns: $(VENV)/.test
	$(BIN)/python campaigns/kernel_faults.py
	$(BIN)/python campaigns/batch_faults.py
	SCHEMATHESIS_EXAMPLES=50 $(BIN)/python -m pytest -m slow tests/compat/test_schemathesis.py -n auto

operations: $(VENV)/.test
	$(BIN)/python tests/operations.py
