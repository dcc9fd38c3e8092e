"""`rewrite` writes every run again, and repairs what somebody did to the tables."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Agent, fill
from support.command import Command
from support.doors import killed_run, query, run, sync_killed_after
from support.tables import assert_same, everything
from support.truth import assert_true, deleted
from support.warehouse import DATA, METADATA, Warehouse

DAMAGES = {
    "values": f"update {DATA} set n = 12345",
    "nulls": f"update {DATA} set n = null",
    "child rows": f"delete from {DATA}__items",
    "one child row": f"delete from {DATA}__items where _dlt_list_idx = 1",
    "all children": f"delete from {DATA}; delete from {DATA}__items; delete from {METADATA}",
    "doubled": f"insert into {DATA}__items select * from {DATA}__items",
    "names": "update extraction_runs set agent_name = null, file_name = 'x', status = 'LOST'",
    "metadata": f"update {METADATA} set data_value = null, data_table = null, data_column = null, confidence = 0.1",
    "citations": f"update {METADATA}__citation set page = 9; delete from {METADATA}__citation where _dlt_list_idx = 0",
    "settings": "update extraction_runs__config set extraction_mode = null",
    "runs": "delete from extraction_runs",
    "hashes": "update extraction_runs set _content_hash = 'x', _child_rows = 0",
}


def test_what_somebody_did_to_the_tables_is_repaired(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    house.load()
    wanted = everything(house)
    for damage, statements in DAMAGES.items():
        query(house, statements)
        assert everything(house) != wanted, damage
        print(f"after damage to {damage}:")
        house.load(rewrite=True)
        assert_same(wanted, everything(house))
        assert_true(house)


WAYS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "sync": (Warehouse.load, {}),
    "run": (run, {}),
    "chunks of 1": (Warehouse.load, {"chunk_size": 1}),
    "small pages": (Warehouse.load, {"page_size": 2, "chunk_size": 3}),
    "a window": (Warehouse.load, {"since": "2020-01-01"}),
    "with a full scan": (Warehouse.load, {"full_scan": True}),
    "never a full scan": (Warehouse.load, {"full_scan_every": 0}),
}


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
def test_what_was_right_is_written_again_and_stays(letters: Agent, house: Warehouse, tables: str) -> None:
    fill(letters, 4)
    fill(Agent(house.cloud, "Others"), 2)
    letters.add(1, "PENDING")
    house.load(data_tables=tables)
    gone = letters.delete(2)[0]
    house.load(full_scan=True, data_tables=tables)
    wanted = everything(house)
    for way, (load, given) in WAYS.items():
        print(f"{way}:")
        before = {row["id"]: row["_dlt_load_id"] for row in house.rows("extraction_runs")}
        counts = load(house, rewrite=True, data_tables=tables, **given)
        assert (counts["runs"]["updated"], counts["runs"]["new"], counts["runs"]["unchanged"]) == (6, 0, 0)
        assert_same(wanted, everything(house))
        after = {row["id"]: row["_dlt_load_id"] for row in house.rows("extraction_runs")}
        assert {run_id for run_id in after if after[run_id] == before[run_id]} <= {gone}
        assert deleted(house) == {gone}


def test_runs_that_are_asked_for_are_repaired_and_no_others(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    house.load()
    query(house, f"update {DATA} set n = 12345")
    assert house.load(run_ids=ids[:2], rewrite=True)["runs"]["updated"] == 2
    found = {row["_run_id"]: row["n"] for row in house.rows(DATA)}
    assert [found[run_id] == 12345 for run_id in ids] == [False, False, True, True]


def test_only_the_runs_of_a_window_are_repaired(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    house.load()
    query(house, f"update {DATA} set n = 12345")
    middle = sorted(one["updated_at"] for one in house.cloud.runs())[2]
    assert house.load(since=middle, rewrite=True)["runs"]["updated"] == 2
    found = {row["_run_id"]: row["n"] for row in house.rows(DATA)}
    assert [found[run_id] == 12345 for run_id in ids] == [True, True, False, False]
    house.load(until=middle, rewrite=True)
    assert_true(house)


def test_only_the_agents_that_are_named_are_repaired(letters: Agent, house: Warehouse) -> None:
    others = Agent(house.cloud, "Others")
    fill(letters, 2)
    ids = fill(others, 2)
    house.load()
    query(house, f"update {DATA} set n = 12345")
    house.load(agents=["Letters"], rewrite=True)
    assert {row["_run_id"] for row in house.rows(DATA) if row["n"] == 12345} == set(ids)
    house.load(agents=["Others"], rewrite=True)
    assert_true(house)


@pytest.mark.parametrize("packages", [1, 2, 3])
@pytest.mark.parametrize("tables", ["shared", "per_agent"])
def test_killed_in_the_middle_and_repeated_it_repairs_all(
    letters: Agent, house: Warehouse, packages: int, tables: str
) -> None:
    fill(letters, 5)
    house.load(data_tables=tables)
    gone = letters.delete(0)
    house.load(full_scan=True, data_tables=tables)
    wanted = everything(house)
    root = "letters" if tables == "per_agent" else DATA
    flagged = f"_run_id <> '{gone[0]}'"
    query(house, f"update {root} set n = 12345 where {flagged}; delete from {root}__items where {flagged}")
    assert sync_killed_after(house, packages, rewrite=True, chunk_size=1, data_tables=tables)
    assert len(house.sql(f"select * from {root}__items")) < 10
    house.load(rewrite=True, chunk_size=2, data_tables=tables)
    assert_same(wanted, everything(house))
    assert deleted(house) == set(gone)


@pytest.mark.parametrize("moment", [2, 8])
def test_a_plain_run_that_is_killed_and_repeated_repairs_all(letters: Agent, house: Warehouse, moment: int) -> None:
    fill(letters, 3)
    run(house)
    wanted = everything(house)
    query(house, f"update {DATA} set n = null; delete from {DATA}__items")
    killed_run(house, moment, rewrite=True)
    run(house, rewrite=True)
    assert_same(wanted, everything(house))


def test_an_edit_and_a_deletion_are_found_as_well(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    house.load()
    letters.edit(ids[0], touch=False)
    house.cloud.delete_run(ids[1])
    fill(letters, 1)
    counts = house.load(rewrite=True)
    assert (counts["runs"]["new"], counts["runs"]["updated"], counts["runs"]["deleted"]) == (1, 3, 1)
    assert_true(house)
    assert deleted(house) == {ids[1]}


def test_the_command_writes_all_again(cloud: Emulator, letters: Agent, tmp_path: Path) -> None:
    ids = fill(letters, 3)
    command = Command(cloud, tmp_path)
    assert command("-q") == (0, "", "")
    house = command.warehouse()
    query(house, f"update {DATA} set n = 12345 where _run_id <> '{ids[0]}'; delete from {DATA}__items")
    assert command("-q") == (0, "", "")
    assert len(house.rows(f"{DATA}__items")) == 0
    assert command("-q", "--rewrite") == (0, "", "")
    assert_true(house)
