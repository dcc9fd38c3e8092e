"""What a warehouse says of itself: what is in flight, what was set aside, how young its runs are."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import dlt
import duckdb
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from ...service.records import IN_FLIGHT
from ...tables.contract import REJECTED, RUNS
from ..destinations.lakes import open_lake
from .queries import marks


@dataclass(frozen=True, slots=True)
class Health:
    """The state of the dataset, whoever loaded it and whenever; it does not depend on what the last sync has read.

    Attributes:
        newest_change: when a run last changed, None where there is no run.
        in_flight: runs that are not final, those left out that were deleted at the service.
        oldest_in_flight: when the oldest of them was created; None where there is none.
        rejected: rows of `extraction_runs__rejected`.
    """

    newest_change: datetime | None = None
    in_flight: int = 0
    oldest_in_flight: datetime | None = None
    rejected: int = 0


def ask_health(pipeline: dlt.Pipeline, agents: Sequence[str] | None = None) -> Health:
    """Ask the warehouse about the runs of these agents, all if none are given; rejected items are of no agent."""
    asked = [] if agents is None else list(agents)
    try:
        with _asking(pipeline) as (ask, table, name):
            of_agents = "1 = 1" if agents is None else f"{name('extraction_agent_id')} IN ({marks(asked)})"
            runs, created = f"FROM {table(RUNS)} WHERE {of_agents}", name("created_at")
            flying = f"{name('status')} IN ({marks(IN_FLIGHT)}) AND {name('_deleted_at')} IS NULL"
            (moments,) = ask(f"SELECT MAX({name('updated_at')}), MAX({created}) {runs}", *asked)
            ((in_flight, oldest),) = ask(
                f"SELECT COUNT(*), MIN({created}) {runs} AND {flying}",
                *asked,
                *sorted(IN_FLIGHT),
            )
            ((rejected,),) = ask(f"SELECT COUNT(*) FROM {table(REJECTED)}")  # noqa: S608
    except (DestinationUndefinedEntity, duckdb.CatalogException):  # nothing was ever loaded
        return Health()
    newest = max((moment for value in moments if (moment := _moment(value)) is not None), default=None)
    return Health(newest, int(in_flight), _moment(oldest), int(rejected))


def loads_since(pipeline: dlt.Pipeline, load_id: str) -> list[str]:
    """Return the ids of the pipeline's loads after this one, oldest first, as far as they came to their end.

    Every package of runs has the pipeline's state in it.
    """
    try:
        with _asking(pipeline) as (ask, table, name):
            schema = pipeline.default_schema
            states, loads = table(schema.state_table_name), table(schema.loads_table_name)
            rows = ask(
                f"SELECT DISTINCT s.{name('_dlt_load_id')} FROM {states} s JOIN {loads} l "  # noqa: S608
                f"ON l.{name('load_id')} = s.{name('_dlt_load_id')} WHERE l.{name('status')} = 0 "
                f"AND s.{name('pipeline_name')} = %s AND s.{name('_dlt_load_id')} > %s",
                pipeline.pipeline_name,
                load_id,
            )
    except (DestinationUndefinedEntity, duckdb.CatalogException):
        return []
    return sorted(row[0] for row in rows)


_Ask = Callable[..., Sequence[Sequence[Any]]]
_Name = Callable[[str], str]


@contextmanager
def _asking(pipeline: dlt.Pipeline) -> Iterator[tuple[_Ask, _Name, _Name]]:
    """Gives what asks the warehouse a query, and what gives the names of tables and columns there."""
    normal = pipeline.default_schema.naming.normalize_identifier
    if isinstance(pipeline.destination_client(), FilesystemClient):
        with open_lake(pipeline) as lake:

            def ask(query: str, *parameters: str) -> Sequence[Sequence[Any]]:
                return lake.execute(query.replace("%s", "?"), parameters).fetchall()

            yield ask, _quoted, lambda name: _quoted(normal(name))
    else:
        sql: Any = pipeline.sql_client()
        with sql as client:
            yield (
                client.execute_sql,
                client.make_qualified_table_name,
                lambda name: client.escape_column_name(normal(name)),
            )


def _quoted(name: str) -> str:
    return f'"{name}"'


def _moment(value: datetime | None) -> datetime | None:
    """The instant, in UTC where the destination does not say."""
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)
