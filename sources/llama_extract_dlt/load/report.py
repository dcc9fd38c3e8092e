"""What a sync did, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Literal

from .. import settings
from ..service.budget import RequestBudget
from ..tracking.events import ReadingProgress, Tally

Step = Literal["waiting", "reading", "preparing", "loading"]
KINDS = ("new", "updated", "unchanged", "deleted")
"""What a sync finds of a run."""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync has come; None where it is not known.

    `agent_read` and `agent_total` are runs of the agent that is being read, `read` and `total` of all agents that are
    known so far. `requests` are those sent, `seconds_left` is for reading. `waiting` says for what the
    load waits, "8 s before trying again" say, or nothing.
    """

    step: Step = "reading"
    agent: str = ""
    agent_read: int = 0
    agent_total: int | None = None
    read: int = 0
    total: int | None = None
    requests: int = 0
    requests_expected: int | None = None
    seconds_left: float | None = None
    waiting: str = ""


@dataclass(frozen=True, slots=True)
class AgentReport:
    """What a sync did with the runs of an agent, the requests for them, and what it knows of them now.

    Attributes:
        watermark: the latest change that was there when the list was last read to its end; None if it never was.
        in_flight: runs that the next sync reads again, because they were not final.
    """

    name: str
    new: int
    updated: int
    unchanged: int
    deleted: int
    requests: int
    watermark: datetime | None = None
    in_flight: int = 0

    def as_dict(self) -> dict[str, Any]:
        """The agent's part as JSON has it."""
        return asdict(self) | {"watermark": self.watermark and self.watermark.isoformat()}


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did.

    Attributes:
        complete: whether all that was asked for is in the warehouse: nothing rejected, missing or unreadable.
        new: runs that the warehouse did not have; `updated` are those that have changed, `unchanged` those that were
            looked at and are there as they are, `deleted` those that are gone at the service.
        rejected: items that could not be read as runs; they are in the table `extraction_runs__rejected`.
        missing: the run and job IDs that were asked for and are not there.
        agents: by the agent's id.
        unreadable: agents whose runs could not be read, or not all, by id, with the reason.
        tables: rows by table.
        requests: all that were sent, repeated ones included.
        load_ids: dlt's, one for each package; none if there was nothing to load.
    """

    complete: bool
    new: int
    updated: int
    unchanged: int
    deleted: int
    rejected: int
    missing: tuple[str, ...]
    agents: Mapping[str, AgentReport]
    unreadable: Mapping[str, str]
    tables: Mapping[str, int]
    requests: int
    seconds: float
    load_ids: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        runs = {kind: getattr(self, kind) for kind in KINDS}
        return {
            "complete": self.complete,
            "runs": runs | {"rejected": self.rejected, "missing": list(self.missing)},
            "agents": {agent_id: agent.as_dict() for agent_id, agent in self.agents.items()},
            "unreadable": dict(self.unreadable),
            "tables": dict(self.tables),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "load_ids": list(self.load_ids),
        }


# ── what an extraction counts ─────────────────────────────────────────────────────────────────────────────────────


def progress_of(step: Step, reading: ReadingProgress, budget: RequestBudget, began: datetime) -> Progress:
    """Return how far an extraction has come that began then."""
    sent, rate = budget.requests, budget.per_minute
    if step != "reading":
        return Progress(step, read=reading.read, requests=sent)
    pause, left = budget.paused(), reading.requests_left
    elapsed = (datetime.now(UTC) - began).total_seconds()
    each = settings.RATE_WINDOW / rate if rate else elapsed / max(1, sent)
    return Progress(
        step,
        reading.agent,
        reading.agent_read,
        reading.agent_total,
        reading.read,
        reading.total,
        sent,
        sent + left if left else None,
        each * left + pause if left else None,
        f"{pause:.0f} s before trying again" if pause >= 1 else "",
    )


def metrics_of(tally: Tally, rows: Mapping[str, int], requests: int, *, complete: bool) -> dict[str, Any]:
    """Return the counts as JSON values; `rows` are those of each table."""
    agents: dict[str, dict[str, Any]] = {}
    for (agent_id, kind), count in list(tally.runs.items()):
        name = tally.names.get(agent_id, "")
        counts = agents.setdefault(agent_id, {"name": name, **dict.fromkeys((*KINDS, "requests"), 0)})
        counts[kind] += count
    return {
        "complete": complete,
        "runs": {kind: sum(counts[kind] for counts in agents.values()) for kind in KINDS}
        | {"rejected": tally.rejected, "missing": list(tally.missing)},
        "agents": agents,
        "unreadable": dict(tally.unreadable),
        "requests": requests,
        "tables": dict(rows),
    }


def add_metrics(one: Any, two: Any) -> Any:
    """Return the counts of two extractions together; where they do not count, what the second one says."""
    if isinstance(one, dict) and isinstance(two, dict):
        return {
            key: add_metrics(one[key], two[key]) if key in one and key in two else both
            for key, both in (one | two).items()
        }
    if isinstance(one, list) and isinstance(two, list):
        return list(dict.fromkeys([*one, *two]))
    if type(one) is int and type(two) is int:
        return one + two
    return two
