"""The tests' Airflow, and what a task loads from and into."""

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llama_cloud_emulator import Emulator
from support.airflow import COMMAND, HOME, Run, run_dag
from support.fixtures import cloud, letters  # noqa: F401
from support.places import ROOT
from support.warehouse import Warehouse


@pytest.fixture(scope="session", autouse=True)
def _airflow() -> Iterator[None]:
    """An Airflow with the project's DAG and the probe."""
    shutil.copytree(Path(__file__).parent / "dags", HOME / "dags")
    shutil.copy(ROOT / "pipelines/airflow_dag.py", HOME / "dags")
    done = subprocess.run([COMMAND, "db", "migrate"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    yield
    shutil.rmtree(HOME)


@pytest.fixture
def service(cloud: Emulator, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Emulator:  # noqa: F811
    """A LlamaCloud that the environment leads to; what is loaded from it goes into the test's DuckDB."""
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", cloud.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", cloud.base_url)
    monkeypatch.setenv("DESTINATION__DUCKDB__CREDENTIALS", str(tmp_path / "warehouse.duckdb"))
    return cloud


@pytest.fixture
def house(service: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    return warehouse(service)


@pytest.fixture
def sync() -> Run:
    """Runs a task that calls `sync` with these arguments; it may be tried twice."""
    return lambda **arguments: run_dag("probe", call="sync", arguments=arguments)


@pytest.fixture
def list_agents() -> Run:
    """Runs a task that calls `list_agents` with these arguments."""
    return lambda **arguments: run_dag("probe", call="list_agents", arguments=arguments)
