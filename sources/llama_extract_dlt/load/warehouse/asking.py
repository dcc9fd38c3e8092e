"""The first question to the warehouse: what it has, and whether what is remembered is of it."""

from __future__ import annotations

import logging
from typing import Any

import dlt

from ...tables.contract import RUNS
from ..destinations.lakes import TableFormat
from ..destinations.layout import Layout, layout_of
from ..dlt_inside import check_row_ids, refreshed_tables, state_of_load
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
    elif warehouse.lost:
        _logger.warning("tables are gone, and all is read for them: %s", ", ".join(warehouse.lost))
        state.clear()
    _take_states_over(warehouse, pipeline.pipeline_name, schema.name, state, dataset)
    return layout, warehouse


def _take_states_over(
    warehouse: SqlWarehouse, pipeline_name: str, source: str, state: dict[str, Any], dataset: str
) -> None:
    """Take over into `state` what other pipelines know better: of its agents, those that they have loaded since.

    They may have found a run deleted that has come back, and only their state says that it has to be looked for.
    """
    agents, loads = state.get("agents", {}), state.get("agent_loads", {})
    own = {agent_id: loads.get(agent_id, state.get("load_id", "")) for agent_id in agents}
    for name, newest in warehouse.pipelines.items():
        if name == pipeline_name or not own or newest <= min(own.values()):
            continue
        theirs = state_of_load(warehouse.state_text(name), source, RUNS)
        if theirs.get("dataset", dataset) != dataset:
            continue
        for agent_id in own.keys() & theirs.get("agents", {}).keys():
            load_id = theirs.get("agent_loads", {}).get(agent_id, theirs.get("load_id", ""))
            if load_id > own[agent_id]:
                agents[agent_id], own[agent_id] = theirs["agents"][agent_id], load_id
                state["agent_loads"] = state.get("agent_loads", {}) | {agent_id: load_id}
