"""Trees of field metadata in, one row out for each place that carries something: a confidence, say, or a reasoning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from ..parse import Elements, Node, concat
from ..row_keys import Int64s, Keys, child_keys
from .values import DataValues, Lists, Location


class Places(NamedTuple):
    """One place in the trees of some runs, or several places: what they are called, which data rows they speak of.

    `path` and `name` are texts while they are the same for all. `position` is that of the list element that the place
    belongs to (0 outside of lists). `data_rows` are the keys that the data row with the value has, if there is one;
    `since` is the path from there to the value, and `lists` says which table the data row is in.
    """

    runs: Int64s
    keys: Keys
    path: str | pa.Array
    name: str | pa.Array
    position: Int64s
    data_rows: Keys
    since: tuple[str, ...] = ()
    lists: Lists = ()

    def member(self, key: str) -> Places:
        return self._replace(
            keys=child_keys(self.keys, (key,)),
            path=_dotted(self.path, key),
            name=_dotted(self.name, key),
            since=(*self.since, key),
        )

    def element(self, elements: Elements) -> Places:
        above = self.take(elements.parent)
        return above._replace(
            keys=child_keys(above.keys, ("[]",), elements.index),
            path=_dotted(above.path, pa.array(elements.index).cast(pa.string())),
            position=elements.index,
            data_rows=child_keys(above.data_rows, self.since, elements.index),
            since=(),
            lists=(*self.lists, self.since),
        )

    def take(self, rows: Int64s) -> Places:
        path = self.path if isinstance(self.path, str) else self.path.take(pa.array(rows))
        position, data_rows = self.position[rows], self.data_rows.take(rows)
        return self._replace(
            runs=self.runs[rows], keys=self.keys.take(rows), path=path, position=position, data_rows=data_rows
        )


class Found(NamedTuple):
    """What is known at one place: the place, its metadata, the values that these are about, and where those are."""

    places: Places
    node: Node
    values: pa.Array
    location: Location


def field_metadata(runs: Int64s, keys: Keys, root: Node, data: DataValues) -> Iterator[Found]:
    """What the trees of `runs`, whose keys are `keys`, carry: places, with their scalars and citations as a node."""
    nowhere = np.zeros(len(runs), dtype=np.int64)
    place = Places(runs, child_keys(keys, ("field_metadata",)), "", "", nowhere, keys, ("data",))
    if root.elements is None:
        # An object describes the one row of its run's data; a list has an element for each.
        place = place._replace(data_rows=child_keys(keys, ("data",)), since=(), lists=(("data",),))
    for found, node, inner in _walk(root, place):
        values = data.of(found.data_rows.high, found.lists, found.since)
        yield Found(found, node, values, data.location(found.lists, found.since, inner=inner))


def concat_metadata(parts: Sequence[Found]) -> tuple[Places, Node, dict[str, pa.Array]]:
    """All places, one part after another, their paths and names as arrays, and the columns that lead to the data."""
    places = [part.places for part in parts]
    joined = Places(
        runs=np.concatenate([one.runs for one in places]),
        keys=Keys.concat([one.keys for one in places]),
        path=pa.concat_arrays([_repeated(one.path, len(one.runs)) for one in places]),
        name=pa.concat_arrays([_repeated(one.name, len(one.runs)) for one in places]),
        position=np.concatenate([one.position for one in places]),
        data_rows=Keys.concat([one.data_rows for one in places]),
    )
    data = {
        "data_value": pa.concat_arrays([part.values for part in parts]),
        "data_table": pa.concat_arrays([_repeated(part.location.table, len(part.values)) for part in parts]),
        "data_column": pa.concat_arrays([_repeated(part.location.column, len(part.values)) for part in parts]),
    }
    return joined, concat([part.node for part in parts]), data


def _walk(node: Node, place: Places) -> Iterator[tuple[Places, Node, bool]]:
    """A place, for those runs (or list elements) that have anything there, then the places below it.

    Each comes with whether there are places below it: then it speaks of an object or a list.
    """
    here = Node(node.length, node.scalars)
    members = {}
    for key, member in node.fields.items():
        citations, lists = None, member.elements
        if key == "citation" and lists is not None:
            citations, lists = _split_citations(lists)
        if member.scalars or citations is not None:
            here.fields[key] = Node(node.length, member.scalars, {}, citations)
        if member.fields or lists is not None:
            members[key] = Node(node.length, {}, member.fields, lists)
    if len(rows := np.flatnonzero(_filled(here))):
        yield place.take(rows), here.take(rows), bool(members) or node.elements is not None
    if node.elements is not None:
        yield from _walk(node.elements.node, place.element(node.elements))
    for key, member in members.items():
        yield from _walk(member, place.member(key))


def _split_citations(lists: Elements) -> tuple[Elements | None, Elements | None]:
    """The lists named `citation` that have citations, and those that have the metadata of a field of that name."""
    fields, length = lists.node.fields, lists.node.length
    # Objects below the first three are metadata of fields with these names.
    found = {name: fields[name] for name in ("page", "matching_text", "bounding_boxes") if name in fields}
    told = Node(length, fields={name: Node(length, node.scalars, {}, node.elements) for name, node in found.items()})
    if "page_dimensions" in fields:
        sizes = fields["page_dimensions"].fields
        told.fields["page_dimensions"] = Node(length, fields={k: Node(length, v.scalars) for k, v in sizes.items()})
    cites = np.isin(lists.parent, np.unique(lists.parent[_filled(told)]))
    if cites.all():
        return lists, None
    if not cites.any():
        return None, lists
    return lists.take(np.flatnonzero(cites)), lists.take(np.flatnonzero(~cites))


def _filled(node: Node) -> npt.NDArray[np.bool_]:
    """Which places have a scalar or a list with elements, in a member perhaps."""
    filled = np.zeros(node.length, dtype=bool)
    for array in node.scalars.values():
        filled |= pc.is_valid(array).to_numpy(zero_copy_only=False)
    for member in node.fields.values():
        filled |= _filled(member)
    if node.elements is not None:
        filled[node.elements.parent] = True
    return filled


def _repeated(text: str | pa.Array | None, times: int) -> pa.Array:
    return text if isinstance(text, pa.Array) else pa.repeat(pa.scalar(text, pa.string()), times)


def _dotted(path: str | pa.Array, step: str | pa.Array) -> str | pa.Array:
    if isinstance(path, str) and (not path or isinstance(step, str)):
        return f"{path}.{step}" if path else step
    return pc.binary_join_element_wise(path, step, ".")
