"""What was set aside, and is in the warehouse until somebody has seen to it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import dlt
from dlt.common.destination.exceptions import DestinationUndefinedEntity

from ...tables.contract import REJECTED


def count_rejected(pipeline: dlt.Pipeline, agent_ids: Collection[str] | None = None) -> int:
    """Return how many rows `extraction_runs__rejected` has, of these agents or of all.

    A load reports an item when it first meets it; the row stays, whatever later loads find.
    """
    if agent_ids is not None and not agent_ids:
        return 0
    client: Any
    with pipeline.sql_client() as client:
        query = f"SELECT COUNT(*) FROM {client.make_qualified_table_name(REJECTED)}"  # noqa: S608
        if agent_ids is not None:
            column = pipeline.default_schema.naming.normalize_identifier("extraction_agent_id")
            query += f" WHERE {client.escape_column_name(column)} IN ({', '.join(['%s'] * len(agent_ids))})"
        try:
            return int(client.execute_sql(query, *(agent_ids or ()))[0][0])
        except DestinationUndefinedEntity:  # nothing was ever loaded
            return 0
