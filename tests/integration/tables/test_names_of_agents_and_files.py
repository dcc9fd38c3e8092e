"""Runs have the names of their agent and their file, and a new name comes with the next load."""

from collections.abc import Callable
from typing import Any

import pytest

from llama_extract_dlt import plan_sync, sync
from support.agents import Agent, fill
from support.doors import account_of, pipeline_of, run, source_of, sync_killed_after
from support.truth import assert_true, deleted
from support.warehouse import DATA, Warehouse

DOORS: dict[str, Callable[..., Any]] = {
    "sync": Warehouse.load,
    "run": run,
    "another name": lambda house, **given: sync(pipeline_of(house, "another"), source_of(house, **given)),
    "chunks of 1": lambda house, **given: house.load(chunk_size=1, **given),
    "chunks of 2": lambda house, **given: house.load(chunk_size=2, **given),
    "per agent": lambda house, **given: house.load(data_tables="per_agent", **given),
    "full scan": lambda house, **given: house.load(**({"full_scan": True} | given)),
    "never a full scan": lambda house, **given: house.load(full_scan_every=0, **given),
}


def names(house: Warehouse) -> set[str]:
    house.forget()
    return {row["agent_name"] for row in house.rows("extraction_runs")}


def runs(house: Warehouse, *left_out: str) -> dict[str, Any]:
    house.forget()
    return {
        row["id"]: {name: value for name, value in row.items() if name not in left_out}
        for row in house.rows("extraction_runs")
    }


def children(house: Warehouse) -> Any:
    house.forget()
    return {
        table: rows for table, rows in house.content().items() if table.startswith(("extraction_runs__", "letters"))
    }


def test_runs_have_the_names_of_their_agents_and_files(letters: Agent, house: Warehouse) -> None:
    forms = Agent(house.cloud, "Forms 2026 (é)")
    file = {"id": "6f1b0c52-8d1e-4c77-9a30-5a0f4be1c0d1", "name": "Brief, 1.pdf", "project_id": house.cloud.project_id}
    (with_file,) = letters.add(1, file_id=file["id"], file=file)
    (without,) = forms.add(1)
    (failed,) = forms.add(1, "ERROR", data=None)
    house.load()
    found = {row["id"]: (row["agent_name"], row["file_name"]) for row in house.rows("extraction_runs")}
    assert found[with_file] == ("Letters", "Brief, 1.pdf")
    assert found[without] == found[failed] == ("Forms 2026 (é)", None)


def test_the_name_of_a_file_that_is_looked_up_is_there(letters: Agent, house: Warehouse) -> None:
    file = {"id": "6f1b0c52-8d1e-4c77-9a30-5a0f4be1c0d1", "name": "named.pdf", "project_id": house.cloud.project_id}
    letters.add(1, file_id=file["id"], file=file)
    (only_id,) = letters.add(1, file_id=file["id"], file=None)
    house.load()
    (row,) = [row for row in house.rows("extraction_runs") if row["id"] == only_id]
    (record,) = [row for row in house.rows("extraction_runs__file") if row["_run_id"] == only_id]
    assert row["file_name"] == record["name"] is not None


@pytest.mark.parametrize("door", DOORS)
def test_a_renamed_agents_runs_have_the_new_name_with_the_next_load(
    letters: Agent, house: Warehouse, door: str
) -> None:
    load = DOORS[door]
    fill(letters, 5)
    fill(Agent(house.cloud, "Others"), 2)
    load(house)
    letters.delete(1)
    load(house, full_scan=True)
    flagged = deleted(house)
    before, below = runs(house, "agent_name", "_dlt_load_id"), children(house)
    house.cloud.rename_agent(letters.id, "Briefe")
    load(house)
    assert names(house) == {"Briefe", "Others"}
    assert {row["agent_name"] for row in house.rows("extraction_runs") if row["id"] in flagged} == {"Briefe"}
    assert (runs(house, "agent_name", "_dlt_load_id"), children(house)) == (before, below)
    assert len(flagged) == 1
    once = runs(house)
    load(house)
    if door != "full scan":
        assert runs(house) == once
    assert names(house) == {"Briefe", "Others"}


def test_the_runs_of_other_agents_are_not_written_by_a_new_name(letters: Agent, house: Warehouse) -> None:
    others = fill(Agent(house.cloud, "Others"), 2)
    fill(letters, 2)
    house.load()
    before = {run_id: row for run_id, row in runs(house).items() if run_id in others}
    house.cloud.rename_agent(letters.id, "Briefe")
    house.load()
    assert {run_id: row for run_id, row in runs(house).items() if run_id in others} == before


@pytest.mark.parametrize("door", ["sync", "run", "chunks of 1", "full scan"])
def test_what_happens_to_runs_in_the_load_that_brings_the_name_is_right(
    letters: Agent, house: Warehouse, door: str
) -> None:
    load = DOORS[door]
    others = Agent(house.cloud, "Others")
    ids = fill(letters, 8)
    (pending,) = letters.add(1, "PENDING")
    load(house)
    house.cloud.rename_agent(letters.id, "Briefe")
    letters.edit(ids[7])
    house.cloud.move_run(ids[6], others.id, touch=True)
    letters.finish(pending)
    house.cloud.delete_run(ids[0])
    fill(letters, 2)
    load(house)
    by_id = {letters.id: "Briefe", others.id: "Others"}
    assert [row for row in runs(house).values() if row["agent_name"] != by_id[row["extraction_agent_id"]]] == []
    load(house, full_scan=True)
    assert_true(house)
    assert deleted(house) == {ids[0]}
    assert names(house) == {"Briefe", "Others"}
    assert runs(house)[ids[6]]["agent_name"] == "Others"


@pytest.mark.parametrize("deleted_runs", ["flag", "remove", "ignore"])
def test_a_full_scan_that_brings_the_name_finds_the_deleted_runs(
    letters: Agent, house: Warehouse, deleted_runs: str
) -> None:
    ids = fill(letters, 4)
    house.load(deleted_runs=deleted_runs)
    house.cloud.rename_agent(letters.id, "Briefe")
    house.cloud.delete_run(ids[1])
    house.load(full_scan=True, deleted_runs=deleted_runs)
    found = runs(house)
    assert names(house) == {"Briefe"}
    assert (ids[1] in found) == (deleted_runs != "remove")
    assert deleted(house) == ({ids[1]} if deleted_runs == "flag" else set())
    assert len(house.rows(DATA)) == len(found)


@pytest.mark.parametrize("between", ["run_ids", "another agent", "a window", "a dry run", "a dead agent"])
def test_a_load_in_between_does_not_keep_the_name_away(letters: Agent, house: Warehouse, between: str) -> None:
    ids = fill(letters, 4)
    fill(Agent(house.cloud, "Others"), 1)
    house.load()
    house.cloud.rename_agent(letters.id, "Briefe")
    if between == "a dead agent":
        house.cloud.hide_agent(letters.id)
        house.load()
        house.cloud.hide_agent(letters.id, None)
    elif between == "a dry run":
        plan_sync(house.pipeline, **account_of(house))
    else:
        chosen = {"run_ids": ids[:1]} if between == "run_ids" else {"agents": ["Others"]}
        house.load(**({"since": "2031-01-01"} if between == "a window" else chosen))
    house.load()
    assert names(house) == {"Briefe", "Others"}
    assert_true(house)


def test_a_name_that_changes_twice_and_back_is_the_last_one(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    house.load()
    for name in ("Briefe", "Letters", "Lettres", "Letters"):
        house.cloud.rename_agent(letters.id, name)
        house.load()
        assert names(house) == {name}
    assert_true(house)


def test_two_agents_that_change_their_names_with_each_other(letters: Agent, house: Warehouse) -> None:
    others = Agent(house.cloud, "Others")
    fill(letters, 2)
    fill(others, 2)
    house.load()
    house.cloud.rename_agent(letters.id, "Others")
    house.cloud.rename_agent(others.id, "Letters")
    run(house)
    assert_true(house)


@pytest.mark.parametrize("packages", [1, 2, 3])
def test_a_load_that_was_killed_while_it_brought_the_name_is_made_good(
    letters: Agent, house: Warehouse, packages: int
) -> None:
    ids = fill(letters, 5)
    house.load()
    house.cloud.rename_agent(letters.id, "Briefe")
    letters.edit(ids[4])
    fill(letters, 4)
    sync_killed_after(house, packages, chunk_size=2)
    house.load()
    assert names(house) == {"Briefe"}
    house.load(full_scan=True)
    assert_true(house)


def test_the_tables_of_a_renamed_agent_keep_their_names(letters: Agent, house: Warehouse) -> None:
    fill(letters, 2)
    house.load(data_tables="per_agent")
    house.cloud.rename_agent(letters.id, "Briefe")
    fill(letters, 1)
    house.load(data_tables="per_agent")
    assert names(house) == {"Briefe"}
    assert "briefe" not in house.tables()
    assert_true(house, {letters.id: "letters"})
