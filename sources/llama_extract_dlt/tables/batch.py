"""One batch of runs on its way into tables: runs are taken apart, parsed, and put into tables row by row.

Texts become columns in `parse`, trees of field metadata become rows in `field_metadata`, and `columns` names and types
what is found.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..service.records import NULL, Fields, Run, text_member
from .columns import Segment, Table, child_path, walk_shaped
from .contract import AGENTS, RUNS, TEXT_TABLES, LoadTable, is_child, key_of
from .memory import DataSchema, Memory, read_schema, tombstones
from .metadata.places import Found as FieldMetadata
from .metadata.places import Places, concat_metadata, field_metadata
from .metadata.values import DataValues
from .numbers import quote_numbers
from .parse import Elements, LosesDigits, Node, from_members
from .row_keys import Int64s, Keys, UInt64s, child_keys, encode, run_keys
from .run_parts import Parts, as_list, split_run
from .schemas import api
from .schemas.json_schema import Shape


class _Rows(NamedTuple):
    """Some rows: the place of each one's run in the batch, its key, its id."""

    runs: Int64s
    keys: Keys
    ids: pa.Array

    def take(self, places: Int64s) -> _Rows:
        return _Rows(self.runs[places], self.keys.take(places), self.ids.take(pa.array(places)))


class BatchTables:
    """The tables of one batch. What it learns is not in the memory of the sync before `keep`."""

    def __init__(self, memory: Memory, load_id: str) -> None:
        self._memory = memory
        self._load_id = load_id
        self._names = memory.names
        self._tables: dict[str, Table] = {}
        self._schemas: dict[bytes, DataSchema] = {}
        self._agent_tables: list[tuple[str, str]] = []
        self._row_keys: list[UInt64s] = []
        """The upper halves of the keys of all child rows so far."""

    def build(
        self, runs: Sequence[Run], removed: Sequence[tuple[str, str | None]], moved: Mapping[str, str]
    ) -> list[LoadTable]:
        """The tables of runs, and of what is removed."""
        self._memory.declare({run.agent_id for run in runs})
        if runs:
            self._run_ids = pa.array([run.id for run in runs], pa.string())
            self._rows = _Rows(np.arange(len(runs)), run_keys([run.id for run in runs]), self._run_ids)
            parts = [split_run(run) for run in runs]
            schemas = [self._schema(bytes(part.data_schema)) for part in parts]
            self._add_objects("config", [part.config for part in parts], api.CONFIG)
            self._add_objects("file", [part.file for part in parts], api.FILE)
            self._add_extracted(runs, parts, schemas)
            self._add_runs(runs, parts, schemas)
            self._add_tombstones(runs, moved)
        for name, ids in self._memory.tables_of_removed(removed):
            key = "id" if name == RUNS else "_run_id"
            self._table(name).segments.append(tombstones(np.arange(len(ids)), ids, key))
        return self._finished(agents=False)

    def build_agents(self, agents: Mapping[str, Fields]) -> list[LoadTable]:
        """The table of agents, whose members are given by their content hash."""
        if agents:
            members = [{name: raw for name, raw in fields.items() if name != "id"} for fields in agents.values()]
            hashes = [self._schema(bytes(fields.pop("data_schema", NULL))).hash for fields in members]
            ids = [msgspec.json.decode(fields["id"], type=str) for fields in agents.values()]
            keys = {"id": ids, "data_schema_hash": hashes, "_content_hash": list(agents)}
            texts = {name: pa.array(values, pa.string()) for name, values in keys.items()}
            segment = Segment(np.arange(len(ids)), texts)
            self._add_columns(segment, from_members(members), Shape(api.AGENT))
            self._table(AGENTS).segments.append(segment)
        return self._finished(agents=True)

    def new_schemas(self) -> dict[str, bytes]:
        """The texts of data schemas that no batch had before, by their hashes."""
        old = {None, *(schema.hash for schema in self._memory.schemas.values())}
        new: dict[str, bytes] = {}
        for schema in self._schemas.values():
            if schema.hash is not None and schema.hash not in old:
                new.setdefault(schema.hash, schema.text)
        return new

    def keep(self) -> None:
        """Adds what was learned to the memory, now that all tables are made."""
        memory = self._memory
        for table in self._tables.values():
            memory.types[table.name], memory.described[table.name] = table.types, table.described
            memory.gone.discard(table.name)
            if not table.segments and is_child(table.types):
                memory.empty_tables.add(table.name)
        memory.schemas |= self._schemas
        for agent, name in self._agent_tables:
            if name not in memory.agent_tables.setdefault(agent, []):
                memory.agent_tables[agent].append(name)

    # ── rows ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _add_runs(self, runs: Sequence[Run], parts: Sequence[Parts], schemas: Sequence[DataSchema]) -> None:
        """`extraction_runs`: the scalars of the run and of its metadata, the rest as JSON."""
        child_rows = np.zeros(len(runs), dtype=np.int64)
        for table in self._tables.values():
            for segment in table.segments:
                child_rows += np.bincount(segment.runs, minlength=len(runs))
        keys = {
            "id": self._run_ids,
            "_content_hash": pa.array([run.content_hash for run in runs], pa.string()),
            "_dlt_load_id": pa.repeat(self._load_id, len(runs)),
            "data_schema_hash": pa.array([schema.hash for schema in schemas], pa.string()),
            "_child_rows": pa.array(child_rows, pa.int64()),
            "agent_name": pa.array([self._memory.agent_name(run.agent_id) for run in runs], pa.string()),
            "file_name": pa.array([text_member(part.file or {}, "name") for part in parts], pa.string()),
        }
        segment = Segment(self._rows.runs, keys)
        metadata = ("extraction_metadata",)
        self._add_columns(segment, from_members([part.fields for part in parts]), Shape(api.RUN))
        self._add_columns(segment, from_members([part.metadata for part in parts]), Shape(None), metadata)
        usage = from_members([part.usage for part in parts])
        self._add_columns(segment, usage, Shape(api.USAGE), (*metadata, "usage"))
        self._table(RUNS).segments.append(segment)

    def _add_objects(self, part: str, objects: Sequence[Fields | None], schema: Mapping[str, Any]) -> None:
        """`extraction_runs__config` and `extraction_runs__file`: a row for each run that has the object."""
        places = np.array([place for place, members in enumerate(objects) if members is not None], dtype=np.int64)
        if len(places):
            node = from_members([members for members in objects if members is not None])
            one = Elements(places, np.zeros(len(places), dtype=np.int64), node)
            self._add_list((RUNS, part), self._rows, (part,), one, Shape(schema))

    def _add_extracted(self, runs: Sequence[Run], parts: Sequence[Parts], schemas: Sequence[DataSchema]) -> None:
        """The data and the field metadata, parsed together where agent and data schema are the same."""
        groups: dict[tuple[str, bytes], list[int]] = {}
        for place, (run, schema) in enumerate(zip(runs, schemas, strict=True)):
            groups.setdefault((run.agent_id, schema.text), []).append(place)
        metadata: list[FieldMetadata] = []
        with ThreadPoolExecutor(1, "llama-extract-parse") as beside:
            for group, places in groups.items():
                path, shape = self._memory.data_path(group[0]), schemas[places[0]].shape
                shape = shape.element() if shape.is_list else shape
                trees: dict[bytes, dict[int, bytes]] = {}
                for place in places:
                    if (tree := bytes(parts[place].field_metadata)) != b"null":
                        trees.setdefault(tree[:1], {})[place] = tree
                described = [place for tree in trees.values() for place in tree]
                # No variable has the texts: they are most of the run, and not needed once they are parsed. Arrow reads
                # the metadata, which are most of them, while Python is at work on the data.
                parsed = [beside.submit(self._parse, (form, *group), trees.pop(form)) for form in list(trees)]
                for rows, root in self._parse(
                    ("data", *group),
                    {place: as_list(bytes(parts[place].data)) for place in places},
                    partial(self._loses_digits, path, shape),
                ):
                    if root.elements is not None:
                        self._add_list(path, rows, ("data",), root.elements, shape)
                values = DataValues(self._names, path)
                for rows, root in self._parse(
                    ("values", *group),
                    {place: quote_numbers(as_list(bytes(parts[place].data))) for place in described},
                ):
                    values.add(rows.keys, root)
                for one in parsed:
                    for rows, root in one.result():
                        metadata += field_metadata(rows.runs, rows.keys, root, values)
        if metadata:
            self._add_metadata(*concat_metadata(metadata))

    def _parse(
        self, shape: Hashable, texts: Mapping[int, bytes], loses_digits: LosesDigits | None = None
    ) -> list[tuple[_Rows, Node]]:
        """Parses the texts of runs, given by their places, that are not `null`: some runs, and their values."""
        there = {place: text for place, text in texts.items() if text != b"null"}
        if not there:
            return []
        rows = self._rows.take(np.array(list(there)))
        parsed = self._memory.parser.parse(shape, list(there.values()), loses_digits)
        return [(rows.take(places), root) for places, root in parsed]

    def _loses_digits(self, path: tuple[str, ...], shape: Shape, node: Node, beside: Node | None) -> bool:
        """Whether lists for the table at `path` have doubles for text columns, which want numbers as written.

        A column that is new may be one of text if the documents `beside` these have any there.
        """
        if node.elements is None:
            return False
        table = self._names.table(path)
        types = self._memory.settled.get(table, {}) | self._memory.types.get(table, {})
        others = beside.elements.node if beside is not None and beside.elements is not None else None
        for inner, member, its_shape in walk_shaped(node.elements.node, shape):
            other = others.member(inner) if others is not None else None
            new = "text" if other is not None and "text" in other.scalars else None
            kind = types.get(self._names.column(inner), its_shape.data_type or new)
            if "double" in member.scalars and kind == "text":
                return True
            if self._loses_digits(child_path(path, inner), its_shape.element(), member, other):
                return True
        return False

    def _add_metadata(self, places: Places, node: Node, data: Mapping[str, pa.Array]) -> None:
        """`extraction_runs__field_metadata`, and below it the citations."""
        there = np.isin(places.data_rows.high, np.concatenate([np.array([], np.uint64), *self._row_keys]))
        more = {
            "field_path": places.path,
            "field_name": places.name,
            "data_value": data["data_value"],
            "data_row_id": pc.if_else(pa.array(there), encode(places.data_rows), None),
            "data_table": data["data_table"],
            "data_column": data["data_column"],
        }
        rows, shape = _Rows(places.runs, places.keys, encode(places.keys)), Shape(api.FIELD_METADATA)
        run_ids = self._run_ids.take(pa.array(places.runs))
        self._add_rows((RUNS, "field_metadata"), rows, run_ids, places.position, node, shape, more)

    def _add_list(
        self, path: tuple[str, ...], above: _Rows, step: tuple[str, ...], lists: Elements, shape: Shape
    ) -> None:
        """Adds the elements of lists to the table at `path`; `step` says where in the rows `above` the lists are."""
        keys = child_keys(above.keys.take(lists.parent), step, lists.index)
        rows = _Rows(above.runs[lists.parent], keys, encode(keys))
        parents = above.ids.take(pa.array(lists.parent))
        self._add_rows(path, rows, parents, lists.index, lists.node, shape)

    def _add_rows(
        self,
        path: tuple[str, ...],
        rows: _Rows,
        parent_ids: pa.Array,
        position: Int64s,
        node: Node,
        shape: Shape,
        more_keys: Mapping[str, pa.Array] = {},
    ) -> None:
        """Adds rows to the child table at `path`, and the elements of their lists to the tables below it."""
        table = self._table(self._names.table(path))
        keys = {
            "_run_id": self._run_ids.take(pa.array(rows.runs)),
            "_dlt_id": rows.ids,
            "_dlt_parent_id": parent_ids,
            "_dlt_list_idx": pa.array(position, pa.int64()),
            "_dlt_load_id": pa.repeat(self._load_id, len(rows.runs)),
            **more_keys,
        }
        segment = Segment(rows.runs, keys)
        table.segments.append(segment)
        self._row_keys.append(rows.keys.high)
        for inner, lists, its_shape in self._add_columns(segment, node, shape):
            self._add_list(child_path(path, inner), rows, inner, lists, its_shape.element())

    def _add_columns(
        self, segment: Segment, node: Node, shape: Shape, path: tuple[str, ...] = ()
    ) -> list[tuple[tuple[str, ...], Elements, Shape]]:
        """Adds the scalars at and under a node to the segment; gives the lists with their paths."""
        lists = []
        for inner, member, its_shape in walk_shaped(node, shape, path):
            segment.add(self._names.column(inner, segment.keys), member, its_shape)
            if member.elements is not None:
                lists.append((inner, member.elements, its_shape))
        return lists

    def _add_tombstones(self, runs: Sequence[Run], moved: Mapping[str, str]) -> None:
        """A run's rows replace those it had before; where it has none now, a tombstone removes the old ones."""
        for name, places in self._memory.tables_of_runs(runs, moved):
            table = self._table(name)
            gone = np.setdiff1d(places, np.concatenate([places[:0], *(segment.runs for segment in table.segments)]))
            if len(gone):
                table.segments.append(tombstones(gone, self._run_ids.take(pa.array(gone))))
        agents, of_run = np.unique([run.agent_id for run in runs], return_inverse=True)
        for table in self._tables.values():
            if table.name != RUNS and table.segments:
                found = np.unique(np.concatenate([of_run[segment.runs] for segment in table.segments]))
                self._agent_tables += [(str(agents[number]), table.name) for number in found]

    # ── tables ────────────────────────────────────────────────────────────────────────────────────────────────

    def _table(self, name: str) -> Table:
        if name not in self._tables:
            memory = self._memory
            self._tables[name] = Table(
                name,
                self._names,
                memory.types.get(name, {}),
                memory.described.get(name, ()),
                memory.missing(name),
                memory.settled.get(name, {}),
            )
        return self._tables[name]

    def _finished(self, *, agents: bool) -> list[LoadTable]:
        """The tables that have rows or new columns, that of `agents` or the others."""
        for name in self._memory.declared:
            if (name == AGENTS) == agents and name not in TEXT_TABLES and self._memory.missing(name):
                self._table(name)
        loads = []
        for table in self._tables.values():
            if (finished := table.finish()) is not None:
                data, descriptions = finished
                json_columns = [name for name in data.column_names if table.types.get(name) == "json"]
                replaces = table.name == AGENTS or not self._memory.is_new(table.name, self._tables)
                loads.append(LoadTable(table.name, data, key_of(table.name), json_columns, descriptions, replaces))
        return loads

    def _schema(self, text: bytes) -> DataSchema:
        if text in self._memory.schemas:
            return self._memory.schemas[text]
        if text not in self._schemas:
            self._schemas[text] = read_schema(text)
        return self._schemas[text]
