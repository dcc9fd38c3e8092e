"""Lakes: formats that do not mix, and files that are only added to."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, open_lake, sync


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=6, seed=3, corpus="invoices") as emulator:
        yield emulator


def lake(tmp_path: Path, **settings: Any) -> dlt.Pipeline:
    destination = dlt.destinations.filesystem(str(tmp_path / "lake"), **settings)
    return dlt.pipeline("lake", destination=destination, dataset_name="llama_extract")


def load(pipeline: dlt.Pipeline, cloud: Emulator, **arguments: Any) -> int:
    return sync(pipeline, api_key=cloud.api_key, base_url=cloud.base_url, **arguments).new


def cause(failure: pytest.ExceptionInfo[BaseException]) -> str:
    error: BaseException = failure.value
    while not isinstance(error, ConfigurationError) and error.__cause__ is not None:
        error = error.__cause__
    assert isinstance(error, ConfigurationError)
    return str(error)


@pytest.mark.parametrize(
    ("first", "then", "has"), [(None, "delta", "has Parquet files"), ("delta", None, "has Delta tables")]
)
def test_a_dataset_keeps_the_format_that_it_was_made_with(
    cloud: Emulator, tmp_path: Path, first: Any, then: Any, has: str
) -> None:
    assert load(lake(tmp_path), cloud, table_format=first) == 6
    with pytest.raises(Exception, match="has") as failure:
        load(lake(tmp_path), cloud, table_format=then)
    assert has in cause(failure)
    assert load(lake(tmp_path), cloud, table_format=first) == 0
    assert load(lake(tmp_path), cloud, table_format=then, refresh=True) == 6
    with open_lake(lake(tmp_path)) as connection:
        assert connection.sql("select count(*) from extraction_runs").fetchall() == [(6,)]


def test_a_layout_that_does_not_name_the_load_is_refused(cloud: Emulator, tmp_path: Path) -> None:
    with pytest.raises(Exception, match="layout") as failure:
        load(lake(tmp_path, layout="{table_name}/{file_id}.{ext}"), cloud)
    assert "lacks {load_id}" in cause(failure)
    assert cloud.requests == []


def test_a_format_is_for_files_only(cloud: Emulator, tmp_path: Path) -> None:
    database = dlt.destinations.duckdb(str(tmp_path / "warehouse.duckdb"))
    pipeline = dlt.pipeline("database", destination=database, dataset_name="llama_extract")
    with pytest.raises(Exception, match="table_format") as failure:
        load(pipeline, cloud, table_format="delta")
    assert cause(failure) == "table_format is for the destination filesystem: leave it out for duckdb"
    with pytest.raises(ConfigurationError, match="duckdb can be asked itself"):
        open_lake(pipeline)


def test_a_renamed_agent_and_a_flagged_run_keep_their_rows_in_files(cloud: Emulator, tmp_path: Path) -> None:
    agent, runs = cloud.agents()[0], [run["id"] for run in cloud.runs()]
    load(lake(tmp_path), cloud)
    with open_lake(lake(tmp_path)) as connection:
        before = connection.sql("select count(*) from extraction_runs__field_metadata").fetchall()
    cloud.rename_agent(agent["id"], "Bills")
    cloud.delete_run(runs[-1])
    load(lake(tmp_path), cloud, full_scan=True)
    load(lake(tmp_path), cloud)
    with open_lake(lake(tmp_path)) as connection:
        assert connection.sql("select count(*) from extraction_runs__field_metadata").fetchall() == before
        named = "select distinct agent_name, count(*) over () from extraction_runs"
        assert connection.sql(named).fetchall() == [("Bills", 6)]
        flagged = connection.sql("select id from extraction_runs where _deleted_at is not null").fetchall()
        assert flagged == [(runs[-1],)]
