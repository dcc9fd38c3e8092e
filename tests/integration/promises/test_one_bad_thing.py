"""One bad page, list or run stops nothing else."""

import json
from collections import Counter
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import RUNS, Agent, Json, fill
from support.truth import assert_nothing_flagged, assert_true, honest
from support.warehouse import (
    Warehouse,
)


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
