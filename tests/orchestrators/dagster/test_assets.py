"""A load by Dagster: all tables are there, each says what it has, and only what has changed starts anything."""

from collections import Counter
from datetime import timedelta

import dagster as dg
import duckdb
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError
from llama_extract_dlt.dagster import LLAMA_CLOUD, LlamaExtractResource, llama_extract_assets
from support.dagster import AT_ONCE, KEY, Project, add_receipts
from support.postgres import PostgresWarehouse
from support.truth import assert_whole
from support.warehouse import DATA, METADATA, Warehouse

RUNS = "extraction_runs"
NOT_OF_RUNS = {"extraction_agents", "extraction_schemas", "extraction_runs__rejected"}
CITATION, BOXES = f"{METADATA}__citation", f"{METADATA}__citation__bounding_boxes"


def contract(house: Warehouse) -> set[str]:
    """The tables that are there whatever the agents extract."""
    return {table for table in house.tables() if not table.startswith(f"{DATA}__")}


def assert_told(project: Project, house: Warehouse) -> None:
    """A first load materializes every table, and says of each what is in the warehouse."""
    result = project.load()
    assert result.success
    assert_whole(house)
    assert set(result.materialized) == contract(house)
    for table in result.materialized:
        told = result.metadata(table)
        own = [name for name in house.tables() if name == table or (table == DATA and name.startswith(f"{DATA}__"))]
        assert told["rows_loaded"] == sum(len(house.rows(name)) for name in own)
        assert told["dagster/table_name"] == f"llama_extract.{table}"
        columns = {column.name: column for column in told["dagster/column_schema"].columns}
        assert all(columns.keys() >= row.keys() for row in house.rows(table)[:1])
    columns = {column.name: column.description for column in result.metadata(DATA)["dagster/column_schema"].columns}
    (invoices,) = [agent for agent in house.cloud.agents() if agent["name"] == "Invoices"]
    assert columns["due_date"] == invoices["data_schema"]["properties"]["due_date"]["description"]
    told = result.metadata(RUNS)
    assert (told["runs_new"], told["runs_updated"], told["runs_deleted"]) == (len(house.cloud.runs()), 0, 0)
    assert told["requests"] == len(house.cloud.requests)
    agents = {record.data["id"]: record.data["new"] for record in told["agents"].records}
    new = Counter(run["extraction_agent_id"] for run in house.cloud.runs())
    assert agents == {agent_id: new[agent_id] for agent_id in agents}
    assert set(new) <= set(agents)


@pytest.mark.parametrize("cloud", ["mixed"], indirect=True)
def test_a_load_into_duckdb_fills_all_tables_and_tells_of_them(cloud: Emulator, project: Project) -> None:
    assert_told(project, project.warehouse(cloud))


def test_a_load_into_postgres_that_the_environment_names(project: Project, postgres: PostgresWarehouse) -> None:
    assert_told(project, postgres)


def test_with_nothing_new_nothing_downstream_of_the_other_tables_starts(cloud: Emulator, project: Project) -> None:
    def downstream(table: str) -> dg.AssetsDefinition:
        @dg.asset(name=f"of{table[len(RUNS) :]}", deps=[["llama_extract", table]])
        def made() -> None: ...

        return made

    project.others = [downstream(RUNS), downstream(DATA)]
    first = project.load()
    assert {"of", "of__data"} < set(first.materialized)
    again = project.load()
    assert again.materialized == [RUNS, "of"]
    assert again.data_version(RUNS) == first.data_version(RUNS)  # else Dagster has the other tables as out of date
    cloud.add_run(status="PENDING")
    changed = project.load()
    expected = {"of", "of__data", *contract(project.warehouse(cloud))}
    assert set(changed.materialized) - {"extraction_schemas"} == expected - NOT_OF_RUNS
    assert changed.data_version(RUNS) != first.data_version(RUNS)


def test_a_run_that_lost_rows_counts_as_a_change_of_the_tables_it_lost_them_in(
    cloud: Emulator, project: Project
) -> None:
    project.load()
    run = next(run for run in cloud.runs() if (run["extraction_metadata"] or {}).get("field_metadata"))
    cloud.edit_run(run["id"], extraction_metadata=None)
    changed = project.load()
    assert changed.metadata(RUNS)["runs_updated"] == 1
    assert {METADATA, CITATION, BOXES} < set(changed.materialized)
    assert changed.metadata(CITATION)["rows_loaded"] == 0
    assert_whole(project.warehouse(cloud))


def test_what_a_failed_load_has_committed_is_told_by_the_next(cloud: Emulator, project: Project) -> None:
    first, last = cloud.agents()[0]["id"], add_receipts(cloud)
    project.load()
    added = cloud.add_run(first)
    cloud.fail(times=None, path="/runs", query={"extraction_agent_id": last}, status=429)
    failed = project.load(settings={"chunk_size": 1, "max_tries": 1})
    assert not failed.success
    assert added["id"] in {row["id"] for row in project.warehouse(cloud).rows(RUNS)}
    cloud.heal()
    after = project.load()
    assert after.metadata(RUNS)["runs_new"] == 0
    assert set(after.materialized) == contract(project.warehouse(cloud))
    assert project.load().materialized == [RUNS]


# ── checks ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_reject_fails_its_check_until_somebody_has_seen_to_it(cloud: Emulator, project: Project) -> None:
    assert project.load().failed == set()
    cloud.add_raw_item(cloud.agents()[0]["id"], b'"a run?"')
    for rejected in (1, 0):  # the next load finds nothing new
        result = project.load()
        assert result.success
        assert result.failed == {"no_rejects"}
        assert result.checks["no_rejects"].metadata["rejected_by_this_load"].value == rejected
    with duckdb.connect(str(project.folder / "llamacloud.duckdb")) as connection:
        connection.execute("delete from llama_extract.extraction_runs__rejected")
    assert project.load().failed == set()


def test_a_run_that_is_missing_fails_the_check_of_every_load_that_asks_for_it(
    cloud: Emulator, project: Project
) -> None:
    no_run = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
    for _ in range(2):
        result = project.load(settings={"run_ids": [no_run, cloud.runs()[0]["id"]]})
        assert result.success
        assert result.failed == {"nothing_missing"}
        assert result.checks["nothing_missing"].description == f"{no_run}: not found"
    assert len(project.warehouse(cloud).rows(RUNS)) == 1


def test_an_agent_that_cannot_be_read_fails_the_check_and_the_others_load(cloud: Emulator, project: Project) -> None:
    hidden = add_receipts(cloud)
    cloud.hide_agent(hidden)
    for _ in range(2):
        result = project.load()
        assert result.success
        assert result.failed == {"nothing_missing"}
        assert set(result.checks["nothing_missing"].metadata["unreadable"].value) == {hidden}
    assert len(project.warehouse(cloud).rows(RUNS)) == len(cloud.runs()) - len(cloud.runs(hidden))
    cloud.hide_agent(hidden, None)
    assert project.load().failed == set()
    assert_whole(project.warehouse(cloud))


def test_runs_that_are_old_and_not_final_are_warned_of(cloud: Emulator, project: Project) -> None:
    for run in cloud.runs():
        cloud.delete_run(run["id"])
    cloud.add_run(status="PENDING", created_at="2020-01-01T00:00:00Z", updated_at="2020-01-01T00:00:00Z")
    for days, passes in ((100_000, True), (1, False)):  # nothing new the second time
        span = timedelta(days=days)
        project.assets = llama_extract_assets(fresh_within=span, in_flight_within=span)
        result = project.load()
        for name in ("fresh", "in_flight"):
            assert result.checks[name].passed is passes
            assert result.checks[name].severity is dg.AssetCheckSeverity.WARN


# ── the resource ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_key_is_only_taken_from_a_variable(
    cloud: Emulator, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    for resource in ({"api_key": KEY}, {"settings": {"api_key": KEY}}):
        with pytest.raises(ConfigurationError) as refused:
            dg.Definitions(
                assets=[project.assets], resources={"llama_extract": LlamaExtractResource(**resource)}
            ).get_repository_def()
        assert KEY not in str(refused.value)
    monkeypatch.delenv("LLAMA_CLOUD_API_KEY")
    monkeypatch.setenv("ANOTHER_KEY", KEY)
    assert project.load(api_key=dg.EnvVar("ANOTHER_KEY"), settings={"agents": []}).success


def test_settings_of_one_load_come_from_its_config(cloud: Emulator, project: Project) -> None:
    project.load()
    result = project.load(config={"rewrite": True})
    assert result.metadata(RUNS)["runs_updated"] == len(cloud.runs())
    window = project.load(config={"since": "2100-01-01"})
    assert window.metadata(RUNS)["runs_updated"] == 0


def test_names_of_the_assets_can_be_chosen(cloud: Emulator) -> None:
    assets = llama_extract_assets(name="finance", key_prefix=["finance", "llama"], retry_policy=AT_ONCE)
    keys = {spec.key.path[-1]: spec for spec in assets.specs}
    assert all(spec.key.path[:-1] == ["finance", "llama"] for spec in assets.specs)
    assert [dep.asset_key for dep in keys[RUNS].deps] == [LLAMA_CLOUD.key]
    assert [dep.asset_key for dep in keys[CITATION].deps] == [keys[METADATA].key]
    assert {table for table, spec in keys.items() if not spec.skippable} == {RUNS}
