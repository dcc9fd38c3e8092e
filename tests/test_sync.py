"""What a later load reads: how few requests that takes, and that nothing is missed whatever happened in between."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, llama_extract
from warehouse import DATA, Warehouse

START = datetime(2025, 1, 1, tzinfo=UTC)
RUNS = "/api/v1/extraction/runs"
Act = Callable[["Agent"], object]
Found = dict[str, tuple[str, int | None]]


def stamp(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Agent:
    """An agent whose runs have next to nothing in them. Whatever happens to it happens an hour after the last thing."""

    def __init__(self, cloud: Emulator, name: str = "Letters", **fields: Any) -> None:
        self.cloud = cloud
        self.name = name
        self.id: str = cloud.add_agent(name, {}, **fields)["id"]
        self.hours = 0

    @property
    def time(self) -> datetime:
        """When something happened last."""
        return START + timedelta(hours=self.hours)

    def tick(self) -> str:
        self.hours += 1
        return stamp(self.time)

    def add(self, count: int = 1, status: str = "SUCCESS", **fields: Any) -> list[str]:
        """New runs, one after the other; their ids."""
        ids = []
        for _ in range(count):
            now = self.tick()
            small = {"config": None, "data_schema": None, "extraction_metadata": None, "file_id": None, "job_id": None}
            data = {"n": self.hours} if status not in ("CREATED", "PENDING") else None
            own = {"created_at": now, "updated_at": now, "data": data}
            ids.append(self.cloud.add_run(self.id, status, **(small | own | fields))["id"])
        return ids

    def finish(self, run_id: str, **fields: Any) -> None:
        """A run in flight gets its data."""
        self.cloud.finish_run(run_id, **({"updated_at": self.tick(), "data": {"n": -self.hours}} | fields))

    def edit(self, run_id: str, *, touch: bool = True) -> None:
        """A run gets other data, and with `touch` another `updated_at`."""
        now = self.tick()
        self.cloud.edit_run(run_id, False, **({"updated_at": now} if touch else {}), data={"n": -self.hours})

    def delete(self, *places: int) -> list[str]:
        """The runs at these places of the list are no more; their ids."""
        listed = [run["id"] for run in self.cloud.runs(self.id)]
        ids = [listed[place] for place in places]
        for run_id in ids:
            self.cloud.delete_run(run_id)
        return ids

    def offsets(self) -> list[int]:
        """The offsets at which its list was asked for, in order."""
        lists = [request.query for request in self.cloud.requests if request.path == RUNS]
        return [int(query["skip"][0]) for query in lists if query["extraction_agent_id"] == [self.id]]


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    """A LlamaCloud with nothing but the default agent."""
    with Emulator(runs=0, corpus="invoices") as emulator:
        emulator.delete_agent(emulator.agents()[0]["id"])
        yield emulator


@pytest.fixture
def letters(cloud: Emulator) -> Agent:
    return Agent(cloud)


@pytest.fixture
def house(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    return warehouse(cloud)


@pytest.fixture
def elsewhere(warehouse: Callable[[Emulator], Warehouse]) -> Callable[[Warehouse], Warehouse]:
    """Gives a warehouse to a machine that has never loaded into it."""

    def move(house: Warehouse) -> Warehouse:
        house.pipeline.drop()
        return warehouse(house.cloud)

    return move


def there(cloud: Emulator) -> Found:
    """The runs of the service: status and data of each."""
    return {run["id"]: (run["status"], run["data"] and run["data"]["n"]) for run in cloud.runs()}


def found(house: Warehouse) -> Found:
    """The same from the warehouse; runs that are flagged as deleted are left out."""
    data = {row["_run_id"]: row["n"] for row in house.rows(DATA)}
    rows = [row for row in house.rows("extraction_runs") if row.get("_deleted_at") is None]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: (row["status"], data.get(row["id"])) for row in rows}


def missed(house: Warehouse) -> dict[str, list[str]]:
    """What the warehouse has not, or not as it is at the service, by agent."""
    agents = {agent["id"]: agent["name"] for agent in house.cloud.agents()}
    names = {run["id"]: agents[run["extraction_agent_id"]] for run in house.cloud.runs()}
    loaded, wrong = found(house), dict[str, list[str]]()
    for run_id, run in there(house.cloud).items():
        if loaded.get(run_id) != run:
            wrong.setdefault(names[run_id], []).append(f"{run_id}: {loaded.get(run_id)} instead of {run}")
    return wrong


def deleted(house: Warehouse) -> set[str]:
    """The runs that are flagged as deleted."""
    return {row["id"] for row in house.rows("extraction_runs") if row.get("_deleted_at") is not None}


def asked_by_id(cloud: Emulator) -> set[str]:
    """The runs that were asked for one by one."""
    return {request.path.removeprefix(f"{RUNS}/") for request in cloud.requests if request.path.startswith(f"{RUNS}/")}


def requests_of(house: Warehouse, **arguments: Any) -> dict[str, int]:
    """How many requests a load makes for each agent, by its own count, with which the emulator's agrees."""
    house.cloud.reset_requests()
    counts = house.load(**arguments)
    paths = [request.path for request in house.cloud.requests]
    assert paths.count("/api/v1/extraction/extraction-agents") == 1
    by_agent = {agent["name"]: agent["requests"] for agent in counts["agents"].values()}
    assert counts["requests"] == len(paths) == 1 + sum(by_agent.values())
    return by_agent


def pages(runs: int, size: int) -> int:
    """How many requests a whole run list takes; a page begins with the last item of the one before.

    A list that ends on a full page takes one more: nothing but an answer tells that it ends there.
    """
    full = runs >= size and (runs - size) % (size - 1) == 0
    return 1 + max(0, -(-(runs - size) // (size - 1))) + full


def load_in_part(house: Warehouse, pages: int, **arguments: Any) -> None:
    """A load of one agent, the letters if not told otherwise, that fails after so many pages of five."""
    house.cloud.fail(times=None, path=RUNS, status=401, skip=pages)
    with pytest.raises(PipelineStepFailed):
        house.load(max_concurrency=1, page_size=5, **({"agents": ["Letters"]} | arguments))
    house.cloud.heal()
    house.cloud.reset_requests()


def load_disturbed(house: Warehouse, acts: dict[Agent, tuple[int, Act]], **arguments: Any) -> dict[str, Any]:
    """A load; before the page of that number (0 is the first) of an agent is answered, something happens to it."""
    left = {agent.id: page for agent, (page, _) in acts.items()}

    def on_request(method: str, path: str, query: dict[str, list[str]]) -> None:
        for agent, (_, act) in acts.items():
            if path == RUNS and query["extraction_agent_id"] == [agent.id]:
                left[agent.id] -= 1
                if left[agent.id] == -1:
                    act(agent)

    house.cloud.on_request = on_request
    counts = house.load(**arguments)
    house.cloud.on_request = None
    assert all(number < 0 for number in left.values()), "some page was never asked for"
    return counts


# ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_nothing_new_costs_one_request_for_the_agents_and_one_page_each(cloud: Emulator, house: Warehouse) -> None:
    Agent(cloud).add(23)
    Agent(cloud, "Forms")
    house.load(page_size=5)
    before = house.content()
    assert requests_of(house, page_size=5) == {"Letters": 1, "Forms": 1, "Default": 1}
    assert house.content() == before


def test_a_first_load_asks_for_every_page_once(cloud: Emulator, house: Warehouse) -> None:
    sizes = [0, 1, 4, 5, 6, 8, 10, 12, 14]
    for size in sizes:
        Agent(cloud, f"{size} runs").add(size)
    expected = {f"{size} runs": pages(size, 5) for size in sizes} | {"Default": 1}
    assert [expected[f"{size} runs"] for size in sizes] == [1, 1, 1, 2, 2, 2, 3, 3, 4]
    assert requests_of(house, page_size=5) == expected
    assert missed(house) == {}


def test_a_last_page_that_is_full_is_followed_by_one_more_request(cloud: Emulator, house: Warehouse) -> None:
    for size in (9, 13):
        Agent(cloud, f"{size} runs").add(size)
    assert requests_of(house, page_size=5) == {"9 runs": 3, "13 runs": 4, "Default": 1}
    assert missed(house) == {}


def test_a_run_in_flight_beyond_the_first_page_costs_one_request(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    in_flight = []
    for status in ("CREATED", "PENDING", "PENDING"):
        in_flight += letters.add(status=status)
        letters.add(5)
    house.load(page_size=5)
    assert requests_of(house, page_size=5) == {"Letters": 1 + 3, "Default": 1}
    assert asked_by_id(cloud) == set(in_flight)
    letters.finish(in_flight[0])
    assert requests_of(house, page_size=5) == {"Letters": 1 + 3, "Default": 1}
    assert requests_of(house, page_size=5) == {"Letters": 1 + 2, "Default": 1}
    assert asked_by_id(cloud) == set(in_flight[1:])
    assert missed(house) == {}


def test_runs_in_flight_on_the_first_page_cost_nothing(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(10)
    in_flight = letters.add(4, "PENDING")
    house.load(page_size=5)
    letters.finish(in_flight[0])
    assert requests_of(house, page_size=5) == {"Letters": 1, "Default": 1}
    assert missed(house) == {}


def test_another_page_is_asked_for_where_it_is_cheaper_than_its_runs_one_by_one(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(5)
    (far,) = letters.add(status="PENDING")
    letters.add(8)
    near = letters.add(3, "PENDING")
    letters.add(2)
    letters.add(3, "PENDING")
    house.load(page_size=5)
    for run_id in (far, *near):
        letters.finish(run_id)
    assert requests_of(house, page_size=5) == {"Letters": 3, "Default": 1}
    assert letters.offsets() == [0, 4]
    assert asked_by_id(cloud) == {far}
    assert missed(house) == {}


def test_twenty_new_runs_cost_no_more_than_none(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    forms = Agent(cloud, "Forms")
    letters.add(120)
    forms.add(1)
    house.load()
    letters.add(20)
    cloud.reset_requests()
    counts = house.load()
    assert len(cloud.requests) == counts["requests"] == 4
    assert counts["runs"]["new"] == counts["agents"][letters.id]["new"] == 20
    assert counts["runs"]["updated"] == counts["agents"][forms.id]["new"] == 0
    assert counts["tables"] == {"extraction_runs": 20, DATA: 20}
    assert missed(house) == {}


def test_new_runs_are_read_down_to_what_is_known_and_no_further(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(20)
    house.load(page_size=5)
    letters.add(7)
    assert requests_of(house, page_size=5) == {"Letters": 2, "Default": 1}
    assert letters.offsets() == [0, 4]
    assert missed(house) == {}


# ── runs in flight ────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_in_flight_is_found_below_hundreds_of_newer_ones(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    created, pending, failing = (letters.add(status=status)[0] for status in ("CREATED", "PENDING", "PENDING"))
    letters.add(110)
    house.load()
    letters.finish(created)
    letters.finish(pending)
    letters.finish(failing, status="ERROR", data=None)
    letters.add(110)
    counts = house.load()
    assert missed(house) == {}
    assert (counts["runs"]["new"], counts["runs"]["updated"]) == (110, 3)
    assert found(house)[failing] == ("ERROR", None)
    assert requests_of(house) == {"Letters": 1, "Default": 1}


def test_a_run_in_flight_is_read_again_until_it_is_final(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    (run_id,) = letters.add(status="CREATED")
    letters.add(9)
    house.load(page_size=5)
    letters.finish(run_id, status="PENDING", data=None)
    assert house.load(page_size=5)["tables"] == {"extraction_runs": 1}
    assert house.load(page_size=5)["tables"] == {}
    letters.finish(run_id)
    house.load(page_size=5)
    assert missed(house) == {}


def test_a_run_that_is_deleted_in_flight_is_flagged(cloud: Emulator, house: Warehouse) -> None:
    gone = {}
    for newer in (2, 9):
        agent = Agent(cloud, f"{newer} newer runs")
        gone[agent] = agent.add(status="PENDING")[0]
        agent.add(newer)
    house.load(page_size=5)
    for run_id in gone.values():
        cloud.delete_run(run_id)
    counts = house.load(page_size=5)
    assert deleted(house) == set(gone.values())
    assert counts["runs"]["deleted"] == 2
    assert all(counts["agents"][agent.id]["deleted"] == 1 for agent in gone)
    assert found(house) == there(cloud)
    assert asked_by_id(cloud) == set(gone.values())
    assert requests_of(house, page_size=5) == {"2 newer runs": 1, "9 newer runs": 1, "Default": 1}


def test_a_status_nobody_knows_is_read_again_for_a_week(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    now = datetime.now(UTC)
    young, old = (stamp(now - timedelta(days=days)) for days in (6, 8))
    (closed,) = letters.add(status="THROTTLED", created_at=old, updated_at=old)
    (open_still,) = letters.add(status="THROTTLED", created_at=young, updated_at=young)
    for minutes in range(6):
        newer = stamp(now - timedelta(days=1) + timedelta(minutes=15 * minutes))
        letters.add(created_at=newer, updated_at=newer)
    house.load(page_size=5)
    before = there(cloud)
    for run_id in (closed, open_still):
        letters.finish(run_id, updated_at=stamp(now - timedelta(hours=1)))
    assert requests_of(house, page_size=5) == {"Letters": 2, "Default": 1}
    assert found(house) == there(cloud) | {closed: before[closed]}


# ── agents ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── the order of run lists ────────────────────────────────────────────────────────────────────────────────────────


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


# ── timestamps ────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── edits, deletions, full scans ──────────────────────────────────────────────────────────────────────────────────


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


# ── windows of time ───────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("window", "expected"),
    [
        ({"since": "2025-01-01T04:00:00Z", "until": "2025-01-01T07:00:00Z"}, {4, 5, 6}),
        ({"since": datetime(2025, 1, 1, 10, 0, 0, 1, tzinfo=timezone(timedelta(hours=1)))}, {2, 10}),
        ({"until": "2025-01-01 04:00"}, {1, 3}),
    ],
    ids=["both", "since", "until"],
)
def test_a_window_has_the_runs_that_were_updated_within_it(
    cloud: Emulator, letters: Agent, house: Warehouse, window: dict[str, Any], expected: set[int]
) -> None:
    ids = [letters.add(**({"updated_at": None} if hour == 6 else {}))[0] for hour in range(1, 11)]
    letters.edit(ids[1])
    counts = house.load(page_size=5, **window)
    assert {1 + ids.index(run_id) for run_id in found(house)} == expected
    assert counts["runs"]["new"] == len(expected)
    assert letters.offsets() == [0, 4, 8]


def test_a_window_before_the_first_load_takes_nothing_from_it(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    letters.add(status="PENDING")
    letters.add(11)
    house.load(page_size=5, since="2025-01-01T06:00:00Z")
    assert requests_of(house, page_size=5) == {"Letters": pages(12, 5), "Default": 1}
    assert missed(house) == {}


def test_loads_after_a_window_are_as_if_it_had_not_been(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    (in_flight,) = letters.add(status="PENDING")
    letters.add(8)
    house.load(page_size=5)
    edited = letters.add(7)[0]
    letters.finish(in_flight)
    gone = letters.delete(-2)
    counts = house.load(page_size=5, since="2025-01-01T12:00:00Z", until="2025-01-01T15:00:00Z")
    assert counts["runs"]["new"] == 3
    assert deleted(house) == set()
    letters.edit(edited)
    counts = house.load(page_size=5)
    assert counts["runs"]["new"] + counts["runs"]["updated"] == 7 + 1
    assert missed(house) == {}
    assert found(house).keys() == there(cloud).keys() | set(gone)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"since": "2025-02-01", "until": "2025-01-01"}, "since must be before until"),
        ({"since": "2025-01-01", "until": "2025-01-01T00:00:00Z"}, "since must be before until"),
        ({"since": "2025-01-01", "full_scan": True}, "leave out since and until"),
        ({"until": "2025-01-01", "full_scan": True}, "leave out since and until"),
        ({"since": "yesterday"}, "since is 'yesterday', which is no time"),
        ({"until": "2025-02-30"}, "until is '2025-02-30', which is no time"),
        ({"full_scan_every": -1}, "full_scan_every"),
        ({"deleted_runs": "keep"}, "deleted_runs"),
        ({"chunk_size": 0}, "chunk_size"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_sent(
    cloud: Emulator, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        llama_extract(api_key=cloud.api_key, base_url=cloud.base_url, **arguments)
    assert cloud.requests == []


# ── lists that change while they are read ─────────────────────────────────────────────────────────────────────────


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


# ── loads in chunks ───────────────────────────────────────────────────────────────────────────────────────────────


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


# ── what is no run ────────────────────────────────────────────────────────────────────────────────────────────────


def test_what_is_no_run_is_reported_once(cloud: Emulator, letters: Agent, house: Warehouse) -> None:
    letters.add(9)
    cloud.add_raw_item(letters.id, b'{"status": "SUCCESS"}')
    assert house.load(page_size=5)["runs"]["rejected"] == 1
    rows = house.rows("extraction_runs__rejected")
    letters.add(1)
    for arguments in ({}, {"full_scan": True}):
        counts = house.load(page_size=5, **arguments)
        assert counts["runs"]["rejected"] == 0
        assert house.rows("extraction_runs__rejected") == rows
    assert missed(house) == {}
    cloud.add_raw_item(letters.id, b"null")
    assert house.load(page_size=5)["runs"]["rejected"] == 1
    assert {row["raw"] for row in house.rows("extraction_runs__rejected")} == {'{"status": "SUCCESS"}', "null"}
    assert requests_of(house, page_size=5) == {"Letters": 1, "Default": 1}
