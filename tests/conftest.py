"""Every test has its own folder, its own dlt working folder and database, and a LlamaCloud on loopback."""

import gc
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.fast import make_loads_cheap, work_in_memory
from support.postgres import PostgresServer, postgres_server
from support.profiles import register_profiles
from support.warehouse import Warehouse

# In the tests only, never in the source: see there why.
work_in_memory()
make_loads_cheap()
register_profiles()


def pytest_xdist_auto_num_workers() -> int:
    """Half as many more than processors: a quarter of the time loads wait, for each other and for databases."""
    return (os.cpu_count() or 1) * 3 // 2


def pytest_collection_finish() -> None:
    """Spares the collector of garbage what stays: a load makes thousands of dictionaries that are soon gone."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 50, 50)


@pytest.fixture(autouse=True)
def _apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing from this machine's settings or earlier tests, and no telemetry."""
    for name in ("LLAMA_CLOUD_API_KEY", "LLAMA_CLOUD_BASE_URL", "DLT_PROJECT_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DLT_DATA_DIR", str(tmp_path / "dlt"))
    monkeypatch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with a few runs of every kind."""
    with Emulator(runs=60, seed=7) as emulator:
        yield emulator


@pytest.fixture
def warehouse(tmp_path: Path) -> Iterator[Callable[[Emulator], Warehouse]]:
    """Gives the test's warehouse for a LlamaCloud."""
    made: list[Warehouse] = []

    def make(emulator: Emulator) -> Warehouse:
        made.append(Warehouse(emulator, tmp_path / "warehouse.duckdb"))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="session")
def server() -> Iterator[PostgresServer]:
    """A PostgreSQL, one in each process that runs tests."""
    with postgres_server() as running:
        yield running


@pytest.fixture(scope="session")
def storage() -> Iterator[Any]:
    """Object storage that speaks S3, one in each process that runs tests."""
    from support.s3 import object_storage  # which the orchestrators' environments do without

    with object_storage() as running:
        yield running
