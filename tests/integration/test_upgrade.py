"""A dataset that the version before has loaded is loaded on, without a refresh.

`data/loaded_by_the_version_before.zip` is such a dataset, exported from DuckDB: 24 runs of the emulator with seed 7,
loaded by the source as it was before it was divided into rooms. `service.json` in it has these runs and their agents,
as they were served then, so that the emulator may make up others.
"""

from collections.abc import Callable, Iterator

import pytest

from llama_cloud_emulator import Emulator
from support.before import restore, served
from support.truth import assert_true, deleted
from support.warehouse import Warehouse


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with served() as cloud:
        yield cloud


@pytest.fixture
def house(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    house = warehouse(cloud)
    restore(house.path)
    return house


def test_what_the_version_before_remembered_still_holds(cloud: Emulator, house: Warehouse) -> None:
    counts = house.load(full_scan_every=0, lookup_files=False)  # else one is due a week later
    assert not any(counts["runs"][kind] for kind in ("new", "updated", "deleted", "rejected", "missing"))
    assert counts["requests"] == 1 + len(counts["agents"])  # a page each, no full scan


def test_what_has_changed_since_the_version_before_is_loaded(cloud: Emulator, house: Warehouse) -> None:
    agent = cloud.agents()[0]["id"]
    new = cloud.add_run(agent)["id"]
    edited, gone = [run["id"] for run in cloud.runs() if run["status"] == "SUCCESS" and run["id"] != new][:2]
    cloud.edit_run(edited, True, data={"total": 1.5, "line_items": [{"description": "after the upgrade"}]})
    cloud.delete_run(gone)
    assert house.load(full_scan_every=0, lookup_files=False)["runs"]["new"] == 1
    house.load(full_scan=True, lookup_files=False)
    house.forget()
    assert deleted(house) == {gone}
    house.load(rewrite=True, lookup_files=False)
    assert_true(house)  # the deleted run has the name of its agent, too


def test_a_full_scan_finds_what_the_version_before_wrote_unchanged(cloud: Emulator, house: Warehouse) -> None:
    counts = house.load(full_scan=True, lookup_files=False)
    assert (counts["runs"]["unchanged"], counts["runs"]["updated"]) == (len(cloud.runs()), 0)


def test_new_columns_come_with_the_next_load_and_are_filled_by_writing_all_again(
    cloud: Emulator, house: Warehouse
) -> None:
    house.load(full_scan_every=0, lookup_files=False)
    assert {row["data_value"] for row in house.rows("extraction_runs__field_metadata")} == {None}
    assert {row["agent_name"] for row in house.rows("extraction_runs")} == {None}
    assert house.rows("extraction_runs__rejected") == []
    assert "extraction_runs__rejected" in house.tables()
    counts = house.load(rewrite=True, lookup_files=False)
    assert (counts["runs"]["unchanged"], counts["runs"]["updated"]) == (0, len(cloud.runs()))
    assert_true(house)
