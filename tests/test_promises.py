"""What the source promises, broken on purpose: by the service, by kills, by odd data, through every door.

Each test is one scenario of the issue "Promises kept": HTTP in, SQL out.
"""

import json
import logging
import signal
import subprocess
import sys
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.runtime.collector_base import Collector
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, LlamaExtractError, llama_extract, settings, sync
from postgres import PostgresWarehouse, postgres_server
from test_command import Command
from test_sync import RUNS, START, Agent, deleted, stamp
from warehouse import DATA, Warehouse, between_packages, differences, expected_run, loaded_runs, reassembled_data

FILES = "/api/v1/beta/files"
Json = Any
Lie = Callable[[Json, int], Json]
CONFIG = {"extraction_mode": "BALANCED", "extract_model": "m"}


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with nothing but the default agent."""
    with Emulator(runs=0, corpus="invoices") as emulator:
        emulator.delete_agent(emulator.agents()[0]["id"])
        yield emulator


@pytest.fixture
def letters(cloud: Emulator) -> Agent:
    return Agent(cloud)


@pytest.fixture
def house(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    return warehouse(cloud)


def fill(agent: Agent, count: int, **fields: Any) -> list[str]:
    """New runs that have rows in every kind of child table; their ids."""
    ids = []
    for _ in range(count):
        number = agent.hours
        metadata = {"field_metadata": {"n": {"confidence": 0.5, "citation": [{"page": 1, "matching_text": "t"}]}}}
        own = {
            "data": {"n": number, "items": [{"a": number}, {"a": 1}]},
            "config": CONFIG,
            "extraction_metadata": metadata,
        }
        ids += agent.add(1, **(own | fields))
    return ids


# ── doors ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Killed(BaseException):
    """Stands for a process that is no more."""


class Executioner(Collector):
    """Ends the pipeline in the load step, at one of the moments at which dlt reports progress there."""

    def __init__(self, moment: int) -> None:
        super().__init__()
        self.left = moment
        self.loading = False

    def update(self, *_: Any, **__: Any) -> None:
        if self.loading:
            self.left -= 1
            if self.left == 0:
                raise Killed

    def _start(self, step: str) -> None:
        self.loading = step.startswith("Load")
        self.update()

    def _stop(self) -> None:
        self.loading = False


def source_of(house: Warehouse, **arguments: Any) -> Any:
    return llama_extract(**({"api_key": house.cloud.api_key, "base_url": house.cloud.base_url} | arguments))


def pipeline_of(house: Warehouse, name: str = "llama_extract", progress: Collector | None = None) -> dlt.Pipeline:
    """A pipeline into the warehouse, as the README makes it."""
    given: dict[str, Any] = {"progress": progress} if progress else {}
    destination = dlt.destinations.duckdb(str(house.path))
    return dlt.pipeline(name, destination=destination, dataset_name="llama_extract", **given)


def run(house: Warehouse, name: str = "llama_extract", progress: Collector | None = None, **arguments: Any) -> Json:
    """A plain `pipeline.run`; the source's counts."""
    house.forget()
    source = source_of(house, **arguments)
    pipeline_of(house, name, progress).run(source)
    return source.resources["extraction_runs"].custom_metrics


def is_kill(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, Killed):
            return True
        error = error.__cause__ or error.__context__
    return False


def killed_run(house: Warehouse, moment: int, name: str = "llama_extract", **arguments: Any) -> bool:
    """A plain `pipeline.run` that is killed in its load step, and loses its working folder; whether it was killed."""
    killed = False
    try:
        run(house, name, Executioner(moment), **arguments)
    except BaseException as error:
        if not is_kill(error):
            raise
        killed = True
    pipeline_of(house, name).drop()
    return killed


# ── the truth ─────────────────────────────────────────────────────────────────────────────────────────────────────


def assert_nothing_doubled(house: Warehouse) -> None:
    """No row is there twice, and no child without its run."""
    house.forget()
    ids = [row["id"] for row in house.rows("extraction_runs")]
    assert [key for key, count in Counter(ids).items() if count > 1] == []
    for table, key in (("extraction_agents", "id"), ("extraction_schemas", "hash")):
        keys = [row[key] for row in house.rows(table)]
        assert len(set(keys)) == len(keys), f"{table} has rows twice"
    for table in house.tables():
        rows = house.rows(table)
        keys = [row["_dlt_id"] for row in rows if "_dlt_id" in row]
        assert len(set(keys)) == len(keys), f"{table} has rows twice"
        assert {row["_run_id"] for row in rows if "_run_id" in row} <= set(ids), f"{table} has rows without a run"


def assert_nothing_flagged(house: Warehouse) -> None:
    """Nothing that lives is flagged as deleted, or gone from the warehouse though it was loaded."""
    house.forget()
    assert deleted(house) & {one["id"] for one in house.cloud.runs()} == set()


def assert_true(house: Warehouse, roots: dict[str, str] | None = None) -> None:
    """All that the service has is in the warehouse by every value, once; what it has no more is flagged.

    `roots` has the data table of each agent, with `data_tables = "per_agent"`.
    """
    assert_nothing_doubled(house)
    assert_nothing_flagged(house)
    truth = {one["id"]: one for one in house.cloud.runs()}
    loaded = loaded_runs(house)
    assert truth.keys() - loaded.keys() == set(), "runs are missing"
    assert loaded.keys() - truth.keys() == deleted(house)
    if roots:
        assert house.rows(DATA) == []
        for agent_id, root in roots.items():
            for run_id, data in reassembled_data(house, root).items():
                assert truth[run_id]["extraction_agent_id"] == agent_id, f"{run_id} is in {root}"
                loaded[run_id]["data"] = data
    wrong = [line for key, one in truth.items() for line in differences(expected_run(one), loaded[key], key)]
    assert wrong == []


def lie_about(
    lies: dict[Agent, Lie], *, times: int | None = None, of: Callable[[int], bool] = lambda skip: True
) -> None:
    """Lets agents' lists lie, in so many answers each, or for ever: a lie has the answer and the offset asked for."""
    by_id = {agent.id: lie for agent, lie in lies.items()}
    told = Counter[str]()

    def on_answer(path: str, query: dict[str, list[str]], document: Json) -> Json:
        if path != RUNS or (agent := query["extraction_agent_id"][0]) not in by_id or not of(int(query["skip"][0])):
            return None
        told[agent] += 1
        return None if times is not None and told[agent] > times else by_id[agent](document, int(query["skip"][0]))

    next(iter(lies)).cloud.on_answer = on_answer


def honest(house: Warehouse, roots: dict[str, str] | None = None, **arguments: Any) -> None:
    """The service is honest again; one full scan, and all is true."""
    house.cloud.on_answer = None
    house.cloud.heal()
    counts = house.load(full_scan=True, **arguments)
    assert counts["unreadable"] == {}
    assert_true(house, roots)


# ── 5: rows that were doubled ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("moment", [5, 12])
def test_a_plain_run_that_is_killed_in_its_first_load_doubles_nothing(
    letters: Agent, house: Warehouse, moment: int
) -> None:
    fill(letters, 4)
    killed_run(house, moment)
    run(house)
    assert_true(house)
    run(house, full_scan=True)
    assert_true(house)


def test_a_plain_run_that_is_killed_again_and_again_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    assert killed_run(house, 3)
    assert killed_run(house, 6, data_tables="per_agent")
    killed_run(house, 11)
    run(house)
    assert_true(house)


def test_a_second_pipeline_name_on_the_same_dataset_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    run(house)
    run(house, "another")
    assert_true(house)
    fill(letters, 2)
    run(house, "a_third")
    run(house)
    run(house, "another")
    assert_true(house)


def test_a_second_pipeline_by_load_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    run(house)
    sync(pipeline_of(house, "another"), source_of(house))
    assert_true(house)
    sync(pipeline_of(house, "a_third"), source_of(house, chunk_size=2))
    assert_true(house)


@pytest.mark.parametrize("database", ["none yet", "empty"])
def test_another_load_between_the_steps_of_a_plain_run_doubles_nothing(
    letters: Agent, house: Warehouse, database: str
) -> None:
    fill(letters, 4)
    if database == "empty":
        duckdb.connect(str(house.path)).close()
    slow = pipeline_of(house, "slow")
    slow.extract(source_of(house))
    slow.normalize()
    run(house, "quick")
    slow.activate()
    slow.load()
    house.forget()
    assert_true(house)


def test_pipelines_of_two_names_share_the_tables_of_each_agent(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    """Agents get other names in between, so that each pipeline by itself would name other tables."""
    forms = Agent(cloud, "Forms")
    ids = fill(letters, 3) + fill(forms, 3)
    given: dict[str, Any] = {"data_tables": "per_agent"}
    sync(pipeline_of(house), source_of(house, **given))
    cloud.rename_agent(letters.id, "Bills")
    cloud.rename_agent(forms.id, "Letters")
    roots = {letters.id: "letters", forms.id: "forms"}
    for name in ("another", "llama_extract", "another"):
        letters.edit(ids[0])
        forms.edit(ids[3])
        fill(letters, 1)
        sync(pipeline_of(house, name), source_of(house, full_scan=True, **given))
        assert_true(house, roots)


def test_of_pipelines_of_two_names_one_clears_what_the_other_wrote(letters: Agent, house: Warehouse) -> None:
    forms = Agent(house.cloud, "Forms")
    fill(letters, 2)
    plain = forms.add(2)
    sync(pipeline_of(house, "another"), source_of(house))  # which knows of no list in the data of forms
    house.cloud.edit_run(plain[0], data={"n": 1, "items": [{"a": 1}]})
    sync(pipeline_of(house), source_of(house, full_scan=True))
    assert_true(house)
    forms.edit(plain[0])
    sync(pipeline_of(house, "another"), source_of(house))
    assert_true(house)


def test_agents_are_right_whichever_pipeline_loaded_them_last(letters: Agent, house: Warehouse) -> None:
    sync(pipeline_of(house), source_of(house))
    for name, called in (("another", "Bills"), ("llama_extract", "Letters")):
        house.cloud.rename_agent(letters.id, called)
        sync(pipeline_of(house, name), source_of(house))
        house.forget()
        assert {row["name"] for row in house.rows("extraction_agents") if row["id"] == letters.id} == {called}


def test_a_schema_that_a_cut_off_load_left_out_comes_with_the_next(letters: Agent, house: Warehouse) -> None:
    house.load()
    before = sorted(row["hash"] for row in house.rows("extraction_schemas"))
    query(house, "delete from extraction_schemas")
    house.load()
    assert sorted(row["hash"] for row in house.rows("extraction_schemas")) == before != []


@pytest.mark.parametrize("door", ["load", "run"])
def test_one_pipeline_loads_two_datasets_in_turn(letters: Agent, house: Warehouse, door: str) -> None:
    fill(letters, 4)
    for _ in range(3):
        for dataset in ("one", "two"):
            destination = dlt.destinations.duckdb(str(house.path))
            pipeline = dlt.pipeline("in_turn", destination=destination, dataset_name=dataset)
            if door == "load":
                sync(pipeline, source_of(house))
            else:
                pipeline.run(source_of(house))
            with duckdb.connect(str(house.path)) as connection:
                counted = connection.execute(f"select count(*), count(distinct id) from {dataset}.extraction_runs")
                assert counted.fetchall() == [(len(house.cloud.runs()),) * 2]
        fill(letters, 1)


@pytest.mark.parametrize("door", ["load", "run"])
@pytest.mark.parametrize("put_back", [True, False])
def test_an_older_copy_of_the_database_or_none_is_brought_up_to_date(
    letters: Agent, house: Warehouse, door: str, put_back: bool
) -> None:
    ids = fill(letters, 3)
    run(house)
    copy = house.path.read_bytes()
    letters.edit(ids[0])
    fill(Agent(house.cloud, "Forms"), 2)
    fill(letters, 1)
    run(house)
    house.forget()
    house.path.unlink()
    if put_back:
        house.path.write_bytes(copy)
    if door == "load":
        sync(pipeline_of(house), source_of(house))
    else:
        run(house)
    assert_true(house)
    assert {row["name"] for row in house.rows("extraction_agents")} == {"Letters", "Forms", "Default"}


TOGETHER = """
import sys, dlt
from llama_extract_dlt import llama_extract
url, key, base, name = sys.argv[1:]
pipeline = dlt.pipeline(name, destination=dlt.destinations.postgres(url), dataset_name="llama_extract")
pipeline.run(llama_extract(api_key=key, base_url=base))
"""


def test_two_plain_runs_at_once_into_postgresql_are_made_good_by_a_full_scan(
    cloud: Emulator, letters: Agent, tmp_path: Path
) -> None:
    fill(letters, 4)
    with postgres_server() as server:
        url = server.database()
        command = [sys.executable, "-c", TOGETHER, url, cloud.api_key, cloud.base_url]
        both = [subprocess.Popen([*command, name], stderr=subprocess.DEVNULL) for name in ("one", "two")]
        for process in both:
            process.wait(timeout=60)
        house = PostgresWarehouse(cloud, url)
        house.load(full_scan=True)
        assert_true(house)
        house.close()


# ── 5: what a kill leaves between two tables ──────────────────────────────────────────────────────────────────────


CHILDREN_ONLY = """
import os, signal, sys, threading, dlt
from pathlib import Path
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from llama_extract_dlt import llama_extract, sync

execute = DuckDbSqlClient.execute_query

def execute_query(self, query, *args, **kwargs):
    if str(query).startswith("DELETE FROM") and '"extraction_runs" ' in str(query).split("WHERE")[0] + " ":
        if "_staging" not in str(query).split("WHERE")[0]:
            while any(others()):
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, query, *args, **kwargs)

def others():
    # The jobs of other tables that are still to be done.
    for jobs in Path(pipeline.working_dir).glob("load/normalized/*/*_jobs"):
        if jobs.name in ("new_jobs", "started_jobs"):
            yield from (job for job in jobs.iterdir() if not job.name.startswith("extraction_runs."))

DuckDbSqlClient.execute_query = execute_query
door, name, path, key, base, data_tables = sys.argv[1:]
pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb(path), dataset_name="llama_extract")
if door == "pending":
    pipeline.load()
else:
    sync(pipeline, llama_extract(api_key=key, base_url=base, data_tables=data_tables))
"""


def killed_before_the_runs(house: Warehouse, door: str, name: str = "llama_extract", tables: str = "shared") -> None:
    """A process that loads all child tables, and is killed at the moment at which it would replace the runs."""
    house.forget()
    cloud, command = house.cloud, [sys.executable, "-c", CHILDREN_ONLY, door, name, str(house.path)]
    command += [cloud.api_key, cloud.base_url, tables]
    process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert process.returncode == -signal.SIGKILL, process.stderr
    pipeline_of(house, name).drop()


def test_a_switch_of_tables_that_wrote_child_rows_only_and_is_taken_back_loses_nothing(
    letters: Agent, house: Warehouse
) -> None:
    fill(letters, 4)
    house.load()
    killed_before_the_runs(house, "load", tables="per_agent")
    assert len(house.rows("letters")) == 4
    house.load(full_scan=True)
    assert_true(house)
    assert house.rows("letters") == []


def test_an_edit_of_which_child_rows_came_only_and_that_is_taken_back_leaves_nothing(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    before = next(one for one in house.cloud.runs() if one["id"] == ids[1])
    house.load()
    house.cloud.edit_run(ids[1], True, data={"n": -1, "items": [{"a": -1}, {"a": -2}]})
    killed_before_the_runs(house, "load")
    house.cloud.edit_run(ids[1], False, data=before["data"], updated_at=before["updated_at"])
    house.load(full_scan=True)
    assert_true(house)


def test_an_old_package_of_which_child_rows_came_only_is_made_good(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    run(house, "slow")
    letters.edit(ids[1])
    slow = pipeline_of(house, "slow")
    slow.extract(source_of(house))
    slow.normalize()
    letters.edit(ids[1])
    sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
    assert_true(house)
    killed_before_the_runs(house, "pending", "slow")
    for name in ("slow", "quick"):
        sync(pipeline_of(house, name), source_of(house, full_scan=True))
        assert_true(house)


def test_a_package_that_is_taken_up_again_after_other_loads_takes_no_column_away(
    letters: Agent, house: Warehouse
) -> None:
    """dlt then merges what the other load has left in its staging tables, with the columns of the old package."""
    ids = fill(letters, 2)
    run(house)
    killed = 0
    for moment in range(1, 60, 2):
        letters.edit(ids[0])
        house.forget()
        slow = pipeline_of(house, "slow", Executioner(moment))
        try:
            slow.run(source_of(house, full_scan=True))
            break
        except BaseException as error:
            if not is_kill(error):
                raise
            killed += 1
        new_column = {f"field_{moment}": "kept"}
        house.cloud.edit_run(ids[1], True, data={"n": moment, f"n{moment}": moment}, **new_column)
        sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
        pipeline_of(house, "slow").run()
        sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
        assert_true(house)
    assert killed > 5


# ── 6: a source that is tried ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [1])
def test_what_a_limit_cut_off_comes_with_the_next_run(letters: Agent, house: Warehouse, limit: int) -> None:
    fill(letters, 12)
    pipeline_of(house).run(source_of(house, page_size=5).add_limit(limit))
    run(house, page_size=5)
    assert_true(house)


def test_a_limit_leaves_no_run_that_a_full_scan_calls_unchanged_without_its_children(
    letters: Agent, house: Warehouse
) -> None:
    fill(letters, 12)
    for limit in (1, 2):
        pipeline_of(house).run(source_of(house, page_size=5).add_limit(limit))
        house.forget()
        assert {row["id"] for row in house.rows("extraction_runs")} <= {row["_run_id"] for row in house.rows(DATA)}
    run(house, page_size=5, full_scan=True)
    assert_true(house)


def test_a_loop_that_stops_iterating_a_source_does_no_harm(letters: Agent, house: Warehouse) -> None:
    fill(letters, 6)
    next(iter(source_of(house).resources["extraction_runs"]))
    pipeline_of(house).run(source_of(house).with_resources("extraction_agents"))
    run(house)
    assert_true(house)


# ── 7: names that belong to the contract ──────────────────────────────────────────────────────────────────────────

OWNED = ["_deleted", "_Deleted", "_run_id", "_runId", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id"]


def test_a_field_called_deleted_takes_no_rows_away(letters: Agent, house: Warehouse) -> None:
    def data(value: Json, number: int) -> Json:
        inner = {"a": number, "_deleted": value}
        return {"n": number, "_deleted": value, "items": [inner, inner], "deep": {"_deleted": value, "a": 1}}

    values: list[Json] = [True, False, "yes", 1, {"x": 1}, [True], None]
    letters.add(data={"n": 3, "items": [{"a": 3}, {"a": 4}]})
    odd = [letters.add(data=data(value, 1))[0] for value in values]
    house.load()
    for run_id, value in zip(odd, values, strict=True):
        house.cloud.edit_run(run_id, data=data(value, 2))
    odd += [letters.add(data=data(value, 4))[0] for value in values]
    house.load()
    run(house, "another", full_scan=True)
    assert_nothing_doubled(house)
    every = [one["id"] for one in house.cloud.runs()]
    assert Counter(row["_run_id"] for row in house.rows(DATA)) == Counter(every)
    assert Counter(row["_run_id"] for row in house.rows(f"{DATA}__items")) == Counter(every * 2)
    assert sorted(row["n"] for row in house.rows(DATA)) == [2] * 7 + [3] + [4] * 7
    assert [row for table in house.tables() for row in house.rows(table) if row.get("_deleted") is not None] == []


def test_fields_that_are_called_like_key_columns_keep_their_values_beside_the_keys(
    letters: Agent, house: Warehouse
) -> None:
    for number in range(3):
        for name in OWNED:
            value = f"{name} {number}"
            letters.add(data={"n": number, name: value, "items": [{"a": number, name: value}]})
    house.load()
    for one in house.cloud.runs():
        house.cloud.edit_run(one["id"], data=one["data"] | {"n": one["data"]["n"] + 10})
    run(house, full_scan=True)
    assert_nothing_doubled(house)
    for table in (DATA, f"{DATA}__items"):
        rows = {row["_run_id"]: row for row in house.rows(table)}
        for one in house.cloud.runs():
            (wanted,) = (value for name, value in one["data"].items() if name in OWNED)
            assert wanted in rows[one["id"]].values(), f"{wanted} is lost in {table}"
            assert rows[one["id"]].get("_deleted") is None


def test_metadata_and_config_that_name_a_contracts_column_take_no_rows_away(letters: Agent, house: Warehouse) -> None:
    odd = {"_deleted": True, "_run_id": "r", "_dlt_id": "d", "_dlt_parent_id": "p", "_dlt_list_idx": 77}
    leaf = {"confidence": 0.5, "citation": [{"page": 1, "bounding_boxes": [{"x": 1.0, **odd}], **odd}], **odd}
    leaf |= {"field_path": "f", "field_name": "f", "data_row_id": "f"}
    ids = letters.add(
        2,
        config=CONFIG | odd,
        extraction_metadata={"field_metadata": {"n": leaf}},
        file={"id": str(uuid.uuid4()), "name": "f", **odd},
    )
    for _ in range(2):
        house.load(full_scan=True)
        assert_nothing_doubled(house)
        for child in ("config", "file", "data", "field_metadata", "field_metadata__citation"):
            rows = house.rows(f"extraction_runs__{child}")
            assert Counter(row["_run_id"] for row in rows) == Counter(ids), child
            assert [row for row in rows if row.get("_deleted") is not None] == []
        boxes = house.rows("extraction_runs__field_metadata__citation__bounding_boxes")
        assert Counter(row["_run_id"] for row in boxes) == Counter(ids)
        assert {row["field_path"] for row in house.rows("extraction_runs__field_metadata")} == {"n"}
        for run_id in ids:
            letters.edit(run_id)


def test_a_run_whose_own_fields_are_called_like_the_sources_columns_stays_what_it_is(
    letters: Agent, house: Warehouse
) -> None:
    odd = {
        "_deleted_at": "2020-01-01T00:00:00Z",
        "_content_hash": "none",
        "_child_rows": 77,
        "_dlt_load_id": "1.2",
        "data_schema_hash": "h",
        "_deleted": True,
    }
    ids = letters.add(3, **odd)
    house.load()
    counts = house.load(full_scan=True)
    assert counts["runs"]["unchanged"] == 3
    letters.edit(ids[0])
    house.load(full_scan=True)
    assert_nothing_doubled(house)
    assert deleted(house) == set()
    rows = house.rows("extraction_runs")
    assert {row["id"] for row in rows} == set(ids)
    assert {row["_run_id"] for row in house.rows(DATA)} == set(ids)
    assert all(row.get("_deleted") is None and row["_content_hash"] != "none" for row in rows)
    assert all(row["_dlt_load_id"] != "1.2" and row["_child_rows"] == 1 for row in rows)


# ── 8: records of files ───────────────────────────────────────────────────────────────────────────────────────────


def with_files(agent: Agent, count: int) -> dict[str, str]:
    """New runs that only name their file: run by file."""
    files = [str(uuid.UUID(int=agent.hours * 1000 + number + 1, version=4)) for number in range(count)]
    return {agent.add(file_id=file_id, file=None)[0]: file_id for file_id in files}


def files_of(house: Warehouse) -> dict[str, str]:
    house.forget()
    return {row["_run_id"]: row["id"] for row in house.rows("extraction_runs__file")}


def test_a_look_up_of_files_that_fails_stops_nothing_and_a_full_scan_asks_again(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named: dict[str, str] = {}
    for fault in ({"status": 403}, {"status": 500}, {"kind": "html", "status": 422}, {"kind": "not_json"}):
        named |= with_files(letters, 2)
        cloud.fail(times=None, path=FILES, **fault)
        assert house.load(max_tries=1, max_wait=0)["runs"]["new"] == 2
        assert files_of(house) == {}
        cloud.heal()
    house.load(full_scan=True)
    assert files_of(house) == named
    assert house.load(full_scan=True)["runs"]["unchanged"] == len(named)
    assert_nothing_doubled(house)


def test_a_record_that_was_missing_once_comes_with_the_next_full_scan(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named = with_files(letters, 3)
    absent = list(named.values())[1]

    def on_answer(path: str, query: Json, document: Json) -> Json:
        if path != FILES:
            return None
        return document | {"items": [record for record in document["items"] if record["id"] != absent]}

    cloud.on_answer = on_answer
    house.load()
    assert set(files_of(house).values()) == set(named.values()) - {absent}
    cloud.on_answer = None
    house.load(full_scan=True)
    assert files_of(house) == named


def test_a_file_whose_record_is_gone_stays_with_the_run_that_had_it(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    named = with_files(letters, 3)
    house.load()
    gone = next(iter(named))
    cloud.delete_file(named[gone])
    letters.edit(list(named)[2])
    house.load(full_scan=True)
    assert_nothing_doubled(house)
    kept = files_of(house)
    assert {run_id: kept[run_id] for run_id in list(named)[1:]} == {run_id: named[run_id] for run_id in list(named)[1:]}


# ── 9: a setting that changes ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("packages", [1, 2])
def test_a_switch_of_tables_that_is_cut_off_and_taken_back_loses_nothing(
    letters: Agent, house: Warehouse, packages: int
) -> None:
    forms = Agent(house.cloud, "Forms")
    fill(letters, 5)
    fill(forms, 3)
    house.load()
    done: list[int] = []

    def committed() -> None:
        done.append(1)
        if len(done) == packages:
            raise Killed

    try:
        sync(
            house.pipeline,
            source_of(house, data_tables="per_agent", chunk_size=2),
            on_progress=between_packages(committed),
        )
    except BaseException as error:
        if not is_kill(error):
            raise
    assert len(done) == packages
    run(house, full_scan=True)
    assert_true(house)
    assert house.rows("letters") == house.rows("forms") == []


@pytest.mark.parametrize("moment", [4, 10])
def test_a_switch_of_tables_that_is_killed_and_taken_back_loses_nothing(
    letters: Agent, house: Warehouse, moment: int
) -> None:
    fill(letters, 4)
    run(house)
    killed_run(house, moment, data_tables="per_agent")
    run(house, full_scan=True)
    assert_true(house)
    assert "letters" not in house.tables() or house.rows("letters") == []


def test_runs_that_were_asked_for_with_another_setting_come_back_to_their_tables(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    house.load()
    house.load(run_ids=ids[:2], data_tables="per_agent")
    house.load(full_scan=True)
    assert_true(house)
    assert house.rows("letters") == []


def test_runs_that_were_asked_for_first_are_synced_into_the_tables_of_the_sync(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    run(house, run_ids=ids[:2])
    run(house, data_tables="per_agent")
    run(house, data_tables="per_agent", full_scan=True)
    assert_true(house, {letters.id: "letters"})


def test_what_an_earlier_version_wrote_is_written_again_by_a_full_scan(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(letters, 3)
    with monkeypatch.context() as earlier:
        earlier.setattr(settings, "WRITER", "an earlier one")
        house.load()
    assert house.load(full_scan=True)["runs"]["updated"] == len(ids)
    assert house.load(full_scan=True)["runs"]["unchanged"] == len(ids)
    assert_true(house)


# ── 10: runs that move ────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("data_tables", "deleted_runs"), [("shared", "flag"), ("per_agent", "remove")])
def test_runs_that_moved_to_another_agent_live_there(
    cloud: Emulator, letters: Agent, house: Warehouse, data_tables: str, deleted_runs: str
) -> None:
    forms = Agent(cloud, "Forms")
    ids = fill(letters, 8)
    fill(forms, 2)
    given = {"data_tables": data_tables, "deleted_runs": deleted_runs, "page_size": 5}
    roots = {letters.id: "letters", forms.id: "forms"} if data_tables == "per_agent" else None
    house.load(**given)
    for run_id in ids[1:6]:
        cloud.move_run(run_id, forms.id)
    house.load(**given)
    assert_nothing_flagged(house)
    assert_nothing_doubled(house)
    if roots:
        arrived = {row["id"] for row in house.rows("extraction_runs") if row["extraction_agent_id"] == forms.id}
        assert arrived & set(ids[1:6])
        assert arrived & {row["_run_id"] for row in house.rows("letters")} == set()
    house.load(full_scan=True, **given)
    assert_true(house, roots)


@pytest.mark.parametrize("data_tables", ["per_agent"])
def test_runs_that_moved_are_no_deletions_where_only_the_old_agent_is_read(
    cloud: Emulator, letters: Agent, house: Warehouse, data_tables: str
) -> None:
    forms = Agent(cloud, "Forms")
    ids = fill(letters, 6)
    fill(forms, 1)
    roots = {letters.id: "letters", forms.id: "forms"} if data_tables == "per_agent" else None
    house.load(data_tables=data_tables)
    for run_id in ids[:3]:
        cloud.move_run(run_id, forms.id)
    counts = house.load(data_tables=data_tables, agents=["Letters"], full_scan=True)
    assert counts["runs"]["deleted"] == 0
    assert_nothing_flagged(house)
    honest(house, roots, data_tables=data_tables)


def test_of_moved_and_deleted_runs_only_the_deleted_are_flagged(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    forms = Agent(cloud, "Forms")
    ids = fill(letters, 8)
    house.load()
    for run_id in ids[:3]:
        cloud.move_run(run_id, forms.id)
    cloud.delete_run(ids[4])
    house.load(full_scan=True)
    assert_nothing_flagged(house)
    honest(house)
    assert deleted(house) == {ids[4]}


# ── 11: a run that comes late ─────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("packages", [1, 2])
def test_a_late_run_is_found_though_the_look_for_it_was_cut_off(
    letters: Agent, house: Warehouse, packages: int
) -> None:
    fill(letters, 12)
    house.load(page_size=5)
    early = stamp(START)
    late = fill(letters, 1, created_at=early, updated_at=early)[0]
    fill(letters, 9)
    done: list[int] = []

    def committed() -> None:
        done.append(1)
        if len(done) == packages:
            raise Killed

    try:
        sync(house.pipeline, source_of(house, page_size=5, chunk_size=3), on_progress=between_packages(committed))
    except BaseException as error:
        if not is_kill(error):
            raise
    house.load(page_size=5)
    assert late in {row["id"] for row in house.rows("extraction_runs")}
    assert_true(house)


def test_a_new_run_is_loaded_though_an_unfinished_reading_cannot_be_ended(letters: Agent, house: Warehouse) -> None:
    fill(letters, 20)

    def kill() -> None:
        raise Killed

    for _ in range(2):
        with pytest.raises(Killed):
            sync(house.pipeline, source_of(house, page_size=5, chunk_size=5), on_progress=between_packages(kill))
        new = fill(letters, 2)
        lie_about({letters: lambda document, _: {"items": "none"}}, of=lambda skip: skip > 0)
        assert house.load(page_size=5, max_tries=1, max_wait=0)["unreadable"]
        assert set(new) <= loaded_runs(house).keys()
        house.cloud.on_answer = None
    honest(house, page_size=5)


@pytest.mark.parametrize("pages", [1, 3])
def test_a_late_run_is_found_though_the_look_for_it_failed(letters: Agent, house: Warehouse, pages: int) -> None:
    fill(letters, 12)
    house.load(page_size=5)
    early = stamp(START)
    fill(letters, 1, created_at=early, updated_at=early)
    fill(letters, 9)
    house.cloud.fail(times=None, path=RUNS, status=401, skip=pages)
    with pytest.raises(PipelineStepFailed):
        house.load(page_size=5, chunk_size=3, max_concurrency=1, agents=["Letters"])
    house.cloud.heal()
    house.load(page_size=5)
    assert_true(house)


def test_a_late_run_is_found_though_the_full_scan_for_it_failed_at_one_page(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    house.load(page_size=5)
    early = stamp(START)
    fill(letters, 1, created_at=early, updated_at=early)
    house.cloud.fail(times=None, path=RUNS, status=500, skip=1)
    house.load(page_size=5, max_tries=1, max_wait=0)
    house.cloud.heal()
    house.load(page_size=5)
    assert_true(house)


# ── 12: rows that somebody deleted ────────────────────────────────────────────────────────────────────────────────

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


def query(house: Warehouse, sql: str) -> None:
    house.forget()
    with duckdb.connect(str(house.path)) as connection:
        connection.execute("set schema 'llama_extract'")
        connection.execute(sql)


# ── 13: a wrong clock, a lost table of dlt's ──────────────────────────────────────────────────────────────────────


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


# ── 14: a list that lies ──────────────────────────────────────────────────────────────────────────────────────────


def capped(document: Json, skip: int) -> Json:
    return document | {"total": min(document["total"], 7)}


def one_too_many(document: Json, skip: int) -> Json:
    return document | {"total": document["total"] + 1}


def one_too_few(document: Json, skip: int) -> Json:
    return document | {"total": document["total"] - 1}


def none_at_all(document: Json, skip: int) -> Json:
    return document | {"total": None}


def without(document: Json, skip: int) -> Json:
    return {name: value for name, value in document.items() if name != "total"}


def without_end(document: Json, skip: int) -> Json:
    return document | {"total": 10**30}


def zero(document: Json, skip: int) -> Json:
    return document | {"total": 0}


@pytest.mark.parametrize("times", [1, None])
def test_a_total_that_lies_hides_no_run_and_flags_none(cloud: Emulator, house: Warehouse, times: int | None) -> None:
    lies = {
        Agent(cloud, lie.__name__): lie
        for lie in (capped, one_too_many, one_too_few, none_at_all, without, without_end, zero)
    }
    for new, full_scan in ((14, False), (3, False), (0, True), (8, False)):
        for agent in lies:
            fill(agent, new)
        lie_about(lies, times=times)
        assert house.load(page_size=5, full_scan=full_scan)["unreadable"] == {}
        assert_true(house)
    honest(house, page_size=5)


def test_an_agent_without_runs_whose_total_says_one_is_read_as_any_other(letters: Agent, house: Warehouse) -> None:
    lie_about({letters: one_too_many})
    for _ in range(2):
        assert house.load(full_scan=True)["unreadable"] == {}
    fill(letters, 1)
    assert house.load()["unreadable"] == {}
    assert_true(house)


def test_a_deletion_is_found_though_the_total_lies(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)
    house.load(page_size=5)
    lie_about({letters: capped})
    gone = letters.delete(2, 11)
    house.load(page_size=5, full_scan=True)
    assert_true(house)
    assert deleted(house) == set(gone)


def ignores_skip(agent: Agent, echo: bool) -> Lie:
    """A service that always gives the first page, and says so or not."""

    def lie(document: Json, skip: int) -> Json:
        first = agent.cloud.runs(agent.id)[: max(len(document["items"]), 5)]
        return document | {"items": first} | ({} if echo else {"skip": 0})

    return lie


@pytest.mark.parametrize("deleted_runs", ["remove"])
def test_a_service_that_ignores_skip_is_reported_and_flags_nothing(
    cloud: Emulator, house: Warehouse, deleted_runs: str
) -> None:
    given: dict[str, Any] = {"page_size": 5, "deleted_runs": deleted_runs}
    echoing, frank = liars = [Agent(cloud, "Echoing"), Agent(cloud, "Frank")]
    fill(Agent(cloud, "Forms"), 2)
    for agent in liars:
        fill(agent, 13)
    house.load(**given)
    lie_about({echoing: ignores_skip(echoing, True), frank: ignores_skip(frank, False)})
    for full_scan in (False, True):
        new = [run_id for agent in liars for run_id in agent.add(7)[-5:]]
        counts = house.load(full_scan=full_scan, **given)
        assert set(counts["unreadable"]) == {agent.id for agent in liars}
        assert counts["runs"]["deleted"] == 0
        assert_nothing_flagged(house)
        assert_nothing_doubled(house)
        assert {row["id"] for row in house.rows("extraction_runs")} >= set(new)
    assert len(house.rows("extraction_runs")) >= 2 * 13 + 2
    honest(house, **given)


def test_a_service_that_ignores_skip_in_a_first_load_is_reported(letters: Agent, house: Warehouse) -> None:
    fill(letters, 13)
    lie_about({letters: ignores_skip(letters, True)})
    assert list(house.load(page_size=5)["unreadable"]) == [letters.id]
    house.cloud.on_answer = None
    house.load(page_size=5)
    assert_true(house)


def test_an_answer_for_another_offset_once_loses_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)
    lie_about({letters: ignores_skip(letters, False)}, times=1, of=lambda skip: skip > 0)
    house.load(page_size=5)
    house.load(page_size=5)
    assert_true(house)
    honest(house, page_size=5)


def test_a_first_answer_for_another_offset_leaves_nothing_out(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)

    def beyond(document: Json, skip: int) -> Json:
        return document | {"skip": 5, "items": letters.cloud.runs(letters.id)[5:10]}

    lie_about({letters: beyond}, times=1, of=lambda skip: skip == 0)
    assert house.load(page_size=5)["unreadable"] == {}
    assert_true(house)


def empty(document: Json, skip: int) -> Json:
    return document | {"items": [], "total": 0}


@pytest.mark.parametrize(("deleted_runs", "times"), [("flag", 1), ("remove", 1), ("flag", None), ("remove", None)])
def test_an_empty_list_deletes_nothing(letters: Agent, house: Warehouse, deleted_runs: str, times: int | None) -> None:
    given: dict[str, Any] = {"page_size": 5, "deleted_runs": deleted_runs}
    ids = set(fill(letters, 12))
    house.load(**given)
    for full_scan in (False, True):
        lie_about({letters: empty}, times=times)
        counts = house.load(full_scan=full_scan, **given)
        assert counts["runs"]["deleted"] == 0
        assert times is not None or list(counts["unreadable"]) == [letters.id]
        assert {row["id"] for row in house.rows("extraction_runs")} == ids
        assert_nothing_flagged(house)
    honest(house, **given)


def test_a_list_that_is_empty_once_is_asked_for_again(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    house.load(page_size=5)
    fill(letters, 1)
    lie_about({letters: empty}, times=1)
    counts = house.load(page_size=5)
    assert counts["unreadable"] == {}
    assert counts["agents"][letters.id]["requests"] == 1 + 4  # the last of which shows the end
    assert_true(house)


def test_an_empty_list_in_a_first_load_leaves_nothing_out_for_good(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    lie_about({letters: empty})
    house.load(page_size=5)
    house.cloud.on_answer = None
    house.load(page_size=5)
    assert_true(house)


def test_one_empty_page_in_the_middle_ends_no_list(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)
    lie_about({letters: lambda document, skip: document | {"items": []}}, times=1, of=lambda skip: skip > 0)
    house.load(page_size=5)
    assert_true(house)
    lie_about({letters: lambda document, skip: document | {"items": []}}, of=lambda skip: skip > 0)
    counts = house.load(page_size=5, full_scan=True)
    assert list(counts["unreadable"]) == [letters.id]
    assert_nothing_flagged(house)
    honest(house, page_size=5)


def test_a_list_that_leaves_a_run_out_does_not_delete_it(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 12)
    house.load(page_size=5)
    lie_about({letters: lambda document, _: leave_out(document, ids[5])})
    for _ in range(2):
        counts = house.load(page_size=5, full_scan=True)
        assert counts["runs"]["deleted"] == 0
        assert_nothing_flagged(house)
    honest(house, page_size=5)


def test_runs_that_were_flagged_are_removed_where_that_is_asked_for(cloud: Emulator, house: Warehouse) -> None:
    agents = [Agent(cloud, "Letters"), Agent(cloud, "Forms")]
    ids = [run_id for agent in agents for run_id in fill(agent, 3)]
    house.load()
    cloud.delete_run(ids[0])
    cloud.delete_agent(agents[1].id)
    house.load(full_scan=True)
    gone = {ids[0], *ids[3:]}
    assert deleted(house) == gone
    assert house.load(full_scan=True, deleted_runs="remove")["runs"]["deleted"] == len(gone)
    assert loaded_runs(house).keys() == set(ids) - gone
    assert_true(house)


def test_a_run_that_a_list_leaves_out_is_loaded_as_it_is_all_the_same(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 5)
    house.load()
    letters.edit(ids[2], touch=False)
    lie_about({letters: lambda document, _: leave_out(document, ids[2])})
    counts = house.load(full_scan=True)
    assert (list(counts["unreadable"]), counts["runs"]["updated"]) == ([letters.id], 1)
    assert_true(house)


def test_a_run_that_comes_twice_in_the_place_of_another_hides_none(letters: Agent, house: Warehouse) -> None:
    """Pages of one run have nothing in common that would tell."""
    fill(letters, 6)

    def another(document: Json, skip: int) -> Json:
        return document | {"items": letters.cloud.runs(letters.id)[1:2]}

    lie_about({letters: another}, times=1, of=lambda skip: skip == 3)
    assert house.load(page_size=1)["unreadable"] == {}
    assert_true(house)


def test_runs_that_are_created_while_a_list_is_read_do_not_make_it_be_read_again(
    letters: Agent, house: Warehouse
) -> None:
    fill(letters, 41)
    house.load(page_size=10)
    requests = 0

    def meanwhile(*_: Any) -> None:
        nonlocal requests
        requests += 1
        if requests == 4:  # after the agents and the first page of each
            fill(letters, 4)

    letters.cloud.on_request = meanwhile
    counts = house.load(page_size=10, max_concurrency=1, full_scan=True)
    letters.cloud.on_request = None
    assert len(letters.cloud.runs()) == 45
    assert counts["unreadable"] == {}
    assert counts["agents"][letters.id]["requests"] == 6  # 45 runs by 9, and the end of the list
    house.load(page_size=10)
    assert_true(house)


def test_an_agent_that_is_unknown_while_its_runs_are_there_loses_none(cloud: Emulator, house: Warehouse) -> None:
    letters, forms = Agent(cloud, "Letters"), Agent(cloud, "Forms")
    fill(letters, 2)
    fill(forms, 2)
    house.load()
    cloud.on_answer = lambda path, query, document: (
        [agent for agent in document if agent["id"] != forms.id] if path.endswith("/extraction-agents") else None
    )
    cloud.fail(times=None, path=f"/api/v1/extraction/extraction-agents/{forms.id}", status=404)
    counts = house.load(full_scan=True)
    assert list(counts["unreadable"]) == [forms.id]
    assert_nothing_flagged(house)
    honest(house)


def test_a_run_that_was_read_under_its_new_agent_is_not_asked_for(cloud: Emulator, house: Warehouse) -> None:
    letters, forms = Agent(cloud, "Letters"), Agent(cloud, "Forms")
    ids = fill(letters, 3)
    house.load()
    cloud.move_run(ids[0], forms.id)
    counts = house.load(full_scan=True)
    assert counts["requests"] == 1 + 3
    assert_true(house)


@pytest.mark.parametrize("twice", ["by ID and in the list", "at the end of a page and at the beginning of the next"])
def test_a_run_that_is_seen_twice_and_is_another_by_then_is_read_again(
    letters: Agent, house: Warehouse, twice: str
) -> None:
    ids = fill(letters, 12)
    given: dict[str, Any] = {"run_ids": [ids[7]], "agents": ["Letters"]} if twice.startswith("by ID") else {}
    requests = 0

    def meanwhile(*_: Any) -> None:
        nonlocal requests
        requests += 1
        if requests == 3:  # after the run was read
            letters.edit(ids[7], touch=False)

    house.cloud.on_request = meanwhile
    house.load(page_size=5, max_concurrency=1, **given)
    house.cloud.on_request = None
    assert requests >= 5
    house.load(page_size=5)
    assert_true(house)


def test_of_few_runs_that_a_list_leaves_out_every_one_is_asked_for(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 14)
    house.load()
    gone = ids[:5] + ids[6:12]
    for run_id in gone:
        letters.cloud.delete_run(run_id)
    lie_about({letters: lambda document, _: leave_out(document, ids[5])})
    assert house.load(full_scan=True)["unreadable"]
    assert_nothing_flagged(house)
    honest(house)
    assert deleted(house) == set(gone)


def test_a_run_that_a_list_leaves_out_and_that_cannot_be_read_is_reported_and_stays(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 6)
    house.load()
    letters.cloud.delete_run(ids[0])
    lie_about({letters: lambda document, _: leave_out(document, ids[3])})
    house.cloud.fail(times=None, path=f"{RUNS}/{ids[3]}", status=403)
    counts = house.load(full_scan=True, max_tries=1, max_wait=0)
    assert ids[3] in counts["unreadable"][letters.id]
    assert deleted(house) == {ids[0]}
    honest(house)


def test_of_many_runs_that_a_list_leaves_out_a_sample_is_asked_for(letters: Agent, house: Warehouse) -> None:
    ids = letters.add(140)
    house.load()
    lie_about({letters: lambda document, _: document | {"items": document["items"][:10], "total": 10}})
    assert house.load(full_scan=True)["unreadable"]
    assert_nothing_flagged(house)
    letters.cloud.on_answer = None
    for run_id in ids[:130]:
        letters.cloud.delete_run(run_id)
    counts = house.load(full_scan=True)
    assert counts["runs"]["deleted"] == 130
    assert counts["agents"][letters.id]["requests"] == 1 + 100 + 1  # the list, the sample, and the list again
    assert deleted(house) == set(ids[:130])


def answer_with(house: Warehouse, asked: str, other: str) -> None:
    """Lets the service answer with another run than the one asked for by its ID."""
    answer = next(one for one in house.cloud.runs() if one["id"] == other)
    path = f"{RUNS}/{asked}"
    house.cloud.on_answer = lambda at, query, document: answer if at == path or "/by-job/" in at else None


def test_another_run_than_the_one_asked_for_is_reported(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 3)
    job = str(uuid.uuid4())
    letters.cloud.edit_run(ids[0], False, job_id=job)
    letters.cloud.edit_run(ids[1], False, job_id=str(uuid.uuid4()))
    answer_with(house, ids[0], ids[1])
    for given in ({"run_ids": [ids[0], ids[2]]}, {"job_ids": [job]}):
        counts = house.load(**given)
        assert len(counts["unreadable"]) == 1
        assert ids[1] not in loaded_runs(house)
    assert loaded_runs(house).keys() == {ids[2]}
    honest(house)


def test_another_run_than_the_one_asked_for_deletes_and_moves_none(cloud: Emulator, house: Warehouse) -> None:
    letters, forms = Agent(cloud, "Letters"), Agent(cloud, "Forms")
    ids, other = fill(letters, 5), fill(forms, 1)[0]
    waiting = letters.add(status="PENDING")[0]
    house.load(page_size=3)
    fill(letters, 3)
    letters.finish(waiting)
    answer_with(house, waiting, other)
    house.load(page_size=3)
    lie_about({letters: lambda document, _: leave_out(document, ids[2])})
    lists = house.cloud.on_answer
    answer_with(house, ids[2], other)
    by_id = house.cloud.on_answer
    house.cloud.on_answer = lambda *what: by_id(*what) or lists(*what)
    assert house.load(full_scan=True)["unreadable"]
    assert_nothing_flagged(house)
    honest(house)


def leave_out(document: Json, run_id: str) -> Json:
    items = [item for item in document["items"] if item["id"] != run_id]
    return document | {"items": items, "total": document["total"] - len(document["items"]) + len(items)}


def test_a_window_that_could_not_be_read_whole_is_reported(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)
    lie_about({letters: ignores_skip(letters, True)})
    counts = house.load(page_size=5, since="2020-01-01", until="2030-01-01")
    assert list(counts["unreadable"]) == [letters.id]
    house.cloud.on_answer = None
    assert house.load(page_size=5, since="2020-01-01", until="2030-01-01")["unreadable"] == {}
    assert_true(house)


def test_the_command_says_that_a_window_could_not_be_read_whole(
    cloud: Emulator, letters: Agent, tmp_path: Path
) -> None:
    fill(letters, 14)
    cloud.page_limit = 5
    lie_about({letters: ignores_skip(letters, True)})
    code, _, err = Command(cloud, tmp_path)("--since", "2020-01-01")
    assert code == 3
    assert "Letters" in err


# ── 15: an order that is not stable ───────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def ties(cloud: Emulator, letters: Agent) -> Agent:
    """An agent whose runs were made five at an instant, in an order that is another at every request."""
    more_ties(letters, 9)
    cloud.order = "unstable"
    return letters


def more_ties(agent: Agent, groups: int) -> None:
    for _ in range(groups):
        now = agent.tick()
        for number in range(5):
            agent.cloud.add_run(
                agent.id,
                created_at=now,
                updated_at=now,
                data={"n": number},
                config=None,
                data_schema=None,
                extraction_metadata=None,
                file_id=None,
                job_id=None,
            )


@pytest.mark.parametrize("page_size", [12, 20])
def test_an_unstable_order_hides_no_run(ties: Agent, house: Warehouse, page_size: int) -> None:
    house.load(page_size=page_size)
    house.load(page_size=page_size)
    assert_true(house)
    assert house.load(page_size=page_size, full_scan=True)["unreadable"] == {}
    assert_true(house)
    more_ties(ties, 4)
    house.load(page_size=page_size)
    house.load(page_size=page_size)
    assert_true(house)
    house.cloud.order = "newest"
    honest(house, page_size=page_size)


def test_a_list_that_cannot_be_read_whole_for_its_order_is_reported(ties: Agent, house: Warehouse) -> None:
    """Pages shorter than the runs of an instant: what one request has not shown may never be shown."""
    for page_size in (2, 3, 4):
        reported = house.load(page_size=page_size, full_scan=True)["unreadable"]
        house.forget()
        assert reported or loaded_runs(house).keys() == {one["id"] for one in house.cloud.runs()}
        assert_nothing_flagged(house)
    house.cloud.order = "newest"
    honest(house)


def test_an_unstable_order_does_not_hide_a_deletion(ties: Agent, house: Warehouse) -> None:
    house.load(page_size=12)
    gone = set(ties.delete(3, 22))
    for _ in range(2):
        house.load(page_size=12, full_scan=True)
        assert_nothing_flagged(house)
    house.cloud.order = "newest"
    honest(house, page_size=12)
    assert deleted(house) == gone


# ── 16: one bad thing ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_page_that_fails_for_good_stops_nothing_else(cloud: Emulator, house: Warehouse) -> None:
    agents = {skip: Agent(cloud, f"fails at {skip}") for skip in (0, 4, 8)}
    well = Agent(cloud)
    fill(well, 2)
    for skip, agent in agents.items():
        fill(agent, 13)
        where = {"skip": str(skip), "extraction_agent_id": agent.id}
        cloud.fail(times=None, path=RUNS, status=500, query=where)
    for _ in range(2):
        counts = house.load(page_size=5, max_tries=1, max_wait=0)
        assert set(counts["unreadable"]) == {agent.id for agent in agents.values()}
        loaded = Counter(row["extraction_agent_id"] for row in house.rows("extraction_runs"))
        assert loaded[well.id] == 2
        assert all(loaded[agent.id] >= 5 for skip, agent in agents.items() if skip)
        assert_nothing_flagged(house)
    honest(house, page_size=5)


@pytest.mark.parametrize("place", [0, 6, 12])
def test_a_run_that_makes_every_page_with_it_fail_stops_nothing_else(
    letters: Agent, house: Warehouse, place: int
) -> None:
    ids = fill(letters, 13)[::-1]
    others = fill(Agent(house.cloud, "Forms"), 2)

    def on_answer(path: str, query: Json, document: Json) -> Json:
        if path == RUNS and any(one["id"] == ids[place] for one in document["items"]):
            raise RuntimeError("this run cannot be shown")

    house.cloud.on_answer = on_answer
    counts = house.load(page_size=5, max_tries=1, max_wait=0)
    assert list(counts["unreadable"]) == [letters.id]
    assert {row["id"] for row in house.rows("extraction_runs")} == {*ids, *others} - {ids[place]}
    others += fill(letters, 2)
    house.load(page_size=5, max_tries=1, max_wait=0)
    assert {row["id"] for row in house.rows("extraction_runs")} == {*ids, *others} - {ids[place]}
    honest(house, page_size=5)


def test_agents_whose_lists_fail_for_good_stop_no_other(cloud: Emulator, house: Warehouse) -> None:
    faults: list[dict[str, Any]] = [{"status": status} for status in (400, 403, 404, 405, 410, 422, 500, 503)]
    faults += [{"kind": "html", "status": status} for status in (403, 404, 502)]
    faults += [{"kind": kind} for kind in ("not_json", "truncate", "disconnect")]
    documents = ({}, {"items": None}, {"items": {}}, [], None, "text")
    faults += [{"status": 200, "body": json.dumps(document)} for document in documents]
    well = fill(Agent(cloud, "Forms"), 2)
    bad = []
    for number, fault in enumerate(faults):
        bad.append(Agent(cloud, f"Agent {number}"))
        bad[-1].add(1)
        cloud.fail(times=None, path=RUNS, query={"extraction_agent_id": bad[-1].id}, **fault)
    counts = house.load(max_tries=1, max_wait=0)
    assert set(counts["unreadable"]) == {agent.id for agent in bad}
    assert {row["id"] for row in house.rows("extraction_runs")} == set(well)
    honest(house)


def test_runs_in_flight_that_fail_for_good_stop_nothing_else(letters: Agent, house: Warehouse) -> None:
    statuses = (400, 403, 410, 422, 500)
    bad = letters.add(len(statuses), status="PENDING")
    good = letters.add(status="PENDING")[0]
    fill(letters, 6)
    forms = Agent(house.cloud, "Forms")
    house.load(page_size=5)
    for run_id, status in zip(bad, statuses, strict=True):
        house.cloud.fail(times=None, path=f"{RUNS}/{run_id}", status=status)
    house.cloud.fail(times=None, path=RUNS, status=500, query={"skip": "4"})  # so that no page has them
    letters.finish(good)
    letters.add(1)
    forms.add(1)
    counts = house.load(page_size=5, max_tries=1, max_wait=0)
    assert list(counts["unreadable"]) == [letters.id]
    assert f"{len(bad)} of its runs in flight" in counts["unreadable"][letters.id]
    assert counts["runs"]["deleted"] == 0
    assert counts["runs"]["new"] + counts["runs"]["updated"] == 3
    assert {row["status"] for row in house.rows("extraction_runs") if row["id"] == good} == {"SUCCESS"}
    again = house.load(page_size=5, max_tries=1, max_wait=0)
    assert again["unreadable"].keys() == {letters.id}
    assert again["runs"]["new"] + again["runs"]["updated"] == 0
    house.cloud.heal()
    for run_id in bad:
        letters.finish(run_id)
    house.load(page_size=5)
    assert_true(house)


def test_a_run_in_flight_that_is_unknown_once_is_not_deleted(letters: Agent, house: Warehouse) -> None:
    run_id = letters.add(status="PENDING")[0]
    fill(letters, 6)
    house.load(page_size=5)
    house.cloud.fail(times=1, path=f"{RUNS}/{run_id}", status=404)
    assert house.load(page_size=5)["runs"]["deleted"] == 0
    assert_true(house)
    letters.finish(run_id)
    house.load(page_size=5)
    assert_true(house)


# ── 17: a run that cannot be read ─────────────────────────────────────────────────────────────────────────────────


def deep_objects(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def deep_lists(depth: int) -> str:
    return '{"a":' + "[" * depth + "1" + "]" * depth + "}"


BROKEN = {
    "invalid UTF-8": b'{"n": "\xff\xfe"}',
    "objects 900 deep": deep_objects(900).encode(),
    "objects 20,000 deep": deep_objects(20_000).encode(),
    "lists 60 deep": deep_lists(60).encode(),
    "lists 900 deep": deep_lists(900).encode(),
    "a long name of a list": json.dumps({"n" * 3000: [1, 2]}).encode(),
    "a long name of a field": json.dumps({"n" * 70_000: 1}).encode(),
    "long names in one another": json.dumps({"n" * 200: [{"m" * 200: [{"o" * 200: [1]}]}]}).encode(),
}
MAY_LOAD = {"a long name of a list", "a long name of a field", "long names in one another", "lists 60 deep"}


def break_run(cloud: Emulator, run_id: str, data: bytes) -> None:
    text = json.dumps(cloud.run(run_id) | {"data": "HERE"}).encode()
    cloud.set_raw(run_id, text.replace(b'"HERE"', data))


@pytest.mark.parametrize("by_id", [False, True])
def test_runs_that_cannot_be_read_are_set_aside_and_the_others_load(
    letters: Agent, house: Warehouse, by_id: bool
) -> None:
    broken = dict(zip(BROKEN, letters.add(len(BROKEN)), strict=True))
    good = fill(letters, 5)
    for what, run_id in broken.items():
        break_run(house.cloud, run_id, BROKEN[what])
    counts = house.load(run_ids=[*good, *broken.values()]) if by_id else house.load()
    loaded = {row["id"] for row in house.rows("extraction_runs")}
    assert set(good) <= {row["_run_id"] for row in house.rows(DATA)} & loaded
    aside = {what for what, run_id in broken.items() if run_id not in loaded}
    assert aside >= BROKEN.keys() - MAY_LOAD
    assert counts["runs"]["rejected"] == len(house.rows("extraction_runs__rejected")) == len(aside)
    good += fill(letters, 1)
    house.load()
    assert {row["id"] for row in house.rows("extraction_runs")} >= set(good)
    for run_id in broken.values():
        letters.edit(run_id)
    honest(house)


def test_a_run_that_no_tables_can_be_made_of_is_told_of_once(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    deep = letters.add(data={"long": nested_lists(40)})[0]
    counts = house.load()
    assert (counts["runs"]["new"], counts["runs"]["rejected"]) == (3, 1)
    for full_scan in (True, False, True):
        counts = house.load(full_scan=full_scan)
        assert (counts["runs"]["new"], counts["runs"]["rejected"]) == (0, 0)
    letters.cloud.edit_run(deep, data={"long": nested_lists(41)})
    assert house.load(full_scan=True)["runs"]["rejected"] == 1
    letters.cloud.edit_run(deep, data={"long": nested_lists(1)})
    assert house.load(full_scan=True)["runs"]["rejected"] == 0
    assert_true(house)


def nested_lists(levels: int) -> Json:
    return [nested_lists(levels - 1)] if levels else "text"


def test_a_run_that_no_tables_can_be_made_of_decides_no_columns_type(letters: Agent, house: Warehouse) -> None:
    for m in (1.5, 2):
        letters.add(data={"m": m})
    letters.add(data={"m": "text", "long": nested_lists(40)})  # which is read first
    house.load()
    assert {row["m"] for row in house.rows(DATA)} == {1.5, 2.0}
    assert_true_but(house, rejected=1)


def assert_true_but(house: Warehouse, rejected: int) -> None:
    """All runs are there but some that were set aside."""
    assert len(house.rows("extraction_runs__rejected")) == rejected
    loaded = loaded_runs(house)
    truth = [one for one in house.cloud.runs() if one["id"] in loaded]
    assert len(truth) == len(loaded) == len(house.cloud.runs()) - rejected
    assert [line for one in truth for line in differences(expected_run(one), loaded[one["id"]], one["id"])] == []


@pytest.mark.parametrize("deleted_runs", ["flag", "remove"])
def test_runs_that_cannot_be_read_any_more_are_not_deleted(letters: Agent, house: Warehouse, deleted_runs: str) -> None:
    ids = fill(letters, len(BROKEN) + 2)
    house.load(deleted_runs=deleted_runs)
    for run_id, data in zip(ids, BROKEN.values(), strict=False):
        break_run(house.cloud, run_id, data)
    for _ in range(2):
        assert house.load(full_scan=True, deleted_runs=deleted_runs)["runs"]["deleted"] == 0
        assert {row["id"] for row in house.rows("extraction_runs")} == set(ids)
        assert deleted(house) == set()
    for run_id in ids[: len(BROKEN)]:
        letters.edit(run_id)
    honest(house, deleted_runs=deleted_runs)


def test_runs_in_flight_that_end_as_ones_that_cannot_be_read_stop_nothing(letters: Agent, house: Warehouse) -> None:
    bad = letters.add(len(BROKEN), status="PENDING")
    fill(letters, 6)
    house.load(page_size=5)
    for run_id, data in zip(bad, BROKEN.values(), strict=True):
        letters.finish(run_id)
        break_run(house.cloud, run_id, data)
    new = fill(letters, 1)
    for _ in range(2):
        house.load(page_size=5)
        assert new[0] in {row["id"] for row in house.rows("extraction_runs")}
        assert deleted(house) == set()
    for run_id in bad:
        letters.edit(run_id)
    honest(house, page_size=5)


# ── 4: a dataset that dlt would empty ─────────────────────────────────────────────────────────────────────────────


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


# ── 19: doors that loaded a part ──────────────────────────────────────────────────────────────────────────────────


def test_sync_as_a_statement_loads(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    sync(pipeline_of(house), source_of(house))
    assert_true(house)


def test_each_package_is_there_when_the_next_begins(letters: Agent, house: Warehouse) -> None:
    fill(letters, 6)
    seen: list[int] = []

    def look() -> None:
        house.forget()
        seen.append(len(house.rows("extraction_runs")))

    report = sync(pipeline_of(house), source_of(house, chunk_size=2), on_progress=between_packages(look))
    assert seen == sorted(set(seen))
    assert 0 < seen[0] <= seen[-1] < 6
    assert len(report.load_ids) == len(seen) + 1
    house.forget()
    assert_true(house)


@pytest.mark.parametrize("where", ["argument", "configuration"])
def test_a_plain_run_loads_all_whatever_the_chunk_size(
    letters: Agent, house: Warehouse, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(letters, 12)
    given = {"chunk_size": 3} if where == "argument" else {}
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__CHUNK_SIZE", "3")
    assert run(house, page_size=5, **given)["runs"]["new"] == 12
    assert_true(house)


def test_the_steps_of_a_pipeline_one_by_one_load_all_whatever_the_chunk_size(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    pipeline = pipeline_of(house)
    pipeline.extract(source_of(house, page_size=5, chunk_size=3))
    pipeline.normalize()
    pipeline.load()
    assert_true(house)


def test_a_load_of_a_source_that_was_cut_short_is_no_complete_load(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    try:
        sync(pipeline_of(house), source_of(house, page_size=5, chunk_size=3).add_limit(1))
    except LlamaExtractError:
        house.load(page_size=5)
    house.forget()
    assert_true(house)


def test_what_a_killed_load_left_pending_is_dropped_and_all_is_loaded(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    run(house)
    fill(letters, 1)
    pipeline = pipeline_of(house)
    pipeline.extract(source_of(house))
    pipeline.normalize()
    fill(letters, 2)
    pipeline.extract(source_of(house))
    assert sync(pipeline, source_of(house)).new == 3
    assert not pipeline.has_pending_data
    assert_true(house)


def test_a_load_of_the_agents_alone_is_no_complete_load_of_runs(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    with suppress(LlamaExtractError):
        sync(pipeline_of(house), source_of(house).with_resources("extraction_agents"))
    house.load()
    assert_true(house)


@pytest.mark.parametrize("setting", ["ADD_DLT_ID", "ADD_DLT_LOAD_ID"])
def test_a_setting_of_dlts_that_would_change_row_ids_is_refused(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    fill(letters, 1)
    monkeypatch.setenv(f"NORMALIZE__PARQUET_NORMALIZER__{setting}", "true")
    with pytest.raises(PipelineStepFailed, match=setting.lower()):
        house.load()
    monkeypatch.undo()
    run(house)
    assert_true(house)


def test_sync_takes_a_source_and_no_argument_that_would_have_no_effect(letters: Agent, house: Warehouse) -> None:
    wrong: Any
    for wrong in ([source_of(house)], source_of(house).extraction_runs, "llama_extract"):
        with pytest.raises(ConfigurationError, match="sync takes the source itself"):
            sync(house.pipeline, wrong)
    for argument in ({"write_disposition": "replace"}, {"table_name": "runs"}, {"primary_key": "job_id"}):
        with pytest.raises(ConfigurationError, match=next(iter(argument))):
            sync(house.pipeline, source_of(house), **argument)
    assert house.cloud.requests == []


# ── 20: what is said in a library ─────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("door", ["load", "run"])
def test_what_could_not_be_loaded_is_a_warning_once_each(
    letters: Agent, house: Warehouse, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    ids = fill(letters, 3)
    forms = Agent(house.cloud, "Forms")
    forms.add(1)
    house.cloud.hide_agent(forms.id, 403)
    house.cloud.add_raw_item(letters.id, b'"no run"')
    absent = [str(uuid.UUID(int=number, version=4)) for number in (1, 2)]
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        given: dict[str, Any] = {"agents": ["Letters", "Forms"], "run_ids": [ids[0], *absent]}
        house.load(**given) if door == "load" else run(house, **given)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("llama_extract_dlt")]
    for wanted in (*absent, "Forms", "extraction_runs__rejected"):
        assert len([line for line in lines if wanted in line]) == 1, (wanted, lines)
    assert not any(house.cloud.api_key in line for line in lines)


def test_a_load_that_is_well_warns_of_nothing(
    letters: Agent, house: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    fill(letters, 12)
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        run(house, page_size=5)
        house.load(page_size=5, full_scan=True)
    assert [record for record in caplog.records if record.name.startswith("llama_extract_dlt")] == []


def test_a_list_that_cannot_be_believed_is_a_warning(
    letters: Agent, house: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    fill(letters, 6)
    house.load()
    lie_about({letters: empty})
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        run(house, full_scan=True)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("llama_extract_dlt")]
    assert len([line for line in lines if "Letters" in line]) == 1, lines
