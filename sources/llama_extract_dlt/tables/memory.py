"""What a sync knows of the warehouse, and learns batch by batch: columns, data schemas, and where rows may be."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from dlt.common.normalizers.naming import NamingConvention

from ..service.records import Run
from .columns import Names, Segment
from .contract import RUNS, is_child
from .json_schema import Shape
from .parse import Parser
from .row_keys import Int64s


class DataSchema(NamedTuple):
    """A data schema: its text, its hash (None for the schema `null`), and what it says."""

    text: bytes
    hash: str | None
    shape: Shape


class Memory:
    """What is known while a sync goes on. The arguments are those of `TableBuilder`.

    Attributes:
        agent_tables: the child tables in which each agent's runs have rows by now.
        types: the dlt types of columns, by their table's name and their own.
        described: the columns that have a description, by their table's name.
        schemas: data schemas by their text.
    """

    def __init__(
        self,
        naming: NamingConvention,
        known: Mapping[str, Mapping[str, Mapping[str, Any]]],
        agent_tables: Mapping[str, Sequence[str]],
        data_table: Callable[[str], str] | None,
        is_new: Callable[[str, Iterable[str]], bool] | None,
        suspects: Container[str],
        shared: bool,
    ) -> None:
        self.names = Names(naming)
        self.parser = Parser()
        self._data_table = data_table
        self._data_paths: dict[str, tuple[str, ...]] = {}
        self.is_new = is_new or (lambda *_: False)
        self.types: dict[str, dict[str, str]] = {}
        self.described: dict[str, set[str]] = {}
        for name, columns in known.items():
            self.types[name] = {key: hints["data_type"] for key, hints in columns.items() if hints.get("data_type")}
            self.described[name] = {key for key, hints in columns.items() if hints.get("description")}
        self.schemas: dict[bytes, DataSchema] = {}
        self.agent_tables = {agent: list(names) for agent, names in agent_tables.items()}
        self._suspects = suspects
        self._children = [name for name, columns in known.items() if is_child(columns)]
        # A load that was cut off may have made tables that nobody remembers.
        there = {name for names in agent_tables.values() for name in names}
        if unknown := [name for name in self._children if name not in there]:
            self.agent_tables.setdefault("", []).extend(unknown)
        before = {"": self._children} if shared else self.agent_tables
        self._before = {agent: list(names) for agent, names in before.items()}

    def data_path(self, agent_id: str) -> tuple[str, ...]:
        """The path of the table for the data of an agent's runs."""
        if agent_id not in self._data_paths:
            self._data_paths[agent_id] = (RUNS, "data") if self._data_table is None else (self._data_table(agent_id),)
        return self._data_paths[agent_id]

    def tables_of_runs(self, runs: Sequence[Run], moved: Mapping[str, str]) -> Iterator[tuple[str, Int64s]]:
        """Child tables that were there before the sync, with the places of the runs that may have rows in them.

        Only tables of the run's agent can have any, or of the one that it belonged to, which `moved` says.
        """
        groups: dict[tuple[str, str] | None, list[int]] = {}
        for place, run in enumerate(runs):
            agents = None if run.id in self._suspects else (run.agent_id, moved.get(run.id, run.agent_id))
            groups.setdefault(agents, []).append(place)
        for agents, places in groups.items():
            for name in self._not_new(self._tables(agents)):
                yield name, np.array(places)

    def tables_of_removed(self, removed: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, pa.Array]]:
        """Tables that were there before the sync, with the ids of the removed runs that may have rows in them."""
        for agent in dict.fromkeys(agent for _, agent in removed):
            ids = pa.array([run_id for run_id, its_agent in removed if its_agent == agent], pa.string())
            for name in self._not_new(self._tables(None) if agent is None else [RUNS, *self._tables([agent])]):
                yield name, ids

    def _tables(self, agents: Iterable[str] | None) -> list[str]:
        """The child tables that may have had rows of the agents' runs; all of them if the agents are not known."""
        if agents is None:
            return self._children
        names = (name for agent in agents for key in (agent, "") for name in self._before.get(key, ()))
        return list(dict.fromkeys(names))

    def _not_new(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self.is_new(name, names)]


def tombstones(runs: Int64s, run_ids: pa.Array, key: str = "_run_id") -> Segment:
    """Tombstones, rows that remove what runs had before, with all key columns: dlt counts on those named after it."""
    others: dict[str, pa.DataType] = dict.fromkeys(("_dlt_id", "_dlt_parent_id", "_dlt_load_id"), pa.string())
    others |= {"_dlt_list_idx": pa.int64()}
    if key == "id":
        others = dict.fromkeys(("_content_hash", "_dlt_load_id", "data_schema_hash"), pa.string())
        others["_child_rows"] = pa.int64()
    nulls = {name: pa.nulls(len(run_ids), arrow_type) for name, arrow_type in others.items()}
    return Segment(runs, {key: run_ids, **nulls, "_deleted": pa.repeat(True, len(run_ids))})
