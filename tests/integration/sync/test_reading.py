"""Lists that change while they are read, and loads in chunks that break off."""

from collections.abc import Callable
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Act, Agent
from support.listing import found, load_disturbed, load_in_part, missed, requests_of, there
from support.warehouse import DATA, Warehouse

# ── lists that change while they are read ───────────────────────────────────────────────────────────────────────────


def replace(agent: Agent) -> None:
    agent.delete(0, 3)
    agent.add(2)


DISTURBANCES: dict[str, tuple[int, Act]] = {
    "a run is added as the load begins": (0, lambda agent: agent.add(1)),
    "the newest is deleted as the load begins": (0, lambda agent: agent.delete(0)),
    "a run is added": (1, lambda agent: agent.add(1)),
    "as many runs are added as a page has": (2, lambda agent: agent.add(5)),
    "more runs are added than a page has": (1, lambda agent: agent.add(7)),
    "the newest run is deleted": (1, lambda agent: agent.delete(0)),
    "the three newest runs are deleted": (2, lambda agent: agent.delete(0, 1, 2)),
    "the whole first page is deleted": (1, lambda agent: agent.delete(0, 1, 2, 3, 4)),
    "all that was read is deleted": (2, lambda agent: agent.delete(*range(9))),
    "what pages have in common is deleted": (2, lambda agent: agent.delete(8)),
    "that and the next run are deleted": (1, lambda agent: agent.delete(4, 5)),
    "the oldest run is deleted": (1, lambda agent: agent.delete(-1)),
    "one run is deleted and one added": (2, lambda agent: (agent.delete(2), agent.add(1))),
    "two runs are deleted and two added": (1, replace),
    "all but the oldest run are deleted": (2, lambda agent: agent.delete(*range(16))),
    "a run is deleted before the last page": (3, lambda agent: agent.delete(5)),
}


@pytest.mark.parametrize("history", [0, 10], ids=["first", "later"])
def test_no_run_is_missed_when_a_list_changes_while_it_is_read(cloud: Emulator, house: Warehouse, history: int) -> None:
    acts = {Agent(cloud, name): act for name, act in DISTURBANCES.items()}
    for agent in acts:
        agent.add(history)
    if history:
        house.load(page_size=5)
    for agent in acts:
        agent.add(17)
    before = there(cloud)
    load_disturbed(house, acts, page_size=5)
    at_once = {
        agent.name: [run["id"] for run in cloud.runs(agent.id) if run["id"] in before.keys() - found(house).keys()]
        for agent in acts
    }
    assert not any(at_once.values()), at_once
    house.load(page_size=5)
    assert missed(house) == {}


@pytest.mark.parametrize(("setting", "value"), [("page_limit", 2), ("order", "shuffled")])
def test_no_run_is_missed_when_the_service_changes_how_it_lists_midway(
    cloud: Emulator, letters: Agent, house: Warehouse, setting: str, value: Any
) -> None:
    cloud.page_limit = 5
    letters.add(17)
    load_disturbed(house, {letters: (2, lambda _: setattr(cloud, setting, value))}, max_concurrency=1)
    assert missed(house) == {}


# ── loads in chunks ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_load_in_chunks_commits_as_it_goes(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(12)
    counts = house.load(page_size=5, chunk_size=3)
    assert counts["runs"]["new"] == 12
    assert house.sql("select count(*) >= 4 from _dlt_loads where status = 0") == [(True,)]
    assert house.sql("select max(n) from (select count(*) n from extraction_runs group by _dlt_load_id)") == [(3,)]
    assert missed(house) == {}


def test_chunks_of_a_first_load_are_appended_and_those_of_later_ones_merged(letters: Agent, house: Warehouse) -> None:
    def dispositions() -> set[str | None]:
        tables = house.pipeline.default_schema.tables
        return {tables[name].get("write_disposition") for name in ("extraction_runs", DATA)}

    letters.add(7)
    house.load(chunk_size=3)
    assert dispositions() == {"append"}
    letters.edit(letters.add(7)[0])
    house.load(chunk_size=3)
    assert dispositions() == {"merge"}
    assert missed(house) == {}


@pytest.mark.parametrize(("runs", "sizes"), [(12, {"page_size": 5, "chunk_size": 3}), (1000, {})])
def test_nothing_is_read_again_after_a_load_of_many_batches(
    letters: Agent, house: Warehouse, runs: int, sizes: dict[str, int]
) -> None:
    letters.add(runs)
    house.load(**sizes)
    assert missed(house) == {}
    assert requests_of(house, **sizes) == {"Letters": 1, "Default": 1}


MEANWHILE: dict[str, Act] = {
    "two pages of runs are added": lambda agent: agent.add(12),
    "some that were read are deleted": lambda agent: agent.delete(1, 2, 4),
    "a page of runs and some are added": lambda agent: agent.add(6),
    "a page of runs and some are deleted": lambda agent: agent.delete(*range(10, 18)),
}


@pytest.mark.parametrize("names", [list(MEANWHILE)[:2], list(MEANWHILE)[2:]], ids=["little", "much"])
def test_a_first_load_that_failed_goes_on_where_it_was_even_on_another_machine(
    cloud: Emulator, house: Warehouse, elsewhere: Callable[[Warehouse], Warehouse], names: list[str]
) -> None:
    agents = {Agent(cloud, name): MEANWHILE[name] for name in names}
    for number, agent in enumerate(agents, 1):
        agent.add(100)
        load_in_part(house, 22, agents=[agent.name], chunk_size=40)
        assert len(found(house)) >= 80 * number
    house = elsewhere(house)
    for agent, act in agents.items():
        act(agent)
    house.load(page_size=5)
    assert missed(house) == {}
    requests = {agent.name: len(agent.offsets()) for agent in agents}
    assert max(requests.values()) <= 15, requests  # the whole list takes 23 to 28


def test_a_later_load_that_failed_goes_on_where_it_was_even_on_another_machine(
    letters: Agent, house: Warehouse, elsewhere: Callable[[Warehouse], Warehouse]
) -> None:
    (in_flight,) = letters.add(status="PENDING")
    letters.add(9)
    house.load(page_size=5)
    letters.finish(in_flight)
    letters.add(60)
    load_in_part(house, 12, chunk_size=30)
    assert len(found(house)) >= 10 + 30
    house = elsewhere(house)
    letters.add(1)
    house.load(page_size=5, chunk_size=40)
    assert missed(house) == {}
    assert letters.offsets()[:2] == [0, max(letters.offsets()[1], 24)]
    assert len(letters.offsets()) <= 11  # down to what was known before it takes 16


@pytest.mark.parametrize("places", [range(2, 11), range(2, 13)], ids=["one-run-is-left", "nothing-is-left"])
def test_a_load_that_failed_near_the_end_goes_on_though_many_were_deleted(
    letters: Agent, house: Warehouse, elsewhere: Callable[[Warehouse], Warehouse], places: range
) -> None:
    letters.add(22)
    load_in_part(house, 4, chunk_size=16)
    house = elsewhere(house)
    letters.delete(*places)
    house.load(page_size=5)
    assert missed(house) == {}


def test_every_load_that_fails_comes_further(
    letters: Agent, house: Warehouse, elsewhere: Callable[[Warehouse], Warehouse]
) -> None:
    letters.add(60)
    for loaded in (20, 30):
        load_in_part(house, 6, chunk_size=10)
        assert len(found(house)) >= loaded
        letters.add(1)
        house = elsewhere(house)
    house.load(page_size=5)
    assert missed(house) == {}
    assert letters.offsets()[1] >= 24


def test_a_chunk_is_committed_though_what_comes_after_it_fails(letters: Agent, house: Warehouse) -> None:
    letters.add(20)
    load_in_part(house, 3, chunk_size=5)  # which are 13 runs
    assert len(found(house)) == 10
