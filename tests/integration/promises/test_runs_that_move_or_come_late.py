"""Runs that move to another agent, and runs that come late."""

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import RUNS, START, Agent, fill, stamp
from support.doors import Killed, source_of, sync_killed_after
from support.lies import lie_about
from support.truth import assert_nothing_doubled, assert_nothing_flagged, assert_true, deleted, honest
from support.warehouse import Warehouse, between_packages, loaded_runs

# ── runs that move ──────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── a run that comes late ───────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("packages", [1, 2])
def test_a_late_run_is_found_though_the_look_for_it_was_cut_off(
    letters: Agent, house: Warehouse, packages: int
) -> None:
    fill(letters, 12)
    house.load(page_size=5)
    early = stamp(START)
    late = fill(letters, 1, created_at=early, updated_at=early)[0]
    fill(letters, 9)
    sync_killed_after(house, packages, page_size=5, chunk_size=3)
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
