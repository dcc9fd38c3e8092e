"""Whether a run is new, updated or unchanged: by what is remembered of its agent, and by what the warehouse has."""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Literal

from .. import settings
from ..service.records import Run
from .agent_state import AgentState, last_change
from .events import Selection
from .warehouse_index import RunIndex, Warehouse

_logger = logging.getLogger(__name__)

Verdict = Literal["new", "updated", "unchanged", "incomplete"]
"""`incomplete` is a run that the warehouse has as it is, but for the record of its file."""


def written_hash(content_hash: str, data_table: str) -> str:
    """Return what `_content_hash` is for a run of that content whose data go to that table: 12 characters.

    It says how the run was written, by which version of the writer too: what was written otherwise is written again.
    """
    text = f"{settings.WRITER}\0{data_table}\0{content_hash}"
    return base64.urlsafe_b64encode(hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=9).digest()).decode()


def without_file(written: str) -> str:
    """Return the same for a run that was written without the record of its file, which could not be looked up."""
    return written_hash(written, "no file")


def by_state(state: AgentState, run: Run, horizon: datetime | None) -> Verdict:
    """Return the verdict by what is remembered; `horizon` is the time up to which everything is known."""
    if run.id in state.in_flight or run.id in state.recent:
        known = state.in_flight[run.id] if run.id in state.in_flight else state.recent[run.id][0]
        return "unchanged" if known == run.content_hash else "updated"
    changed, created = last_change(run), run.time("created_at")
    if changed is None or horizon is None:
        return "new"
    if changed <= horizon:
        return "unchanged"
    return "updated" if created is not None and created <= horizon else "new"


def by_warehouse(warehouse: Warehouse, runs: Sequence[Run], selection: Selection) -> Iterator[tuple[Run, Verdict]]:
    """Yield runs that were asked for by their IDs, each with the verdict by what the warehouse has.

    An answer that is older than that, of a replica that lags behind, is not taken.
    """
    index = warehouse.runs([run.id for run in runs])
    verdicts = {run.id: by_index(index, run, selection) for run in runs}
    updated = [] if selection.rewrite else [run_id for run_id, verdict in verdicts.items() if verdict == "updated"]
    there = warehouse.updated_at(updated)
    for run in runs:
        changed = run.time("updated_at")
        if run.id in there and changed is not None and changed < there[run.id]:
            _logger.warning("the warehouse has run %s as it was later, at %s: it stays", run.id, there[run.id])
            yield run, "unchanged"
        else:
            yield run, verdicts[run.id]


def by_index(index: RunIndex, run: Run, selection: Selection) -> Verdict:
    """Return the verdict by what the warehouse has; all are updated that are written again in any case."""
    if run.id not in index:
        return "new"
    if selection.rewrite:
        return "updated"
    if index.has_hash(run.id, run.content_hash):
        return "unchanged"
    if index.has_hash(run.id, without_file(run.content_hash)):
        return "incomplete" if selection.lookup_files else "unchanged"
    return "updated"
