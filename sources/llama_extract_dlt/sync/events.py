"""What a sync is asked to read, and what it finds: the words that the modules which read have in common."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from .. import settings
from ..service.records import Rejected, Run


@dataclass(frozen=True, slots=True)
class Agent:
    """An extraction agent: its id, its name, its project, its raw JSON and what digests that."""

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
    full_scan_every: float = settings.FULL_SCAN_EVERY
    """Days; 0 for never."""
    deleted_runs: Literal["flag", "remove", "ignore"] = "flag"
    data_tables: Literal["shared", "per_agent"] = "shared"
    """Whether each agent's data have tables of their own."""
    page_size: int = settings.PAGE_SIZE
    chunk_size: int | None = None
    """Runs to commit together; None for all."""
    concurrency: int = settings.MAX_CONCURRENCY
    lookup_files: bool = True
    data_table: Callable[[str], str] = lambda _: "extraction_runs__data"
    """The table for the data of an agent's runs, by the agent's id."""

    @property
    def windowed(self) -> bool:
        """Whether only a window of time is asked for."""
        return self.since is not None or self.until is not None


@dataclass(slots=True)
class Chunk:
    """Runs to load together, with what else was found out on the way."""

    runs: list[Run] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Ids of runs and jobs that were asked for and are not there."""
    deleted: list[tuple[str, str]] = field(default_factory=list)
    """Ids of runs that are gone at the service, with their agents' ids."""
    orphans: list[str] = field(default_factory=list)
    """Ids of runs of which the warehouse has rows in child tables only."""
    moved: dict[str, str] = field(default_factory=dict)
    """Ids of runs that belonged to another agent when they were loaded last, with that agent's id."""
    only_with_file: set[str] = field(default_factory=set)
    """Ids of runs that the warehouse has but for the record of their file: worth loading if that is found."""
    unreadable: dict[str, str] = field(default_factory=dict)
    """What was set aside, with why: agents by id, and runs and jobs that were asked for by theirs."""
    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    """How many runs of an agent were `new`, `updated`, `unchanged`, `deleted`, and how many `requests` it took."""
    states: dict[str, Any] = field(default_factory=dict)
    """What to remember of agents once all chunks up to this one are loaded; None for an agent that is no more."""
    size: int = 0
    """Bytes of JSON."""
    commit: bool = False
    """Whether what was found so far is to be loaded before more is read."""
    last: bool = False
    """Whether nothing comes after it."""

    def add(self, other: Chunk) -> None:
        """Takes over all that `other` has but its runs."""
        self.rejected += other.rejected
        self.missing += other.missing
        self.deleted += other.deleted
        self.orphans += other.orphans
        self.only_with_file |= other.only_with_file
        self.set_aside(other.unreadable)
        self.counts += other.counts
        self.states |= other.states
        self.size += sum(len(item.raw) for item in other.rejected)

    def set_aside(self, unreadable: Mapping[str, str]) -> None:
        """Notes what could not be read, beside what was noted of the same thing before."""
        for key, reason in unreadable.items():
            self.unreadable[key] = f"{self.unreadable[key]}; {reason}" if key in self.unreadable else reason


class Given:
    """Which runs a sync has given already: within one load a run must stand once.

    Args:
        chunk_size: runs that are committed together; None for all.
    """

    def __init__(self, chunk_size: int | None = None) -> None:
        self._chunk_size = chunk_size
        self._digests: dict[int, int] = {}

    def room(self) -> float:
        """How many runs more are committed together with the last one."""
        if self._chunk_size is None:
            return math.inf
        return -len(self._digests) % self._chunk_size if self._digests else self._chunk_size

    def give(self, run: Run, chunk: Chunk) -> bool:
        """Puts the run into the chunk unless it was given before; False if it was, and was another one then."""
        key, digest = hash(run.id), hash(run.content_hash)
        if key in self._digests:
            return self._digests[key] == digest
        self._digests[key] = digest
        chunk.runs.append(run)
        return True

    def __contains__(self, run_id: str) -> bool:
        return hash(run_id) in self._digests
