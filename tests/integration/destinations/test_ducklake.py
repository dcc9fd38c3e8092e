"""DuckLakes: a load opens the lake once and lets go of it; no password is told."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

from llama_cloud_emulator import Emulator
from llama_extract_dlt import llama_extract, plan_sync, sync
from support.ducklake import install_extensions
from support.postgres import PostgresServer

Open = Callable[[str], dlt.Pipeline]


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=3, seed=3, corpus="invoices") as emulator:
        yield emulator


@pytest.fixture
def open_lake(catalog: str, tmp_path: Path) -> Open:
    install_extensions()

    def make(name: str) -> dlt.Pipeline:
        credentials = DuckLakeCredentials(catalog=catalog, storage=str(tmp_path / "lake"))
        return dlt.pipeline(name, destination=dlt.destinations.ducklake(credentials), dataset_name="llama_extract")

    return make


@pytest.fixture(params=["sqlite", "duckdb", "postgres"])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("server")
        return server.database()
    return f"{request.param}:///{tmp_path}/catalog.{request.param}"


def load(pipeline: dlt.Pipeline, cloud: Emulator, **arguments: Any) -> int:
    return sync(pipeline, api_key=cloud.api_key, base_url=cloud.base_url, **arguments).new


@pytest.mark.parametrize("by", ["sync", "run"])
def test_a_load_opens_the_lake_once_and_lets_go_of_it(
    cloud: Emulator, open_lake: Open, catalog: str, by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    connect = duckdb.connect

    def count(database: str = ":memory:", **options: Any) -> duckdb.DuckDBPyConnection:
        opened.append(database)
        return connect(database, **options)

    pipeline = open_lake("once")
    monkeypatch.setattr(duckdb, "connect", count)
    if by == "sync":
        load(pipeline, cloud)
        assert ":memory:" not in opened  # the name of a DuckDB that nobody else can have
    else:
        pipeline.run(llama_extract(api_key=cloud.api_key, base_url=cloud.base_url))
        assert opened.count(":memory:") <= 2  # dlt looks for the pipeline's state before the source is asked
    (lake,) = set(opened) - {":memory:"}
    assert opened.count(lake) > 20
    with connect(lake) as another:  # it would have what was attached if anybody still had it open
        assert another.sql("select database_name from duckdb_databases() where not internal").fetchall() == [
            ("memory",)
        ]
    if catalog.startswith("duckdb"):
        open_it = f"import duckdb; duckdb.connect({catalog.removeprefix('duckdb:///')!r}).execute('checkpoint')"
        subprocess.run([sys.executable, "-c", open_it], check=True)


@pytest.mark.parametrize("ask", [sync, plan_sync])
def test_the_password_of_a_catalog_is_in_no_error(
    ask: Callable[..., Any], cloud: Emulator, server: PostgresServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    install_extensions()
    url = server.database().replace(":any@", ":pass-word@").replace("warehouse_", "nowhere_")
    credentials = DuckLakeCredentials(catalog=url, storage=str(tmp_path / "lake"))
    pipeline = dlt.pipeline("nowhere", destination=dlt.destinations.ducklake(credentials))
    with pytest.raises(Exception, match="nowhere_") as failure:
        ask(pipeline, api_key=cloud.api_key, base_url=cloud.base_url)
    error: BaseException | None = failure.value
    while error is not None:
        assert "pass-word" not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert "pass-word" not in caplog.text
