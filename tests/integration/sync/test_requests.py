"""How few requests a later load takes."""

from datetime import UTC, datetime, timedelta

from llama_cloud_emulator import Emulator
from support.agents import Agent, stamp
from support.listing import asked_by_id, found, missed, pages, requests_of, there
from support.truth import deleted
from support.warehouse import DATA, Warehouse

# ── requests ────────────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── runs in flight ──────────────────────────────────────────────────────────────────────────────────────────────────


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


# ── what is no run ──────────────────────────────────────────────────────────────────────────────────────────────────


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
