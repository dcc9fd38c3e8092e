"""What the warehouse holds, asked by SQL: its tables, its runs as they were loaded, and rows that are damaged."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable, Iterator, Sequence
from functools import cache
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.destination.client import JobClientBase, WithStateSync
from dlt.common.json import json
from dlt.common.libs.pyarrow import row_tuples_to_arrow
from dlt.destinations.job_client_impl import SqlJobClientBase

from ...tables.contract import AGENTS, RUNS, SCHEMAS, child_tables
from ...tracking.warehouse_index import RunIndex
from ..destinations.lakes import Lake
from ..dlt_inside import stored_columns
from .stored_schema import complete, database_exists, take_over_stored

_IDS_PER_QUERY = 500
_ROWS_PER_FETCH = 10_000


class SqlWarehouse:
    """Asks the warehouse by SQL. Where there is none, or none that can be asked, it seems to be empty.

    Attributes:
        suspects: after `inspect`, runs whose rows are not those that were written for them.
        orphans: after `inspect`, ids that child tables have rows of, but not the table of the runs.
        shared: whether pipelines of other names load into the dataset, too.
    """

    def __init__(
        self,
        client: JobClientBase | Lake | None,
        schema: dlt.Schema | None,
        names: Iterable[str] = (),
        *,
        dropped: Iterable[str] = (),
        emptied: Iterable[str] = (),
    ) -> None:
        """Take over into `schema` what the warehouse has: its tables and columns with their types.

        dlt does that by itself only where it finds a state of the same pipeline. `names` are tables that may be there
        beside those of the schema. Those that this load will drop or empty before it loads are as good as not there.
        """
        self.suspects: set[str] = set()
        self.orphans: list[str] = []
        self.shared = False
        self._client: Any = None
        self._is_there = True
        self._lock = threading.Lock()
        self._inspected = False
        self._columns_of = cache(self._stored_columns)
        self._absent = dict.fromkeys(dropped, True) | dict.fromkeys(emptied, False)
        self._hidden = frozenset(self._absent)
        self._there: dict[str, frozenset[str]] = {}
        """The columns of the tables that are there."""
        if schema is None:
            return
        if not isinstance(client, SqlJobClientBase | Lake):
            if isinstance(client, WithStateSync):
                with client:
                    take_over_stored(client, schema, self._hidden)
        elif not database_exists(client):
            self._is_there = False
        else:
            self._client, self._job_client = client.sql_client, client
            if isinstance(client, Lake):
                client.take_schema(schema)
            self._quote, self._normal = self._client.escape_column_name, schema.naming.normalize_identifier
            self._loads = self._name(schema.loads_table_name)
            self._take_columns_over(schema, names)
            self._schema = schema

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_columns_over(self, schema: dlt.Schema, names: Iterable[str]) -> None:
        with self._lock, self._job_client as client:
            take_over_stored(client, schema, self._hidden)
            states = schema.state_table_name
            known = [*schema.data_table_names(include_incomplete=True), schema.loads_table_name, states]
            for name, columns in stored_columns(client, schema, [*known, RUNS, AGENTS, SCHEMAS, *names]):
                if columns and name not in self._hidden:
                    self._there[name] = frozenset(columns)
                    complete(schema, name, columns)
        self._runs_columns = self._there.get(RUNS, frozenset())
        if self._has(states):
            query = f"SELECT COUNT(DISTINCT {self._column('pipeline_name')}) FROM {self._name(states)}"  # noqa: S608
            self.shared = any(row[0] > 1 for row in self._each(query))

    def refresh(self) -> None:
        """Ask for what was loaded meanwhile; a database gives that by itself."""
        if isinstance(self._client, Lake):
            self._client.refresh()

    def is_absent(self, table: str, company: Iterable[str] = ()) -> bool:
        """Return whether the warehouse had no such table when it was first asked.

        `company` are tables that will be asked about, too: one query does for all.
        """
        if self._client is None:
            return False
        if table not in self._absent:
            asked = {name for name in (table, *company) if name not in self._absent}
            there = asked & self._there.keys()
            if asked - there:
                with self._lock, self._job_client as client:
                    there |= {name for name, columns in client.get_storage_tables(asked - there) if columns}
            self._absent |= {name: name not in there for name in asked}
        return self._absent[table]

    def has_load(self, load_id: str) -> bool:
        """Return whether the load came to its end here, as far as the warehouse can be asked."""
        if self._client is None:
            return self._is_there
        if self._schema.loads_table_name not in self._there:
            return False
        load, status = self._column("load_id"), self._column("status")
        query = f"SELECT {load} FROM {self._loads} WHERE {load} = %s AND {status} = 0"  # noqa: S608
        return any(self._each(query, [load_id]))

    # ── agents ────────────────────────────────────────────────────────────────────────────────────────────────

    def agent_hashes(self) -> dict[str, str] | None:
        """Return the content hashes of the agents here that have their schemas, by id; None if it cannot be asked."""
        if self._client is None:
            return None
        if not {"id", "_content_hash", "data_schema_hash"} <= self._there.get(AGENTS, frozenset()):
            return {}
        wanted = f"a.{self._column('data_schema_hash')}"
        complete = f"{wanted} IS NULL"
        if self._has(SCHEMAS):
            has_schema = f"s.{self._column('hash')} = {wanted}"
            complete += f" OR EXISTS (SELECT 1 FROM {self._name(SCHEMAS)} s WHERE {has_schema})"  # noqa: S608
        columns = f"a.{self._column('id')}, a.{self._column('_content_hash')}"
        query = f"SELECT {columns} FROM {self._name(AGENTS)} a WHERE {complete}"  # noqa: S608
        return {row[0]: row[1] for row in self._each(query)}

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def inspect(self) -> None:
        """Find, once, the runs whose rows are damaged, by counting the child rows of all runs.

        A run has as many as were written, each once, and all by the load that wrote the run: one table may have lost a
        row while another has one twice, and a load that was cut off may have replaced rows in some tables only.
        """
        if self._inspected or self._client is None:
            return
        self._inspected = True
        counted = self._children_counted()
        if counted:
            unknown = ""
            if self._has(RUNS):
                key, run_id = self._column("id"), self._column("_run_id")
                unknown = f" WHERE NOT EXISTS (SELECT 1 FROM {self._name(RUNS)} r WHERE r.{key} = c.{run_id})"  # noqa: S608
            self.orphans = [
                run_id for run_id in self._ids(f"c.{self._column('_run_id')}", f"{counted} c{unknown}") if run_id
            ]
        self.suspects.update(self.orphans)
        if not self._has(RUNS):
            return
        key, load = f"r.{self._column('id')}", f"r.{self._column('_dlt_load_id')}"
        if {"_child_rows", "_dlt_load_id"} <= self._runs_columns:
            rows = f"r.{self._column('_child_rows')}"
            source, wrong = f"{self._name(RUNS)} r", f"{rows} <> 0"
            if counted:
                source += f" LEFT JOIN {counted} c ON c.{self._column('_run_id')} = {key}"
                other_load = f"c.loads < c.n OR c.first_load <> {load} OR c.last_load <> {load}"
                wrong = f"{rows} <> COALESCE(c.n, 0) OR c.ids <> c.n OR (({other_load}) AND {self._alive()})"
            self.suspects.update(self._ids(key, f"{source} WHERE {wrong}"))
        if "_dlt_load_id" in self._runs_columns:
            status = f"l.{self._column('status')}"
            loads = f"LEFT JOIN {self._loads} l ON l.{self._column('load_id')} = {load}"
            source = f"{self._name(RUNS)} r {loads} WHERE {status} IS NULL OR {status} <> 0"
            self.suspects.update(self._ids(key, source))
            for some in portions(self._loads_ended_out_of_order()):
                query = f"SELECT {key} FROM {self._name(RUNS)} r WHERE {load} IN ({marks(some)})"  # noqa: S608
                self.suspects.update(row[0] for row in self._each(query, some))

    def _loads_ended_out_of_order(self) -> list[str]:
        """Return the loads that came to their end before one that had begun before them.

        That one may have been taken up again: dlt then merges what it finds in the staging tables, the rows of a later
        load, with the columns that the old package knows, and leaves the others empty. If it knows all there were, it
        does no harm. Lakes have no staging tables.
        """
        if isinstance(self._client, Lake):
            return []
        columns = ", ".join(map(self._column, ("load_id", "inserted_at", "schema_version_hash")))
        query = f"SELECT {columns} FROM {self._loads} WHERE {self._column('schema_name')} = %s"  # noqa: S608
        ends: dict[str, Any] = {}
        found = []
        for load_id, end, schema in sorted(self._each(query, [self._schema.name])):
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
        with self._lock, self._job_client as client:
            assert isinstance(client, SqlJobClientBase)
            stored = client.get_stored_schema_by_hash(schema)
        tables = dlt.Schema.from_dict(json.loads(stored.schema)).tables if stored else {}
        return frozenset((table, column) for table in tables for column in tables[table]["columns"])

    def _children_counted(self) -> str:
        """Return a query of the child rows of each run: their number, their ids, their loads; empty without tables."""
        run_id, row_id, load = (self._column(name) for name in ("_run_id", "_dlt_id", "_dlt_load_id"))
        selects = []
        for child in child_tables(self._schema):
            if child in self._there:
                written_by_this_version = "_dlt_load_id" in self._there[child]
                known = load if written_by_this_version else f"'' AS {load}"
                selects.append(f"SELECT {run_id}, {row_id}, {known} FROM {self._name(child)}")  # noqa: S608
        if not selects:
            return ""
        return (
            f"(SELECT {run_id}, COUNT(*) AS n, COUNT(DISTINCT {row_id}) AS ids, COUNT({load}) AS loads, "  # noqa: S608
            f"MIN({load}) AS first_load, MAX({load}) AS last_load "
            f"FROM ({' UNION ALL '.join(selects)}) u GROUP BY {run_id})"
        )

    def _ids(self, column: str, source: str, parameters: Sequence[str] = ()) -> Iterator[str]:
        return (row[0] for row in self._each(f"SELECT {column} FROM {source}", parameters))  # noqa: S608

    def runs_of_agent(self, agent_id: str) -> RunIndex:
        """Return the agent's runs."""
        return RunIndex(self._known("extraction_agent_id", [agent_id]), self.suspects)

    def runs(self, ids: Sequence[str]) -> RunIndex:
        """Return those of these runs that are there."""
        known = (portion for some in portions(ids) for portion in self._known("id", some))
        return RunIndex(known, self.suspects)

    def agents_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the agents that these runs belonged to when they were loaded, by the run's id."""
        if not self._has(RUNS) or "extraction_agent_id" not in self._runs_columns:
            return {}
        key, agent = self._column("id"), self._column("extraction_agent_id")
        query = f"SELECT {key}, {agent} FROM {self._name(RUNS)} WHERE {key} IN "  # noqa: S608
        return {row[0]: row[1] or "" for some in portions(ids) for row in self._each(f"{query}({marks(some)})", some)}

    def agents(self, *, found_deleted: bool = False) -> dict[str, str]:
        """Return the agents that have runs here, with their projects; runs found deleted count if asked for."""
        if not self._has(RUNS):
            return {}
        agent, project = self._column("extraction_agent_id"), self._column("project_id")
        query = f"SELECT DISTINCT {agent}, {project} FROM {self._name(RUNS)} r"  # noqa: S608
        if not found_deleted:
            query += f" WHERE {self._alive()}"
        return {row[0]: row[1] for row in self._each(query) if row[0]}

    def data_tables(self) -> dict[str, str]:
        """Return the tables that have the data of one agent each, by its id: another pipeline may have named them."""
        own = [name for name in child_tables(self._schema) if name in self._there] if self._has(RUNS) else []
        roots = [name for name in own if not name.startswith(RUNS) and "__" not in name]
        selects = [
            f"SELECT {number} AS t, r.{self._column('extraction_agent_id')}, COUNT(*) AS n FROM {self._name(name)} d "  # noqa: S608
            f"JOIN {self._name(RUNS)} r ON r.{self._column('id')} = d.{self._column('_run_id')} "
            f"GROUP BY r.{self._column('extraction_agent_id')}"
            for number, name in enumerate(roots)
        ]
        if not selects:
            return {}
        found = sorted(self._each(" UNION ALL ".join(selects)), key=lambda row: int(row[2]))  # the most rows last
        owners = {table: agent for table, agent, _ in found}
        return {agent: roots[table] for table, agent, _ in found if owners[table] == agent}

    def runs_named_otherwise(self, agent_id: str, name: str) -> list[str] | None:
        """Return the ids of the agent's runs that lack this name for it; None if there is no column for that yet."""
        if not self._has(RUNS):
            return []
        if not {"id", "extraction_agent_id", "agent_name"} <= self._runs_columns:
            return None
        agent, its_name = self._column("extraction_agent_id"), self._column("agent_name")
        source = f"{self._name(RUNS)} WHERE {agent} = %s AND ({its_name} IS NULL OR {its_name} <> %s)"
        return list(self._ids(self._column("id"), source, [agent_id, name]))

    def rows(self, ids: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these runs as they are in the warehouse."""
        if not ids or not self._has(RUNS):
            return
        described = self._schema.tables[RUNS]["columns"].items()
        columns = {name: column for name, column in described if name in self._runs_columns}
        wanted = ", ".join(map(self._quote, columns))
        for some in portions(ids):
            query = f"SELECT {wanted} FROM {self._name(RUNS)} WHERE {self._column('id')} IN ({marks(some)})"  # noqa: S608
            for rows in list(self._fetch(query, some)):  # dlt may ask for something else before it takes the next
                yield row_tuples_to_arrow(rows, self._client.capabilities, columns, "UTC")

    def _known(self, column: str, values: Sequence[str]) -> Iterator[list[tuple[str, str | None, bool]]]:
        if not values or not self._has(RUNS) or not {"id", column} <= self._runs_columns:
            return
        key, load, status = self._column("id"), self._column("load_id"), self._column("status")
        if {"_content_hash", "_dlt_load_id"} <= self._runs_columns:
            digest = f"CASE WHEN l.{status} = 0 THEN r.{self._column('_content_hash')} END"
            loads = f"LEFT JOIN {self._loads} l ON l.{load} = r.{self._column('_dlt_load_id')} "
        else:
            digest, loads = "NULL", ""
        query = (
            f"SELECT r.{key}, {digest}, CASE WHEN {self._alive()} THEN 0 ELSE 1 END "  # noqa: S608
            f"FROM {self._name(RUNS)} r {loads}WHERE r.{self._column(column)} IN ({marks(values)})"
        )
        for rows in self._fetch(query, values):
            yield [(row[0], row[1], bool(row[2])) for row in rows]

    # ── queries ───────────────────────────────────────────────────────────────────────────────────────────────

    def _has(self, table: str) -> bool:
        return self._client is not None and table in self._there

    def _name(self, table: str) -> str:
        return str(self._client.make_qualified_table_name(table))

    def _column(self, name: str) -> str:
        return str(self._quote(self._normal(name)))

    def _alive(self) -> str:
        return f"r.{self._column('_deleted_at')} IS NULL" if "_deleted_at" in self._runs_columns else "1 = 1"

    def _each(self, query: str, parameters: Sequence[str] = ()) -> Iterator[Any]:
        """Yield the rows of the answer one by one; the connection is held until they are all taken."""
        for rows in self._fetch(query, parameters):
            yield from rows

    def _fetch(self, query: str, parameters: Sequence[str] = ()) -> Iterator[list[Any]]:
        with self._lock, self._client as client, client.execute_query(query, *parameters) as cursor:
            while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                yield rows


def marks(values: Collection[object]) -> str:
    """Return the marks that stand for so many parameters in a query."""
    return ", ".join(["%s"] * len(values))


def portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    """Yield the ids, as many at a time as one query takes."""
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
