"""What a sync did, and how far it has come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Step = Literal["reading", "preparing", "loading"]


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a sync has come; None where it is not known.

    `agent_read` and `agent_total` are runs of the agent that is being read, `read` and `total` of all agents that are
    known so far. `requests` are those sent, `seconds_left` is for reading. `waiting` says for what: "the rate limit",
    "8 s before trying again", or nothing.
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
    """What a sync did with the runs of an agent, and the requests for them."""

    name: str
    new: int = 0
    updated: int = 0
    unchanged: int = 0
    deleted: int = 0
    requests: int = 0


@dataclass(frozen=True, slots=True)
class Report:
    """What a sync did.

    Attributes:
        complete: whether all that was asked for is in the warehouse: nothing rejected, missing or unreadable.
        agents: by the agent's id.
        rejected: how many items could not be read as runs; they are in the table `extraction_runs__rejected`.
        missing: the run and job IDs that were asked for and are not there.
        unreadable: the agents whose runs could not be read, or not all, by id, with the reason.
        tables: the rows loaded, by table.
        requests: all requests, repeated ones included.
        seconds: from start to end.
        load_ids: dlt's, one for each package; none if there was nothing to load.
    """

    complete: bool
    agents: Mapping[str, AgentReport] = field(default_factory=dict)
    rejected: int = 0
    missing: tuple[str, ...] = ()
    unreadable: Mapping[str, str] = field(default_factory=dict)
    tables: Mapping[str, int] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0
    load_ids: tuple[str, ...] = ()

    @property
    def new(self) -> int:
        """Runs that the warehouse did not have."""
        return sum(agent.new for agent in self.agents.values())

    @property
    def updated(self) -> int:
        """Runs that have changed."""
        return sum(agent.updated for agent in self.agents.values())

    @property
    def unchanged(self) -> int:
        """Runs that were looked at, and are in the warehouse as they are."""
        return sum(agent.unchanged for agent in self.agents.values())

    @property
    def deleted(self) -> int:
        """Runs that are no longer there."""
        return sum(agent.deleted for agent in self.agents.values())

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON has it."""
        kinds = ("new", "updated", "unchanged", "deleted")
        return {
            "complete": self.complete,
            "runs": {kind: getattr(self, kind) for kind in kinds}
            | {"rejected": self.rejected, "missing": list(self.missing)},
            "agents": {
                agent_id: {name: getattr(agent, name) for name in ("name", *kinds, "requests")}
                for agent_id, agent in self.agents.items()
            },
            "unreadable": dict(self.unreadable),
            "tables": dict(self.tables),
            "requests": self.requests,
            "seconds": round(self.seconds, 3),
            "load_ids": list(self.load_ids),
        }
