"""A run that cannot be read is set aside, told of once, and deletes nothing."""

import json

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Agent, Json, fill
from support.truth import assert_true, deleted, honest
from support.warehouse import (
    DATA,
    Warehouse,
    differences,
    expected_run,
    loaded_runs,
)


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
    agents = {row["extraction_agent_id"] for row in house.rows("extraction_runs__rejected")}
    assert agents == ({letters.id} if not by_id else {letters.id, None})  # of a run by its ID only some tell
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
