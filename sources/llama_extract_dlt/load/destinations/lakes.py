"""A lake: tables of Parquet files in folders or object storage, Delta tables among them, asked by SQL like a warehouse.

DuckDB reads the files, through the file system that dlt has opened, so it needs none of its extensions.
"""

from __future__ import annotations

import logging
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Literal

import dlt
import duckdb
from dlt.common.destination.client import StateInfo, StorageSchemaInfo
from dlt.common.json import json
from dlt.common.libs.pyarrow import py_arrow_to_table_schema_columns
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.destinations.exceptions import DatabaseException
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from ...errors import ConfigurationError
from ...tables.contract import RUNS, key_of
from .delta import delta_files

_logger = logging.getLogger(__name__)

TableFormat = Literal["delta"]

_WRITTEN = "_written"
_FILE, _LOAD = "_llama_extract_file", "_llama_extract_load"
"""Columns, besides those of a table, with the name of the file that a row is in, and the load that wrote the file."""
_STATE_COLUMNS = ("pipeline_name", "_dlt_load_id")
_LOAD_OF_FILE = f"regexp_extract({_FILE}, '(\\d+\\.\\d+)[^/]*$', 1)"


def open_lake(pipeline: dlt.Pipeline) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB in memory with a view for each table of a lake, as it is now: of each run what counts.

    Args:
        pipeline: with the destination filesystem; its dataset is read, from whichever machine it was loaded.

    Raises:
        ConfigurationError: it has another destination.
    """
    names = ["llama_extract"] if "llama_extract" in pipeline.schemas else []
    client = pipeline.destination_client(*names)
    if not isinstance(client, FilesystemClient):
        kind = pipeline.destination.destination_name
        raise ConfigurationError(f"open_lake reads the destination filesystem: {kind} can be asked itself")
    stored = client.get_stored_schema("llama_extract")
    if stored is not None:
        client.schema = Schema.from_dict(json.loads(stored.schema))
    formats = {table.get("table_format") for table in client.schema.tables.values()}
    lake = Lake(client, "delta" if "delta" in formats else None)
    for name in [*client.schema.data_table_names(), client.schema.loads_table_name, client.schema.state_table_name]:
        lake.make_qualified_table_name(name)
    lake.connection.execute("SET schema = 'main'")
    return lake.connection


class Lake:
    """What a lake holds, by the methods of dlt's clients that `SqlWarehouse` uses, for both the job and the SQL client.

    A table is as it was when it was asked for first; `refresh` forgets that.

    Args:
        client: of dlt's filesystem destination, with the schema that is loaded.
        table_format: of all tables but dlt's own.
    """

    def __init__(self, client: FilesystemClient, table_format: TableFormat | None) -> None:
        self.sql_client = self
        self.config = client.config
        self.capabilities = client.capabilities
        self.dataset_name = client.dataset_name
        self._files = client
        self._format = table_format
        self.connection = _connect(client)
        self._listed: dict[str, list[str]] | None = None
        self._views: set[str] = set()

    @property
    def schema(self) -> Schema:
        """The schema that is gone by, to be set: the client's is empty where the pipeline has not loaded here yet."""
        return self._files.schema

    @schema.setter
    def schema(self, schema: Schema) -> None:
        self._files.schema = schema

    def update_stored_schema(self, tables: Iterable[str], *, force: bool) -> None:
        """Let dlt make the folders of these tables."""
        self._files.update_stored_schema(tables, force=force)

    def refresh(self) -> None:
        """Ask for all tables anew: something was loaded."""
        self._listed = None
        self._views.clear()

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def get_stored_schema(self, schema_name: str) -> StorageSchemaInfo | None:
        """Return the schema that dlt has stored in the lake."""
        return self._files.get_stored_schema(schema_name)

    def get_stored_state(self, pipeline_name: str) -> StateInfo | None:
        """Return the state that dlt has stored in the lake."""
        return self._files.get_stored_state(pipeline_name)

    def stored_format(self) -> Literal["delta", "files"] | None:
        """Return how the runs are kept that are there; None if there are none."""
        files = self._listing().get(RUNS)
        if not files:
            return None
        return "delta" if any("/_delta_log/" in file.replace("\\", "/") for file in files) else "files"

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────

    def get_storage_tables(self, names: Iterable[str]) -> Iterator[tuple[str, TTableSchemaColumns]]:
        """Yield the tables with their columns in the schema; none where there are no files."""
        schema = self._files.schema
        for name in names:
            columns: TTableSchemaColumns = {}
            if self._listing().get(name):
                if name in schema.tables:
                    columns = schema.get_table_columns(name)
                elif name == schema.state_table_name:  # which the source's schema need not have
                    columns = {column: {"name": column, "data_type": "text"} for column in _STATE_COLUMNS}
                elif files := self._data_files(name):  # no schema that dlt has stored knows it
                    read = self.connection.execute(f"SELECT * FROM {_read(files)} LIMIT 0").to_arrow_table()  # noqa: S608
                    columns = py_arrow_to_table_schema_columns(read.schema)
            yield name, columns

    def make_qualified_table_name(self, name: str) -> str:
        """Return what the table is called in a query; from now on it can be asked."""
        qualified = f"main.{self.escape_column_name(name)}"
        if name not in self._views:
            kind = "TABLE" if name == _WRITTEN else "VIEW"
            self.connection.execute(f"CREATE OR REPLACE {kind} {qualified} AS {self._select(name)}")
            self._views.add(name)
        return qualified

    def escape_column_name(self, name: str) -> str:
        """Return the name as SQL quotes it."""
        return '"' + name.replace('"', '""') + '"'

    @contextmanager
    def execute_query(self, query: str, *parameters: str) -> Iterator[duckdb.DuckDBPyConnection]:
        """Give a cursor with the answer."""
        with self.connection.cursor() as cursor:
            yield cursor.execute(query.replace("%s", "?"), parameters)

    def _listing(self) -> dict[str, list[str]]:
        """Return the files of each table, by one listing of the dataset."""
        if self._listed is None:
            self._listed = {}
            client, separator = self._files, self._files.pathlib.sep
            client.fs_client.invalidate_cache()
            root = client.dataset_path.rstrip(separator)
            for file in client.fs_client.find(root):
                folder, _, rest = file[len(root) :].replace(separator, "/").lstrip("/").partition("/")
                if rest:
                    self._listed.setdefault(folder, []).append(file)
        return self._listed

    def _select(self, name: str) -> str:
        """Return the query for a table's rows, with all columns of the schema."""
        schema = self._files.schema
        if name == _WRITTEN:
            return self._written()
        if name == schema.loads_table_name:
            # dlt writes a file for each load that came to its end, and names it after the load.
            loads = [load_id for _, load_id in self._named(name, f"{schema.name}__")]
            return _values(("load_id", "status", "inserted_at"), [(load, 0, load) for load in loads])
        if name == schema.state_table_name:
            return _values(_STATE_COLUMNS, self._named(name, ""))
        columns = list(schema.get_table_columns(name))
        files = self._data_files(name)
        if not files:
            return _values(columns, [])
        rows = self._rows(files, columns)
        if self._format is None:
            rows = self._current(name, rows)
        return f"SELECT {', '.join(map(self.escape_column_name, columns))} FROM ({rows})"  # noqa: S608

    def _current(self, name: str, rows: str) -> str:
        """Return the query for those of the rows that count: files that are only added to have those of before, too.

        A load counts when it came to its end. Of a run the newest row counts, and of its children those of the load
        that wrote it last, which is not the one that flagged it as deleted or gave it its agent's new name.
        """
        if name == RUNS:
            of_these = f"r.id = w.id AND r.{_LOAD} = w.row_load"
        elif key_of(name) == "_run_id":
            of_these = "r._run_id = w.id AND r._dlt_load_id = w.load_id"
        else:
            loads = self.make_qualified_table_name(self._files.schema.loads_table_name)
            newest = f"row_number() OVER (PARTITION BY {key_of(name)} ORDER BY {_LOAD}::DOUBLE DESC) = 1"
            return f"SELECT * FROM ({rows}) WHERE {_LOAD} IN (SELECT load_id FROM {loads}) QUALIFY {newest}"  # noqa: S608
        written = self.make_qualified_table_name(_WRITTEN)
        return f"SELECT r.* FROM ({rows}) r JOIN {written} w ON {of_these}"  # noqa: S608

    def _written(self) -> str:
        """Return the query for the runs that are there: in which load's file their row is, and which load wrote them.

        That is the one that their children are of: a later one may have flagged the run, or renamed its agent.
        """
        files = self._data_files(RUNS)
        if not files:
            return _values(("id", "row_load", "load_id"), [])
        loads = self.make_qualified_table_name(self._files.schema.loads_table_name)
        rows = self._rows(files, ("id", "_dlt_load_id", "_deleted_at", "_deleted"))
        return (
            f"SELECT id, max_by({_LOAD}, {_LOAD}::DOUBLE) AS row_load, "  # noqa: S608
            f"max_by(_dlt_load_id, {_LOAD}::DOUBLE) FILTER (_deleted_at IS NULL AND _deleted IS NOT TRUE) AS load_id "
            f"FROM ({rows}) WHERE {_LOAD} IN (SELECT load_id FROM {loads}) GROUP BY id "
            f"HAVING max_by(_deleted, {_LOAD}::DOUBLE) IS NOT TRUE"
        )

    def _rows(self, files: Sequence[str], columns: Sequence[str]) -> str:
        """Return the query for all rows in the files, with the columns, and the load that wrote the file."""
        read = _read(files, f", filename = '{_FILE}'")
        described = self.connection.execute(f"DESCRIBE SELECT * FROM {read}").fetchall()  # noqa: S608
        found = {row[0] for row in described}
        padded = [("" if column in found else "NULL AS ") + self.escape_column_name(column) for column in columns]
        return f"SELECT {', '.join(padded)}, {_LOAD_OF_FILE} AS {_LOAD} FROM {read}"  # noqa: S608

    def _data_files(self, name: str) -> list[str]:
        if self._format == "delta":
            return delta_files(self._files, name)
        files = [file for file in self._listing().get(name, ()) if file.endswith(".parquet")]
        return files if self._files.is_local_filesystem else [self._files.make_remote_url(file) for file in files]

    def _named(self, table: str, start: str) -> list[tuple[str, str]]:
        """Return what the names of dlt's own files say: what stands before the load's id, and that."""
        names = (posixpath.basename(file.replace("\\", "/")) for file in self._listing().get(table, ()))
        parts = (re.fullmatch(r"(.*?)__(\d+\.\d+)(?:__.*)?\.jsonl(?:\.gz)?", name) for name in names)
        return [(part[1], part[2]) for part in parts if part is not None and f"{part[1]}__".startswith(start)]


def _connect(client: FilesystemClient) -> duckdb.DuckDBPyConnection:
    """Return a DuckDB in memory that reaches the files."""
    sql: Any = client.sql_client
    try:
        sql.open_connection()
    except (duckdb.Error, DatabaseException) as error:
        if client.is_local_filesystem:
            raise
        _logger.info("DuckDB reads the lake through Python, which is slow: %s", error)
        connection = duckdb.connect(":memory:")
        connection.register_filesystem(client.fs_client)
        return connection
    sql.memory_db = None  # else it would be closed with the client
    opened: duckdb.DuckDBPyConnection = sql.native_connection
    return opened


def _read(files: Sequence[str], more: str = "") -> str:
    """Return what a query reads Parquet files by; `more` are other options."""
    return f"read_parquet([{', '.join(map(_text, files))}], union_by_name = true{more})"


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"


def _values(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """Return a query that gives these rows."""
    if not rows:
        return f"SELECT {', '.join(f'NULL AS {_quoted(column)}' for column in columns)} WHERE false"
    listed = ", ".join(
        "(" + ", ".join(_text(value) if isinstance(value, str) else str(value) for value in row) + ")" for row in rows
    )
    return f"SELECT * FROM (VALUES {listed}) v({', '.join(map(_quoted, columns))})"  # noqa: S608


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
