"""What the source's schema takes over from the destination: the schema that dlt has stored there, and real columns."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.destination.client import WithStateSync
from dlt.common.destination.exceptions import DestinationUndefinedEntity
from dlt.common.json import json
from dlt.common.schema import Schema
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.schema.utils import new_table
from dlt.destinations.job_client_impl import SqlJobClientBase

from ...tables.contract import RESERVED
from ..destinations.lakes import Lake
from ..dlt_inside import stored_columns

_KEYS = RESERVED | {"id", "hash"}
"""Columns of ours that must have a value, and others."""


def database_exists(client: SqlJobClientBase | Lake) -> bool:
    """Return whether there may be something to ask: opening a DuckDB file makes it, which asking must not do."""
    config: Any = client.config
    if config.destination_type != "duckdb":
        return True
    database = getattr(config.credentials, "database", None)
    return not isinstance(database, str) or database == ":memory:" or Path(database).is_file()


def take_over_stored(client: WithStateSync | Lake, schema: dlt.Schema, but: Collection[str]) -> Schema | None:
    """Add what the schema that dlt has stored in the destination knows, and return it."""
    stored = stored_schema(client, schema.name)
    for name, table in stored.tables.items() if stored is not None else ():
        if name not in but:
            complete(schema, name, table["columns"], like=table)
    return stored


def stored_schema(client: WithStateSync | Lake, name: str) -> Schema | None:
    """Return the schema that dlt has stored in the destination, unchecked, as dlt reads its own."""
    with suppress(DestinationUndefinedEntity):
        if stored := client.get_stored_schema(name):
            return Schema.from_dict(json.loads(stored.schema), validate_schema=False)
    return None


def know_all_tables(pipeline: dlt.Pipeline, name: str) -> None:
    """Let the pipeline's schema of that name have all that is in its dataset, whichever pipeline has loaded it.

    dlt drops, for a `refresh`, what the pipeline's own schema has. Tables that dlt needs for that are made if lost.
    """
    own: Schema | None = pipeline.schemas.get(name)
    with pipeline.destination_client() as client:
        if not isinstance(client, WithStateSync):
            return
        stored = stored_schema(client, name) if own is None else take_over_stored(client, own, ())
        if stored is None:
            return
        make_lost_tables(client, stored, [stored.loads_table_name, stored.state_table_name])
    pipeline.schemas.save_schema(stored if own is None else own)


def make_lost_tables(client: Any, known: Schema, tables: Iterable[str]) -> dict[str, TTableSchemaColumns]:
    """Make tables that somebody has dropped, with no rows, and columns: dlt makes those of a schema only once.

    `known` is the schema that has them. Returns the columns of those of the tables that are there then.
    """
    if not (wanted := [name for name in tables if name in known.tables]):
        return {}
    own, client.schema = client.schema, known
    try:
        client.update_stored_schema([*wanted, known.version_table_name], force=True)
        return {name: columns for name, columns in stored_columns(client, known, wanted) if columns}
    finally:
        client.schema = own


def complete_from_catalogue(schema: dlt.Schema, name: str, columns: TTableSchemaColumns) -> None:
    """Do what `complete` does, with the columns that the database's own catalogue has.

    A column for integers was made so by hand: what does not fit would be rounded. Another column than ours that must
    have a value is left to its default.
    """
    own: Any = schema.tables.get(name, {}).get("columns", {})
    for key, column in columns.items():
        if column.get("data_type") == "bigint" and own.get(key, {}).get("data_type") == "double":
            own[key]["data_type"] = "bigint"
    complete(schema, name, {key: one for key, one in columns.items() if key in _KEYS or one.get("nullable", True)})


def complete(schema: dlt.Schema, name: str, columns: TTableSchemaColumns, like: Any = None) -> None:
    """Add to the schema's table the columns that it lacks, and the table if that is missing, as it is in `like`."""
    table: Any = schema.tables.get(name)
    missing = [column for key, column in columns.items() if table is None or key not in table["columns"]]
    if name in (schema.loads_table_name, schema.state_table_name) or not missing:
        return
    added: Any = new_table(name, columns=missing)
    if table is not None or like is not None:
        added = {**({"name": name} if table is not None else like), "columns": {one["name"]: one for one in missing}}
    schema.update_table(added, normalize_identifiers=False)
