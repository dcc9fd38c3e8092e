# What a user and CI type. Needs python3 (3.11+) and make; everything else is installed into .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
UV := $(BIN)/uv
DEMO := $(VENV)/.demo
STAMP := $(VENV)/.synced
# Airflow alone brings 150 packages, and changes how dlt finds its settings: each orchestrator has an environment.
DAGSTER := .venvs/dagster
AIRFLOW := .venvs/airflow

.PHONY: demo test test-main test-dagster test-airflow test-fast coverage lint format bench soak clean

demo: $(DEMO)
	$(BIN)/llama-extract --demo

test: test-main test-dagster test-airflow

test-main: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal

test-dagster: $(DAGSTER)/.synced
	$(DAGSTER)/bin/python -m pytest -n auto --dist worksteal tests/orchestrators/dagster

# In one process: Airflow takes longer to start than the tests to run.
test-airflow: $(AIRFLOW)/.synced
	$(AIRFLOW)/bin/python -m pytest tests/orchestrators/airflow

# What takes a minute: the pure part, the service's side, and loads of a kind.
FAST := tests/unit $(addprefix tests/integration/,test_client.py test_emulator.py test_upgrade.py test_every_value.py \
  sync/test_requests.py sync/test_windows.py)
test-fast: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal $(FAST)

# Branches that the tests take; of the rooms that decide what is right, nearly all.
coverage: $(STAMP)
	$(BIN)/python -m pytest -n auto --dist worksteal --cov --cov-branch --cov-report=
	$(BIN)/python -m coverage report
	$(BIN)/python -m coverage report --fail-under=95 --format=total \
	  --include='*/llama_extract_dlt/service/*,*/llama_extract_dlt/tables/*,*/llama_extract_dlt/tracking/*'

# Types of what needs an orchestrator are checked against that orchestrator's environment.
lint: $(STAMP) $(DAGSTER)/.synced
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy --python-executable $(DAGSTER)/bin/python $(wildcard sources/llama_extract_dlt/dagster/*.py) pipelines/dagster_defs.py
	$(BIN)/lint-imports --no-logo --no-cache

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(STAMP)
	$(BIN)/python -m benchmarks

# The model test for as long as one likes: make soak SOAK_STEPS=100000
SOAK_STEPS ?= 20000
soak: $(STAMP)
	SOAK_STEPS=$(SOAK_STEPS) $(BIN)/python -m pytest -n auto --dist worksteal tests/system/test_model.py

clean:
	rm -rf $(VENV) .venvs .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage .coverage.* build dist llamacloud_demo.duckdb* .llamacloud_demo.duckdb.lock

# A private uv, so that nothing has to be installed by hand, then exactly what uv.lock says.
$(UV):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON)' is $$($(PYTHON) -V 2>&1). Try: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { rm -rf $(VENV); echo "'$(PYTHON) -m venv' failed. On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check uv

# The lock file settles what is installed; tests and linters are the default group.
SYNC = $(UV) sync --system-certs --compile-bytecode --quiet --frozen --inexact --python $(BIN)/python
SYNC_HERE = VIRTUAL_ENV=$(CURDIR)/$(VENV) UV_PROJECT_ENVIRONMENT=$(CURDIR)/$(VENV) $(SYNC)

$(DEMO): $(UV) pyproject.toml uv.lock
	$(SYNC_HERE) --no-default-groups --extra demo
	@touch $@

$(STAMP): $(UV) pyproject.toml uv.lock
	$(SYNC_HERE) --extra demo
	@touch $@

.venvs/%/.synced: $(UV) pyproject.toml uv.lock
	UV_PROJECT_ENVIRONMENT=$(CURDIR)/.venvs/$* $(SYNC) --no-default-groups --group orchestrators --extra $*
	@touch $@
