"""A list in another order at every request hides nothing for good."""

import pytest

from llama_cloud_emulator import Emulator
from support.agents import Agent
from support.truth import assert_nothing_flagged, assert_true, deleted, honest
from support.warehouse import Warehouse, loaded_runs


@pytest.fixture
def ties(cloud: Emulator, letters: Agent) -> Agent:
    """An agent whose runs were made five at an instant, in an order that is another at every request."""
    more_ties(letters, 9)
    cloud.order = "unstable"
    return letters


def more_ties(agent: Agent, groups: int) -> None:
    for _ in range(groups):
        now = agent.tick()
        for number in range(5):
            agent.cloud.add_run(
                agent.id,
                created_at=now,
                updated_at=now,
                data={"n": number},
                config=None,
                data_schema=None,
                extraction_metadata=None,
                file_id=None,
                job_id=None,
            )


@pytest.mark.parametrize("page_size", [12, 20])
def test_an_unstable_order_hides_no_run(ties: Agent, house: Warehouse, page_size: int) -> None:
    house.load(page_size=page_size)
    house.load(page_size=page_size)
    assert_true(house)
    assert house.load(page_size=page_size, full_scan=True)["unreadable"] == {}
    assert_true(house)
    more_ties(ties, 4)
    house.load(page_size=page_size)
    house.load(page_size=page_size)
    assert_true(house)
    house.cloud.order = "newest"
    honest(house, page_size=page_size)


def test_a_list_that_cannot_be_read_whole_for_its_order_is_reported(ties: Agent, house: Warehouse) -> None:
    """Pages shorter than the runs of an instant: what one request has not shown may never be shown."""
    for page_size in (2, 3, 4):
        reported = house.load(page_size=page_size, full_scan=True)["unreadable"]
        house.forget()
        assert reported or loaded_runs(house).keys() == {one["id"] for one in house.cloud.runs()}
        assert_nothing_flagged(house)
    house.cloud.order = "newest"
    honest(house)


def test_an_unstable_order_does_not_hide_a_deletion(ties: Agent, house: Warehouse) -> None:
    house.load(page_size=12)
    gone = set(ties.delete(3, 22))
    for _ in range(2):
        house.load(page_size=12, full_scan=True)
        assert_nothing_flagged(house)
    house.cloud.order = "newest"
    honest(house, page_size=12)
    assert deleted(house) == gone
