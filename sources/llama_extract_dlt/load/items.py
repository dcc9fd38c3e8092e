"""What dlt is given: the tables of a batch, each as Arrow data with the hints that make it merge, and the state."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import dlt
from dlt.common.schema.typing import TColumnSchema

from .. import settings
from ..tables.contract import RUNS, LoadTable


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables of a batch, the runs' own last, and what to remember when they are all taken."""

    tables: Iterable[LoadTable]
    states: Mapping[str, Any]
    agent_tables: dict[str, list[str]]
    empty_tables: list[str]
    agent_names: Mapping[str, str]
    unfit: Mapping[str, str]
    commit: bool
    last: bool
    counts: Counter[tuple[str, str]]
    """How many runs of an agent are `new`, `updated`, `deleted`."""
    run_ids: list[str]
    """The runs that the tables write or take away."""
    agents: set[str]
    """The agents that these runs belong to, or belonged to."""

    def remember(self, state: dict[str, Any], load_id: str, dataset: str) -> None:
        """Put into `state`, which is the resource's, what is in the warehouse with the tables.

        `dataset` is the one that was asked what it holds.
        """
        state["agent_tables"] = self.agent_tables
        if self.empty_tables:
            state["empty_tables"] = self.empty_tables
        if self.agent_names:
            state["agent_names"] = state.get("agent_names", {}) | self.agent_names
        if self.unfit:
            told = state.setdefault("unfit", {}) | self.unfit
            state["unfit"] = dict(list(told.items())[-settings.REMEMBERED_REJECTS :])
        if self.agents:
            # For workers that read meanwhile.
            before = state.get("touched", {})
            touched = sorted({*self.agents, *(before["agents"] if before.get("load_id") == load_id else ())})
            state["touched"] = {"load_id": load_id, "agents": touched}
        agents: dict[str, Any] = state.setdefault("agents", {})
        if changed := [agent_id for agent_id, left in self.states.items() if agents.get(agent_id) != left]:
            # With which load the state came to the warehouse that it speaks of.
            state["load_id"], state["dataset"] = load_id, dataset
            state["agent_loads"] = state.get("agent_loads", {}) | dict.fromkeys(changed, load_id)
        for agent_id, left in self.states.items():
            if left is None:
                agents.pop(agent_id, None)
                state.get("agent_loads", {}).pop(agent_id, None)
            else:
                agents[agent_id] = left


def as_items(table: LoadTable) -> Iterator[Any]:
    """Items for dlt's extractor.

    A child table is merged by `_run_id`: all rows of the runs in the load are replaced, and tombstones (rows with
    `_deleted`) remove what has no successor. It must not have a primary key as well: dlt would then match rows by
    either, which takes a warehouse minutes instead of seconds.

    Arrow has no type for JSON text. Hints that disagree with the data make dlt warn at every write, so the data
    goes first, as text, and an item without data then says which columns are JSON.
    """
    # A table that is new has nothing to merge with, and a run stands once in a sync.
    merges = table.replaces and table.kept_in != "files"
    hints: dict[str, Any] = {"table_name": table.name, "write_disposition": "merge" if merges else "append"}
    if table.file_format:
        hints["file_format"] = table.file_format
    if table.kept_in == "delta":
        # Its own job replaces by the key: dlt wants a strategy that it knows, which has a primary key.
        strategy = {"disposition": "merge", "strategy": "upsert"}
        hints |= {"table_format": "delta", "primary_key": table.key}
        hints["write_disposition"] = strategy if merges else "append"
    elif table.is_child:
        hints["primary_key"] = ""
        hints["merge_key"] = table.key
        hints["references"] = [
            {"referenced_table": RUNS, "columns": [table.key], "referenced_columns": ["id"]},
        ]
    else:
        hints["primary_key"] = table.key
    columns: dict[str, TColumnSchema] = {name: {"data_type": "text"} for name in table.json_columns}
    columns |= {name: {"description": text} for name, text in table.descriptions.items()}
    if table.has_tombstones and merges:
        columns["_deleted"] = {"hard_delete": True}
    yield _with_hints(table.data, hints, columns)
    if table.json_columns:
        yield _with_hints([], hints, columns | {name: TColumnSchema(data_type="json") for name in table.json_columns})


def _with_hints(data: Any, hints: dict[str, Any], columns: dict[str, TColumnSchema]) -> Any:
    return dlt.mark.with_hints(data, dlt.mark.make_hints(columns=columns, **hints), create_table_variant=True)
