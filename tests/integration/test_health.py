"""What the warehouse says of itself: right whoever loaded it, and whether or not anything was new."""

from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from llama_extract_dlt.load.warehouse.health import Health, ask_health, loads_since
from support.postgres import PostgresServer

IN_FLIGHT = ("CREATED", "PENDING")


def account(cloud: Emulator) -> dict[str, Any]:
    return {"api_key": cloud.api_key, "base_url": cloud.base_url}


def expected(cloud: Emulator, rejected: int, agent_id: str | None = None) -> Health:
    """The same from the service."""
    runs = cloud.runs(agent_id)
    flying = [datetime.fromisoformat(run["created_at"]) for run in runs if run["status"] in IN_FLIGHT]
    changes = [datetime.fromisoformat(run[name]) for run in runs for name in ("created_at", "updated_at")]
    return Health(max(changes, default=None), len(flying), min(flying, default=None), rejected)


@pytest.fixture(params=["duckdb", "postgres", "filesystem"])
def pipeline(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], dlt.Pipeline]]:
    """Gives pipelines into one dataset, by their names."""
    places: dict[str, Callable[[], Any]] = {
        "duckdb": lambda: dlt.destinations.duckdb(str(tmp_path / "w.duckdb")),
        "filesystem": lambda: dlt.destinations.filesystem(str(tmp_path / "lake")),
    }
    if request.param == "postgres":
        server: PostgresServer = request.getfixturevalue("server")
        url = server.database()
        places["postgres"] = lambda: dlt.destinations.postgres(url)
    yield lambda name: dlt.pipeline(name, destination=places[request.param](), dataset_name="llama_extract")
    dlt.pipeline("another").deactivate()


def test_the_warehouse_says_what_is_in_flight_and_set_aside(
    cloud: Emulator, pipeline: Callable[[str], dlt.Pipeline]
) -> None:
    house, agent = pipeline("one"), cloud.agents()[0]["id"]
    sync(house, **account(cloud), agents=[])
    assert ask_health(house) == Health(None, 0, None, 0)
    before = [*loads_since(house, "")]
    cloud.add_raw_item(agent, b'"a run?"')
    waiting = cloud.add_run(agent, status="PENDING")
    first = sync(house, **account(cloud))
    assert ask_health(house) == expected(cloud, 1)
    assert ask_health(house, [agent]) == expected(cloud, 1, agent)
    cloud.finish_run(waiting["id"])
    later = [*sync(house, **account(cloud)).load_ids]
    for _ in range(2):  # the second time nothing is new
        assert ask_health(house) == expected(cloud, 1)
        assert ask_health(house, [agent]) == expected(cloud, 1, agent)
        assert ask_health(house, ["nobody"]) == Health(None, 0, None, 1)
        later += sync(house, **account(cloud)).load_ids
    assert loads_since(house, "") == [*before, *first.load_ids, *later]
    assert loads_since(house, first.load_ids[-1]) == later
    other = pipeline("another")
    report = sync(other, **account(cloud), agents=[agent])
    assert loads_since(other, "") == list(report.load_ids)
    assert loads_since(house, later[-1]) == []


def test_runs_that_were_deleted_are_not_in_flight(cloud: Emulator, pipeline: Callable[[str], dlt.Pipeline]) -> None:
    house, agent = pipeline("one"), cloud.agents()[0]["id"]
    waiting = cloud.add_run(agent, status="PENDING")
    sync(house, **account(cloud), agents=[agent])
    before = ask_health(house, [agent])
    cloud.delete_run(waiting["id"])
    assert sync(house, **account(cloud), agents=[agent]).deleted == 1
    assert ask_health(house, [agent]).in_flight == before.in_flight - 1
