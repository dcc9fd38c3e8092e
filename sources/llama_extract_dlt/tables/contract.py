"""The table contract of docs/tables.md: names of tables and key columns, types, and a table that is ready to load."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, field
from typing import Literal

import dlt
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

RUNS = "extraction_runs"
AGENTS = "extraction_agents"
SCHEMAS = "extraction_schemas"
REJECTED = f"{RUNS}__rejected"

RESERVED = {"_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_deleted"}
RESERVED |= {"_dlt_load_id", "_content_hash", "_child_rows", "_deleted_at"}
"""Columns that this source owns, in every table: a field of that name gets another one."""

CHILD_KEYS = dict.fromkeys(("_run_id", "_dlt_id", "_dlt_parent_id"), "text") | {"_dlt_list_idx": "bigint"}
CHILD_KEYS |= {"_dlt_load_id": "text", "_deleted": "bool"}
"""Key columns of every child table, with their dlt types."""

METADATA_KEYS = dict.fromkeys(
    ("field_path", "field_name", "data_value", "data_row_id", "data_table", "data_column"), "text"
)
"""Those that field metadata have besides."""

RUN_KEYS = dict.fromkeys(("id", "agent_name", "file_name", "data_schema_hash", "_content_hash"), "text")
RUN_KEYS |= {"_child_rows": "bigint", "_dlt_load_id": "text", "_deleted_at": "timestamp", "_deleted": "bool"}
"""Columns of a run that are not the service's."""

AGENT_KEYS = dict.fromkeys(("id", "data_schema_hash", "_content_hash"), "text")
"""Columns of an agent that are not the service's."""

TEXT_TABLES: dict[str, dict[str, str]] = {
    SCHEMAS: {"hash": "text", "data_schema": "json"},
    REJECTED: dict.fromkeys(("_dlt_id", "extraction_agent_id", "reason", "position", "raw"), "text"),
}
"""Tables that are no part of a run, with their columns' dlt types; the first is the key."""

ARROW_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "json": pa.string(),
}
"""The Arrow type of a column, by its dlt type."""


@dataclass(slots=True)
class LoadTable:
    """A table ready to load, with what dlt must know about it."""

    name: str
    data: pa.Table
    key: str
    json_columns: list[str] = field(default_factory=list)
    descriptions: dict[str, str] = field(default_factory=dict)
    replaces: bool = True
    """Whether the warehouse may have rows for the same runs, which these replace."""
    file_format: Literal["parquet", "jsonl", "insert_values"] | None = None
    """How it is to be loaded, where dlt's own choice will not do."""
    kept_in: Literal["files", "delta"] | None = None
    """In a lake: whether in files that are only added to, or in a Delta table."""

    @property
    def is_child(self) -> bool:
        """Whether its rows hang under runs and are replaced run by run."""
        return self.key == "_run_id"

    @property
    def has_tombstones(self) -> bool:
        """Whether the table may contain tombstones."""
        return "_deleted" in self.data.column_names

    @property
    def rows(self) -> int:
        """Rows that will be in the warehouse: tombstones are not."""
        if not self.has_tombstones:
            return int(self.data.num_rows)
        return int(self.data.num_rows) - int(pc.sum(self.data["_deleted"].cast(pa.int64()), min_count=0).as_py())


def without_tombstones(data: pa.Table) -> pa.Table:
    """The rows that are none."""
    if "_deleted" not in data.column_names:
        return data
    return data.filter(pc.invert(pc.fill_null(data["_deleted"], False)))


def key_of(table: str) -> str:
    """The column that a table is merged on, which is never null: Arrow and the hints must say so alike."""
    if table in TEXT_TABLES:
        return next(iter(TEXT_TABLES[table]))
    return "id" if table in (RUNS, AGENTS) else "_run_id"


def is_child(columns: Container[str]) -> bool:
    """Whether a table with these columns is a child table."""
    return "_run_id" in columns


def child_tables(schema: dlt.Schema) -> list[str]:
    """The child tables of the schema."""
    return [name for name, table in schema.tables.items() if is_child(table["columns"])]


def agent_table(tables: dict[str, str], agent_id: str, name: str, naming: NamingConvention) -> str:
    """The table for an agent's data, named after the agent when it is first asked for and the same ever after.

    `tables` has those given so far, by agent id, and is to be kept between loads.
    """
    if agent_id not in tables:
        wanted = naming.normalize_table_identifier(name) if name.strip() else ""
        wanted = wanted.replace("__", "_").strip("_") or f"agent_{agent_id[:8]}"
        given = [RUNS, AGENTS, SCHEMAS, *tables.values()]
        number, table = 1, wanted
        while table in given:
            number += 1
            table = f"{wanted}_{number}"
        tables[agent_id] = table
    return tables[agent_id]
