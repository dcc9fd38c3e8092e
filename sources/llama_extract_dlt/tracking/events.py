"""What a sync is asked to read, what it finds, and what it counts on the way."""

from __future__ import annotations

import logging
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from .. import settings
from ..service.client import LlamaCloudClient, RunPage
from ..service.records import Rejected, Run
from .warehouse_index import Warehouse

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Agent:
    """An extraction agent: its id, its name, its project, its raw JSON and the digest of that."""

    id: str
    name: str
    project_id: str
    raw: bytes
    content_hash: str


@dataclass(frozen=True, slots=True)
class Selection:
    """What a sync is to read, and how."""

    agents: Sequence[Agent] = ()
    run_ids: Sequence[str] | None = None
    """None when runs were not asked for by ID; an empty list asks for none. So do `job_ids`."""
    job_ids: Sequence[str] | None = None
    whole_project: bool = False
    """Whether `agents` are all there are."""
    since: datetime | None = None
    until: datetime | None = None
    full_scan: bool = False
    rewrite: bool = False
    """Whether runs are written that are in the warehouse as they are."""
    full_scan_every: float = settings.FULL_SCAN_EVERY
    """Days; 0 for never."""
    deleted_runs: Literal["flag", "remove", "ignore"] = "flag"
    data_tables: Literal["shared", "per_agent"] = "shared"
    """Whether each agent's data have tables of their own."""
    table_format: Literal["delta"] | None = None
    """Of the tables in a lake."""
    page_size: int = settings.PAGE_SIZE
    chunk_size: int | None = None
    """Runs to commit together; None for all."""
    lookup_files: bool = True
    data_table: Callable[[str], str] = lambda _: "extraction_runs__data"
    """The table for the data of an agent's runs, by the agent's id."""

    @property
    def windowed(self) -> bool:
        """Whether only a window of time is asked for."""
        return self.since is not None or self.until is not None


# ── what is found, in an order that holds: a checkpoint comes after all that it speaks of ──────────────────────────


@dataclass(frozen=True, slots=True)
class Found:
    """A run to load; `only_with_file` if the warehouse lacks nothing of it but the record of its file."""

    run: Run
    only_with_file: bool = False


@dataclass(frozen=True, slots=True)
class Gone:
    """A run that was deleted at the service."""

    run_id: str
    agent_id: str


@dataclass(frozen=True, slots=True)
class Orphan:
    """A run of which the warehouse has rows in child tables only."""

    run_id: str


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """An agent's state that is safe once all that was found before is committed; None for an agent that is no more."""

    agent_id: str
    state: Any


Event = Found | Rejected | Gone | Orphan | Checkpoint


class Emitted:
    """Ids emitted by this sync; no run is emitted twice.

    Args:
        chunk_size: runs that are committed together; None for all.
    """

    def __init__(self, chunk_size: int | None = None) -> None:
        self._chunk_size = chunk_size
        self._digests: dict[int, int] = {}
        self._runs = self._bytes = 0  # of the chunk

    def __contains__(self, run_id: str) -> bool:
        return hash(run_id) in self._digests

    def add(self, run: Run) -> bool:
        """Note the run as emitted; return False if it was before."""
        if run.id in self:
            return False
        self._digests[hash(run.id)] = hash(run.content_hash)
        if self.chunk_is_full:
            self._runs = self._bytes = 0
        weight = 4 if run.size > settings.LARGE_RUN else 1
        self._runs, self._bytes = self._runs + 1, self._bytes + weight * run.size
        return True

    def see(self, run: Run) -> None:
        """Note a run that is not to be emitted any more."""
        self._digests.setdefault(hash(run.id), hash(run.content_hash))

    @property
    def chunk_is_full(self) -> bool:
        """Whether the chunk ends with the run that was emitted last."""
        if self._chunk_size is None:
            return False
        return self._runs >= self._chunk_size or self._bytes >= settings.CHUNK_BYTES

    def is_outdated(self, run: Run) -> bool:
        """Return whether the run was emitted as another than it is now."""
        return self._digests[hash(run.id)] != hash(run.content_hash)

    def room(self) -> float:
        """Return about how many runs more are committed together with the last one."""
        if self._chunk_size is None:
            return math.inf
        by_bytes = self._runs * (settings.CHUNK_BYTES - self._bytes) / self._bytes if self._bytes else math.inf
        return max(0.0, min(self._chunk_size - self._runs, by_bytes))


@dataclass(slots=True)
class Tally:
    """What a sync has counted and what it could not read, each told by the log when it is found."""

    runs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Runs of an agent that are `new`, `updated`, `unchanged`, `deleted`; and the `requests` that it took."""
    rejected: int = 0
    missing: list[str] = field(default_factory=list)
    """Ids of runs and jobs that were asked for and are not there."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """What was set aside, with why: agents by id, and runs and jobs that were asked for by theirs."""
    names: dict[str, str] = field(default_factory=dict)
    """The agents' names, by id."""
    read: Counter[str] = field(default_factory=Counter)
    """How far the agents' lists were read, by the agent's id."""

    def count(self, agent_id: str, kind: str, number: int = 1) -> None:
        """Count runs or requests of an agent."""
        self.runs[agent_id, kind] += number

    def reject(self, item: Rejected) -> None:
        """Count an item that is no run, or one that no tables can be made of."""
        self.rejected += 1
        _logger.warning("set aside in extraction_runs__rejected: %s: %s", item.position, item.reason)

    def reject_runs(
        self, unfit: Mapping[str, Run], reasons: Mapping[str, Rejected], told: dict[str, str]
    ) -> list[Rejected]:
        """Count the runs that no tables can be made of; return those that are not in `told`, which has them then."""
        new = []
        for run_id, run in unfit.items():
            self.count(run.agent_id, run.verdict, -1)
            if told.get(run_id) == run.content_hash:
                self.count(run.agent_id, "unchanged")
            else:
                self.reject(reasons[run_id])
                new.append(reasons[run_id])
            told[run_id] = run.content_hash
        return new

    def miss(self, wanted: str) -> None:
        """Note a run or job that is not there."""
        self.missing.append(wanted)
        _logger.warning("not found: %s", wanted)

    def set_aside(self, key: str, reason: str) -> None:
        """Note what could not be read, beside what was noted of the same thing before."""
        name = self.names.get(key)
        _logger.warning("could not be read: %s", reason if name is None else f"agent {name!r} ({key}): {reason}")
        self.unreadable[key] = f"{self.unreadable[key]}; {reason}" if key in self.unreadable else reason


@dataclass(frozen=True, slots=True)
class Context:
    """What the parts of a sync have in common; `await_page` waits for the answer with a page."""

    client: LlamaCloudClient
    selection: Selection
    warehouse: Warehouse
    emitted: Emitted
    tally: Tally
    now: datetime
    await_page: Callable[[Future[RunPage]], object]


class ReadingProgress(NamedTuple):
    """How far the reading of agents' lists has come; totals are None where the service has not told them.

    `requests_left` are those for the pages that are certain to be read.
    """

    agent: str
    agent_read: int
    agent_total: int | None
    read: int
    total: int | None
    requests_left: int
