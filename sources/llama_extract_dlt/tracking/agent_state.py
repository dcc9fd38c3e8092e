"""What is remembered of an agent's runs between two syncs, and how its list is to be read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal

import msgspec

from .. import settings
from ..service.records import FINAL, IN_FLIGHT, Rejected, Run
from .events import Selection

Reading = Literal["look", "rest", "scan", "window"]
"""How an agent's list is read."""


class ResumePoint(msgspec.Struct, omit_defaults=True):
    """The part of a run list that is still to be read: from the end of the last page that was committed."""

    offset: int
    keys: list[str]
    """The items of that page."""
    boundary: datetime | None = None
    """`created_at` of its last item, while the list was in its order."""
    until: datetime | None = None
    """The watermark down to which everything was known before; None when nothing was."""


class AgentState(msgspec.Struct, omit_defaults=True):
    """What a sync leaves behind for the next one, about one agent."""

    watermark: datetime | None = None
    """The latest `updated_at` that was there when the reading began. Whatever is younger may not have been read."""
    newest: datetime | None = None
    """The latest `created_at`: a list that begins with an older run is not in newest-first order."""
    total: int = 0
    """How many runs the list had."""
    recent: dict[str, tuple[str, datetime | None]] = {}
    """Final runs that the watermark does not cover, by id: content hash and time of the last change."""
    in_flight: dict[str, str] = {}
    """Runs to be read again by their ID: their content hashes."""
    rejected: list[str] = []
    """Digests of rejected items that were reported."""
    rest: ResumePoint | None = None
    data_tables: str = ""
    """The setting with which the agent's runs were loaded; when it changes, all are loaded again."""
    full_scan_at: datetime | None = None
    """When the whole list was last read; None while it never was."""

    @classmethod
    def load(cls, stored: Any) -> AgentState:
        """Return the state that dlt's state has."""
        return msgspec.convert(stored, cls)

    def dump(self) -> Any:
        """Return the state for dlt's state: JSON values only."""
        return msgspec.json.decode(msgspec.json.encode(self))  # a tuple would differ from the list that it becomes

    def copy(self) -> AgentState:
        """Return a state that can be changed by itself."""
        return msgspec.structs.replace(
            self, recent=dict(self.recent), in_flight=dict(self.in_flight), rejected=list(self.rejected)
        )

    def begin(self, first: Iterable[Run | Rejected], total: int, now: datetime) -> None:
        """Raise the watermark to what the first page shows: all that changed up to then will be in this reading.

        Only the first page raises it: runs that change while we page may stand on pages already read. Times in the
        future are no guide.
        """
        runs = [run for run in first if isinstance(run, Run)]
        changes = [moment for run in runs if (moment := last_change(run)) is not None and moment <= now]
        created = [moment for run in runs if (moment := run.time("created_at")) is not None and moment <= now]
        self.watermark = max([*changes, *([self.watermark] if self.watermark else [])], default=None)
        self.newest = max(created, default=None)
        self.total = total

    def remember(self, run: Run, now: datetime, *, outdated: bool = False) -> None:
        """Note the run as it will be in the warehouse, or that it will be there as it was before its last change."""
        self.forget(run.id)
        if outdated:
            self.in_flight[run.id] = ""
        elif is_in_flight(run, now):
            self.in_flight[run.id] = run.content_hash
        else:
            changed, horizon = last_change(run), horizon_of(self.watermark)
            if changed is None or horizon is None or changed > horizon:
                self.recent[run.id] = (run.content_hash, changed)

    def reject(self, item: Rejected) -> bool:
        """Remember an item that is no run; return False if it was remembered before."""
        digest = hashlib.sha256(item.raw).hexdigest()[:16]
        if digest in self.rejected:
            return False
        self.rejected.append(digest)
        return True

    def read_again(self, run_ids: Iterable[str]) -> None:
        """Remember runs as those in flight: the next sync reads them again."""
        for run_id in run_ids:
            self.forget(run_id)
            self.in_flight[run_id] = ""

    def given_up(self, new: AgentState) -> AgentState:
        """Return what stays of this state when a reading was given up that had come to `new`: all is read again."""
        kept = self.copy()
        kept.in_flight |= new.in_flight
        kept.rejected = new.rejected
        kept.rest = kept.full_scan_at = None
        kept.data_tables = kept.data_tables or new.data_tables
        return kept

    def forget(self, run_id: str) -> None:
        """Note that there is nothing more to know about the run."""
        self.in_flight.pop(run_id, None)
        self.recent.pop(run_id, None)

    def prune(self) -> None:
        """Let go of what the watermark covers by now."""
        horizon = horizon_of(self.watermark)
        self.recent = {
            run_id: (known, changed)
            for run_id, (known, changed) in self.recent.items()
            if changed is None or horizon is None or changed > horizon
        }
        del self.rejected[: -settings.REMEMBERED_REJECTS]


def horizon_of(watermark: datetime | None) -> datetime | None:
    """Return the time up to which everything is known; what changed later is looked at again."""
    return watermark - timedelta(seconds=settings.LAG) if watermark else None


def last_change(run: Run) -> datetime | None:
    """Return when the run last changed: `updated_at`, or `created_at` if that is missing or later."""
    return max((moment for name in ("updated_at", "created_at") if (moment := run.time(name))), default=None)


def is_in_flight(run: Run, now: datetime) -> bool:
    """Return whether the run will change by itself."""
    status = run.text("status")
    if status in IN_FLIGHT or status in FINAL:
        return status in IN_FLIGHT
    changed = last_change(run)
    return changed is not None and now - changed < timedelta(days=settings.UNKNOWN_STATUS_DAYS)


def reading_mode(state: AgentState, selection: Selection, now: datetime) -> Reading:
    """Return how an agent's list is read: by a window, the rest of an unfinished reading, a scan, or a look."""
    if selection.windowed:
        return "window"
    if selection.full_scan or selection.rewrite or changes_tables(state, selection):
        return "scan"
    if state.rest is not None:
        return "rest"
    last, days = state.full_scan_at, selection.full_scan_every
    # A time to come is that of a clock that was wrong.
    due = last is None or last > now or bool(days and now - last >= timedelta(days=days))
    return "scan" if due else "look"


def changes_tables(state: AgentState, selection: Selection) -> bool:
    """Return whether the runs are in the warehouse in other tables than they should be."""
    return state != AgentState() and state.data_tables != selection.data_tables
