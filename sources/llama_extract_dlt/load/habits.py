"""Look at what somebody has done to the source by dlt's means, before anything is read.

What would have no effect on tables that this source describes itself, or would load a part of a run, is an error.
docs/dlt.md says what is left, which is most.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import dlt
import pyarrow as pa
from dlt.extract import DltResource
from dlt.extract.incremental import IncrementalResourceWrapper
from dlt.extract.items_transform import FilterItem, LimitItem, MapItem, ValidateItem, YieldMapItem

from ..errors import ConfigurationError
from ..tables.contract import AGENTS, RESERVED, RUNS, child_tables
from .dlt_inside import hints_of, in_pool_thread, replace_function, steps_of

_logger = logging.getLogger(__name__)

_KEYS = RESERVED | {"id", "hash", "extraction_agent_id", "project_id", "data_schema_hash"}
"""Columns by which tables are joined and loads compared; in a child table those that are reserved only."""

_INCREMENTAL = "every load is incremental here; since and until are for a window"

_NO_STEP: dict[type, tuple[str, str]] = {
    FilterItem: ("add_filter", "it gets tables, not rows; choose agents, run_ids, since or until, or filter with SQL"),
    YieldMapItem: ("add_yield_map", "a run has the rows that it has; take add_map, or a view"),
    IncrementalResourceWrapper: ("incremental", _INCREMENTAL),
    ValidateItem: ("a model for columns", "types come from the data schema; validate what was loaded"),
}
"""Steps that would take rows from runs, by their classes, with what to do instead."""

_NO_HINT = {
    "table_name": "take another dataset_name, data_tables='per_agent', or a view",
    "parent_table_name": "_run_id and _dlt_parent_id join the tables",
    "write_disposition": "runs are merged; sync(pipeline, refresh=True) loads all anew",
    "primary_key": "rows are merged by their id",
    "merge_key": "rows are merged by their id",
    "table_format": "it is the source's, llama_extract(table_format='delta'); Iceberg tables are not made",
    "columns": "types come from the data schema; cast in a view",
    "incremental": _INCREMENTAL,
    "references": "_run_id and _dlt_parent_id join the tables",
    "nested_hints": "each child table has its own hints",
}
"""Hints that each table has of its own, with what to do instead."""

_OURS: dict[str, Any] = {"write_disposition": "merge", "primary_key": "id"}


def check_source(source: Any) -> None:
    """Raise ConfigurationError for what would have no effect, or half of one; warn of a limit.

    `source` is the running one. From now on what `add_map` was given must keep the rows and the keys of tables.
    """
    if in_pool_thread():
        raise ConfigurationError("leave parallelize() out: max_concurrency requests are sent in parallel anyhow")
    if source.max_table_nesting is not None:
        raise ConfigurationError("leave max_table_nesting out: lists are tables to any depth")
    for resource in _own_resources(source):
        _check_hints(resource)
        _check_steps(resource)


def _own_resources(source: Any) -> list[Any]:
    return [source.resources[name] for name in (RUNS, AGENTS) if name in source.resources]


def _check_hints(resource: DltResource) -> None:
    hints = hints_of(resource)
    for name, instead in _NO_HINT.items():
        given = hints.get(name)
        if isinstance(given, dict) and set(given) == {"disposition"}:
            given = given["disposition"]
        if given and given != _OURS.get(name):
            raise ConfigurationError(f"leave {name} out on {resource.name}: {instead}")


def _check_steps(resource: DltResource) -> None:
    for step in steps_of(resource):
        for kind, (name, instead) in _NO_STEP.items():
            if isinstance(step, kind):
                raise ConfigurationError(f"leave {name} out on {resource.name}: {instead}")
        if isinstance(step, LimitItem):
            _logger.warning("add_limit: parts of runs are loaded, which the next load without it makes whole")
        if isinstance(step, MapItem):
            replace_function(step, lambda function: function if isinstance(function, _Guard) else _Guard(function))


class _Guard:
    """What `add_map` was given: a table in, a table with the same rows and keys out."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, table: pa.Table, *meta: Any) -> Any:
        made = self._function(table, *meta)
        keys = [name for name in table.column_names if name in (RESERVED if "_run_id" in table.column_names else _KEYS)]
        same = isinstance(made, pa.Table) and set(keys) <= set(made.column_names)
        if not same or not made.select(keys).equals(table.select(keys)):
            raise ConfigurationError(
                "what add_map was given must return an Arrow table with the same rows, and with "
                f"{', '.join(keys)} as they are: change other columns only"
            )
        return made


def check_contract(source: Any, schema: dlt.Schema) -> None:
    """Raise ConfigurationError for a contract that would load parts of runs; `schema` is ready for the others.

    What was asked of `data_type` is left to `columns`: a value that does not fit its column gets a column beside it.
    The source's own columns may come at any time: one that marks deleted rows must not be dropped.
    """
    closed = False
    for owner in (source, *_own_resources(source)):
        if not owner.schema_contract:
            continue
        contract: dict[str, Any] = {**schema.expand_schema_contract_settings(owner.schema_contract)}
        if contract["tables"] not in ("evolve", "freeze") or contract["columns"] == "discard_row":
            raise ConfigurationError(
                "schema_contract would load parts of runs: take evolve or freeze for tables, and evolve, freeze or "
                "discard_value for columns"
            )
        if contract["data_type"] not in ("evolve", contract["columns"]):
            raise ConfigurationError(
                "schema_contract: set columns, not data_type: a value that does not fit its column gets another column"
            )
        closed |= contract["columns"] != "evolve"
        contract["data_type"] = "evolve"
        if owner is source:
            source.schema_contract = contract
        else:
            owner.apply_hints(schema_contract=contract)
    if closed:
        _add_columns(schema, RUNS, {"_content_hash": "text", "_child_rows": "bigint", "_deleted_at": "timestamp"})
        for table in (RUNS, *child_tables(schema)):
            _add_columns(schema, table, {"_deleted": "bool"})


def _add_columns(schema: dlt.Schema, table: str, columns: dict[str, str]) -> None:
    """Add those that the table lacks, if the table is there."""
    there = schema.tables[table]["columns"] if table in schema.tables else columns
    missing: Any = {name: {"name": name, "data_type": kind} for name, kind in columns.items() if name not in there}
    if "_deleted" in missing:
        missing["_deleted"]["hard_delete"] = True
    if missing:
        schema.update_table({"name": table, "columns": missing})
