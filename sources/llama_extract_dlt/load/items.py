"""A table ready to load in, what dlt is given out: the Arrow data and the hints that make it merge."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import dlt
from dlt.common.schema.typing import TColumnSchema

from ..tables.contract import RUNS, LoadTable


def as_items(table: LoadTable) -> Iterator[Any]:
    """Items for dlt's extractor.

    A child table is merged by `_run_id`: all rows of the runs in the load are replaced, and tombstones (rows with
    `_deleted`) remove what has no successor. It must not have a primary key as well: dlt would then match rows by
    either, which takes a warehouse minutes instead of seconds.

    Arrow has no type for JSON text. Hints that disagree with the data make dlt warn at every write, so the data
    goes first, as text, and an item without data then says which columns are JSON.
    """
    # A table that is new has nothing to merge with, and a run stands once in a sync.
    hints: dict[str, Any] = {"table_name": table.name, "write_disposition": "merge" if table.replaces else "append"}
    if table.file_format:
        hints["file_format"] = table.file_format
    if table.is_child:
        hints["primary_key"] = ""
        hints["merge_key"] = table.key
        hints["references"] = [
            {"referenced_table": RUNS, "columns": [table.key], "referenced_columns": ["id"]},
        ]
    else:
        hints["primary_key"] = table.key
    columns: dict[str, TColumnSchema] = {name: {"data_type": "text"} for name in table.json_columns}
    columns |= {name: {"description": text} for name, text in table.descriptions.items()}
    if table.has_tombstones:
        columns["_deleted"] = {"hard_delete": True}
    yield _with_hints(table.data, hints, columns)
    if table.json_columns:
        yield _with_hints([], hints, columns | {name: TColumnSchema(data_type="json") for name in table.json_columns})


def _with_hints(data: Any, hints: dict[str, Any], columns: dict[str, TColumnSchema]) -> Any:
    return dlt.mark.with_hints(data, dlt.mark.make_hints(columns=columns, **hints), create_table_variant=True)
