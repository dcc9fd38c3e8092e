"""Rows that somebody deleted or doubled, dlt's own tables lost, a dataset that dlt would empty."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import DatasetBusyError, LlamaExtractError, plan_sync, settings, sync
from llama_extract_dlt.load.locks.dataset import alone
from support.agents import Agent, Json, fill
from support.command import Command
from support.doors import Quiet, account_of, pipeline_of, query, run, source_of
from support.truth import assert_true, deleted, honest
from support.warehouse import DATA, Warehouse

# ── rows that somebody deleted ──────────────────────────────────────────────────────────────────────────────────────

CHILDREN = ["config", "data", "data__items", "field_metadata", "field_metadata__citation"]


def test_a_full_scan_writes_again_what_was_deleted_by_hand(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, len(CHILDREN) + 2)
    house.load()
    for run_id, child in zip(ids, CHILDREN, strict=False):
        query(house, f"delete from extraction_runs__{child} where _run_id = '{run_id}'")
    query(house, f"delete from extraction_runs where id = '{ids[-2]}'")
    house.load(full_scan=True)
    assert_true(house)
    query(house, f"delete from {DATA}")
    run(house, full_scan=True)
    assert_true(house)
    assert house.load(full_scan=True)["runs"]["unchanged"] == len(ids)


@pytest.mark.parametrize("at_a_time", [1, 5, 10_000], ids=["one", "five", "all"])
def test_a_full_scan_that_counts_some_runs_at_a_time_finds_all_that_is_damaged(
    letters: Agent, house: Warehouse, at_a_time: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = sorted(fill(letters, 20))
    house.load()
    monkeypatch.setattr(settings, "COUNTED_RUNS", at_a_time)
    damaged = {ids[0], ids[6], ids[11], ids[-1]}
    for run_id in damaged:
        query(house, f"delete from {DATA} where _run_id = '{run_id}'")
    query(house, f"delete from extraction_runs where id in ('{ids[3]}', '{ids[-2]}')")
    for odd in ("~", "0", "G"):  # ids that nobody has, before, between and after those of UUIDs
        row = f"select * replace ('{odd}' as _run_id, '{odd}' as _dlt_id) from {DATA} limit 1"
        query(house, f"insert into {DATA} {row}")
    assert house.load(full_scan=True)["runs"]["updated"] == len(damaged)
    assert_true(house)


def test_a_full_scan_takes_away_what_was_doubled_by_hand(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    house.load()
    for child in CHILDREN:
        query(house, f"insert into extraction_runs__{child} select * from extraction_runs__{child}")
    query(house, "insert into extraction_runs select * from extraction_runs limit 1")
    run(house, full_scan=True)
    assert_true(house)


def test_a_run_that_is_twice_in_the_table_of_runs_alone_is_written_again(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    house.load()
    query(house, "insert into extraction_runs select * from extraction_runs")
    assert house.load(full_scan=True)["runs"]["updated"] == 3
    assert_true(house)


def test_a_row_that_is_lost_and_one_that_is_doubled_do_not_make_up_for_each_other(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 3)
    house.load()
    query(house, f"delete from extraction_runs__config where _run_id = '{ids[1]}'")
    query(house, f"insert into {DATA} select * from {DATA} where _run_id = '{ids[1]}'")
    assert house.load(full_scan=True)["runs"]["updated"] == 1
    assert_true(house)


def test_a_full_scan_of_tables_of_each_agent_writes_again_what_was_deleted(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    house.load(data_tables="per_agent")
    query(house, "delete from letters")
    honest(house, {letters.id: "letters"}, data_tables="per_agent")
    query(house, "delete from letters__items")
    honest(house, {letters.id: "letters"}, data_tables="per_agent")


# ── a wrong clock, a lost table of dlt's ────────────────────────────────────────────────────────────────────────────


def test_a_clock_that_was_ahead_once_puts_no_full_scan_off(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 12)
    house.load(page_size=5)
    with house.pipeline.managed_state() as state:
        agents = state["sources"]["llama_extract"]["resources"]["extraction_runs"]["agents"]
        ahead = agents[letters.id]["full_scan_at"]
        agents[letters.id]["full_scan_at"] = (
            ahead.replace(ahead[:4], "2999") if isinstance(ahead, str) else type(ahead)(32_500_000_000)
        )
    letters.edit(ids[0], touch=False)
    house.load(page_size=5)
    assert_true(house)


@pytest.mark.parametrize("lost", [True])
def test_without_dlts_table_of_versions_an_edit_doubles_nothing(letters: Agent, house: Warehouse, lost: bool) -> None:
    ids = fill(letters, 4)
    run(house)
    query(house, "drop table _dlt_version")
    if lost:
        pipeline_of(house).drop()
    letters.edit(ids[0])
    fill(letters, 1, data={"n": "a text where numbers were", "items": []})
    run(house)
    assert_true(house)
    letters.edit(ids[1])
    sync(pipeline_of(house), source_of(house))
    assert_true(house)


def test_without_dlts_tables_of_versions_and_states_nothing_is_doubled(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    sync(pipeline_of(house), source_of(house))
    query(house, "drop table _dlt_version")
    query(house, "drop table _dlt_pipeline_state")
    pipeline_of(house).drop()
    house.cloud.edit_run(ids[0], data={"n": 0, "items": [{"a": 0}, {"a": 5}]})
    sync(pipeline_of(house), source_of(house))
    assert_true(house)


# ── a dataset that dlt would empty ──────────────────────────────────────────────────────────────────────────────────


def test_the_command_refuses_the_staging_dataset_of_another(cloud: Emulator, letters: Agent, tmp_path: Path) -> None:
    fill(letters, 2)
    command = Command(cloud, tmp_path)
    assert command("-q") == (0, "", "")
    code, out, err = command("--dataset", "llama_extract_staging")
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "staging" in err
    assert_true(command.warehouse())


@pytest.mark.parametrize("door", ["load", "run"])
def test_a_pipeline_refuses_the_staging_dataset_of_another(letters: Agent, house: Warehouse, door: str) -> None:
    fill(letters, 2)
    house.load()
    house.cloud.reset_requests()
    destination = dlt.destinations.duckdb(str(house.path))
    staging = dlt.pipeline("another", destination=destination, dataset_name="llama_extract_staging")
    enter = staging.run if door == "run" else partial(sync, staging)
    with pytest.raises((PipelineStepFailed, LlamaExtractError), match="staging"):
        enter(source_of(house))
    assert house.cloud.requests == []
    assert house.sql("select count(*) from information_schema.tables where table_schema like '%staging_staging'") == [
        (0,)
    ]
    letters.edit(house.cloud.runs()[0]["id"])
    house.load()
    assert_true(house)


# ── what another pipeline found deleted ─────────────────────────────────────────────────────────────────────────────


def test_two_pipelines_that_knew_a_run_find_it_deleted_once(letters: Agent, house: Warehouse) -> None:
    flagged = "select * from extraction_runs where _deleted_at is not null"
    letters.add(status="PENDING")
    run(house)
    run(house, "another")
    letters.delete(0)
    run(house)
    before = query(house, flagged)
    letters.add()
    run(house, "another")
    assert_true(house)
    assert query(house, flagged) == before != []


@pytest.mark.parametrize("door", ["sync", "run"])
def test_a_file_that_is_gone_is_loaded_anew_by_the_same_pipeline(letters: Agent, house: Warehouse, door: str) -> None:
    fill(letters, 3)
    pipeline = pipeline_of(house)
    for _ in range(3):
        assert [plan.runs for plan in plan_sync(pipeline, **account_of(house)) if plan.agent == letters.name] == [3]
        source = source_of(house)
        sync(pipeline, source) if door == "sync" else pipeline.run(source)
        assert source.resources["extraction_runs"].custom_metrics["runs"]["new"] == 3
        house.forget()
        assert_true(house)
        assert letters.id in {row["id"] for row in house.rows("extraction_agents")}
        house.path.unlink()


@pytest.mark.parametrize("added", [0, 2])
def test_a_dataset_that_is_named_to_run_is_complete_with_the_next_load(
    letters: Agent, house: Warehouse, added: int
) -> None:
    fill(letters, 3)
    pipeline = pipeline_of(house)
    pipeline.run(source_of(house))
    fill(letters, added)
    for _ in range(2):
        pipeline.run(source_of(house), dataset_name="other")
    assert query(house, "select count(*), count(distinct id) from other.extraction_runs") == [(3 + added, 3 + added)]
    assert query(house, "select count(*) from other.extraction_runs__data") == [(3 + added,)]


@pytest.mark.parametrize(
    ("door", "deleted_runs", "place"),
    [("sync", "flag", 0), ("sync", "remove", 9), ("run", "flag", 9), ("run", "remove", 0)],
)
def test_a_run_that_another_pipeline_found_deleted_and_that_is_back_is_loaded_by_each(
    cloud: Emulator, letters: Agent, house: Warehouse, door: str, deleted_runs: str, place: int
) -> None:
    fill(letters, 12)

    def load(name: str) -> None:
        if door == "run":
            run(house, name, page_size=5)
        else:
            sync(pipeline_of(house, name), source_of(house, page_size=5))
            house.forget()

    load("ours")
    load("theirs")
    document = cloud.runs(letters.id)[place]
    letters.delete(place)
    run(house, "theirs", full_scan=True, deleted_runs=deleted_runs)
    assert_true(house)
    cloud.add_run(document.pop("extraction_agent_id"), **document)
    load("ours")
    assert_true(house)
    load("theirs")
    assert_true(house)


LOAD: dict[str, Callable[..., Json]] = {"sync": Warehouse.load, "run": run}
"""By the door."""

# ── tables and columns that somebody has changed ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("door", ["sync", "run"])
@pytest.mark.parametrize("table", ["extraction_runs", DATA, "extraction_agents", "_dlt_loads", "_dlt_pipeline_state"])
def test_a_table_that_was_dropped_comes_back_with_the_next_load(
    letters: Agent, house: Warehouse, table: str, door: str
) -> None:
    ids = fill(letters, 7)
    load = LOAD[door]
    load(house, page_size=5)
    query(house, f"drop table {table}")
    load(house, page_size=5)
    assert_true(house)
    letters.edit(ids[-1])
    load(house, page_size=5)
    assert_true(house)
    assert load(house, page_size=5)["runs"]["unchanged"] == 5


@pytest.mark.parametrize("table", ["_dlt_loads", "_dlt_pipeline_state", "_dlt_version"])
def test_refresh_loads_anew_where_a_table_of_dlt_is_lost(letters: Agent, house: Warehouse, table: str) -> None:
    fill(letters, 3)
    house.load()
    query(house, f"drop table {table}")
    sync(house.pipeline, source_of(house), refresh=True)
    house.forget()
    assert_true(house)


@pytest.mark.parametrize("names", [["first"], ["first", "second"]])
def test_a_column_that_was_dropped_after_dlts_table_of_versions_ends_no_load(
    letters: Agent, house: Warehouse, names: list[str]
) -> None:
    fill(letters, 2)
    for name in names:
        run(house, name)
    query(house, "drop table _dlt_version")
    fill(letters, 1)
    run(house, "first")
    query(house, "alter table extraction_runs drop column agent_name")
    for name in reversed(names):
        fill(letters, 1)
        assert run(house, name)["runs"]["new"] == 1
    run(house, "first", rewrite=True)
    assert_true(house)


@pytest.mark.parametrize("more", [[], ["_dlt_pipeline_state"]])
@pytest.mark.parametrize("folder", ["kept", "lost"])
def test_a_table_that_was_dropped_together_with_dlts_own_comes_back_with_the_next_load(
    letters: Agent, house: Warehouse, folder: str, more: list[str]
) -> None:
    fill(letters, 3)
    house.load()
    for table in ["extraction_runs__config", "_dlt_version", *more]:
        query(house, f"drop table {table}")
    if folder == "lost":
        house.pipeline.drop()
    house.load()
    assert_true(house)


def test_a_column_of_somebody_elses_gets_its_default(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 3)
    house.load()
    query(house, f"alter table {DATA} add column mine text default 'x'")
    query(house, f"alter table {DATA} alter mine set not null")
    letters.edit(ids[0])
    fill(letters, 2)
    house.load()
    run(house, "another", full_scan=True)
    assert set(query(house, f"select mine from {DATA}")) == {("x",)}
    query(house, f"alter table {DATA} drop column mine")
    assert_true(house)


@pytest.mark.parametrize("door", ["sync", "run"])
def test_a_number_is_not_rounded_where_somebody_made_its_column_one_for_integers(
    letters: Agent, house: Warehouse, door: str
) -> None:
    letters.add(data={"n": 1.5})
    house.load()
    query(house, f"update {DATA} set n = 2")
    query(house, f"alter table {DATA} alter n type bigint")
    letters.add(data={"n": 28320.08})
    letters.add(data={"n": 7})
    load = LOAD[door]
    load(house)
    load(house, rewrite=True)
    assert_true(house)


# ── what the service says ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("agent_id", ["00000000-0000-4000-8000-000000000000", None])
def test_a_run_that_says_another_agent_than_its_list_is_loaded_once(
    cloud: Emulator, letters: Agent, house: Warehouse, agent_id: str | None
) -> None:
    ids = fill(letters, 4)
    document = cloud.run(ids[1]) | {"extraction_agent_id": agent_id}
    cloud.set_raw(ids[1], json.dumps(document).encode())
    assert house.load()["runs"]["new"] == 4
    for _ in range(2):
        counts = house.load(full_scan=True)
        assert (counts["runs"]["new"], counts["runs"]["updated"], counts["tables"]) == (0, 0, {})
        assert counts["unreadable"] == {}
    cloud.delete_run(ids[2] if agent_id is None else ids[1])
    assert house.load(full_scan=True)["runs"]["deleted"] == 1
    assert deleted(house) == {ids[2] if agent_id is None else ids[1]}


@pytest.mark.parametrize("name", ["Letters", "Another name"])
def test_an_agent_that_is_listed_twice_is_read_once(
    cloud: Emulator, letters: Agent, house: Warehouse, name: str
) -> None:
    fill(letters, 3)

    def twice(path: str, query: object, document: Any) -> Any:
        listed = path == "/api/v1/extraction/extraction-agents"
        return [*document, *(agent | {"name": name} for agent in document)] if listed else None

    cloud.on_answer = twice
    assert house.load()["runs"]["new"] == 3
    letters.delete(0)
    runs = house.load(full_scan=True)["runs"]
    assert (runs["deleted"], runs["unchanged"]) == (1, 2)
    assert_true(house)


@pytest.mark.parametrize("by", ["run_ids", "job_ids"])
def test_an_answer_by_id_that_is_older_than_the_warehouse_is_not_taken(
    cloud: Emulator, letters: Agent, house: Warehouse, by: str
) -> None:
    job = "11111111-2222-4333-8444-555555555555"
    [run_id] = letters.add(status="PENDING", job_id=job)
    old = cloud.run(run_id)
    letters.finish(run_id)
    house.load()

    def lags(path: str, query: object, document: Any) -> Any:
        return old if path.startswith("/api/v1/extraction/runs/") else None

    cloud.on_answer = lags
    wanted = {"run_ids": [run_id], "job_ids": [job]}[by]
    assert house.load(**{by: wanted})["runs"]["unchanged"] == 1
    assert_true(house)
    cloud.on_answer = None
    letters.edit(run_id)
    assert house.load(**{by: wanted})["runs"]["updated"] == 1
    assert_true(house)


def test_a_plain_run_without_a_trace_lets_others_in_when_it_has_loaded(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ENABLE_RUNTIME_TRACE", "false")
    refused = []

    def knock() -> None:
        with pytest.raises(DatasetBusyError), alone(second, 0.0):
            pass

    class Neighbour(Quiet):
        """Tries to load between what is extracted and what is loaded, from a thread of its own as dlt wants it."""

        def _start(self, step: str) -> None:
            if step.startswith("Normalize"):
                with ThreadPoolExecutor(1) as thread:
                    thread.submit(knock).result()
                refused.append(step)

    second = pipeline_of(house, "second")
    first = pipeline_of(house, "first", Neighbour())
    for _ in range(2):
        fill(letters, 1)
        first.run(source_of(house))
        house.forget()
        assert_true(house)  # with the file opened by itself
        fill(letters, 1)
        sync(second, source_of(house))
        house.forget()
        assert_true(house)
    assert len(refused) == 2
