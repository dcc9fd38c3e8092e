"""Queries of what a warehouse has: names as it spells them, one query at a time."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import dlt
from dlt.destinations.job_client_impl import SqlJobClientBase

from ...tables.contract import RUNS
from ..destinations.lakes import Lake

_IDS_PER_QUERY = 500
_ROWS_PER_FETCH = 10_000


class Queries:
    """Asks a warehouse by SQL; without a client there are no tables.

    Attributes:
        client: dlt's for jobs, or the lake.
        schema: of the tables.
        there: the columns of the tables that are there, to be filled in by whoever asks for them.
    """

    def __init__(self, client: SqlJobClientBase | Lake | None, schema: Any) -> None:
        self.client = client
        self.schema: dlt.Schema = schema
        self.there: dict[str, frozenset[str]] = {}
        self._lock = threading.Lock()
        self._sql: Any = client.sql_client if client is not None else None

    @property
    def loads(self) -> str:
        """Dlt's table of loads, as a query names it."""
        return self.name(self.schema.loads_table_name)

    @property
    def runs_columns(self) -> frozenset[str]:
        """The columns of `extraction_runs`, none where it is not there."""
        return self.there.get(RUNS, frozenset())

    @property
    def capabilities(self) -> Any:
        """What the destination can do."""
        return self._sql.capabilities

    def has(self, table: str) -> bool:
        """Return whether the table is there."""
        return table in self.there

    def name(self, table: str) -> str:
        """Return the table's name for a query."""
        return str(self._sql.make_qualified_table_name(table))

    def column(self, name: str) -> str:
        """Return the name of one of our columns for a query."""
        return self.quoted(self.schema.naming.normalize_identifier(name))

    def quoted(self, name: str) -> str:
        """Return a name that the schema has for a query."""
        return str(self._sql.escape_column_name(name))

    def alive(self) -> str:
        """Return the condition, for runs that are called r, that they were not found deleted."""
        return f"r.{self.column('_deleted_at')} IS NULL" if "_deleted_at" in self.runs_columns else "1 = 1"

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """Give the client, connected; others wait meanwhile."""
        connection: Any = self.client
        with self._lock, connection as client:
            yield client

    def ids(self, column: str, source: str, parameters: Sequence[str] = ()) -> Iterator[str]:
        """Yield the column of what comes after FROM."""
        return (row[0] for row in self.each(f"SELECT {column} FROM {source}", parameters))  # noqa: S608

    def each(self, query: str, parameters: Sequence[str] = ()) -> Iterator[Any]:
        """Yield the rows of the answer one by one; the connection is held until they are all taken."""
        for rows in self.fetch(query, parameters):
            yield from rows

    def fetch(self, query: str, parameters: Sequence[str] = ()) -> Iterator[list[Any]]:
        """Yield the rows of the answer in portions, likewise."""
        with self._lock, self._sql as client, client.execute_query(query, *parameters) as cursor:
            while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                yield rows


def marks(values: Collection[object]) -> str:
    """Return the marks that stand for so many parameters in a query."""
    return ", ".join(["%s"] * len(values))


def portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids, as many at a time as one query takes."""
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
