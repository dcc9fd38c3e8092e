"""Trees of field metadata in, one row out for each place that carries something: a confidence, say, or a reasoning."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .parse import Elements, Node, concat
from .row_keys import Int64s, Keys, child_keys


@dataclass(slots=True)
class MetadataRows:
    """Rows of field metadata, each column with one entry a row.

    `position` is that of the list element that the place belongs to (0 outside of lists). `data_rows` are the keys
    that the data row with the value has, if there is one. The node has the scalars of the place, and its citations.
    """

    runs: Int64s
    keys: Keys
    path: pa.Array
    name: pa.Array
    position: Int64s
    data_rows: Keys
    node: Node


def field_metadata(runs: Int64s, keys: Keys, root: Node) -> Iterator[MetadataRows]:
    """What the trees of `runs`, whose keys are `keys`, carry, place by place."""
    nowhere = np.zeros(len(runs), dtype=np.int64)
    place = _Place(runs, child_keys(keys, ("field_metadata",)), "", "", nowhere, keys, ("data",))
    if root.elements is None:
        # An object describes the one row of its run's data; a list has an element for each.
        place = place._replace(data_rows=child_keys(keys, ("data",)), since=())
    return _walk(root, place)


def concat_metadata(parts: Sequence[MetadataRows]) -> MetadataRows:
    """The rows of all parts, one part after another."""
    return MetadataRows(
        runs=np.concatenate([part.runs for part in parts]),
        keys=Keys.concat([part.keys for part in parts]),
        path=pa.concat_arrays([part.path for part in parts]),
        name=pa.concat_arrays([part.name for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        data_rows=Keys.concat([part.data_rows for part in parts]),
        node=concat([part.node for part in parts]),
    )


class _Place(NamedTuple):
    """One place in the trees of some runs: what it is called, and which data row it speaks of.

    `path` is one text, or an array of them below a list. `since` is the path from the data row to the value.
    """

    runs: Int64s
    keys: Keys
    path: str | pa.Array
    name: str
    position: Int64s
    data_rows: Keys
    since: tuple[str, ...]

    def member(self, key: str) -> _Place:
        return self._replace(
            keys=child_keys(self.keys, (key,)),
            path=_dotted(self.path, key),
            name=f"{self.name}.{key}" if self.name else key,
            since=(*self.since, key),
        )

    def element(self, elements: Elements) -> _Place:
        parent = pa.array(elements.parent)
        path = self.path if isinstance(self.path, str) else self.path.take(parent)
        return _Place(
            self.runs[elements.parent],
            child_keys(self.keys.take(elements.parent), ("[]",), elements.index),
            _dotted(path, pa.array(elements.index).cast(pa.string())),
            self.name,
            elements.index,
            child_keys(self.data_rows.take(elements.parent), self.since, elements.index),
            (),
        )

    def rows(self, node: Node) -> MetadataRows:
        """The rows of those runs (or list elements) for which the node has anything."""
        places = np.flatnonzero(_filled(node))
        chosen = pa.array(places)
        return MetadataRows(
            self.runs[places],
            self.keys.take(places),
            pa.repeat(self.path, len(places)) if isinstance(self.path, str) else self.path.take(chosen),
            pa.repeat(self.name, len(places)),
            self.position[places],
            self.data_rows.take(places),
            node.take(places),
        )


def _walk(node: Node, place: _Place) -> Iterator[MetadataRows]:
    """The rows of a place, then those of the places below it."""
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
    if (rows := place.rows(here)).node.length:
        yield rows
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


def _dotted(path: str | pa.Array, step: str | pa.Array) -> str | pa.Array:
    if isinstance(path, str) and (not path or isinstance(step, str)):
        return f"{path}.{step}" if path else step
    return pc.binary_join_element_wise(path, step, ".")
