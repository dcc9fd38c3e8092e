"""Agents of the service whose runs have next to nothing in them, and runs that have rows in every table."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from llama_cloud_emulator import Emulator

START = datetime(2025, 1, 1, tzinfo=UTC)

RUNS = "/api/v1/extraction/runs"

Act = Callable[["Agent"], object]


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


FILES = "/api/v1/beta/files"

Json = Any

CONFIG = {"extraction_mode": "BALANCED", "extract_model": "m"}


def fill(agent: Agent, count: int, **fields: Any) -> list[str]:
    """New runs that have rows in every kind of child table; their ids."""
    ids = []
    for _ in range(count):
        number = agent.hours
        metadata = {"field_metadata": {"n": {"confidence": 0.5, "citation": [{"page": 1, "matching_text": "t"}]}}}
        own = {
            "data": {"n": number, "items": [{"a": number}, {"a": 1}]},
            "config": CONFIG,
            "extraction_metadata": metadata,
        }
        ids += agent.add(1, **(own | fields))
    return ids
