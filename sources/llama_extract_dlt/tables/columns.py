"""Columns gathered piece by piece into one Arrow table: their names, their types, their variants.

A piece is some rows of one table that were read together. A column may come as several arrays in a piece
(text in some rows, numbers in others; two keys with the same name in the warehouse), and not at all in the
next. `Table.finish` settles one type a column and puts what does not fit beside it, so that no value is lost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
from dlt.common.normalizers.naming import NamingConvention

from .. import settings
from .contract import NOT_NULL, RESERVED
from .fitting import TYPES, fit
from .row_keys import Int64s


class UnfitError(ValueError):
    """A run's data cannot be put into tables."""


class Names:
    """The names that JSON keys get in the warehouse: those dlt's own normalizer gives."""

    def __init__(self, naming: NamingConvention) -> None:
        self._naming = naming
        self._columns: dict[tuple[str, ...], str] = {}
        self._tables: dict[tuple[str, ...], str] = {}

    def column(self, path: tuple[str, ...]) -> str:
        """The column of the value at `path` under its row; an element that is itself the row is `value`."""
        if path not in self._columns:
            self._columns[path] = (
                self._join(tuple(map(self._key, path))) if path else self._naming.normalize_path("value")
            )
        return self._columns[path]

    def table(self, path: tuple[str, ...]) -> str:
        """The table of the list at `path`, a table's name first."""
        if path not in self._tables:
            name = self._naming.shorten_fragments(*map(self._table_key, path))
            if len(name.encode()) > settings.MAX_TABLE_NAME:
                raise UnfitError(f"the name of a table for its lists would have {len(name)} characters: {name[:40]}…")
            self._tables[path] = name
        return self._tables[path]

    def beside(self, column: str, suffix: str) -> str:
        """A column's companion: `total` with `v_text` is `total__v_text`."""
        return self._naming.shorten_fragments(column, suffix)

    def _join(self, keys: tuple[str, ...]) -> str:
        return keys[0] if len(keys) == 1 else self._naming.shorten_fragments(*keys)

    def _key(self, key: str) -> str:
        return (key and not key.isspace() and self._naming.normalize_path(key)) or "_empty"

    def _table_key(self, key: str) -> str:
        return (key and not key.isspace() and self._naming.normalize_tables_path(key)) or "_empty"


class Values(NamedTuple):
    """Values of one kind for one column, one a row of their piece, null where the row has none."""

    column: str
    kind: str
    array: pa.Array
    declared: str | None = None
    description: str | None = None


@dataclass(slots=True)
class Piece:
    """Some rows of a table: which of the chunk's runs each row belongs to, its key columns, its values."""

    runs: Int64s
    keys: dict[str, pa.Array]
    values: list[Values] = field(default_factory=list)

    def add(
        self,
        column: str,
        kind: str,
        array: pa.Array,
        declared: str | None = None,
        description: str | None = None,
    ) -> None:
        """Adds values to a column, unless they are all null; `declared` is the dlt type by the schema."""
        if array.null_count < len(array):
            self.values.append(Values(column, kind, array, declared, description))


class Table:
    """A table of a chunk, gathered in pieces."""

    def __init__(self, name: str, names: Names, types: dict[str, str], described: set[str]) -> None:
        """`types` are the columns that the table has already, with their dlt types; `finish` adds to them.

        `described` are those of them that have a description; `new_descriptions` adds to them.
        """
        self.name = name
        self._described = described
        self.types = types
        self.pieces: list[Piece] = []
        self._names = names

    def finish(self) -> pa.Table | None:
        """All rows gathered, the columns in the order in which they were first seen; None without rows."""
        pieces = [piece for piece in self.pieces if len(piece.runs)]
        if not pieces:
            return None
        reserved = RESERVED | {name for piece in pieces for name in piece.keys}
        for column, kind in self._settle(pieces, reserved).items():
            self.types.setdefault(column, kind)
        key_types = {name: array.type for piece in pieces for name, array in piece.keys.items()}
        columns: dict[str, list[pa.Array | None]] = {
            name: [piece.keys.get(name) for piece in pieces] for name in key_types
        }
        for position, piece in enumerate(pieces):
            for column, array in self._place(piece, reserved).items():
                columns.setdefault(column, [None] * len(pieces))[position] = array
        arrays, fields = [], []
        for name, parts in columns.items():
            arrow_type = key_types.get(name) or TYPES[self.types[name]]
            filled = [
                pa.nulls(len(piece.runs), arrow_type) if part is None else part
                for piece, part in zip(pieces, parts, strict=True)
            ]
            arrays.append(pa.chunked_array(filled, arrow_type))
            fields.append(pa.field(name, arrow_type, nullable=name not in NOT_NULL or name not in key_types))
        return pa.table(arrays, schema=pa.schema(fields))

    def new_descriptions(self) -> dict[str, str]:
        """What the data schemas say of columns that have no description yet."""
        found: dict[str, str] = {}
        for piece in self.pieces:
            for values in piece.values:
                if values.description and values.column in self.types and values.column not in self._described:
                    self._described.add(values.column)
                    found[values.column] = values.description
        return found

    def _settle(self, pieces: list[Piece], reserved: set[str]) -> dict[str, str]:
        """Types for columns: what the schema declares, else the kind seen first, a double if there are any."""
        declared: dict[str, str] = {}
        found: dict[str, list[tuple[Piece, Values]]] = {}
        for piece in pieces:
            for values in piece.values:
                name = _free(values.column, reserved)
                found.setdefault(name, []).append((piece, values))
                if values.declared:
                    declared.setdefault(name, values.declared)
        return {name: declared.get(name) or _first_kind(seen) for name, seen in found.items()}

    def _place(self, piece: Piece, reserved: set[str]) -> dict[str, pa.Array]:
        """The columns of a piece, each of its final type."""
        placed: dict[str, pa.Array] = {}
        todo = [Values(_free(v.column, reserved), v.kind, v.array) for v in piece.values]
        while todo:
            column, kind, array, *_ = todo.pop(0)
            fitted, rest = fit(kind, array, self.types.setdefault(column, kind))
            if rest is not None:
                todo.append(Values(self._names.beside(column, f"v_{kind}"), kind, rest))
            if column not in placed:
                if fitted.null_count < len(fitted):
                    placed[column] = fitted
                continue
            both = pc.and_(pc.is_valid(placed[column]), pc.is_valid(fitted))
            if pc.any(both).as_py():  # two keys of one object became one name: the second goes beside the first
                again = pc.if_else(both, array, None)
                todo.append(Values(self._names.beside(column, "also"), kind, again))
            placed[column] = pc.coalesce(placed[column], fitted)
        return placed


def _first_kind(seen: list[tuple[Piece, Values]]) -> str:
    """The kind of the first value by the order of runs; integers beside doubles are doubles."""
    kinds = {values.kind for _, values in seen}
    if len(kinds) == 1:
        return kinds.pop()

    def first(piece: Piece, values: Values) -> tuple[int, int]:
        row = pc.index(pc.is_valid(values.array), True).as_py()
        return int(piece.runs[row]), row

    kind = min(seen, key=lambda one: first(*one))[1].kind
    return "double" if kind == "bigint" and "double" in kinds else kind


def _free(column: str, reserved: set[str]) -> str:
    """A name for a value's column that is none of the table's own key columns."""
    while column in reserved:
        column = f"data_{column.lstrip('_')}" if column.startswith("_") else f"data_{column}"
    return column


def known_types(columns: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
    """Column types of a table of a dlt schema, as `Table` wants them."""
    return {name: str(column["data_type"]) for name, column in columns.items() if column.get("data_type")}
