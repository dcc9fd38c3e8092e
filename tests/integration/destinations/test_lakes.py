"""Lakes: formats that do not mix, and files that are only added to."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from deltalake import DeltaTable, write_deltalake

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, llama_extract, open_lake, sync
from support.destinations import DESTINATIONS, Services
from support.doors import Executioner, is_kill
from support.lakes import delta_in_a_folder
from support.truth import assert_true, deleted
from support.warehouse import DATA


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


@pytest.mark.parametrize("kind", ["Delta, local", "Parquet files, local"])
def test_pipelines_of_other_names_find_what_is_there(
    cloud: Emulator, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    house = DESTINATIONS[kind](Services(tmp_path, request.getfixturevalue))(cloud)
    assert house.load(lookup_files=False)["runs"]["new"] == 6
    destination = house.pipeline.destination
    pipelines = [dlt.pipeline(name, destination=destination, dataset_name="llama_extract") for name in ("two", "three")]
    house.pipeline = pipelines[0]
    assert house.load(lookup_files=False)["runs"]["unchanged"] == 6
    agent = cloud.agents()[0]["id"]
    for turn in range(2):
        for house.pipeline in pipelines:
            house.load(lookup_files=False)
            assert_true(house)
            cloud.add_run(agent, data={"total": turn, f"{house.pipeline.pipeline_name}_{turn}": [{"text": "new"}]})


@pytest.mark.parametrize("kind", ["DuckDB", "Delta, local", "Parquet files, local"])
def test_refresh_by_a_pipeline_that_never_loaded_the_dataset_loads_it_anew(
    cloud: Emulator, tmp_path: Path, request: pytest.FixtureRequest, kind: str
) -> None:
    house = DESTINATIONS[kind](Services(tmp_path, request.getfixturevalue))(cloud)
    house.load(lookup_files=False)
    gone = cloud.runs()[2]["id"]
    cloud.delete_run(gone)
    first, destination = house.pipeline, house.pipeline.destination
    other = dlt.pipeline("other", destination=destination, dataset_name="llama_extract")
    table_format = {"table_format": "delta"} if kind.startswith("Delta") else {}
    assert load(other, cloud, refresh=True, lookup_files=False, **table_format) == 5
    for house.pipeline in (other, first, other):
        house.forget()
        assert_true(house)
        assert deleted(house) == set()  # it was dropped with its table
        house.load(lookup_files=False, full_scan=True)


@pytest.mark.parametrize("kind", ["Delta, local", "Parquet files, local"])
@pytest.mark.parametrize("lost", ["extraction_runs", "_dlt_loads", "_dlt_pipeline_state", "_dlt_version"])
@pytest.mark.parametrize(("folder", "refresh"), [("kept", False), ("lost", True)])
def test_a_table_that_was_dropped_comes_back_with_the_next_load(
    cloud: Emulator, tmp_path: Path, request: pytest.FixtureRequest, kind: str, lost: str, refresh: bool, folder: str
) -> None:
    house = DESTINATIONS[kind](Services(tmp_path, request.getfixturevalue))(cloud)
    house.load(lookup_files=False)
    shutil.rmtree(tmp_path / "lake/llama_extract" / lost)
    if folder == "lost":
        house.pipeline.drop()
    table_format = {"table_format": "delta"} if kind.startswith("Delta") else {}
    load(house.pipeline, cloud, refresh=refresh, lookup_files=False, **table_format)
    house.forget()
    assert_true(house)
    cloud.add_run(cloud.agents()[0]["id"])
    house.load(lookup_files=False)
    assert_true(house)


def test_a_full_scan_takes_away_what_is_twice_in_delta_tables(cloud: Emulator, tmp_path: Path) -> None:
    house = delta_in_a_folder(cloud, tmp_path / "lake")
    house.load(lookup_files=False)
    for name in ("extraction_runs", DATA):
        table = DeltaTable(tmp_path / "lake/llama_extract" / name)
        write_deltalake(table, table.to_pyarrow_table(), mode="append")
    assert house.load(lookup_files=False, full_scan=True)["runs"]["updated"] == 6
    assert_true(house)


@pytest.mark.parametrize("moment", [1, 20, 40, 60])
def test_a_first_load_of_delta_tables_that_is_killed_is_made_good_by_the_next(
    cloud: Emulator, tmp_path: Path, moment: int
) -> None:
    house = delta_in_a_folder(cloud, tmp_path / "lake")
    given, house.pipeline.collector = house.pipeline.collector, Executioner(moment, "Load")
    try:
        house.load(lookup_files=False)
    except BaseException as error:
        if not is_kill(error):
            raise
    house.pipeline.collector = given
    house.load(lookup_files=False)
    assert_true(house)


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


# ── Delta tables ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("every", [None, 2])
def test_whoever_opens_a_delta_table_reads_few_commits(cloud: Emulator, tmp_path: Path, every: int | None) -> None:
    given = {"deltalake_configuration": {"delta.checkpointInterval": str(every)}} if every else {}
    for new in (6, 1)[:every]:
        assert load(lake(tmp_path, **given), cloud, table_format="delta") == new
        cloud.add_run(cloud.agents()[0]["id"])
    tables = [DeltaTable(log.parent) for log in (tmp_path / "lake/llama_extract").glob("*/_delta_log")]
    assert len(tables) > 8
    assert {table.metadata().configuration["delta.checkpointInterval"] for table in tables} == {str(every or 10)}
    summed_up = tmp_path / "lake/llama_extract/extraction_runs/_delta_log/_last_checkpoint"
    assert summed_up.exists() == (every == 2)


# ── Iceberg, by whatever way it is asked for ─────────────────────────────────────────────────────────────────────


def refused(cloud: Emulator, tmp_path: Path, load_it: Callable[[], object]) -> str:
    """What is said to it; nothing is sent, and nothing is loaded."""
    with pytest.raises(Exception, match="table_format") as failure:
        load_it()
    assert cloud.requests == []
    assert not (tmp_path / "lake" / "llama_extract" / "extraction_runs").exists()
    said = cause(failure)
    assert "delta" in said
    assert "\n" not in said
    return said


def source_of(cloud: Emulator, **arguments: Any) -> Any:
    return llama_extract(api_key=cloud.api_key, base_url=cloud.base_url, **arguments)


def test_iceberg_is_refused_as_a_setting(cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = refused(cloud, tmp_path, lambda: load(lake(tmp_path), cloud, table_format="iceberg"))
    assert said.startswith("table_format must be 'delta', or left out")
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__TABLE_FORMAT", "iceberg")
    assert refused(cloud, tmp_path, lambda: load(lake(tmp_path), cloud)).startswith("table_format must be 'delta'")


@pytest.mark.parametrize("table_format", ["iceberg", "delta", "hive", "native"])
@pytest.mark.parametrize("name", ["extraction_runs", "extraction_agents"])
def test_a_format_by_dlts_means_is_refused(cloud: Emulator, tmp_path: Path, table_format: Any, name: str) -> None:
    one = source_of(cloud).with_resources(name)
    said = refused(cloud, tmp_path, lambda: lake(tmp_path).run(one, table_format=table_format))
    assert said.startswith(f"leave table_format out on {name}: it is the source's, llama_extract(table_format='delta')")
    hinted = source_of(cloud)
    hinted.resources[name].apply_hints(table_format=table_format)
    assert refused(cloud, tmp_path, lambda: lake(tmp_path).run(hinted)) == said
    assert refused(cloud, tmp_path, lambda: sync(lake(tmp_path), hinted)) == said


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_format_that_a_destination_prefers_is_refused(cloud: Emulator, tmp_path: Path, table_format: Any) -> None:
    pipeline = lake(tmp_path, preferred_table_format=table_format)
    for door in (lambda: load(pipeline, cloud), lambda: pipeline.run(source_of(cloud))):
        said = refused(cloud, tmp_path, door)
        assert said.startswith("preferred_table_format of the destination filesystem is ")


@pytest.mark.parametrize("table_format", ["iceberg", "delta"])
def test_a_format_in_a_schema_that_is_imported_is_refused(cloud: Emulator, tmp_path: Path, table_format: str) -> None:
    def pipeline(**paths: str) -> dlt.Pipeline:
        destination = dlt.destinations.filesystem(str(tmp_path / next(iter(paths))))
        return dlt.pipeline(next(iter(paths)), destination=destination, dataset_name="llama_extract", **paths)

    assert load(pipeline(export_schema_path=str(tmp_path)), cloud) == 6
    cloud.reset_requests()
    file = tmp_path / "llama_extract.schema.yaml"
    text = file.read_text().replace(
        "  extraction_runs:\n", f"  extraction_runs:\n    table_format: {table_format}\n", 1
    )
    file.write_text(text)
    said = refused(cloud, tmp_path, lambda: load(pipeline(import_schema_path=str(tmp_path)), cloud))
    assert said.startswith(f"the schema llama_extract has table_format {table_format!r} for extraction_runs")


# ── files ─────────────────────────────────────────────────────────────────────────────────────────────────────────


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
