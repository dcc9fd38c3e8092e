"""What the source's schema takes over from the destination: the schema that dlt has stored there, and real columns."""

from __future__ import annotations

from collections.abc import Collection
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

from ..destinations.lakes import Lake


def database_exists(client: SqlJobClientBase | Lake) -> bool:
    """Return whether there may be something to ask: opening a DuckDB file makes it, which asking must not do."""
    config: Any = client.config
    if config.destination_type != "duckdb":
        return True
    database = getattr(config.credentials, "database", None)
    return not isinstance(database, str) or database == ":memory:" or Path(database).is_file()


def take_over_stored(client: WithStateSync | Lake, schema: dlt.Schema, but: Collection[str]) -> None:
    """Add what the schema that dlt has stored in the destination knows."""
    with suppress(DestinationUndefinedEntity):
        if stored := client.get_stored_schema(schema.name):
            for name, table in Schema.from_dict(json.loads(stored.schema)).tables.items():
                if name not in but:
                    complete(schema, name, table["columns"], like=table)


def complete(schema: dlt.Schema, name: str, columns: TTableSchemaColumns, like: Any = None) -> None:
    """Add to the schema's table the columns that it lacks, and the table if that is missing."""
    table: Any = schema.tables.get(name)
    missing = [column for key, column in columns.items() if table is None or key not in table["columns"]]
    if name in (schema.loads_table_name, schema.state_table_name) or not missing:
        return
    added: Any = new_table(name, columns=missing)
    if table is not None or like is not None:
        added = {**({"name": name} if table is not None else like), "columns": {one["name"]: one for one in missing}}
    schema.update_table(added, normalize_identifiers=False)
