# Everything runs in .venv, which `make setup` builds once from the lock, with every file verified by its SHA-256.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/pip --disable-pip-version-check --quiet

.PHONY: leaderboard test test-fast setup lint docs tables clean

leaderboard: $(READY)  ## sweep the embedded default and print its leaderboard
	$(BIN)/elmo-mf sweep jsonnet/sweeps/demo.jsonnet --workers 2 --output runs/demo
	$(BIN)/elmo-mf leaderboard runs/demo

test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(READY)  ## the tests to run while working: under two minutes on two cores
	$(BIN)/pytest -n 2 --dist worksteal -m "not (slow or browser or cluster or emulated or data)"

setup: $(READY)

lint: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(MAKE) docs

docs: $(READY)  ## the documentation, in build/site
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

tables: $(READY)  ## the documentation's tables, from their records
	$(BIN)/cog -I . -P -p "from docs.tables import table" -r @docs/tables/cog.txt

clean:
	rm -rf .venv runs build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis

# AllenNLP comes last and without its dependencies: its pins ask for a stack that no longer installs.
$(READY): requirements.torch requirements.lock pyproject.toml elmo_mf_compat.pth
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "elmo-mf needs Python 3.11 to 3.13; run make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(PIP) install -r requirements.torch
	$(PIP) install --require-hashes -r requirements.lock
	$(PIP) install --no-deps allennlp==2.10.1 allennlp-models==2.10.1
	$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
