# make train: set everything up and train on the embedded dataset.
# make test:  set everything up and run the tests; ARGS="-k graph" runs some of them.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Spark is large and needs Java: the tests want it only where there is one.
SPARK  := $(if $(shell command -v java),$(VENV)/.spark)
ARGS   ?=

.PHONY: train test lint bench clean

train: $(READY)
	$(BIN)/srgnn-train $(ARGS)

test: $(READY) $(SPARK)
	$(BIN)/python -m pytest $(or $(ARGS),--cov --cov-report=term --cov-fail-under=95)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info < (3, 14), sys.version"
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements.lock
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.spark: requirements-spark.lock $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements-spark.lock
	touch $@

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache build dist
