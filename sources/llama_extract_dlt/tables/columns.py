"""Columns gathered segment by segment into one Arrow table: their names, their types, their variants.

A segment is some rows of one table that were parsed together. A column may come as several arrays in a segment
(text in some rows, numbers in others; two keys with the same name in the warehouse), and not at all in the
next. `Table.finish` gives each column one type and puts what does not fit beside it, so that no value is lost.
"""

from __future__ import annotations

import datetime
import json
from collections import deque
from collections.abc import Callable, Collection, Container, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

from .. import settings
from .contract import ARROW_TYPES, RESERVED, key_of
from .parse import Node
from .row_keys import Int64s
from .schemas.json_schema import Shape

# ── names ─────────────────────────────────────────────────────────────────────────────────────────────────────────


class Names:
    """The names that JSON keys get in the warehouse: those dlt's own normalizer gives."""

    def __init__(self, naming: NamingConvention) -> None:
        self._naming = naming
        self._columns: dict[tuple[str, ...], str] = {}
        self._tables: dict[tuple[str, ...], str] = {}

    def column(self, path: tuple[str, ...], taken: Container[str] = ()) -> str:
        """The column of the value at `path` under its row, none of the key columns that are `taken` or reserved.

        An element of a list that is itself the row is called `value`.
        """
        if path not in self._columns:
            keys = [_named(self._naming.normalize_path, key) for key in path]
            joined = self._naming.shorten_fragments(*keys) if len(keys) > 1 else "".join(keys)
            self._columns[path] = joined or self._naming.normalize_path("value")
        column = self._columns[path]
        while column in RESERVED or column in taken:
            column = f"data_{column.lstrip('_')}"
        return column

    def table(self, path: tuple[str, ...]) -> str:
        """The table of the list at `path`, a table's name first. Raises ValueError if no file could have its name."""
        if path not in self._tables:
            name = self._naming.shorten_fragments(*(_named(self._naming.normalize_tables_path, key) for key in path))
            if len(name.encode()) > settings.MAX_TABLE_NAME:
                raise ValueError(f"the name of a table for its lists would have {len(name)} characters: {name[:40]}…")
            self._tables[path] = name
        return self._tables[path]

    def beside(self, column: str, suffix: str) -> str:
        """A column's companion: `total` with `v_text` is `total__v_text`."""
        return self._naming.shorten_fragments(column, suffix)


def _named(normalize: Callable[[str], str], key: str) -> str:
    return (key and not key.isspace() and normalize(key)) or "_empty"


def walk(node: Node, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node]]:
    """A node and the members of its objects, at any depth, each with its path."""
    yield path, node
    for key, member in node.fields.items():
        yield from walk(member, (*path, key))


def walk_shaped(node: Node, shape: Shape, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Node, Shape]]:
    """The same with their shapes: what becomes columns."""
    yield path, node, shape
    for key, member in node.fields.items():
        yield from walk_shaped(member, shape.member(key), (*path, key))


def child_path(table: tuple[str, ...], path: tuple[str, ...]) -> tuple[str, ...]:
    """The path of the table for the lists at `path` under the rows of a table."""
    return (*table, *(path or ("list",)))


# ── tables ────────────────────────────────────────────────────────────────────────────────────────────────────────


class Column(NamedTuple):
    """A column before its first value: its dlt type, and what the schema says of it in words."""

    data_type: str
    description: str | None = None


class Values(NamedTuple):
    """Values of one kind (a dlt type) for one column, one a row of their segment, null where the row has none.

    `declared` is the dlt type that the data schema gives the column.
    """

    column: str
    kind: str
    array: pa.Array
    declared: str | None
    description: str | None


@dataclass(slots=True)
class Segment:
    """Some rows of a table: the place of each one's run in the batch, the key columns, the values."""

    runs: Int64s
    keys: dict[str, pa.Array]
    values: list[Values] = field(default_factory=list)

    def add(self, column: str, node: Node, shape: Shape) -> None:
        """Adds the scalars of a node to a column."""
        if not node.scalars:
            return
        declared = shape.data_type or ("json" if "json" in node.scalars else None)
        for kind, array in node.scalars.items():
            if array.null_count < len(array):
                self.values.append(Values(column, kind, array, declared, shape.description))


class Table:
    """A table of a batch, gathered in segments.

    `types` are the dlt types of its columns, those that the warehouse has included, and `described` are the columns
    that have a description. `finish` adds to both. `missing` are columns that the table is to have in any case, and has
    not yet, and `settled` the types that new columns get.
    """

    def __init__(
        self,
        name: str,
        names: Names,
        types: Mapping[str, str] = {},
        described: Collection[str] = (),
        missing: Mapping[str, Column] = {},
        settled: Mapping[str, str] = {},
    ) -> None:
        self.name = name
        self.types = dict(types)
        self.described = set(described)
        self.segments: list[Segment] = []
        self._names = names
        self._missing = missing
        self._settled = settled

    def finish(self) -> tuple[pa.Table, dict[str, str]] | None:
        """All rows, declared columns first, and new descriptions; None if there are neither rows nor new columns."""
        segments = [segment for segment in self.segments if len(segment.runs)]
        if not segments and not self._missing:
            return None
        self.types = {name: column.data_type for name, column in self._missing.items()} | self.types
        self._give_types(segments)
        keys = dict.fromkeys(name for segment in segments for name in segment.keys)
        if not segments:
            keys = {key_of(self.name): None}
        filled = [segment.keys | self._fitted(segment) for segment in segments]
        arrays, fields = [], []
        for name in dict.fromkeys([*self._missing, *keys, *(name for columns in filled for name in columns)]):
            found = (columns[name].type for columns in filled if name in columns)
            arrow_type = next(found, ARROW_TYPES[self.types.get(name, "text")])
            parts = [
                columns[name] if name in columns else pa.nulls(len(segment.runs), arrow_type)
                for segment, columns in zip(segments, filled, strict=True)
            ]
            arrays.append(pa.chunked_array(parts, arrow_type))
            fields.append(pa.field(name, arrow_type, nullable=name != key_of(self.name)))
        descriptions: dict[str, str] = {}
        told = [(name, column.description) for name, column in self._missing.items()]
        told += [(one.column, one.description) for segment in segments for one in segment.values]
        for name, text in told:
            if text and name not in self.described:
                self.described.add(name)
                descriptions[name] = text
        return pa.table(arrays, schema=pa.schema(fields)), descriptions

    def _give_types(self, segments: list[Segment]) -> None:
        """Gives new columns the type that was settled, else declared, else the kind seen first: double if any are."""
        new: dict[str, list[tuple[Segment, Values]]] = {}
        for segment in segments:
            for values in segment.values:
                if values.column not in self.types:
                    new.setdefault(values.column, []).append((segment, values))
        for column, found in new.items():
            declared = next((values.declared for _, values in found if values.declared), None)
            self.types[column] = self._settled.get(column) or declared or _first_kind(found)

    def _fitted(self, segment: Segment) -> dict[str, pa.Array]:
        """The columns of a segment, each of its final type."""
        placed: dict[str, pa.Array] = {}
        todo = deque((values.column, values.kind, values.array) for values in segment.values)
        while todo:
            column, kind, array = todo.popleft()
            fitted, rest = cast(kind, array, self.types.setdefault(column, kind))
            if rest is not None:
                todo.append((self._names.beside(column, f"v_{kind}"), kind, rest))
            if column in placed:
                both = pc.and_(pc.is_valid(placed[column]), pc.is_valid(fitted))
                if pc.any(both).as_py():  # two keys of one object became one name: the second goes beside the first
                    todo.append((self._names.beside(column, "also"), kind, pc.if_else(both, array, None)))
                placed[column] = pc.coalesce(placed[column], fitted)
            elif fitted.null_count < len(fitted):
                placed[column] = fitted
        return placed


def _first_kind(found: list[tuple[Segment, Values]]) -> str:
    """The kind of the first value by the order of runs; integers beside doubles are doubles."""
    kinds = {values.kind for _, values in found}
    if len(kinds) == 1:
        return kinds.pop()

    def first(segment: Segment, values: Values) -> tuple[int, int]:
        row = pc.index(pc.is_valid(values.array), True).as_py()
        return int(segment.runs[row]), row

    kind = min(found, key=lambda one: first(*one))[1].kind
    return "double" if kind == "bigint" and "double" in kinds else kind


# ── types ─────────────────────────────────────────────────────────────────────────────────────────────────────────

_EXACT_IN_DOUBLE = 2**53
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?$"


def cast(kind: str, array: pa.Array, target: str) -> tuple[pa.Array, pa.Array | None]:
    """Values of the dlt type `kind` as far as a column of the dlt type `target` holds them without changing them.

    Returns an array of the column's type, null where a value does not fit, and one of the values that do not, null
    elsewhere; None if all fit.

    Numbers and booleans become text in a text column, as dlt does it; text never becomes anything but a date,
    timestamp or time, and only where it is one, written in ISO 8601.
    """
    if kind == target:
        return array, None
    convert = _CONVERSIONS.get((kind, target))
    if convert is None:
        return pa.nulls(len(array), ARROW_TYPES.get(target, pa.null())), array
    values = convert(array)
    missed = pc.and_(pc.is_valid(array), pc.is_null(values))
    if not pc.any(missed).as_py():
        return values, None
    return values, pc.if_else(missed, array, None)


def _exact_doubles(array: pa.Array) -> pa.Array:
    exact = pc.and_(pc.less_equal(array, _EXACT_IN_DOUBLE), pc.greater_equal(array, -_EXACT_IN_DOUBLE))
    return pc.if_else(exact, array, None).cast(pa.float64())


def _whole_numbers(array: pa.Array) -> pa.Array:
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less_equal(pc.abs(array), float(_EXACT_IN_DOUBLE)))
    return pc.if_else(whole, array, None).cast(pa.int64())


def _each(convert: Callable[[Any], str]) -> Callable[[pa.Array], pa.Array]:
    return lambda array: pa.array(
        [None if value is None else convert(value) for value in array.to_pylist()], pa.string()
    )


_python_text = _each(str)
_json_text = _each(lambda value: json.dumps(value, ensure_ascii=False))


def _dates(array: pa.Array) -> pa.Array:
    return _parse(array, _DATE, "date", datetime.date.fromisoformat)


def _times(array: pa.Array) -> pa.Array:
    return _parse(array, _TIME, "time", datetime.time.fromisoformat)


def _timestamps(array: pa.Array) -> pa.Array:
    """Instants; a timestamp without an offset is taken as UTC, as dlt takes it."""

    def one(text: str) -> datetime.datetime:
        moment = datetime.datetime.fromisoformat(text)
        return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)

    shaped = pc.if_else(pc.match_substring_regex(array, _TIMESTAMP), array, None)
    placed = pc.match_substring_regex(shaped, r"[Zz+]|[T ].*-")
    utc = pc.if_else(pc.fill_null(placed, True), shaped, pc.binary_join_element_wise(shaped, "Z", ""))
    return _parse(utc, _TIMESTAMP, "timestamp", one)


def _parse(array: pa.Array, pattern: str, target: str, one: Callable[[str], Any]) -> pa.Array:
    """Text as another type where it has the form of `pattern` and is a real date or time, null elsewhere."""
    shaped = pc.if_else(pc.match_substring_regex(array, pattern), array, None)
    try:
        return shaped.cast(ARROW_TYPES[target])
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        pass  # a 31st of February, or a type that Arrow has no cast to

    def attempt(text: str | None) -> Any:
        try:
            return None if text is None else one(text)
        except (ValueError, OverflowError):
            return None

    return pa.array([attempt(text) for text in shaped.to_pylist()], ARROW_TYPES[target])


_CONVERSIONS: dict[tuple[str, str], Callable[[pa.Array], pa.Array]] = {
    ("bigint", "double"): _exact_doubles,
    ("double", "bigint"): _whole_numbers,
    ("bigint", "text"): lambda array: array.cast(pa.string()),
    ("double", "text"): _python_text,
    ("bool", "text"): _python_text,
    ("text", "date"): _dates,
    ("text", "timestamp"): _timestamps,
    ("text", "time"): _times,
    **{(kind, "json"): _json_text for kind in ("text", "bigint", "double", "bool")},
    ("json", "text"): lambda array: array,
}
