"""What a warehouse is promised, on every destination: step by step, and after each all that the service has is there.

The table in docs/destinations.md has a column for each step.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import RUNS
from support.destinations import DESTINATIONS, Services
from support.doors import Executioner, Killed
from support.places import ROOT
from support.truth import assert_true, deleted
from support.warehouse import Warehouse

SCHEMA = {
    "type": "object",
    "properties": {"total": {"type": "number"}, "born": {"type": "string", "format": "date"}, "note": {}},
}


class World:
    """A LlamaCloud, and a dataset that it is loaded into."""

    def __init__(self, cloud: Emulator, open_warehouse: Callable[[Emulator], Warehouse]) -> None:
        self.cloud = cloud
        self._open = open_warehouse
        self.house = open_warehouse(cloud)
        self.letters: str = cloud.add_agent("Letters", SCHEMA)["id"]
        self.waiting = [cloud.add_run(self.letters, "PENDING")["id"] for _ in range(2)]

    def load(self, **arguments: Any) -> dict[str, int]:
        """Loads; how many runs were new, updated and so on."""
        counts = self.house.load(lookup_files=False, **arguments)["runs"]
        return {kind: count for kind, count in counts.items() if count and kind != "unchanged"}

    def move(self) -> None:
        """Goes on from another machine: nothing of the pipeline is left."""
        self.house.pipeline.drop()
        self.house.close()
        self.house = self._open(self.cloud)

    def runs(self, status: str) -> list[str]:
        return [run["id"] for run in self.cloud.runs() if run["status"] == status]

    def add(self, **data: Any) -> str:
        run: str = self.cloud.add_run(self.letters, data=data, data_schema=SCHEMA)["id"]
        return run


# ── the steps ─────────────────────────────────────────────────────────────────────────────────────────────────────


def first_load(world: World) -> None:
    world.add(total=1, born="1912-06-23", note={"a": [1, None, "x"]}, lines=[{"text": "Grüße, 東京"}, {"text": ""}])
    assert world.load(chunk_size=5) == {"new": 15}


def nothing_new(world: World) -> None:
    before = world.house.content()
    assert world.load() == {}
    assert world.house.content() == before


def in_flight(world: World) -> None:
    for run_id in world.waiting:
        world.cloud.finish_run(run_id)
    assert world.load() == {"updated": 2}


def shrinks(world: World) -> None:
    run = world.add(lines=[{"text": "one"}, {"text": "two"}, {"text": "three"}], taxes=[{"rate": 1}])
    world.load()
    world.cloud.edit_run(run, data={"lines": [{"text": "two"}], "taxes": []})
    assert world.load() == {"updated": 1}


def type_changes(world: World) -> None:
    world.add(total="twelve", born="unknown")
    world.add(total=1e300, born="2026-02-28")
    assert world.load() == {"new": 2}


def flagged(world: World) -> None:
    gone = world.runs("SUCCESS")[-1]
    world.cloud.delete_run(gone)
    assert world.load(full_scan=True) == {"deleted": 1}
    assert deleted(world.house) == {gone}


def removed(world: World) -> None:
    world.cloud.delete_run(world.runs("SUCCESS")[-1])
    assert world.load(full_scan=True, deleted_runs="remove") == {"deleted": 2}
    world.house.forget()
    assert {row["id"] for row in world.house.rows("extraction_runs")} == {run["id"] for run in world.cloud.runs()}


def rejects(world: World) -> None:
    def spoil(path: str, query: dict[str, list[str]], document: Any) -> Any:
        if path != RUNS or query["extraction_agent_id"][0] != world.letters:
            return None
        items = ["no run" if item["id"] == run else item for item in document["items"]]
        return document | {"items": items}

    run = world.add(total=3)
    world.cloud.on_answer = spoil
    assert world.load(agents=["Letters"])["rejected"] == 1
    world.cloud.on_answer = None
    world.house.forget()
    assert [row["raw"] for row in world.house.rows("extraction_runs__rejected")] == ['"no run"']
    assert world.load()["new"] == 1


def killed(world: World) -> None:
    for moment in (1, 4, 9):
        world.add(total=moment)
        world.cloud.edit_run(world.runs("SUCCESS")[5], data={"lines": [{"text": str(moment)}]})
        pipeline = world.house.pipeline
        given, pipeline.collector = pipeline.collector, Executioner(moment, "Load")
        try:
            with pytest.raises(Killed):
                world.load(full_scan=True)
        finally:
            pipeline.collector = given
        world.move()
        world.load(full_scan=True)
        assert_true(world.house)


def full_scan(world: World) -> None:
    world.cloud.edit_run(world.runs("SUCCESS")[-1], touch=False, data={"total": 7})
    assert world.load() == {}
    assert world.load(full_scan=True) == {"updated": 1}
    assert world.load(full_scan=True) == {}


def state_lost(world: World) -> None:
    world.move()
    assert world.load() == {}
    world.add(total=8)
    world.move()
    assert world.load() == {"new": 1}


STEPS: dict[str, Callable[[World], None]] = {
    "first load": first_load,
    "nothing new": nothing_new,
    "in flight": in_flight,
    "shrinks": shrinks,
    "type": type_changes,
    "flagged": flagged,
    "removed": removed,
    "rejects": rejects,
    "killed": killed,
    "full scan": full_scan,
    "another machine": state_lost,
}


def table_of_the_documentation() -> str:
    """The table of docs/destinations.md: what this test does, no more. A destination that fails fails the test."""
    rows = [
        ["destination", *STEPS],
        ["---"] * (len(STEPS) + 1),
        *([name, *["yes"] * len(STEPS)] for name in DESTINATIONS),
    ]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_documentation_claims_what_is_tested_here() -> None:
    assert table_of_the_documentation() in (ROOT / "docs/destinations.md").read_text()


@pytest.fixture
def services(tmp_path: Path, request: pytest.FixtureRequest) -> Services:
    return Services(tmp_path, request.getfixturevalue)


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=12, seed=7, corpus="invoices-cited") as emulator:
        yield emulator


@pytest.mark.parametrize("destination", DESTINATIONS)
def test_a_destination_keeps_what_is_promised(destination: str, services: Services, cloud: Emulator) -> None:
    world = World(cloud, DESTINATIONS[destination](services))
    try:
        for name, step in STEPS.items():
            step(world)
            try:
                assert_true(world.house)
            except AssertionError as failure:
                raise AssertionError(f"after the step {name!r}") from failure
    finally:
        world.house.close()
