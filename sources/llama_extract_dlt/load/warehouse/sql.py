"""What the warehouse holds, asked by SQL: its tables, its runs as they were loaded, and rows that are damaged."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime

import dlt
import pyarrow as pa
from dlt.common.destination.client import JobClientBase, WithStateSync
from dlt.common.libs.pyarrow import row_tuples_to_arrow
from dlt.common.time import ensure_datetime_in_tz
from dlt.destinations.job_client_impl import SqlJobClientBase

from ...tables.contract import AGENTS, RUNS, SCHEMAS, child_tables
from ...tracking.warehouse_index import RunIndex
from ..destinations.lakes import Lake
from ..dlt_inside import stored_columns
from .damage import Damage
from .queries import Queries, marks, portions
from .stored_schema import complete_from_catalogue, database_exists, make_lost_tables, take_over_stored


class SqlWarehouse:
    """Asks the warehouse by SQL. Where there is none, or none that can be asked, it seems to be empty.

    Attributes:
        suspects: after `inspect`, runs whose rows are not those that were written for them.
        orphans: after `inspect`, ids that child tables have rows of, but not the table of the runs.
        pipelines: the names of all that load into the dataset, each with the newest load that left a state.
        lost: tables that have had rows and are not there any more.
        is_gone: whether it is known to have nothing at all.
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
        self.pipelines: dict[str, str] = {}
        self.lost: list[str] = []
        self.is_gone = False
        self._sql = Queries(None, None)
        self._inspected = False
        self._absent = dict.fromkeys(dropped, True) | dict.fromkeys(emptied, False)
        self._hidden = frozenset(self._absent)
        if schema is None:
            return
        if not isinstance(client, SqlJobClientBase | Lake):
            if isinstance(client, WithStateSync):
                with client:
                    take_over_stored(client, schema, self._hidden)
        elif not database_exists(client):
            self.is_gone = True
        else:
            if isinstance(client, Lake):
                client.schema = schema
            self._sql = Queries(client, schema)
            self._take_columns_over(schema, names)

    @property
    def shared(self) -> bool:
        """Whether pipelines of several names load into the dataset."""
        return len(self.pipelines) > 1

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────

    def _take_columns_over(self, schema: dlt.Schema, names: Iterable[str]) -> None:
        with self._sql.connected() as client:
            stored = take_over_stored(client, schema, self._hidden)
            states = schema.state_table_name
            known = [*schema.data_table_names(include_incomplete=True), schema.loads_table_name, states]
            for name, columns in stored_columns(client, schema, [*known, RUNS, AGENTS, SCHEMAS, *names]):
                if columns and name not in self._hidden:
                    self._sql.there[name] = frozenset(columns)
                    complete_from_catalogue(schema, name, columns)
            self._make_what_is_lost(client, stored, names)
            self.is_gone = not self._sql.there and stored is None
        if self._sql.has(states):
            name, load = self._sql.column("pipeline_name"), self._sql.column("_dlt_load_id")
            query = f"SELECT {name}, MAX({load}) FROM {self._sql.name(states)} GROUP BY {name}"  # noqa: S608
            self.pipelines = {row[0]: row[1] or "" for row in self._sql.each(query)}

    def _make_what_is_lost(
        self, client: SqlJobClientBase | Lake, stored: dlt.Schema | None, names: Iterable[str]
    ) -> None:
        """Find the tables that somebody has dropped, and make them again, and lost columns; `client` is connected."""
        there = self._sql.there
        if isinstance(client, Lake):
            known, had_rows = stored, {RUNS} & (stored.tables.keys() if stored else set())
            lost_columns = set[str]()  # files need not have all columns, and other tables may have no files
        else:
            known = stored or client.schema
            had_rows = {*known.data_table_names(seen_data_only=True), *names}
            lost_columns = {
                name for name in there if name in known.tables and known.get_table_columns(name).keys() - there[name]
            }
        self.lost = sorted(had_rows - self._hidden - there.keys())
        if known is not None and (there or stored):  # else the whole dataset is gone, and dlt makes it
            dlts_own = {known.loads_table_name, known.state_table_name} - there.keys()
            made = make_lost_tables(client, known, {*self.lost, *dlts_own, *lost_columns})
            there |= {name: frozenset(columns) for name, columns in made.items()}

    def state_text(self, pipeline_name: str) -> str | None:
        """Return the state that the last load of a pipeline has left here, as dlt keeps it."""
        with self._sql.connected() as client:
            stored = client.get_stored_state(pipeline_name)
        return stored.state if stored else None

    def refresh(self) -> None:
        """Ask for what was loaded meanwhile; a database gives that by itself."""
        if isinstance(self._sql.client, Lake):
            self._sql.client.refresh()

    def is_absent(self, table: str, company: Iterable[str] = ()) -> bool:
        """Return whether the warehouse had no such table when it was first asked.

        `company` are tables that will be asked about, too: one query does for all.
        """
        if self._sql.client is None:
            return False
        if table not in self._absent:
            asked = {name for name in (table, *company) if name not in self._absent}
            there = asked & self._sql.there.keys()
            if asked - there:
                with self._sql.connected() as client:
                    there |= {name for name, columns in client.get_storage_tables(asked - there) if columns}
            self._absent |= {name: name not in there for name in asked}
        return self._absent[table]

    def has_load(self, load_id: str) -> bool:
        """Return whether the load came to its end here, as far as the warehouse can be asked."""
        if self._sql.client is None:
            return not self.is_gone
        if self._sql.schema.loads_table_name not in self._sql.there:
            return False
        load, status = self._sql.column("load_id"), self._sql.column("status")
        query = f"SELECT {load} FROM {self._sql.loads} WHERE {load} = %s AND {status} = 0"  # noqa: S608
        return any(self._sql.each(query, [load_id]))

    # ── agents ────────────────────────────────────────────────────────────────────────────────────────────────

    def agent_hashes(self) -> dict[str, str] | None:
        """Return the content hashes of the agents here that have their schemas, by id; None if it cannot be asked."""
        sql = self._sql
        if sql.client is None:
            return {} if self.is_gone else None
        if not {"id", "_content_hash", "data_schema_hash"} <= sql.there.get(AGENTS, frozenset()):
            return {}
        wanted = f"a.{sql.column('data_schema_hash')}"
        complete = f"{wanted} IS NULL"
        if sql.has(SCHEMAS):
            has_schema = f"s.{sql.column('hash')} = {wanted}"
            complete += f" OR EXISTS (SELECT 1 FROM {sql.name(SCHEMAS)} s WHERE {has_schema})"  # noqa: S608
        columns = f"a.{sql.column('id')}, a.{sql.column('_content_hash')}"
        query = f"SELECT {columns} FROM {sql.name(AGENTS)} a WHERE {complete}"  # noqa: S608
        return {row[0]: row[1] for row in sql.each(query)}

    # ── runs ──────────────────────────────────────────────────────────────────────────────────────────────────

    def inspect(self) -> None:
        """Find, once, the runs whose rows are damaged."""
        if not self._inspected and self._sql.client is not None:
            damage = Damage(self._sql)
            self.orphans = damage.orphans
            self.suspects.update(damage.orphans, damage.damaged)
        self._inspected = True

    def runs_of_agent(self, agent_id: str) -> RunIndex:
        """Return the agent's runs."""
        return RunIndex(self._known("extraction_agent_id", [agent_id]), self.suspects)

    def runs(self, ids: Sequence[str]) -> RunIndex:
        """Return those of these runs that are there."""
        known = (portion for some in portions(ids) for portion in self._known("id", some))
        return RunIndex(known, self.suspects)

    def agents_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the agents that these runs belonged to when they were loaded, by the run's id."""
        sql = self._sql
        if not sql.has(RUNS) or "extraction_agent_id" not in sql.runs_columns:
            return {}
        key, agent = sql.column("id"), sql.column("extraction_agent_id")
        query = f"SELECT {key}, {agent} FROM {sql.name(RUNS)} WHERE {key} IN "  # noqa: S608
        return {row[0]: row[1] or "" for some in portions(ids) for row in sql.each(f"{query}({marks(some)})", some)}

    def updated_at(self, ids: Sequence[str]) -> dict[str, datetime]:
        """Return when these runs last changed as they are here, by the run's id, as far as they say."""
        sql = self._sql
        if not {"id", "updated_at"} <= sql.runs_columns:
            return {}
        key, updated = sql.column("id"), sql.column("updated_at")
        query = f"SELECT {key}, {updated} FROM {sql.name(RUNS)} WHERE {key} IN"  # noqa: S608
        found = (row for some in portions(ids) for row in sql.each(f"{query} ({marks(some)})", some))
        return {run_id: ensure_datetime_in_tz(moment, UTC) for run_id, moment in found if moment is not None}

    def agents(self, *, found_deleted: bool = False) -> dict[str, str]:
        """Return the agents that have runs here, with their projects; runs found deleted count if asked for."""
        sql = self._sql
        if not sql.has(RUNS):
            return {}
        agent, project = sql.column("extraction_agent_id"), sql.column("project_id")
        query = f"SELECT DISTINCT {agent}, {project} FROM {sql.name(RUNS)} r"  # noqa: S608
        if not found_deleted:
            query += f" WHERE {sql.alive()}"
        return {row[0]: row[1] for row in sql.each(query) if row[0]}

    def data_tables(self) -> dict[str, str]:
        """Return the tables that have the data of one agent each, by its id: another pipeline may have named them."""
        sql = self._sql
        own = [name for name in child_tables(sql.schema) if name in sql.there] if sql.has(RUNS) else []
        roots = [name for name in own if not name.startswith(RUNS) and "__" not in name]
        selects = [
            f"SELECT {number} AS t, r.{sql.column('extraction_agent_id')}, COUNT(*) AS n FROM {sql.name(name)} d "  # noqa: S608
            f"JOIN {sql.name(RUNS)} r ON r.{sql.column('id')} = d.{sql.column('_run_id')} "
            f"GROUP BY r.{sql.column('extraction_agent_id')}"
            for number, name in enumerate(roots)
        ]
        if not selects:
            return {}
        found = sorted(sql.each(" UNION ALL ".join(selects)), key=lambda row: int(row[2]))  # the most rows last
        owners = {table: agent for table, agent, _ in found}
        return {agent: roots[table] for table, agent, _ in found if owners[table] == agent}

    def runs_named_otherwise(self, agent_id: str, name: str) -> list[str] | None:
        """Return the ids of the agent's runs that lack this name for it; None if there is no column for that yet."""
        sql = self._sql
        if not sql.has(RUNS):
            return []
        if not {"id", "extraction_agent_id", "agent_name"} <= sql.runs_columns:
            return None
        agent, its_name = sql.column("extraction_agent_id"), sql.column("agent_name")
        source = f"{sql.name(RUNS)} WHERE {agent} = %s AND ({its_name} IS NULL OR {its_name} <> %s)"
        return list(sql.ids(sql.column("id"), source, [agent_id, name]))

    def rows(self, ids: Sequence[str]) -> Iterator[pa.Table]:
        """Yield the rows of these runs as they are in the warehouse."""
        sql = self._sql
        if not ids or not sql.has(RUNS):
            return
        described = sql.schema.tables[RUNS]["columns"].items()
        columns = {name: column for name, column in described if name in sql.runs_columns}
        wanted = ", ".join(map(sql.quoted, columns))
        for some in portions(ids):
            query = f"SELECT {wanted} FROM {sql.name(RUNS)} WHERE {sql.column('id')} IN ({marks(some)})"  # noqa: S608
            for rows in list(sql.fetch(query, some)):  # dlt may ask for something else before it takes the next
                yield row_tuples_to_arrow(rows, sql.capabilities, columns, "UTC")

    def _known(self, column: str, values: Sequence[str]) -> Iterator[list[tuple[str, str | None, bool]]]:
        sql = self._sql
        if not values or not sql.has(RUNS) or not {"id", column} <= sql.runs_columns:
            return
        key, load, status = sql.column("id"), sql.column("load_id"), sql.column("status")
        if {"_content_hash", "_dlt_load_id"} <= sql.runs_columns and sql.has(sql.schema.loads_table_name):
            digest = f"CASE WHEN l.{status} = 0 THEN r.{sql.column('_content_hash')} END"
            loads = f"LEFT JOIN {sql.loads} l ON l.{load} = r.{sql.column('_dlt_load_id')} "
        else:
            digest, loads = "NULL", ""
        query = (
            f"SELECT r.{key}, {digest}, CASE WHEN {sql.alive()} THEN 0 ELSE 1 END "  # noqa: S608
            f"FROM {sql.name(RUNS)} r {loads}WHERE r.{sql.column(column)} IN ({marks(values)})"
        )
        for rows in sql.fetch(query, values):
            yield [(row[0], row[1], bool(row[2])) for row in rows]
