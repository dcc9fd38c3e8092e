"""What a sync knows of the warehouse, and learns batch by batch: columns, data schemas, and where rows may be."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
from dlt.common.normalizers.naming import NamingConvention

from ..service.records import Run
from .columns import Column, Names, Segment
from .contract import RUNS, TEXT_TABLES, LoadTable, is_child
from .parse import Parser
from .row_keys import Int64s
from .schemas.declared import Columns, contract_columns, data_columns, settled
from .schemas.json_schema import Shape, schema_hash


class DataSchema(NamedTuple):
    """A data schema: its text, its hash (None for the schema `null`), and what it says."""

    text: bytes
    hash: str | None
    shape: Shape


def read_schema(text: bytes) -> DataSchema:
    """Read a data schema. Raises ValueError or RecursionError."""
    schema = msgspec.json.decode(text)
    return DataSchema(text, None if schema is None else schema_hash(schema), Shape(schema))


class KnownAgent(NamedTuple):
    """What the list of agents says of one: its name, and the text of its data schema."""

    name: str
    data_schema: bytes


class Memory:
    """What is known while a sync goes on. The arguments are those of `TableBuilder`.

    Attributes:
        agent_tables: the child tables in which each agent's runs have rows by now.
        empty_tables: child tables that were made because they are declared.
        types: the dlt types of columns, by their table's name and their own.
        described: the columns that have a description, by their table's name.
        schemas: data schemas by their text.
        declared: the tables and columns that are to be there in any case.
        gone: tables that are known, and not in the warehouse: dlt makes those only that a load has something for.
        settled: the types that columns get, by their table's name, whichever agent's value comes first.
        agents: the project's agents by id.
    """

    def __init__(
        self,
        naming: NamingConvention,
        known: Mapping[str, Mapping[str, Mapping[str, Any]]],
        agent_tables: Mapping[str, Sequence[str]],
        empty_tables: Collection[str],
        data_table: Callable[[str], str] | None,
        is_new: Callable[[str, Iterable[str]], bool] | None,
        suspects: Container[str],
        shared: bool,
        gone: bool,
    ) -> None:
        self.names = Names(naming)
        self.parser = Parser()
        self._data_table = data_table
        self._data_paths: dict[str, tuple[str, ...]] = {}
        self.is_new = is_new or (lambda *_: False)
        self.types: dict[str, dict[str, str]] = {}
        self.described: dict[str, set[str]] = {}
        self._given = {name: frozenset(columns) for name, columns in known.items()}
        for name, columns in known.items():
            self.types[name] = {key: hints["data_type"] for key, hints in columns.items() if hints.get("data_type")}
            self.described[name] = {key for key, hints in columns.items() if hints.get("description")}
        self.schemas: dict[bytes, DataSchema] = {}
        self.declared: Columns = {}
        self.gone = set(known) if gone else set[str]()
        self.settled: dict[str, dict[str, str]] = {}
        self.agents: dict[str, KnownAgent] = {}
        self._declaring: set[str] = set()
        self._agent_columns: dict[str, Columns] = {}
        self.empty_tables = set(empty_tables)
        self.agent_tables = {agent: list(names) for agent, names in agent_tables.items()}
        self._suspects = suspects
        self._children = [name for name, columns in known.items() if is_child(columns)]
        # A load that was cut off may have made tables that nobody remembers.
        there = {name for names in agent_tables.values() for name in names} | self.empty_tables
        if unknown := [name for name in self._children if name not in there]:
            self.agent_tables.setdefault("", []).extend(unknown)
        before = {"": self._children} if shared else self.agent_tables
        self._before = {agent: list(names) for agent, names in before.items()}

    def declare_contract(self) -> None:
        """Let the tables and columns of the contract be there from now on."""
        for name, columns in contract_columns(self.names).items():
            self.declared.setdefault(name, {}).update(columns)

    def know_agents(self, agents: Mapping[str, KnownAgent]) -> None:
        """Take over the project's agents, and settle the types of shared columns over the schemas of all of them."""
        self.agents = dict(agents)
        if self._data_table is not None:
            return  # no column is shared
        kinds: dict[str, dict[str, list[str]]] = {}
        for agent_id in agents:
            for table, columns in self._data_columns(agent_id).items():
                for name, column in columns.items():
                    kinds.setdefault(table, {}).setdefault(name, []).append(column.data_type)
        self.settled = {
            table: {name: settled(found) for name, found in columns.items()} for table, columns in kinds.items()
        }

    def declare(self, agent_ids: Iterable[str]) -> None:
        """Let the tables and columns that these agents' schemas declare be there from now on."""
        for agent_id in agent_ids:
            if agent_id not in self._declaring and agent_id in self.agents:
                self._declaring.add(agent_id)
                for table, columns in self._data_columns(agent_id).items():
                    there, types = self.declared.setdefault(table, {}), self.settled.get(table, {})
                    for name, column in columns.items():
                        there.setdefault(name, column._replace(data_type=types.get(name, column.data_type)))

    def adopt(self, there: Mapping[str, Mapping[str, str]], own: Container[str]) -> str:
        """Take over the types of columns that others have made since the sync began.

        `there` are the columns that are there now, by their tables, and `own` the tables that this sync has loaded.
        Returns a table or a column that this sync has built otherwise, or for another agent; empty if there is none.
        """
        roots = {self.names.table(path) for path in self._data_paths.values() if len(path) == 1}
        for table, columns in there.items():
            if table in roots and table not in self._given and table not in own:
                return table
            types, given = self.types.setdefault(table, {}), self._given.get(table, frozenset())
            for name, kind in columns.items():
                if types.setdefault(name, kind) != kind and name not in given:
                    return f"{table}.{name}"
        return ""

    def agent_name(self, agent_id: str) -> str | None:
        """Return the agent's name; None if it is not in the list of agents."""
        return self.agents[agent_id].name if agent_id in self.agents else None

    def missing(self, table: str) -> dict[str, Column]:
        """Return the columns that are declared for the table and are not there yet."""
        there = () if table in self.gone else self.types.get(table, ())
        return {name: column for name, column in self.declared.get(table, {}).items() if name not in there}

    def with_rows_or_new(self, tables: Iterable[LoadTable]) -> list[LoadTable]:
        """Return those of the text tables that have rows or are not there yet."""
        found = [table for table in tables if table.rows or self.missing(table.name)]
        for table in found:
            self.types[table.name] = TEXT_TABLES[table.name]
            self.gone.discard(table.name)
        return found

    def _data_columns(self, agent_id: str) -> Columns:
        if agent_id not in self._agent_columns:
            try:
                shape = read_schema(self.agents[agent_id].data_schema).shape
            except (ValueError, RecursionError):
                shape = Shape(None)
            shape = shape.element() if shape.is_list else shape
            self._agent_columns[agent_id] = data_columns(self.names, self.data_path(agent_id), shape)
        return self._agent_columns[agent_id]

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
