# Everything runs in .venv, which `make setup` builds once; what comes from the locks is verified by its SHA-256.
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready
PIP := $(BIN)/pip --disable-pip-version-check --quiet
# torch is left out, since its builds and their packages differ between platforms
RESOLVE = echo "torch ; python_version < '3'" | $(BIN)/uv pip compile --no-config --override - --universal \
	--python-version 3.11.5 --generate-hashes --no-annotate --no-header --quiet

# containers often set it, and each of the processes that tests start would compile all that it imports
unexport PYTHONDONTWRITEBYTECODE

.PHONY: leaderboard test test-fast test-arm setup lock lint docs tables clean

leaderboard: $(READY)  ## sweep the embedded default and print its leaderboard
	$(BIN)/elmo-mf sweep jsonnet/sweeps/demo.jsonnet --workers 2 --output runs/demo
	$(BIN)/elmo-mf leaderboard runs/demo

test: $(READY)
	$(BIN)/pytest -n 2 --dist worksteal

test-fast: $(READY)  ## the tests to run while working: under two minutes on two cores
	$(BIN)/pytest -n 2 --dist worksteal -m "not (slow or browser or cluster or emulated or data)"

test-arm: $(READY)  ## the machine code on emulated ARM processors; needs Debian 12 and its qemu-user, and takes ten minutes
	$(BIN)/python -m tests.arm.environment build/arm
	ELMO_MF_ARM=build/arm $(BIN)/pytest -rP tests/arm

setup: $(READY)

lock: $(READY)  ## resolve requirements*.in; new releases only with `make lock UPGRADE=--upgrade`
	$(RESOLVE) $(UPGRADE) requirements.in -o requirements.lock
	$(RESOLVE) $(UPGRADE) requirements-dev.in --constraint requirements.lock -o requirements-dev.lock

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
$(READY): requirements.torch requirements.lock requirements-dev.lock pyproject.toml elmo_mf_compat.pth
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14) and "elmo-mf needs Python 3.11 to 3.13; run make PYTHON=python3.11")'
	@echo "Installing into .venv, which is done once and takes minutes."
	@echo "1/5 an empty environment"
	@$(PYTHON) -m venv .venv
	@echo "2/5 torch, the largest download"
	@$(PIP) install -r requirements.torch
	@echo "3/5 what elmo-mf and AllenNLP need, and the tools of its developers"
	@$(PIP) install --require-hashes -r requirements.lock -r requirements-dev.lock
	@echo "4/5 AllenNLP"
	@$(PIP) install --no-deps allennlp==2.10.1 allennlp-models==2.10.1
	@echo "5/5 elmo-mf"
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@
