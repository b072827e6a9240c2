# make train: set everything up and train on the built-in dataset.
# make test:  set everything up and run the tests; ARGS="-k graph" runs some of them.
# make check: what to run before every commit: ruff, mypy and the tests that are not marked slow.
# make site:  build the documentation, with an API reference, and run the examples in docstrings.
# make docs:  remake the outputs and tables of README and docs (ARGS=--check compares them instead),
#             then the site.
# make test-lowest, make test-newest: tests at both ends of the versions that pyproject.toml admits.
# make demo: remake pyg_srgnn/demo, the model of srgnn-serve checkpoint=demo.
# make release-models: the default models of the benchmarks, trained, exported and packed in dist/models,
#             with checksums (ARGS="--datasets tmall": of others); hours each without a GPU.
# make dist: a source distribution and a wheel made of it in dist/, checked for an index.
# make release-notes: the notes of the version, from the changelog (ARGS=Unreleased: of what is next).
# make test-llm: the tests that need language models' libraries, which it installs (requirements-llm.lock).
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Spark is large and needs Java: the tests want it only where there is one.
SPARK  := $(if $(shell command -v java),$(VENV)/.spark)
ARGS   ?=
# One process per core; each takes from another what is left when it has nothing more to do.
PYTEST := $(BIN)/python -m pytest -n logical --dist worksteal

.PHONY: train test check test-llm test-lowest test-newest lint docs site bench demo dist release-models release-notes clean

train: $(READY)
	$(BIN)/srgnn-train $(ARGS)

test: $(READY) $(SPARK)
	$(PYTEST) $(or $(ARGS),--cov --cov-report=term --cov-fail-under=95)

check: lint
	$(PYTEST) -q -m "not slow" $(ARGS)

test-llm: $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --requirement requirements-llm.lock
	$(PYTEST) $(or $(ARGS),tests/text tests/llm)

test-lowest test-newest: test-%: $(READY)
	ARGS="$(ARGS)" .ci/bounds $*

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(READY)
	$(BIN)/python docs/outputs.py $(ARGS)
	$(BIN)/python -m study.results $(filter --check,$(ARGS))
	$(MAKE) site

site: $(READY)
	$(BIN)/sphinx-build -q -W --keep-going -b html docs build/docs
	$(BIN)/sphinx-build -q -W -b doctest docs build/doctest

bench: $(READY)
	$(BIN)/python -m benchmarks $(ARGS)

demo: $(READY)
	$(BIN)/python -m study.demo $(ARGS)

release-models: $(READY)
	$(BIN)/python -m study.release_models $(ARGS)

dist: $(READY)
	rm -rf dist
	$(BIN)/python -m build --no-isolation --outdir dist .
	$(BIN)/uv tool run --quiet --from twine==7.0.0 twine check --strict dist/*

release-notes:
	@.ci/release_notes $(or $(ARGS),$(shell sed -n 's/__version__ = "\(.*\)"/\1/p' pyg_srgnn/version.py))

$(READY): requirements.lock pyproject.toml
	$(PYTHON) -c "import sys; assert (3, 11) <= sys.version_info < (3, 14), sys.version"
	@echo "[1/3] a virtual environment in $(VENV)"
	$(PYTHON) -m venv $(VENV)
	@echo "[2/3] $$(grep -c '==' requirements.lock) packages of requirements.lock: minutes the first time"
	$(BIN)/python -m pip install --disable-pip-version-check --requirement requirements.lock
	@echo "[3/3] this package"
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/.spark: requirements-spark.lock $(READY)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet --requirement requirements-spark.lock
	touch $@

clean:
	rm -rf $(VENV) .coverage .pytest_cache .mypy_cache .ruff_cache build dist
