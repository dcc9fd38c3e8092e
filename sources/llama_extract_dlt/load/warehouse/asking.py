"""The first question to the warehouse: what it has, and whether what is remembered is of it."""

from __future__ import annotations

import logging
from typing import Any

import dlt

from ..destinations.lakes import TableFormat
from ..destinations.layout import Layout, layout_of
from ..dlt_inside import check_row_ids, refreshed_tables
from .sql import SqlWarehouse

_logger = logging.getLogger(__name__)


def ask_warehouse(
    pipeline: dlt.Pipeline, schema: dlt.Schema, state: dict[str, Any], table_format: TableFormat | None
) -> tuple[Layout, SqlWarehouse]:
    """Return how the pipeline's warehouse takes tables, and itself, whose tables `schema` has then.

    `state`, which is the resource's, is emptied if it is of another dataset, or of a later state of this one.

    Raises ConfigurationError if the warehouse would not have the tables as they are.
    """
    client = pipeline.destination_client(*([schema.name] if schema.name in pipeline.schemas else []))
    check_row_ids()
    dropped, emptied = refreshed_tables()
    layout, asked = layout_of(pipeline, client, table_format, dropped)
    names = [name for tables in state.get("agent_tables", {}).values() for name in tables]
    warehouse = SqlWarehouse(asked, schema, names, dropped=dropped, emptied=emptied)
    dataset = pipeline.dataset_name or ""
    of_another = state.get("dataset", dataset) != dataset  # dlt may load into another than was asked
    if of_another or ("load_id" in state and not warehouse.has_load(state["load_id"])):
        _logger.info("what is remembered is not of this dataset, or of a later state of it: everything is read")
        state.clear()
    return layout, warehouse
