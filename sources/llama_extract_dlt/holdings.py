"""What the warehouse has: which runs, as they were when they were loaded, and the rows of some of them."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import dlt
import numpy as np
import pyarrow as pa
from dlt.common.destination.client import JobClientBase
from dlt.common.libs.pyarrow import row_tuples_to_arrow
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.destinations.job_client_impl import SqlJobClientBase

from .runs import Run
from .tables import RUNS, child_tables
from .watermarks import Verdict

_IDS_PER_QUERY = 500
_ROWS_PER_FETCH = 10_000


class Known:
    """Runs of the warehouse, 60 bytes each."""

    def __init__(self, rows: Iterable[Sequence[tuple[str, str | None, bool]]] = ()) -> None:
        """`rows`, in portions, are ids with content hashes and whether the run was found deleted.

        The hash is None where it cannot be relied on: the load that wrote it may not have come to its end.
        """
        ids: list[pa.Array] = [pa.array([], pa.string())]
        keys: list[Any] = [np.array([], dtype=np.int64)]
        digests: list[Any] = [np.array([], dtype=np.int64)]
        deleted: list[Any] = [np.array([], dtype=bool)]
        for portion in rows:
            ids.append(pa.array([run_id for run_id, _, _ in portion], pa.string()))
            keys.append(np.array([hash(run_id) for run_id, _, _ in portion], dtype=np.int64))
            digests.append(np.array([hash(None if gone else digest) for _, digest, gone in portion], dtype=np.int64))
            deleted.append(np.array([gone for _, _, gone in portion], dtype=bool))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys)
        self._keys = all_keys[order]
        self._digests = np.concatenate(digests)[order]
        self._ids = pa.concat_arrays(ids).take(pa.array(order))
        self._seen = np.concatenate(deleted)[order]

    def judge(self, run: Run) -> Verdict:
        """Whether the warehouse has the run as it is. From then on the run counts as seen."""
        key = hash(run.id)
        place = int(np.searchsorted(self._keys, key))
        if place >= len(self._keys) or self._keys[place] != key:
            return "new"
        self._seen[place] = True
        return "unchanged" if self._digests[place] == hash(run.content_hash) else "updated"

    def outdate(self) -> None:
        """Lets no run count as unchanged."""
        self._digests[:] = hash(None)

    def unseen(self) -> list[str]:
        """The ids of runs that were not seen, and not found deleted before."""
        ids: list[str] = self._ids.filter(pa.array(~self._seen)).to_pylist()
        return ids


class Holdings:
    """Asks the warehouse. Where there is none, or none that can be asked, it seems to be empty."""

    def __init__(self, client: JobClientBase | None, schema: dlt.Schema | None) -> None:
        """`schema` says which columns the table of the runs has."""
        self._client: Any = None
        self._lock = threading.Lock()
        if isinstance(client, SqlJobClientBase) and schema is not None and RUNS in schema.tables:
            self._client = client.sql_client
            self._columns = dict(schema.tables[RUNS]["columns"])
            name, quote = self._client.make_qualified_table_name, self._client.escape_column_name
            self._table, self._loads = name(RUNS), name(schema.loads_table_name)
            normal = schema.naming.normalize_identifier
            columns = ("id", "extraction_agent_id", "project_id", "_content_hash", "_dlt_load_id", "_deleted_at")
            self._names = {column: quote(normal(column)) for column in (*columns, "load_id", "status", "_run_id")}
            self._children = [name(child) for child in child_tables(schema)]

    def runs_of_agent(self, agent_id: str) -> Known:
        """The agent's runs."""
        return Known(self._known("extraction_agent_id", [agent_id]))

    def runs(self, ids: Sequence[str]) -> Known:
        """Those of these runs that are there."""
        return Known(portion for some in _portions(ids) for portion in self._known("id", some))

    def agents(self) -> dict[str, str]:
        """The agents that have runs here which were not found deleted, with their projects."""
        if self._client is None:
            return {}
        agent, project = self._names["extraction_agent_id"], self._names["project_id"]
        query = f"SELECT DISTINCT {agent}, {project} FROM {self._table} r WHERE {self._alive()}"  # noqa: S608
        return {row[0]: row[1] for rows in self._fetch(query, []) for row in rows if row[0]}

    def orphans(self) -> list[str]:
        """Ids that child tables have rows of, but not the table of the runs.

        A load that removed a run, or loaded it for the first time, was cut off between the two.
        """
        if self._client is None:
            return []
        found: dict[str, None] = {}
        for child in self._children:
            run_id, key = self._names["_run_id"], self._names["id"]
            query = (
                f"SELECT DISTINCT c.{run_id} FROM {child} c "  # noqa: S608
                f"WHERE NOT EXISTS (SELECT 1 FROM {self._table} r WHERE r.{key} = c.{run_id})"
            )
            found |= {row[0]: None for rows in self._fetch(query, []) for row in rows}
        return list(found)

    def rows(self, ids: Sequence[str]) -> Iterator[pa.Table]:
        """The rows of these runs as they are in the warehouse."""
        if self._client is None:
            return
        names = list(self._columns)
        columns = ", ".join(self._client.escape_column_name(name) for name in names)
        for some in _portions(ids):
            marks = ", ".join(["%s"] * len(some))
            query = f"SELECT {columns} FROM {self._table} WHERE {self._names['id']} IN ({marks})"  # noqa: S608
            for rows in self._fetch(query, some):
                yield row_tuples_to_arrow(rows, self._client.capabilities, self._columns, "UTC")

    def _known(self, column: str, values: Sequence[str]) -> Iterator[list[tuple[str, str | None, bool]]]:
        if self._client is None or not values:
            return
        n = self._names
        marks = ", ".join(["%s"] * len(values))
        query = (
            f"SELECT r.{n['id']}, CASE WHEN l.{n['status']} = 0 THEN r.{n['_content_hash']} END, "  # noqa: S608
            f"CASE WHEN {self._alive()} THEN 0 ELSE 1 END FROM {self._table} r "
            f"LEFT JOIN {self._loads} l ON l.{n['load_id']} = r.{n['_dlt_load_id']} "
            f"WHERE r.{n[column]} IN ({marks})"
        )
        for rows in self._fetch(query, values):
            yield [(row[0], row[1], bool(row[2])) for row in rows]

    def _alive(self) -> str:
        return f"r.{self._names['_deleted_at']} IS NULL" if "_deleted_at" in self._columns else "1 = 1"

    def _fetch(self, query: str, parameters: Sequence[str]) -> Iterator[list[Any]]:
        with self._lock:
            try:
                with self._client as client, client.execute_query(query, *parameters) as cursor:
                    while rows := cursor.fetchmany(_ROWS_PER_FETCH):
                        yield rows
            except DatabaseUndefinedRelation:
                return  # the schema speaks of tables that somebody has dropped


def _portions(ids: Sequence[str]) -> Iterator[Sequence[str]]:
    for start in range(0, len(ids), _IDS_PER_QUERY):
        yield ids[start : start + _IDS_PER_QUERY]
