"""Runs whose rows are not those that were written for them, found by counting the child rows of all runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

import dlt
from dlt.common.json import json
from dlt.destinations.job_client_impl import SqlJobClientBase

from ... import settings
from ...tables.contract import RUNS, child_tables
from ..destinations.lakes import Lake
from .queries import Queries, marks, portions


class Damage:
    """What is damaged in a warehouse when it is asked.

    A run has as many child rows as were written, each once, and all by the load that wrote the run: one table may have
    lost a row while another has one twice, and a load that was cut off may have replaced rows in some tables only.

    Attributes:
        orphans: ids that child tables have rows of, but not the table of the runs.
        damaged: ids of runs whose rows are not those that were written for them.
    """

    def __init__(self, sql: Queries) -> None:
        self._sql = sql
        self._columns_of = cache(self._stored_columns)
        ranges = self._ranges()
        self.orphans = [run_id for low, high in ranges for run_id in self._orphans(low, high)]
        self.damaged = {run_id for low, high in ranges for run_id in self._miscounted(low, high)}
        self.damaged.update(self._of_unfinished_loads())

    def _ranges(self) -> list[tuple[str, str]]:
        """Return the ranges of ids that are counted one after the other, from one inclusive to the next, "" for open.

        DuckDB counts in this process, which takes 2 GB for a million runs; so there, ranges begin with other digits of
        a UUID. Other warehouses have memory of their own, and would read all rows for each range.
        """
        client: Any = self._sql.client
        parts = 1
        if client.config.destination_type.rpartition(".")[2] == "duckdb" and self._sql.has(RUNS):
            [(runs,)] = self._sql.each(f"SELECT COUNT(*) FROM {self._sql.name(RUNS)}")  # noqa: S608
            while parts < 16 and runs > parts * settings.COUNTED_RUNS:
                parts *= 2
        return list(pairwise(["", *(f"{16 * part // parts:x}" for part in range(1, parts)), ""]))

    def _orphans(self, low: str, high: str) -> Iterator[str]:
        sql = self._sql
        if not (counted := self._counted(low, high)):
            return
        unknown = ""
        if sql.has(RUNS):
            same = f"r.{sql.column('id')} = c.{sql.column('_run_id')}"
            unknown = f" WHERE NOT EXISTS (SELECT 1 FROM {sql.name(RUNS)} r WHERE {same})"  # noqa: S608
        yield from filter(None, sql.ids(f"c.{sql.column('_run_id')}", f"{counted} c{unknown}"))

    def _miscounted(self, low: str, high: str) -> Iterator[str]:
        """Yield the runs that have other child rows than were written."""
        sql = self._sql
        if not {"_child_rows", "_dlt_load_id"} <= sql.runs_columns:
            return
        key, load, rows = (f"r.{sql.column(name)}" for name in ("id", "_dlt_load_id", "_child_rows"))
        source, wrong = f"{sql.name(RUNS)} r", f"{rows} <> 0"
        if counted := self._counted(low, high):
            source += f" LEFT JOIN {counted} c ON c.{sql.column('_run_id')} = {key}"
            other_load = f"c.loads < c.n OR c.first_load <> {load} OR c.last_load <> {load}"
            wrong = f"{rows} <> COALESCE(c.n, 0) OR c.ids <> c.n OR (({other_load}) AND {sql.alive()})"
        yield from sql.ids(key, f"{source} WHERE {_within(key, low, high)}({wrong})")

    def _of_unfinished_loads(self) -> Iterator[str]:
        """Yield the runs that a load has written that did not come to its end, or after one that had begun later."""
        sql = self._sql
        if "_dlt_load_id" not in sql.runs_columns or not sql.has(sql.schema.loads_table_name):
            return
        key, load = f"r.{sql.column('id')}", f"r.{sql.column('_dlt_load_id')}"
        status = f"l.{sql.column('status')}"
        loads = f"LEFT JOIN {sql.loads} l ON l.{sql.column('load_id')} = {load}"
        yield from sql.ids(key, f"{sql.name(RUNS)} r {loads} WHERE {status} IS NULL OR {status} <> 0")
        for some in portions(self._loads_ended_out_of_order()):
            yield from sql.ids(key, f"{sql.name(RUNS)} r WHERE {load} IN ({marks(some)})", some)

    def _loads_ended_out_of_order(self) -> list[str]:
        """Return the loads that came to their end before one that had begun before them.

        That one may have been taken up again: dlt then merges what it finds in the staging tables, the rows of a later
        load, with the columns that the old package knows, and leaves the others empty. If it knows all there were, it
        does no harm. Lakes have no staging tables.
        """
        sql = self._sql
        if isinstance(sql.client, Lake):
            return []
        columns = ", ".join(map(sql.column, ("load_id", "inserted_at", "schema_version_hash")))
        query = f"SELECT {columns} FROM {sql.loads} WHERE {sql.column('schema_name')} = %s"  # noqa: S608
        ends: dict[str, Any] = {}
        found = []
        for load_id, end, schema in sorted(sql.each(query, [sql.schema.name])):
            if any(end < latest and not self._has_all_columns(other, schema) for other, latest in ends.items()):
                found.append(load_id)
            ends[schema] = max(end, ends.get(schema, end))
        return found

    def _has_all_columns(self, schema: str, other: str) -> bool:
        """Return whether one stored schema, both given by their hashes, has all columns that the other one has."""
        if schema == other:
            return True
        return bool(self._columns_of(schema)) and self._columns_of(other) <= self._columns_of(schema)

    def _stored_columns(self, schema: str) -> frozenset[tuple[str, str]]:
        with self._sql.connected() as client:
            assert isinstance(client, SqlJobClientBase)
            stored = client.get_stored_schema_by_hash(schema)
        tables = dlt.Schema.from_dict(json.loads(stored.schema)).tables if stored else {}
        return frozenset((table, column) for table in tables for column in tables[table]["columns"])

    def _counted(self, low: str, high: str) -> str:
        """Return a query of the child rows of each run: their number, their ids, their loads; empty without tables."""
        sql = self._sql
        run_id, row_id, load = (sql.column(name) for name in ("_run_id", "_dlt_id", "_dlt_load_id"))
        within = f" WHERE {_within(run_id, low, high)}1 = 1" if low or high else ""
        selects = []
        for child in child_tables(sql.schema):
            if sql.has(child):
                written_by_this_version = "_dlt_load_id" in sql.there[child]
                known = load if written_by_this_version else f"'' AS {load}"
                selects.append(f"SELECT {run_id}, {row_id}, {known} FROM {sql.name(child)}{within}")  # noqa: S608
        if not selects:
            return ""
        return (
            f"(SELECT {run_id}, COUNT(*) AS n, COUNT(DISTINCT {row_id}) AS ids, COUNT({load}) AS loads, "  # noqa: S608
            f"MIN({load}) AS first_load, MAX({load}) AS last_load "
            f"FROM ({' UNION ALL '.join(selects)}) u GROUP BY {run_id})"
        )


def _within(column: str, low: str, high: str) -> str:
    """Return the beginning of a condition: that the column lies in the range."""
    return (f"{column} >= '{low}' AND " if low else "") + (f"{column} < '{high}' AND " if high else "")
