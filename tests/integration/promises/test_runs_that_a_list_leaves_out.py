"""Runs that a list leaves out or shows twice, and other runs than those asked for."""

import uuid
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import RUNS, Agent, Json, fill
from support.lies import leave_out, lie_about
from support.truth import assert_nothing_flagged, assert_true, deleted, honest
from support.warehouse import Warehouse, loaded_runs


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
