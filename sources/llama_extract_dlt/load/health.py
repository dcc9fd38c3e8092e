"""What a warehouse says of itself: what is in flight, what was set aside, how young its runs are."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ..service.records import IN_FLIGHT
from ..tables.contract import REJECTED, RUNS


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the dataset, whoever loaded it and whenever; it does not depend on what the last sync has read.

    Attributes:
        newest_change: when a run last changed, None where there is no run.
        in_flight: runs that are not final, those left out that were deleted at the service.
        oldest_in_flight: when the oldest of them was created; None where there is none.
        rejected: rows of `extraction_runs__rejected`.
    """

    newest_change: datetime | None
    in_flight: int
    oldest_in_flight: datetime | None
    rejected: int


def ask_health(pipeline: dlt.Pipeline, agents: Sequence[str] | None = None) -> Health:
    """Ask the warehouse about the runs of these agents, all if none are given; rejected items are of no agent.

    A destination that cannot merge has a run once for each load that wrote it: the latest counts.
    """
    name = _column(pipeline)
    runs, rejected = (_table(pipeline, table) for table in (RUNS, REJECTED))
    latest = (
        f"NOT EXISTS (SELECT 1 FROM {runs} n WHERE n.{name('id')} = r.{name('id')} "  # noqa: S608
        f"AND n.{name('_dlt_load_id')} > r.{name('_dlt_load_id')})"
    )
    asked = [] if agents is None else list(agents)
    of_agents = "1 = 1" if agents is None else f"r.{name('extraction_agent_id')} IN ({_marks(asked)})"
    flying = f"r.{name('status')} IN ({_marks(IN_FLIGHT)}) AND r.{name('_deleted_at')} IS NULL AND {latest}"
    created = f"r.{name('created_at')}"
    changed = f"SELECT MAX(r.{name('updated_at')}), MAX({created}) FROM {runs} r WHERE {of_agents}"  # noqa: S608
    in_flight = f"SELECT COUNT(*), MIN({created}) FROM {runs} r WHERE {of_agents} AND {flying}"  # noqa: S608
    try:
        with pipeline.sql_client() as client:
            (moments,) = client.execute_sql(changed, *asked) or ()
            ((count, oldest),) = client.execute_sql(in_flight, *asked, *sorted(IN_FLIGHT)) or ()
            ((set_aside,),) = client.execute_sql(f"SELECT COUNT(*) FROM {rejected}") or ()  # noqa: S608
    except DestinationUndefinedEntity:  # nothing was ever loaded
        return Health(None, 0, None, 0)
    newest = max((moment for value in moments if (moment := _moment(value)) is not None), default=None)
    return Health(newest, int(count), _moment(oldest), int(set_aside))


def loads_since(pipeline: dlt.Pipeline, load_id: str) -> list[str]:
    """Return the ids of the pipeline's loads after this one, oldest first, as far as they came to their end.

    Every package of runs has the pipeline's state in it.
    """
    name = _column(pipeline)
    state, loads = (_table(pipeline, table) for table in ("_dlt_pipeline_state", "_dlt_loads"))
    query = (
        f"SELECT DISTINCT s.{name('_dlt_load_id')} FROM {state} s JOIN {loads} l "  # noqa: S608
        f"ON l.{name('load_id')} = s.{name('_dlt_load_id')} WHERE l.{name('status')} = 0 "
        f"AND s.{name('pipeline_name')} = %s AND s.{name('_dlt_load_id')} > %s"
    )
    try:
        with pipeline.sql_client() as client:
            rows = client.execute_sql(query, pipeline.pipeline_name, load_id) or ()
    except DestinationUndefinedEntity:
        return []
    return sorted(row[0] for row in rows)


def _column(pipeline: dlt.Pipeline) -> Callable[[str], str]:
    """Return what gives a column's name, quoted."""
    naming, quote = pipeline.default_schema.naming, pipeline.sql_client().escape_column_name
    return lambda name: str(quote(naming.normalize_identifier(name)))


def _table(pipeline: dlt.Pipeline, name: str) -> str:
    return str(pipeline.sql_client().make_qualified_table_name(name))


def _marks(values: Collection[str]) -> str:
    return ", ".join(["%s"] * len(values))


def _moment(value: datetime | None) -> datetime | None:
    """The instant, in UTC where the destination does not say."""
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
