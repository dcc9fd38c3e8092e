"""Agents that come, go, and are chosen; orders of their lists; times that are missing or odd."""

from datetime import timedelta
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import RUNS, START, Agent, stamp
from support.listing import found, load_disturbed, missed, pages, requests_of, there
from support.truth import deleted
from support.warehouse import Warehouse

# ── agents ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_agents_that_are_selected_or_added_later_get_their_whole_history(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(16)
    forms = Agent(cloud, "Forms")
    forms.add(16)
    house.load(page_size=5, agents=["Letters"])
    added = Agent(cloud, "Added")
    added.add(11)
    assert added.time < forms.time == letters.time
    expected = {"Letters": 1, "Default": 1, "Forms": pages(16, 5), "Added": pages(11, 5)}
    assert requests_of(house, page_size=5) == expected
    assert missed(house) == {}


def test_an_agent_that_is_renamed_keeps_its_history(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(8)
    house.load(page_size=5)
    cloud.rename_agent(letters.id, "Mail")
    letters.add(1)
    assert requests_of(house, page_size=5) == {"Mail": 1, "Default": 1}
    assert missed(house) == {}
    assert {row["name"] for row in house.rows("extraction_agents")} == {"Mail", "Default"}


def test_agents_whose_runs_are_not_shown_are_reported_and_the_rest_loads(cloud: Emulator, house: Warehouse) -> None:
    hidden = {Agent(cloud, str(status)): status for status in (403, 404)}
    in_flight = {agent: agent.add(status="PENDING")[0] for agent in hidden}
    forms = Agent(cloud, "Forms")
    for agent in (*hidden, forms):
        agent.add(8)
    house.load(page_size=5)
    before = there(cloud)
    for agent, status in hidden.items():
        cloud.hide_agent(agent.id, status)
    new = forms.add(3)
    counts = house.load(page_size=5, full_scan=True)
    assert counts["unreadable"].keys() == {agent.id for agent in hidden}
    assert all(str(status) in counts["unreadable"][agent.id] for agent, status in hidden.items())
    assert found(house) == before | {run_id: there(cloud)[run_id] for run_id in new}
    assert counts["runs"]["deleted"] == 0
    for agent in hidden:
        agent.add()
        agent.finish(in_flight[agent])
        cloud.hide_agent(agent.id, None)
    assert requests_of(house, page_size=5) == {"403": 2, "404": 2, "Forms": 1, "Default": 1}
    assert missed(house) == {}


def test_an_agent_that_is_hidden_while_its_list_is_read_loses_no_runs(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(18)
    house.load(page_size=5)
    before = found(house)
    letters.delete(0)
    act = (2, lambda agent: cloud.hide_agent(agent.id, 404))
    counts = load_disturbed(house, {letters: act}, page_size=5, full_scan=True)
    assert list(counts["unreadable"]) == [letters.id]
    assert found(house) == before


def test_a_run_in_flight_of_an_agent_that_is_just_being_hidden_is_not_taken_for_deleted(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    (run_id,) = letters.add(status="PENDING")
    letters.add(8)
    house.load(page_size=5)

    def hide(method: str, path: str, query: dict[str, list[str]]) -> None:
        if path == f"{RUNS}/{run_id}":
            cloud.hide_agent(letters.id, 404)

    cloud.on_request = hide
    counts = house.load(page_size=5)
    assert list(counts["unreadable"]) == [letters.id]
    assert deleted(house) == set()
    cloud.on_request = None
    cloud.hide_agent(letters.id, None)
    letters.finish(run_id)
    house.load(page_size=5)
    assert missed(house) == {}


def test_runs_of_a_deleted_agent_are_flagged_by_a_full_scan_of_the_project(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(3)
    forms = Agent(cloud, "Forms")
    gone = set(forms.add(7))
    house.load()
    cloud.delete_agent(forms.id)
    house.load()
    house.load(agents=["Letters"], full_scan=True)
    assert deleted(house) == set()
    counts = house.load(full_scan=True)
    assert deleted(house) == gone
    assert counts["runs"]["deleted"] == counts["agents"][forms.id]["deleted"] == 7
    assert found(house) == there(cloud)


def test_an_agent_of_another_project_is_not_taken_for_deleted(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(3)
    elsewhere = {"project_id": "0d9a3a6e-5a0e-4bd3-8e5c-0f6f6cf2d0aa"}
    other = Agent(cloud, "Other", **elsewhere)
    other.add(4, **elsewhere)
    house.load()
    before = found(house)
    cloud.delete_agent(other.id)
    assert house.load(full_scan=True)["runs"]["deleted"] == 0
    assert found(house) == before


def test_agents_that_are_there_though_not_listed_are_not_taken_for_deleted(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    forms, hidden = Agent(cloud, "Forms"), Agent(cloud, "Hidden")
    for agent in (letters, forms, hidden):
        agent.add(3)
    house.load()
    listed = [agent for agent in cloud.agents() if agent["id"] == letters.id]
    cloud.fail(path="/extraction-agents", status=200, body=listed)
    cloud.hide_agent(hidden.id, 403)
    counts = house.load(full_scan=True)
    assert counts["runs"]["deleted"] == 0
    assert {agent.name: counts["agents"][agent.id]["requests"] for agent in (forms, hidden)} == {
        "Forms": 1,
        "Hidden": 1,
    }
    assert found(house) == there(cloud)


# ── the order of run lists ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(("order", "page_size"), [("oldest", 1), ("oldest", 5), ("shuffled", 5)])
def test_everything_is_found_whatever_the_order_of_lists(
    cloud: Emulator, letters: Agent, house: Warehouse, order: str, page_size: int
) -> None:
    cloud.order = order
    letters.add(6)
    (run_id,) = letters.add(status="PENDING")
    letters.add(6)
    house.load(page_size=page_size)
    assert missed(house) == {}
    letters.finish(run_id)
    for _ in range(2):
        gone = letters.delete(8)  # so that the list is as long as before
        letters.add(1)
        house.load(page_size=page_size)
        assert missed(house) == {}
        assert deleted(house) >= set(gone)


def test_everything_is_found_when_the_order_of_lists_changes(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(6, created_at=stamp(START), updated_at=stamp(START))
    letters.add(12)
    house.load(page_size=5)
    for order in ("oldest", "newest"):
        cloud.order = order
        letters.delete(8, 9, 10)  # so that the list is as long as before
        letters.add(3)
        house.load(page_size=5)
        assert missed(house) == {}


# ── timestamps ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_odd_times_hide_no_runs(cloud: Emulator, house: Warehouse) -> None:
    cloud.page_limit = 5
    odd: dict[str, dict[str, Any]] = {
        "no updated_at": {"updated_at": None},
        "no created_at": {"created_at": None},
        "no times": {"updated_at": None, "created_at": None},
        "broken times": {"updated_at": "yesterday", "created_at": ""},
        "equal times": {"updated_at": "2025-06-01T00:00:00Z", "created_at": "2025-06-01T00:00:00Z"},
        "updated in the future": {"updated_at": "2999-01-01T00:00:00Z"},
        "all in the future": {"updated_at": "2999-01-01T00:00:00Z", "created_at": "2999-01-01T00:00:00Z"},
    }
    agents = {Agent(cloud, name): times for name, times in odd.items()}
    in_flight = {}
    for agent, times in agents.items():
        agent.add(7, **times)
        (in_flight[agent],) = agent.add(status="PENDING", **times)
        agent.add(4)
    house.load()
    assert missed(house) == {}
    for agent, times in agents.items():
        if agent.name == "equal times":
            agent.delete(-1, -2, -3, -4)
        else:
            agent.delete(-1, -2, -3, -4, -5)
            agent.add(1)
        agent.add(4, **times)
        agent.finish(in_flight[agent], **times)
    counts = house.load()
    assert missed(house) == {}
    for agent in agents:
        new = 4 if agent.name == "equal times" else 5
        assert (counts["agents"][agent.id]["new"], counts["agents"][agent.id]["updated"]) == (new, 1), agent.name
    assert house.load()["tables"] == {}


def test_runs_that_appear_late_among_older_ones_are_found(cloud: Emulator, house: Warehouse) -> None:
    late = {}
    for minutes in (5, 30, 15 * 60):
        for newer in (0, 2):
            agent = Agent(cloud, f"{minutes} minutes before the newest, with {newer} newer ones")
            agent.add(20)
            late[agent] = (stamp(agent.time - timedelta(minutes=minutes)), newer)
    house.load(page_size=5)
    for agent, (time, newer) in late.items():
        agent.add(created_at=time, updated_at=time)
        agent.add(newer)
    counts = house.load(page_size=5)
    assert missed(house) == {}
    assert {agent: counts["agents"][agent.id]["new"] for agent in late} == {
        agent: 1 + newer for agent, (_, newer) in late.items()
    }
    assert {counts["agents"][agent.id]["requests"] for agent in late if agent.name.startswith("5 ")} == {1}


@pytest.mark.parametrize(("place", "gone"), [(1, [-1]), (-1, [])], ids=["near-the-top", "at-the-end"])
def test_a_run_without_a_time_of_creation_hides_none_that_appear_late(
    cloud: Emulator, letters: Agent, house: Warehouse, place: int, gone: list[int]
) -> None:
    letters.add(20)
    cloud.edit_run(cloud.runs(letters.id)[place]["id"], False, created_at=None)
    house.load(page_size=5)
    late = stamp(letters.time - timedelta(hours=15))
    letters.add(created_at=late, updated_at=late)
    letters.delete(*gone)
    counts = house.load(page_size=5)
    assert missed(house) == {}
    assert counts["runs"]["new"] == 1
