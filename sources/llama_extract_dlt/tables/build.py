"""Runs in, Arrow tables out, batch by batch: the table contract of docs/tables.md."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

from ..service.records import NULL, Rejected, Run, read_fields
from .batch import BatchTables
from .contract import REJECTED, RUNS, SCHEMAS, TEXT_TABLES, LoadTable, key_of
from .memory import KnownAgent, Memory
from .row_keys import encode, run_keys


@dataclass
class Built:
    """The tables of a batch, the runs' own last, and the runs of which none could be made, with the reason."""

    tables: list[LoadTable]
    unfit: dict[str, Rejected]


class TableBuilder:
    """Builds the tables of a sync, batch after batch, keeping to the columns that the warehouse has already.

    Attributes:
        agent_tables: the child tables in which each agent's runs have rows by now, to be kept between loads. Under no
            agent's id, the empty text, are those of which that is not known.
        empty_tables: child tables that were made because an agent's schema declares them, likewise.

    Args:
        naming: how names are normalized.
        known: dlt's columns by the name of their table, as they are when the sync begins.
        agent_tables: what the attribute was at the end of the last load.
        empty_tables: what that attribute was.
        data_table: gives the table for the data of an agent's runs, by the agent's id; None where all share one.
        is_new: whether a table has no rows that could be replaced: the warehouse was asked, has no such table, and
            nobody else can be loading. It is also given the tables that will be asked about next: one query does.
        suspects: runs of which any table may have rows.
        shared: whether other pipelines load into the dataset, so that any table may have rows of any run.
        gone: whether none of the known tables is in the warehouse any more.
    """

    def __init__(
        self,
        naming: NamingConvention,
        known: Mapping[str, Mapping[str, Mapping[str, Any]]],
        *,
        agent_tables: Mapping[str, Sequence[str]] = {},
        empty_tables: Collection[str] = (),
        data_table: Callable[[str], str] | None = None,
        is_new: Callable[[str, Iterable[str]], bool] | None = None,
        suspects: Container[str] = (),
        shared: bool = False,
        gone: bool = False,
    ) -> None:
        self._memory = Memory(naming, known, agent_tables, empty_tables, data_table, is_new, suspects, shared, gone)
        self.agent_tables = self._memory.agent_tables
        self.empty_tables = self._memory.empty_tables

    def declare_contract(self) -> None:
        """Let the first batch, and the first rows of agents, make all tables and columns of the contract."""
        self._memory.declare_contract()

    def declare(self, agents: Mapping[str, tuple[str, bytes]], loaded: Iterable[str]) -> None:
        """Take over what the list of agents says: by their id, their names and their raw JSON.

        The types of shared columns are settled over the schemas of all of the project's agents, so that they do not
        depend on the order of loading. What the schemas of those that are `loaded` declare is there from the first
        batch on, and what a schema of another one declares with the first batch that has a run of it.
        """
        known = {}
        for agent_id, (name, raw) in agents.items():
            known[agent_id] = KnownAgent(name, bytes((read_fields(raw) or {}).get("data_schema", NULL)))
        self._memory.know_agents(known)
        self._memory.declare(loaded)

    def adopt(self, there: Mapping[str, Mapping[str, str]], own: Container[str]) -> str:
        """Take over the types of columns that others have made meanwhile, as `Memory.adopt` says."""
        return self._memory.adopt(there, own)

    def build(
        self,
        runs: Sequence[Run],
        rejected: Sequence[Rejected] = (),
        *,
        load_id: str,
        removed: Sequence[tuple[str, str | None]] = (),
        moved: Mapping[str, str] = {},
    ) -> Built:
        """Builds the tables of a batch, in which every run stands once.

        Runs that no tables can be made of are left out, and returned as `unfit`. A build that fails changes nothing.

        Args:
            runs: the runs to write.
            rejected: items to write to the table of rejected items.
            load_id: the load that writes them.
            removed: ids of runs that are to have no rows any more, with their agents' ids; without an agent's, they may
                have rows in any child table.
            moved: agents, by the ids of runs that have rows in the tables of that other agent.
        """
        for run in runs:
            self._memory.data_path(run.agent_id)  # here, since an error of whoever is asked is none of a run's
        unfit: dict[str, Rejected] = {}
        try:
            batch = BatchTables(self._memory, load_id)
            tables = batch.build(runs, removed, moved)
        except Exception:
            unfit = self._unfit(runs, load_id, moved)  # if there are none, the same error comes again
            batch = BatchTables(self._memory, load_id)
            tables = batch.build([run for run in runs if run.id not in unfit], removed, moved)
        texts = [schema_table(batch.new_schemas()), rejected_table(rejected)]
        made = [*tables, *self._memory.with_rows_or_new(texts)]
        batch.keep()
        # A row of a run proves that its children are there: it comes last.
        return Built(sorted(made, key=lambda table: table.name == RUNS), unfit)

    def flagged(self, rows: Iterable[pa.Table], load_id: str, now: datetime) -> Iterator[LoadTable]:
        """`extraction_runs` for runs that are gone at the service: their `rows` as they are, with `_deleted_at`.

        Rows that have it keep it.
        """
        for data in rows:
            if "_deleted_at" in data.column_names:
                data = data.filter(pc.is_null(data["_deleted_at"]))
            if not len(data):
                continue
            agents = data["extraction_agent_id"].to_pylist()
            names = pa.chunked_array([[self._memory.agent_name(agent) for agent in agents]], pa.string())
            if "agent_name" in data.column_names:
                names = pc.coalesce(names, data["agent_name"])
            deleted_at = pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(data))
            load_ids = pa.repeat(load_id, len(data))
            yield self._runs_again(data, agent_name=names, _deleted_at=deleted_at, _dlt_load_id=load_ids)

    def renamed(self, rows: Iterable[pa.Table], agent_name: str) -> Iterator[LoadTable]:
        """`extraction_runs` for runs whose agent has another name now: their `rows` as they are, with that name."""
        return (self._runs_again(data, agent_name=pa.repeat(agent_name, len(data))) for data in rows)

    def _runs_again(self, data: pa.Table, **columns: pa.Array) -> LoadTable:
        """`extraction_runs` for rows that are there, with other values in some columns."""
        for name, column in columns.items():
            place = data.schema.get_field_index(name)
            data = data.append_column(name, column) if place < 0 else data.set_column(place, name, column)
        filled = [field.name for field in data.schema if data[field.name].null_count < len(data)]
        fields = [data.schema.field(name).with_nullable(name != "id") for name in filled]
        json_columns = [name for name in filled if self._memory.types.get(RUNS, {}).get(name) == "json"]
        return LoadTable(RUNS, data.select(filled).cast(pa.schema(fields)), key="id", json_columns=json_columns)

    def agent_rows(self, agents: Mapping[str, bytes]) -> list[LoadTable]:
        """`extraction_agents`, and `extraction_schemas` with their schemas, from raw JSON by its content hash."""
        batch = BatchTables(self._memory, "")
        read = {digest: fields for digest, raw in agents.items() if (fields := read_fields(raw)) and "id" in fields}
        tables = batch.build_agents(read)
        # A row of an agent proves that its schema is there: it comes last.
        made = [*self._memory.with_rows_or_new([schema_table(batch.new_schemas())]), *tables]
        batch.keep()
        return made

    def _unfit(self, runs: Sequence[Run], load_id: str, moved: Mapping[str, str]) -> dict[str, Rejected]:
        """Finds, by halving, the runs of which no tables can be made."""
        if not runs:
            return {}
        memory = copy(self._memory)
        memory.is_new = lambda *_: False  # nobody is asked: only errors that runs cause count
        try:
            BatchTables(memory, load_id).build(runs, (), moved)
        except Exception as error:
            if len(runs) == 1:
                return {runs[0].id: _reject(runs[0], error)}
            half = len(runs) // 2
            return self._unfit(runs[:half], load_id, moved) | self._unfit(runs[half:], load_id, moved)
        return {}


def schema_table(found: Mapping[str, bytes]) -> LoadTable:
    """`extraction_schemas` for the texts of data schemas by their hash."""
    columns = {"hash": found.keys(), "data_schema": (text.decode() for text in found.values())}
    return _text_table(SCHEMAS, columns)


def rejected_table(items: Sequence[Rejected]) -> LoadTable:
    """`extraction_runs__rejected`: one row a text, so that the same reject is there once however often it comes."""
    unique = {item.raw: item for item in items}
    texts = [raw.decode("utf-8", "replace") for raw in unique]
    columns = {
        "_dlt_id": encode(run_keys(texts)).to_pylist(),
        "extraction_agent_id": (item.agent_id or None for item in unique.values()),
        "reason": (item.reason for item in unique.values()),
        "position": (item.position for item in unique.values()),
        "raw": texts,
    }
    return _text_table(REJECTED, columns)


def _text_table(name: str, columns: Mapping[str, Iterable[str | None]]) -> LoadTable:
    """A table of texts, with no rows perhaps."""
    key = key_of(name)
    schema = pa.schema([pa.field(column, pa.string(), nullable=column != key) for column in columns])
    data = pa.table([pa.array(list(values), pa.string()) for values in columns.values()], schema=schema)
    return LoadTable(name, data, key, [column for column, kind in TEXT_TABLES[name].items() if kind == "json"])


def without_nul(data: pa.Table) -> pa.Table:
    """The table with U+FFFD for every character NUL in a text, which PostgreSQL cannot hold."""
    for place, column in enumerate(data.schema):
        if pa.types.is_string(column.type) and pc.any(pc.match_substring(data[place], "\0")).as_py():
            data = data.set_column(place, column, pc.replace_substring(data[place], "\0", "\ufffd"))
    return data


def _reject(run: Run, error: Exception) -> Rejected:
    """A run that no tables can be made of, as a rejected item."""
    raw = b"{%b}" % b",".join(msgspec.json.encode(name) + b":" + bytes(value) for name, value in run.fields.items())
    reason = f"it cannot be made into tables: {' '.join(str(error).split())[:300]}"
    return Rejected(raw, reason, f"run {run.id}", run.agent_id)
