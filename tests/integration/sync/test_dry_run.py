"""What a dry run says a load would take, and what that load then takes."""

from typing import Any

import pytest

from llama_extract_dlt import plan_sync
from support.agents import Agent
from support.doors import account_of, pipeline_of
from support.warehouse import Warehouse


def plan(house: Warehouse, **arguments: Any) -> tuple[dict[str, tuple[str, int]], int, bool]:
    """What it would read of each agent that is no default, how many requests in all, and whether at least these."""
    pipeline = pipeline_of(house)
    rows = plan_sync(pipeline, **account_of(house), **arguments)
    pipeline.deactivate()
    house.cloud.reset_requests()
    read = {row.agent: (row.reading, row.runs) for row in rows}
    return read, 1 + sum(row.requests for row in rows), any(row.at_least for row in rows)


def requests_of_a_load(house: Warehouse, **arguments: Any) -> int:
    house.cloud.reset_requests()
    house.load(**arguments)
    return len(house.cloud.requests)


def test_a_first_load_takes_what_was_planned(letters: Agent, house: Warehouse) -> None:
    letters.add(253)
    read, requests, at_least = plan(house)
    assert (read["Letters"], at_least) == (("all runs", 253), False)
    assert requests_of_a_load(house) == requests


@pytest.mark.parametrize("found", [0, 20])
def test_a_later_load_takes_what_was_planned(letters: Agent, house: Warehouse, found: int) -> None:
    letters.add(150)
    letters.add(2, "PENDING")
    letters.add(120)  # so that those in flight are asked for by their ID
    house.load()
    letters.add(found)
    read, requests, at_least = plan(house)
    assert (read["Letters"], at_least) == (("what is new or changed", found + 2), False)
    assert requests_of_a_load(house) == requests


def test_look_ups_of_files_are_counted(letters: Agent, house: Warehouse) -> None:
    ids = [f"{number:08}-0000-4000-8000-000000000000" for number in range(250)]
    for file_id in ids:
        letters.add(file_id=file_id, file=None)
    _, requests, _ = plan(house)
    assert requests == 1 + 1 + 3 + 3  # agents, the default agent, pages, look-ups
    assert requests_of_a_load(house) == requests
    _, without, _ = plan(house, lookup_files=False, full_scan=True)
    assert without == requests - 3


def test_a_window_promises_no_more_than_it_knows(letters: Agent, house: Warehouse) -> None:
    letters.add(20)
    read, _, at_least = plan(house, since="2025-01-01T10:00:00Z")
    assert (read["Letters"], at_least) == (("all runs", 20), True)
