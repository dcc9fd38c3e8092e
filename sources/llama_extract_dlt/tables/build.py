"""Runs in, Arrow tables out, column by column: the table contract of docs/tables.md.

Where does a column come from? `reading` has taken the runs apart and parsed them. `RunTables.build` makes the tables
of the run itself (`_run_table`, `_flat_child`), of the extracted data (`_data`) and of what is known about it
(`_metadata`, with the rows that `metadata` finds). `columns` names and types what they find; `keys` makes the ids.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import dlt
import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..service.records import NULL, Fields, Rejected, Run, read_fields
from . import json_schema as schemas
from .columns import Names, Piece, Table, known_types
from .contract import AGENTS, REJECTED, RUNS, SCHEMAS, LoadTable, child_tables
from .field_metadata import FieldMetadata, concat_metadata, field_metadata
from .json_schema import Shape
from .parse import Elements, Node, parse_exactly, read_values
from .row_keys import Int64s, Keys, UInt64s, child_keys, encode, run_keys
from .split import Documents, Parts, ReadRuns


class _Rows(NamedTuple):
    """Where rows hang: the run of each (its place in the chunk), its key, its parent's id, its place in the list."""

    runs: Int64s
    keys: Keys
    parents: pa.Array
    position: Int64s


class RunTables:
    """Makes tables of chunks of runs, keeping to the column types that the warehouse has already."""

    data_table: Callable[[str], str] | None = None
    """Gives the table for an agent's data, by the agent's id; where there is none, all agents share one."""

    def __init__(
        self,
        schema: dlt.Schema,
        is_new: Callable[[str, Iterable[str]], bool] | None = None,
        suspects: Container[str] = (),
        *,
        shared: bool = False,
    ) -> None:
        """`schema` is the pipeline's: the tables and columns that there are already.

        `is_new` says whether a table has no rows that could be replaced: the warehouse was asked, has no such table,
        and nobody else can be loading. It is given the tables that will be asked about next, too, so that one query
        does. Of `suspects`, runs, any table may have rows; and of any run where the dataset is `shared` with other
        pipelines, whose tables this one's state does not know.
        """
        self._schema = schema
        self._names = Names(schema.naming)
        self._types: dict[str, dict[str, str]] = {}
        self._described: dict[str, set[str]] = {}
        self._before: dict[str, list[str]] | None = None
        self._schemas: dict[bytes, tuple[str, Any]] = {}
        self._tables: dict[str, Table] = {}
        self._parents: dict[str, str] = {}
        self._children = child_tables(schema)
        """Those that there are when the sync begins."""
        self._is_new = is_new or (lambda *_: False)
        self._suspects = suspects
        self._shared = shared

    def build(
        self,
        read: ReadRuns,
        rejected: Sequence[Rejected],
        agent_tables: dict[str, list[str]],
        load_id: str,
        removed: Sequence[tuple[str, str | None]] = (),
        moved: Mapping[str, str] | None = None,
    ) -> list[LoadTable]:
        """The tables of a batch, in which every run stands once; the runs' own table is the last one.

        `agent_tables` says in which child tables each agent's runs had rows when the sync began. Where this
        batch's runs have rows is added to it; it is to be kept until the next load. Under no agent's id it has tables
        of which that is not known. `removed` are runs, with their agents, that are to have no rows any more; without an
        agent, they may have rows in any table. `moved` are runs that have rows in the tables of another agent.
        """
        if self._before is None:
            self._before = self._tables_before(agent_tables)
        self._tables, self._parents = {}, {}
        new_schemas: dict[str, bytes] = {}
        if read.runs:
            self._run_ids = pa.array([run.id for run in read.runs], pa.string())
            self._run_keys = run_keys([run.id for run in read.runs])
            self._load_id = load_id
            keys = {
                "_content_hash": pa.array([run.content_hash for run in read.runs], pa.string()),
                "_dlt_load_id": pa.repeat(load_id, len(read.runs)),
            }
            hashes = [self._schema_hash(part.data_schema, new_schemas) for part in read.parts]
            keys["data_schema_hash"] = pa.array(hashes, pa.string())
            self._flat_child("config", [part.config for part in read.parts], schemas.CONFIG)
            self._flat_child("file", [part.file for part in read.parts], schemas.FILE)
            self._extracted(read)
            keys["_child_rows"] = pa.array(self._rows_of(len(read.runs)), pa.int64())
            self._run_table(read.parts, keys)
            self._tombstones(read.runs, self._before, agent_tables, moved or {})
        self._removed(removed, self._before)
        runs = self._tables.pop(RUNS, None)
        loads = [self._finish(table) for table in self._tables.values()]
        loads += [self.schema_rows(new_schemas), self.rejected_rows(rejected)]
        # A row of a run proves that its children are there: it comes last.
        loads += [self._finish(runs)] if runs else []
        return [load for load in loads if load is not None]

    def attempt(self, agent_tables: dict[str, list[str]]) -> Callable[[], None]:
        """Lets a build that fails leave nothing behind, in `agent_tables` neither: gives what undoes it."""
        types = {name: dict(columns) for name, columns in self._types.items()}
        described = {name: set(columns) for name, columns in self._described.items()}
        known = dict(self._schemas)
        before = {agent: list(names) for agent, names in agent_tables.items()}

        def undo() -> None:
            self._types, self._described, self._schemas = types, described, known
            agent_tables.clear()
            agent_tables.update(before)

        return undo

    def _rows_of(self, runs: int) -> Int64s:
        """How many rows each run has in all child tables together."""
        counts = np.zeros(runs, dtype=np.int64)
        for table in self._tables.values():
            for piece in table.pieces:
                counts += np.bincount(piece.runs, minlength=runs)
        return counts

    def flagged(self, rows: Iterable[pa.Table], load_id: str, now: datetime) -> Iterable[LoadTable]:
        """`extraction_runs` for runs that are gone at the service: their `rows` as they are, with `_deleted_at`."""
        for data in rows:
            for name, value in (
                ("_deleted_at", pa.repeat(pa.scalar(now, pa.timestamp("us", "UTC")), len(data))),
                ("_dlt_load_id", pa.repeat(load_id, len(data))),
            ):
                place = data.schema.get_field_index(name)
                data = data.append_column(name, value) if place < 0 else data.set_column(place, name, value)
            filled = [field.name for field in data.schema if data[field.name].null_count < len(data)]
            fields = [data.schema.field(name).with_nullable(name != "id") for name in filled]
            types = self._table(RUNS).types
            json_columns = [name for name in filled if types.get(name) == "json"]
            yield LoadTable(RUNS, data.select(filled).cast(pa.schema(fields)), key="id", json_columns=json_columns)

    # ── the tables that are no part of a run ──────────────────────────────────────────────────────────────────

    def agent_rows(self, agents: Mapping[str, bytes]) -> list[LoadTable]:
        """`extraction_agents`, and `extraction_schemas` with their schemas, from raw JSON by its content hash."""
        self._tables = {}
        new_schemas: dict[str, bytes] = {}
        read = {digest: fields for digest, raw in agents.items() if (fields := read_fields(raw)) and "id" in fields}
        if not read:
            return []
        rows = list(read.values())
        hashes = [self._schema_hash(bytes(row.pop("data_schema", NULL)), new_schemas) for row in rows]
        ids = [msgspec.json.decode(row.pop("id"), type=str) for row in rows]
        keys = {"id": ids, "data_schema_hash": hashes, "_content_hash": list(read)}
        piece = Piece(np.arange(len(rows)), {name: pa.array(values, pa.string()) for name, values in keys.items()})
        _add_flat(piece, self._names, (), rows, Shape(schemas.AGENT))
        self._table(AGENTS).pieces.append(piece)
        # A row of an agent proves that its schema is there: it comes last.
        loads = [self.schema_rows(new_schemas), self._finish(self._tables[AGENTS])]
        return [load for load in loads if load is not None]

    def schema_rows(self, found: Mapping[str, bytes]) -> LoadTable | None:
        """`extraction_schemas` for data schemas by their hash."""
        if not found:
            return None
        texts = [text.decode() for text in found.values()]
        data = pa.table(
            [pa.array(found.keys(), pa.string()), pa.array(texts, pa.string())],
            schema=pa.schema([pa.field("hash", pa.string(), nullable=False), ("data_schema", pa.string())]),
        )
        return LoadTable(SCHEMAS, data, key="hash", json_columns=["data_schema"])

    def rejected_rows(self, rejected: Sequence[Rejected]) -> LoadTable | None:
        """`extraction_runs__rejected`: one row a text, so that the same reject is there once however often it comes."""
        unique = {item.raw: item for item in rejected}
        if not unique:
            return None
        texts = [raw.decode("utf-8", "replace") for raw in unique]
        data = pa.table(
            {
                "_dlt_id": encode(run_keys(texts)),
                "reason": pa.array([item.reason for item in unique.values()], pa.string()),
                "position": pa.array([item.position for item in unique.values()], pa.string()),
                "raw": pa.array(texts, pa.string()),
            }
        )
        field_0 = data.schema.field(0).with_nullable(False)
        return LoadTable(REJECTED, data.cast(data.schema.set(0, field_0)), key="_dlt_id")

    # ── the run itself ────────────────────────────────────────────────────────────────────────────────────────

    def _run_table(self, parts: Sequence[Parts], keys: Mapping[str, pa.Array]) -> None:
        """`extraction_runs`: the scalars of the run and of its metadata, the rest as JSON."""
        piece = Piece(np.arange(len(parts)), {"id": self._run_ids, **keys})
        _add_flat(piece, self._names, (), [part.rest for part in parts], Shape(schemas.RUN))
        below = ("extraction_metadata",)
        _add_flat(piece, self._names, below, [part.metadata for part in parts], Shape({}))
        _add_flat(piece, self._names, (*below, "usage"), [part.usage for part in parts], Shape({}))
        self._table(RUNS).pieces.append(piece)

    def _flat_child(self, part: str, rows: Sequence[Fields | None], schema: dict[str, Any]) -> None:
        """`extraction_runs__config` and `extraction_runs__file`: a row a run, the members as columns."""
        places = np.array([place for place, row in enumerate(rows) if row is not None], dtype=np.int64)
        if not len(places):
            return
        where = _Rows(
            places,
            child_keys(self._run_keys.take(places), (part,)),
            self._run_ids.take(pa.array(places)),
            np.zeros(len(places), dtype=np.int64),
        )
        piece, _ = self._piece(self._child((RUNS, part), RUNS), where)
        _add_flat(piece, self._names, (), [row for row in rows if row is not None], Shape(schema))

    # ── what was extracted ────────────────────────────────────────────────────────────────────────────────────

    def _extracted(self, read: ReadRuns) -> None:
        """The data and the field metadata of all runs."""
        data_rows: list[UInt64s] = []
        metadata: list[FieldMetadata] = []
        for alike in read.alike:
            path: tuple[str, ...] = (RUNS, "data") if self.data_table is None else (self.data_table(alike.agent_id),)
            shape = Shape(self._schemas.get(alike.data_schema, ("", None))[1])
            if alike.data is not None:
                self._data(alike.data, path, shape.element() if shape.is_list else shape, data_rows)
            for documents in alike.metadata:
                for batch in documents.batches:
                    runs = documents.runs[batch.places]
                    metadata += field_metadata(runs, self._run_keys.take(runs), batch.root)
        self._metadata(metadata, data_rows)

    def _data(self, data: Documents, path: tuple[str, ...], shape: Shape, seen: list[UInt64s]) -> None:
        """The rows of data in the table at `path`, and below it; adds their keys to `seen`."""
        for batch in data.batches:
            if not batch.exact and self._literals_lost(path, batch.root.elements, shape):
                batch = parse_exactly(batch.places, data.texts)
            if batch.root.elements is None:
                continue
            runs = data.runs[batch.places]
            keys, ids = self._run_keys.take(runs), self._run_ids.take(pa.array(runs))
            self._list(path, RUNS, batch.root.elements, runs, keys, ids, ("data",), shape, seen)

    def _list(
        self,
        path: tuple[str, ...],
        parent: str,
        elements: Elements,
        runs: Int64s,
        keys: Keys,
        ids: pa.Array,
        step: tuple[str, ...],
        shape: Shape,
        seen: list[UInt64s],
    ) -> None:
        """A table of the elements of lists, and below it the tables of their lists.

        `runs`, `keys` and `ids` belong to the rows that hold the lists, `step` says where in the row they are.
        """
        where = _Rows(
            runs[elements.parent],
            child_keys(keys.take(elements.parent), step, elements.index),
            ids.take(pa.array(elements.parent)),
            elements.index,
        )
        table = self._child(path, parent)
        piece, row_ids = self._piece(table, where)
        seen.append(where.keys.high)
        for below, node, its_shape in self._members(piece, (), elements.node, shape):
            self._list(
                (*path, *(below or ("list",))),
                table.name,
                node,
                where.runs,
                where.keys,
                row_ids,
                below,
                its_shape.element(),
                seen,
            )

    def _members(
        self, piece: Piece, path: tuple[str, ...], node: Node, shape: Shape
    ) -> Iterable[tuple[tuple[str, ...], Elements, Shape]]:
        """Adds the scalars at and under `node` to the row's columns; gives the lists with their paths."""
        for kind, array in node.scalars.items():
            piece.add(self._names.column(path), kind, array, shape.data_type, shape.description)
        lists = [] if node.elements is None else [(path, node.elements, shape)]
        for key, member in node.fields.items():
            lists.extend(self._members(piece, (*path, key), member, shape.member(key)))
        return lists

    def _literals_lost(self, path: tuple[str, ...], elements: Elements | None, shape: Shape) -> bool:
        """Whether numbers that Arrow made doubles of are bound for text columns, which want them as written."""
        if elements is None:
            return False
        types = self._table(self._names.table(path)).types

        def lost(below: tuple[str, ...], node: Node, its_shape: Shape) -> bool:
            if "double" in node.scalars and types.get(self._names.column(below), its_shape.data_type) == "text":
                return True
            if self._literals_lost((*path, *(below or ("list",))), node.elements, its_shape.element()):
                return True
            return any(lost((*below, key), member, its_shape.member(key)) for key, member in node.fields.items())

        return lost((), elements.node, shape)

    # ── what is known about what was extracted ────────────────────────────────────────────────────────────────

    def _metadata(self, found: Sequence[FieldMetadata], data_rows: Sequence[UInt64s]) -> None:
        """`extraction_runs__field_metadata`, and below it the citations; `data_rows` are the keys of the data."""
        if not found:
            return
        rows = concat_metadata(found)
        table = self._child((RUNS, "field_metadata"), RUNS)
        where = _Rows(rows.runs, rows.keys, self._run_ids.take(pa.array(rows.runs)), rows.position)
        piece, ids = self._piece(table, where)
        there = _contains(np.sort(np.concatenate(data_rows)), rows.data_rows.high) if data_rows else np.array([False])
        piece.keys |= {
            "field_path": rows.path,
            "field_name": rows.name,
            "data_row_id": pc.if_else(pa.array(np.broadcast_to(there, len(ids))), encode(rows.data_rows), None),
        }
        shape = Shape(schemas.FIELD_METADATA)
        for (key, kind), array in rows.attributes.items():
            piece.add(self._names.column((key,)), kind, array, shape.member(key).data_type)
        if rows.citations is not None:
            path, step = (RUNS, "field_metadata", "citation"), ("citation",)
            cited = shape.member("citation").element()
            self._list(path, table.name, rows.citations, rows.runs, rows.keys, ids, step, cited, [])

    # ── keys, tombstones, names ───────────────────────────────────────────────────────────────────────────────

    def _piece(self, table: Table, where: _Rows) -> tuple[Piece, pa.Array]:
        """A new piece of a child table with its key columns, and the rows' ids."""
        ids = encode(where.keys)
        piece = Piece(
            where.runs,
            {
                "_run_id": self._run_ids.take(pa.array(where.runs)),
                "_dlt_id": ids,
                "_dlt_parent_id": where.parents,
                "_dlt_list_idx": pa.array(where.position, pa.int64()),
                "_dlt_load_id": pa.repeat(self._load_id, len(where.runs)),
            },
        )
        table.pieces.append(piece)
        return piece, ids

    def _tombstones(
        self,
        runs: Sequence[Run],
        before: dict[str, list[str]],
        agent_tables: dict[str, list[str]],
        moved: Mapping[str, str],
    ) -> None:
        """A run's rows replace those it had before; where it has none now, a tombstone row removes the old ones.

        Only tables where the run's agent, or the one it belonged to, had rows before this load can hold any; any table
        can for a run of which the warehouse has not what was written.
        """
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, run in enumerate(runs):
            owners: tuple[str, ...] = (
                ("",) if run.id in self._suspects else (run.agent_id, moved.get(run.id, run.agent_id))
            )
            groups.setdefault(owners, []).append(place)
        for owners, places in groups.items():
            names = self._children if owners == ("",) else [name for owner in owners for name in _before(owner, before)]
            for name in dict.fromkeys(names):
                if self._is_new(name, names):
                    continue  # nothing to take away there, and what is appended would stay
                table = self._table(name)
                here = [piece.runs for piece in table.pieces]
                gone = np.setdiff1d(places, np.concatenate(here) if here else np.array([], dtype=np.int64))
                if len(gone):
                    table.pieces.append(Piece(gone, _tombstone_keys("_run_id", self._run_ids.take(pa.array(gone)))))
        for table in self._tables.values():
            if table.name == RUNS or not table.pieces:
                continue
            found = np.unique(np.concatenate([piece.runs for piece in table.pieces]))
            for agent in {runs[place].agent_id for place in found}:
                tables = agent_tables.setdefault(agent, [])
                if table.name not in tables:
                    tables.append(table.name)

    def _removed(self, removed: Sequence[tuple[str, str | None]], before: dict[str, list[str]]) -> None:
        """Tombstones for runs in all tables where they may have rows."""
        for agent in dict.fromkeys(agent for _, agent in removed):
            ids = pa.array([run_id for run_id, its_agent in removed if its_agent == agent], pa.string())
            tables = self._children if agent is None else [RUNS, *_before(agent, before)]
            for name in tables:
                if self._is_new(name, tables):
                    continue
                keys = _tombstone_keys("id" if name == RUNS else "_run_id", ids)
                self._table(name).pieces.append(Piece(np.arange(len(ids)), keys))

    def _tables_before(self, agent_tables: dict[str, list[str]]) -> dict[str, list[str]]:
        """`agent_tables` as it is now. Child tables that no agent has are added to it, under no agent's id.

        There are some when a load was cut off: what it wrote may be there, but not what it knew.
        """
        had = {name for tables in agent_tables.values() for name in tables}
        if unknown := [name for name in self._children if name not in had]:
            agent_tables.setdefault("", []).extend(unknown)
        if self._shared:
            return {"": list(self._children)}
        return {agent: list(tables) for agent, tables in agent_tables.items()}

    def _child(self, path: tuple[str, ...], parent: str) -> Table:
        table = self._table(self._names.table(path))
        self._parents.setdefault(table.name, parent)
        return table

    def _table(self, name: str) -> Table:
        if name not in self._tables:
            if name not in self._types:
                columns = self._schema.tables.get(name, {}).get("columns", {})
                self._types[name] = known_types(columns)
                self._described[name] = {column for column, hints in columns.items() if hints.get("description")}
            self._tables[name] = Table(name, self._names, self._types[name], self._described[name])
        return self._tables[name]

    def _finish(self, table: Table) -> LoadTable | None:
        data = table.finish()
        if data is None:
            return None
        json_columns = [name for name in data.column_names if table.types.get(name) == "json"]
        if table.name == AGENTS:
            return LoadTable(AGENTS, data, key="id", json_columns=json_columns)
        replaces = not self._is_new(table.name, self._tables)
        if table.name == RUNS:
            return LoadTable(RUNS, data, key="id", json_columns=json_columns, replaces=replaces)
        parent, descriptions = self._parents.get(table.name, RUNS), table.new_descriptions()
        return LoadTable(table.name, data, "_run_id", parent, json_columns, descriptions, replaces)

    def _schema_hash(self, text: bytes, new: dict[str, bytes]) -> str | None:
        """The hash of a data schema's text; one not seen before is also put into `new`."""
        if text == b"null":
            return None
        if text not in self._schemas:
            schema = msgspec.json.decode(text)
            key = schemas.schema_hash(schema)
            if all(key != other for other, _ in self._schemas.values()):
                new[key] = text
            self._schemas[text] = (key, schema)
        return self._schemas[text][0]


def _tombstone_keys(key: str, run_ids: pa.Array) -> dict[str, pa.Array]:
    """The key columns of tombstones: all that the table's rows have, since dlt counts on those named after it."""
    others: dict[str, pa.DataType] = dict.fromkeys(("_dlt_id", "_dlt_parent_id", "_dlt_load_id"), pa.string())
    others |= {"_dlt_list_idx": pa.int64()}
    if key == "id":
        others = dict.fromkeys(("_content_hash", "_dlt_load_id", "data_schema_hash"), pa.string())
        others["_child_rows"] = pa.int64()
    nulls = {name: pa.nulls(len(run_ids), arrow_type) for name, arrow_type in others.items()}
    return {key: run_ids, **nulls, "_deleted": pa.repeat(True, len(run_ids))}


def without_nul(data: pa.Table) -> pa.Table:
    """The table with U+FFFD for every character NUL in a text, which PostgreSQL cannot hold."""
    for place, column in enumerate(data.schema):
        if pa.types.is_string(column.type) and pc.any(pc.match_substring(data[place], "\0")).as_py():
            data = data.set_column(place, column, pc.replace_substring(data[place], "\0", "\ufffd"))
    return data


def _before(agent: str, before: Mapping[str, Sequence[str]]) -> list[str]:
    """The child tables where the agent's runs may have had rows."""
    return list(dict.fromkeys((*before.get(agent, ()), *before.get("", ()))))


def _contains(members: UInt64s, values: UInt64s) -> npt.NDArray[np.bool_]:
    """Which of the values are among the sorted members."""
    if not len(members):
        return np.zeros(len(values), dtype=bool)
    places = np.minimum(np.searchsorted(members, values), len(members) - 1)
    return np.equal(members[places], values)


def _add_flat(piece: Piece, names: Names, path: tuple[str, ...], rows: Sequence[Fields | None], shape: Shape) -> None:
    """Adds the members of flat objects as columns: scalars as they are, objects and lists as JSON text."""
    for key in dict.fromkeys(key for row in rows if row for key in row):
        raws = [bytes(row[key]) if row and key in row else b"null" for row in rows]
        column = names.column((*path, key))
        declared = shape.member(key).data_type
        nested = [raw.decode() if raw[:1] in (b"{", b"[") else None for raw in raws]
        if any(nested):
            piece.add(column, "json", pa.array(nested, pa.string()), declared or "json")
            raws = [b"null" if text else raw for raw, text in zip(raws, nested, strict=True)]
        for kind, array in read_values(raws).items():
            piece.add(column, kind, array, declared)
