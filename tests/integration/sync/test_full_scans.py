"""Edits and deletions that only a full scan sees."""

from datetime import UTC, datetime
from typing import Any

from llama_cloud_emulator import Emulator
from support.agents import Agent
from support.listing import found, load_disturbed, load_in_part, missed, pages, requests_of, there
from support.truth import deleted
from support.warehouse import DATA, Warehouse


def test_edits_of_old_runs_are_found_by_a_full_scan(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    touched, untouched = letters.add(12)[2:4]
    house.load(page_size=5)
    before = found(house)
    letters.edit(touched)
    letters.edit(untouched, touch=False)
    house.load(page_size=5)
    assert found(house) == before
    counts = house.load(page_size=5, full_scan=True)
    assert missed(house) == {}
    assert (counts["runs"]["new"], counts["runs"]["updated"], counts["runs"]["unchanged"]) == (0, 2, 10)
    assert counts["tables"] == {"extraction_runs": 2, DATA: 2}


def test_an_edit_of_a_run_on_the_first_page_is_found_at_once(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    ids = letters.add(12)
    house.load(page_size=5)
    letters.edit(ids[-4])
    assert house.load(page_size=5)["runs"]["updated"] == 1
    assert missed(house) == {}


def test_a_full_scan_of_unchanged_runs_writes_nothing(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(11)
    letters.add(2, "PENDING")
    house.load(page_size=5)
    rows = house.rows("extraction_runs")
    counts = house.load(page_size=5, full_scan=True)
    assert counts["tables"] == {}
    assert counts["runs"]["unchanged"] == 13
    assert house.rows("extraction_runs") == rows


def test_a_full_scan_happens_by_itself_when_it_is_due(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    edited = letters.add(12)[1]
    house.load(page_size=5, full_scan_every=0)
    before = found(house)
    letters.edit(edited)
    gone = letters.delete(-1)
    assert requests_of(house, page_size=5, full_scan_every=0)["Letters"] == 1
    assert requests_of(house, page_size=5, full_scan_every=7)["Letters"] == 1
    assert found(house) == before
    # One more for the run that the list has not, and one for the list: does the service still show the agent's runs?
    assert requests_of(house, page_size=5, full_scan_every=1e-9)["Letters"] == pages(11, 5) + 2
    assert found(house) == there(cloud)
    assert deleted(house) == set(gone)


RICH: dict[str, Any] = {
    "config": {"extraction_mode": "FAST", "priority": None, "page_range": "1-2"},
    "data": {"n": 1, "lines": [{"n": 2}, {"n": 3}]},
    "error": "a 'quoted' line\nand another \\ ü",
    "extraction_metadata": {"usage": {"num_pages_extracted": 3}, "notes": {"b": [1, 2.5], "a": None}},
    "labels": ["a", "ü", None],
    "routing": {"queue": {"cost": 1.1, "big": 12345678901234567890}, "text": 'say "x"'},
    "score": 0.1,
    "attempts": 9007199254740993,
    "urgent": True,
    "created_at": "2025-01-01T03:00:00.123456+02:00",
}


def test_a_deleted_run_is_flagged_and_all_else_stays_as_it_was(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    def rows() -> dict[str, dict[str, Any]]:
        changing = ("_deleted_at", "_dlt_load_id")
        all_rows = house.rows("extraction_runs")
        return {row["id"]: {name: row[name] for name in row if name not in changing} for row in all_rows}

    def children() -> dict[str, Any]:
        return {table: content for table, content in house.content().items() if table != "extraction_runs"}

    gone = letters.add(**RICH) + letters.add(2)
    letters.add(9)
    house.load(page_size=5)
    rows_before, children_before = rows(), children()
    for run_id in gone:
        cloud.delete_run(run_id)
    began = datetime.now(UTC)
    counts = house.load(page_size=5, full_scan=True)
    assert counts["runs"]["deleted"] == 3
    assert deleted(house) == set(gone)
    assert rows() == rows_before
    assert children() == children_before
    flagged = {row["id"]: row["_deleted_at"] for row in house.rows("extraction_runs")}
    assert all(began <= flagged[run_id] <= datetime.now(UTC) for run_id in gone)
    assert house.load(page_size=5, full_scan=True)["runs"]["deleted"] == 0
    assert {row["id"]: row["_deleted_at"] for row in house.rows("extraction_runs")} == flagged


def test_a_deleted_run_can_be_removed_from_every_table(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    (gone, kept) = letters.add(2, **RICH)
    letters.add(9)
    house.load(page_size=5)

    def rows_of(run_id: str) -> dict[str, int]:
        ids = [(table, row.get("_run_id", row.get("id"))) for table in house.tables() for row in house.rows(table)]
        return {table: ids.count((table, run_id)) for table in house.tables() if (table, run_id) in ids}

    whole = {"extraction_runs": 1, "extraction_runs__config": 1, DATA: 1, f"{DATA}__lines": 2}
    assert rows_of(gone) == rows_of(kept) == whole
    cloud.delete_run(gone)
    counts = house.load(page_size=5, full_scan=True, deleted_runs="remove")
    assert counts["runs"]["deleted"] == 1
    assert rows_of(gone) == {}
    assert rows_of(kept) == whole
    assert found(house) == there(cloud)


def test_a_deleted_run_can_be_ignored(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(status="PENDING")
    letters.add(10)
    house.load(page_size=5)
    before = house.content()
    letters.delete(-1, -2)
    assert house.load(page_size=5, deleted_runs="ignore")["runs"]["deleted"] == 0
    assert house.load(page_size=5, full_scan=True, deleted_runs="ignore")["runs"]["deleted"] == 0
    assert house.content() == before


def test_a_run_that_appears_again_is_no_longer_flagged(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(10)
    house.load(page_size=5)
    run = cloud.runs(letters.id)[-1]
    gone = letters.delete(-1)
    house.load(page_size=5, full_scan=True)
    assert deleted(house) == set(gone)
    cloud.add_run(letters.id, **run)
    house.load(page_size=5)
    assert deleted(house) == set()
    assert found(house) == there(cloud)


def test_a_deletion_is_seen_at_once_where_all_runs_are_on_one_page(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(8)
    house.load()
    gone = letters.delete(4)
    letters.add(1)
    house.load()
    assert deleted(house) == set(gone)
    assert found(house) == there(cloud)


def test_a_full_scan_that_fails_half_way_flags_nothing(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    edited = letters.add(18)[6:16]
    house.load(page_size=5)
    for run_id in edited:
        letters.edit(run_id)
    gone = letters.delete(0, 1, 17)
    before = found(house)
    load_in_part(house, 3, full_scan=True, chunk_size=3)
    assert found(house) != before, "nothing was committed"
    assert deleted(house) == set()
    house.load(page_size=5, full_scan=True, chunk_size=9)
    assert deleted(house) == set(gone)
    assert found(house) == there(cloud)


def test_a_run_that_moves_while_everything_is_scanned_is_not_taken_for_deleted(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    ids = letters.add(18)
    house.load(page_size=5)

    def move(agent: Agent) -> None:
        agent.delete(-1, -2)
        cloud.edit_run(ids[3], False, created_at=agent.tick())

    load_disturbed(house, {letters: (2, move)}, page_size=5, full_scan=True, max_concurrency=1)
    assert deleted(house) <= set(ids[:2])
    house.load(page_size=5, full_scan=True)
    assert deleted(house) == set(ids[:2])
    assert found(house) == there(cloud)
