"""Trees of field metadata in, one row out for each place that carries something: a confidence, say, or a reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .parse import Elements, Node, concat_elements, concat_scalars
from .row_keys import Int64s, Keys, child_keys


@dataclass(slots=True)
class FieldMetadata:
    """Rows of field metadata, each column with one entry a row.

    `position` is that of the list element that the place belongs to (0 outside of lists). `data_rows` are the keys
    that the data row with the value has, if there is one. `attributes` are the scalars by their name and dlt type.
    """

    runs: Int64s
    keys: Keys
    path: pa.Array
    name: pa.Array
    position: Int64s
    data_rows: Keys
    attributes: dict[tuple[str, str], pa.Array]
    citations: Elements | None


def field_metadata(runs: Int64s, keys: Keys, root: Node) -> Iterator[FieldMetadata]:
    """What the trees of `runs`, whose keys are `keys`, carry, place by place."""
    nowhere = np.zeros(len(runs), dtype=np.int64)
    tree = _Tree(runs, child_keys(keys, ("field_metadata",)), "", "", nowhere, keys, ("data",))
    if root.elements is None:
        # An object describes the one row of its run's data; a list has an element for each.
        tree = tree._replace(data_rows=child_keys(keys, ("data",)), since=())
    return _walk(root, tree)


def concat_metadata(parts: Sequence[FieldMetadata]) -> FieldMetadata:
    """The rows of all parts, one part after another."""
    lengths = [len(part.runs) for part in parts]
    attributes = dict.fromkeys(key for part in parts for key in part.attributes)
    return FieldMetadata(
        runs=np.concatenate([part.runs for part in parts]),
        keys=Keys.concat([part.keys for part in parts]),
        path=pa.concat_arrays([part.path for part in parts]),
        name=pa.concat_arrays([part.name for part in parts]),
        position=np.concatenate([part.position for part in parts]),
        data_rows=Keys.concat([part.data_rows for part in parts]),
        attributes={
            key: concat_scalars([part.attributes.get(key) for part in parts], lengths, key[1]) for key in attributes
        },
        citations=concat_elements([part.citations for part in parts], lengths),
    )


class _Tree(NamedTuple):
    """A place in the trees: whose it is, what it is called, and which data row it speaks of.

    `path` is one text, or an array of them below a list. `since` is the path from the data row to the value.
    """

    runs: Int64s
    keys: Keys
    path: Any
    name: str
    position: Int64s
    data_rows: Keys
    since: tuple[str, ...]

    def member(self, key: str) -> _Tree:
        return self._replace(
            keys=child_keys(self.keys, (key,)),
            path=_dotted(self.path, key),
            name=f"{self.name}.{key}" if self.name else key,
            since=(*self.since, key),
        )

    def element(self, elements: Elements) -> _Tree:
        parent = pa.array(elements.parent)
        path = self.path if isinstance(self.path, str) else self.path.take(parent)
        return _Tree(
            self.runs[elements.parent],
            child_keys(self.keys.take(elements.parent), ("[]",), elements.index),
            _dotted(path, pa.array(elements.index).cast(pa.string())),
            self.name,
            elements.index,
            child_keys(self.data_rows.take(elements.parent), self.since, elements.index),
            (),
        )


def _walk(node: Node, tree: _Tree) -> Iterator[FieldMetadata]:
    attributes = {("value", kind): array for kind, array in node.scalars.items()}
    citations = None
    members = dict(node.fields)
    for key, member in node.fields.items():
        attributes |= {(key, kind): array for kind, array in member.scalars.items()}
        if key == "citation" and member.elements is not None:
            citations, others = _split_citations(member.elements)
            members[key] = Node(member.length, {}, member.fields, others)
    if attributes or citations is not None:
        yield from _rows(node.length, tree, attributes, citations)
    if node.elements is not None:
        yield from _walk(node.elements.node, tree.element(node.elements))
    for key, member in members.items():
        if member.fields or member.elements is not None:
            # Its scalars were attributes of this place.
            yield from _walk(Node(member.length, {}, member.fields, member.elements), tree.member(key))


def _rows(
    length: int, tree: _Tree, attributes: dict[tuple[str, str], pa.Array], citations: Elements | None
) -> Iterator[FieldMetadata]:
    """The rows of one place, of those runs (or list elements) that carry anything there."""
    present = _filled(length, attributes.values())
    if citations is not None:
        present[citations.parent] = True
        row_of = np.cumsum(present) - 1
        citations = Elements(row_of[citations.parent], citations.index, citations.node)
    places = np.flatnonzero(present)
    if not len(places):
        return
    chosen = pa.array(places)
    yield FieldMetadata(
        runs=tree.runs[places],
        keys=tree.keys.take(places),
        path=pa.repeat(tree.path, len(places)) if isinstance(tree.path, str) else tree.path.take(chosen),
        name=pa.repeat(tree.name, len(places)),
        position=tree.position[places],
        data_rows=tree.data_rows.take(places),
        attributes={key: array.take(chosen) for key, array in attributes.items()},
        citations=citations,
    )


def _split_citations(elements: Elements) -> tuple[Elements | None, Elements | None]:
    """The lists named `citation` that have citations, and those that have the metadata of a field of that name."""
    fields = elements.node.fields
    members = [fields[name] for name in ("page", "matching_text", "bounding_boxes") if name in fields]
    sizes = fields["page_dimensions"].fields.values() if "page_dimensions" in fields else ()
    told = _filled(elements.node.length, [array for node in (*members, *sizes) for array in node.scalars.values()])
    for member in members:
        if member.elements is not None:
            told[member.elements.parent] = True
    cites = np.isin(elements.parent, np.unique(elements.parent[told]))
    if cites.all():
        return elements, None
    if not cites.any():
        return None, elements
    return elements.take(np.flatnonzero(cites)), elements.take(np.flatnonzero(~cites))


def _filled(length: int, columns: Iterable[pa.Array]) -> npt.NDArray[np.bool_]:
    """Which places have a value in any of the columns."""
    filled = np.zeros(length, dtype=bool)
    for column in columns:
        filled |= pc.is_valid(column).to_numpy(zero_copy_only=False)
    return filled


def _dotted(path: Any, step: Any) -> Any:
    if isinstance(path, str) and (not path or isinstance(step, str)):
        return f"{path}.{step}" if path else step
    return pc.binary_join_element_wise(path, step, ".")
