"""A list that lies about its length, its place or that it is empty: nothing is missed, nothing deleted."""

from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Agent, Json, fill
from support.command import Command
from support.lies import capped, empty, ignores_skip, lie_about, one_too_many
from support.truth import assert_nothing_doubled, assert_nothing_flagged, assert_true, deleted, honest
from support.warehouse import Warehouse


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


def twice(document: Json, skip: int) -> Json:
    """An item twice, the second time in place of the one before it."""
    items = document["items"]
    return document | {"items": [items[0], items[2], *items[2:]]}


@pytest.mark.parametrize("place", [0, 4, 8])
def test_runs_that_stand_twice_on_one_page_in_place_of_others_are_not_taken_for_all(
    letters: Agent, house: Warehouse, place: int
) -> None:
    fill(letters, 14)
    lie_about({letters: twice}, times=1, of=lambda skip: skip == place)
    assert house.load(page_size=5, full_scan_every=0)["unreadable"] == {}
    assert_true(house)


def short(document: Json, skip: int) -> Json:
    """A page that ends the list, and a total that agrees: what a replica of yesterday may say."""
    return document | {"items": document["items"][:3], "total": skip + 3}


@pytest.mark.parametrize("place", [4, 8])
def test_a_page_that_ends_the_list_with_a_total_of_its_own_is_asked_for_again(
    letters: Agent, house: Warehouse, place: int
) -> None:
    fill(letters, 14)
    lie_about({letters: short}, times=1, of=lambda skip: skip == place)
    house.load(page_size=5, full_scan_every=0)
    assert_true(house)


@pytest.mark.parametrize("place", [4, 8])
def test_a_list_that_ended_too_early_is_read_again_by_the_next_load(
    letters: Agent, house: Warehouse, place: int
) -> None:
    fill(letters, 14)
    lie_about({letters: short}, times=2, of=lambda skip: skip == place)
    house.load(page_size=5, full_scan_every=0)
    assert len(house.rows("extraction_runs")) < 14
    house.cloud.on_answer = None
    house.load(page_size=5, full_scan_every=0)
    assert_true(house)


def test_deletions_while_the_list_is_read_cost_one_request_more(letters: Agent, house: Warehouse) -> None:
    fill(letters, 14)
    gone: list[str] = []

    def delete_one(document: Json, skip: int) -> Json:
        if not gone:
            gone.extend(letters.delete(12))
        return document

    lie_about({letters: delete_one}, of=lambda skip: skip == 0)
    counts = house.load(page_size=5, full_scan_every=0, max_concurrency=1)
    assert counts["agents"][letters.id]["requests"] == 4 + 1
    assert_true(house)
