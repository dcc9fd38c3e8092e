"""A load of a window of time."""

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, llama_extract
from support.agents import Agent
from support.listing import found, missed, pages, requests_of, there
from support.truth import deleted
from support.warehouse import Warehouse


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
    assert sorted(letters.offsets()) == [
        0,
        4,
        8,
    ]  # each page once; those after the first are asked for at the same time


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
