"""The extracted values as texts, exactly as the data has them, found by the row that holds them and the path in it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ..columns import Names, child_path, walk
from ..contract import CHILD_KEYS
from ..parse import Elements, Node
from ..row_keys import Int64s, Keys, UInt64s, child_keys

Lists = tuple[tuple[str, ...], ...]
"""Which table of the data: for each list from the run down, the path to it within the row above."""


class Location(NamedTuple):
    """Where in the tables the values at one path are; None for objects and lists, which are in no single column."""

    table: str | None
    column: str | None


class _Rows(NamedTuple):
    """Rows of one table of the data: the upper halves of their keys in ascending order, and where each row is."""

    keys: UInt64s
    places: Int64s
    node: Node


class DataValues:
    """The values of some runs whose data were parsed with `quote_numbers`, so that numbers are texts, too."""

    def __init__(self, names: Names, path: tuple[str, ...]) -> None:
        """Begin without values; `path` is that of the table for the runs' data."""
        self._names = names
        self._path = path
        self._rows: dict[Lists, list[_Rows]] = {}

    def add(self, above: Keys, root: Node) -> None:
        """Add the data of runs with these keys: a list for each."""
        if root.elements is not None:
            self._add((("data",),), above, root.elements)

    def _add(self, lists: Lists, above: Keys, elements: Elements) -> None:
        keys = child_keys(above.take(elements.parent), lists[-1], elements.index)
        places = np.argsort(keys.high)
        self._rows.setdefault(lists, []).append(_Rows(keys.high[places], places, elements.node))
        for path, member in walk(elements.node):
            if member.elements is not None:
                self._add((*lists, path), keys, member.elements)

    def of(self, rows: UInt64s, lists: Lists, path: tuple[str, ...]) -> pa.Array:
        """Return the values at `path` in those rows of a table whose keys have these upper halves, null for none."""
        found = pa.nulls(len(rows), pa.string())
        for part in self._rows.get(lists, ()):
            node = part.node.member(path)
            if node is None or not node.scalars or not len(part.keys):
                continue
            nearest = np.minimum(np.searchsorted(part.keys, rows), len(part.keys) - 1)
            places = pa.array(part.places[nearest], mask=part.keys[nearest] != rows)
            for kind, array in node.scalars.items():
                texts = array if kind == "text" else array.cast(pa.string())  # true and false, as JSON writes them
                found = pc.coalesce(found, texts.take(places))
        return found

    def location(self, lists: Lists, path: tuple[str, ...], *, inner: bool) -> Location:
        """Return where the values at `path` are; `inner` says that the place is known to hold an object or a list."""
        table, column = self._locate(lists, path)
        nodes = [node for part in self._rows.get(lists, ()) if (node := part.node.member(path)) is not None]
        scalar = any(node.scalars for node in nodes)
        inner |= any(node.fields or node.elements is not None for node in nodes)
        return Location(table, column if scalar or (path and not inner) else None)

    def _locate(self, lists: Lists, path: tuple[str, ...]) -> Location:
        table = self._path
        for step in lists[1:]:
            table = child_path(table, step)
        try:
            return Location(self._names.table(table) if lists else None, self._names.column(path, CHILD_KEYS))
        except ValueError:  # no table can have that name
            return Location(None, None)
