"""What the tests of the Dagster assets have in common."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from llama_cloud_emulator import Emulator
from support.dagster import KEY, Project
from support.postgres import PostgresServer, PostgresWarehouse


@pytest.fixture(params=["only-invoices"])
def cloud(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Emulator]:
    """A LlamaCloud with an agent and a few runs of every kind, which the environment leads to."""
    with Emulator(runs=20, seed=7, corpus=request.param, api_key=KEY) as emulator:
        monkeypatch.setenv("LLAMA_CLOUD_API_KEY", KEY)
        monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", emulator.base_url)
        monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__LOOKUP_FILES", "false")  # the tables are as the runs say
        yield emulator


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    """Loads into a DuckDB file in the test's folder."""
    made = Project(tmp_path)
    yield made
    made.instance.dispose()


@pytest.fixture
def postgres(
    cloud: Emulator, project: Project, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> PostgresWarehouse:
    """An empty database, into which the project loads."""
    url = server.database()
    monkeypatch.setenv("DESTINATION_TYPE", "postgres")
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", url)
    house = PostgresWarehouse(cloud, url)
    house.close()
    return house
