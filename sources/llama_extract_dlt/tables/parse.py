"""JSON documents in, columns out: by Arrow's C++ reader where the documents agree, by Python where they do not."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from ..service.records import Fields
from .contract import ARROW_TYPES
from .numbers import Number, has_long_digits, scalar_of, with_long_numbers
from .row_keys import Int64s


@dataclass(slots=True)
class Elements:
    """The elements of all lists at one path: which place each one's list is at, and the position in that list."""

    parent: Int64s
    index: Int64s
    node: Node

    def take(self, places: Int64s) -> Elements:
        """The elements at these places, which are in ascending order."""
        if len(places) == len(self.parent):
            return self
        return Elements(self.parent[places], self.index[places], self.node.take(places))


@dataclass(slots=True)
class Node:
    """All values at one path of some documents: `length` places, each empty or holding one value.

    A place holds a scalar (in the array of its dlt type, null elsewhere), an object (its members are in
    `fields`, each a node with the same places) or a list (its elements are in `elements`).
    """

    length: int
    scalars: dict[str, pa.Array] = field(default_factory=dict)
    fields: dict[str, Node] = field(default_factory=dict)
    elements: Elements | None = None

    def member(self, path: Sequence[str]) -> Node | None:
        """The node at a path of keys; None if there is none."""
        node: Node | None = self
        for key in path:
            node = node.fields.get(key) if node is not None else None
        return node

    def take(self, places: Int64s) -> Node:
        """The node of these places alone, which are in ascending order."""
        if len(places) == self.length:
            return self
        elements = None
        if self.elements is not None:
            new = np.full(self.length, -1, dtype=np.int64)
            new[places] = np.arange(len(places))
            kept = self.elements.take(np.flatnonzero(new[self.elements.parent] >= 0))
            elements = Elements(new[kept.parent], kept.index, kept.node)
        return Node(
            len(places),
            {kind: array.take(pa.array(places)) for kind, array in self.scalars.items()},
            {key: member.take(places) for key, member in self.fields.items()},
            elements,
        )


LosesDigits = Callable[[Node, Node | None], bool]
"""Whether it matters of a node how its numbers were written, given a node that is beside it."""


def concat(nodes: Sequence[Node]) -> Node:
    """The places of all nodes, one node after another."""
    if len(nodes) == 1:
        return nodes[0]
    lengths = [node.length for node in nodes]
    kinds = dict.fromkeys(kind for node in nodes for kind in node.scalars)
    keys = dict.fromkeys(key for node in nodes for key in node.fields)
    starts = np.cumsum(lengths) - lengths
    lists = [(start, node.elements) for start, node in zip(starts, nodes, strict=True) if node.elements is not None]
    elements = None
    if lists:
        elements = Elements(
            np.concatenate([part.parent + start for start, part in lists]),
            np.concatenate([part.index for _, part in lists]),
            concat([part.node for _, part in lists]),
        )
    scalars = {
        kind: pa.concat_arrays([node.scalars.get(kind, pa.nulls(node.length, ARROW_TYPES[kind])) for node in nodes])
        for kind in kinds
    }
    return Node(
        sum(lengths),
        scalars,
        {key: concat([node.fields.get(key) or Node(node.length) for node in nodes]) for key in keys},
        elements,
    )


def from_arrow(array: pa.Array) -> Node:
    """The node of an Arrow array."""
    node = Node(len(array))
    if pa.types.is_struct(array.type):
        for position, child in enumerate(array.flatten()):
            node.fields[array.type.field(position).name] = from_arrow(child)
    elif pa.types.is_list(array.type):
        parent = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
        if len(parent):  # a type that was learned may have lists that no document here has
            index = np.arange(len(parent)) - np.searchsorted(parent, parent)
            node.elements = Elements(parent, index, from_arrow(array.flatten()))
    elif array.null_count < len(array):
        node.scalars[_KINDS[array.type]] = array
    return node


def from_python(values: list[Any]) -> Node:
    """The node of Python values, which may differ in kind from place to place."""
    node = Node(len(values))
    scalars: dict[str, list[Any]] = {}
    members: dict[str, list[Any]] = {}
    parent: list[int] = []
    index: list[int] = []
    elements: list[Any] = []
    for place, value in enumerate(values):
        if value is None:
            continue
        if isinstance(value, dict):
            for key, member in value.items():
                if key not in members:
                    members[key] = [None] * len(values)
                members[key][place] = member
        elif isinstance(value, list):
            parent.extend([place] * len(value))
            index.extend(range(len(value)))
            elements.extend(value)
        else:
            kind, scalar = scalar_of(value)
            if kind not in scalars:
                scalars[kind] = [None] * len(values)
            scalars[kind][place] = scalar
    node.scalars = {kind: pa.array(column, type=ARROW_TYPES[kind]) for kind, column in scalars.items()}
    node.fields = {key: from_python(column) for key, column in members.items()}
    if elements:
        node.elements = Elements(np.array(parent), np.array(index), from_python(elements))
    return node


def from_members(rows: Sequence[Fields | None]) -> Node:
    """The node of objects whose members are known as texts; members that are objects or lists stay JSON text."""
    node = Node(len(rows))
    for key in dict.fromkeys(key for row in rows if row for key in row):
        raws = [bytes(row[key]) if row and key in row else b"null" for row in rows]
        nested = [raw.decode() if raw[:1] in (b"{", b"[") else None for raw in raws]
        member = node.fields[key] = Node(len(rows))
        if any(nested):
            member.scalars["json"] = pa.array(nested, pa.string())
            raws = [b"null" if text else raw for raw, text in zip(raws, nested, strict=True)]
        member.scalars |= _read_scalars(raws)
    return node


_KINDS = {ARROW_TYPES[kind]: kind for kind in ("text", "bigint", "double", "bool")}
"""The dlt types of JSON scalars, by the Arrow types that Arrow gives them."""


def _read_scalars(raws: Sequence[bytes]) -> dict[str, pa.Array]:
    joined = b"[" + b",".join(raws) + b"]"
    if not has_long_digits(joined):
        try:
            array = pa.array(msgspec.json.decode(joined))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, msgspec.DecodeError):
            pass
        else:
            if pa.types.is_null(array.type):
                return {}
            if array.type in _KINDS:
                return {_KINDS[array.type]: array}
    return from_python(_decode(joined)).scalars


def _decode(document: bytes) -> Any:
    return json.loads(document, parse_int=Number, parse_float=Number)


class Parser:
    """Parses documents of one shape after another, and remembers the types that each shape had."""

    def __init__(self) -> None:
        self._types: dict[Hashable, pa.DataType] = {}

    def parse(
        self, shape: Hashable, documents: Sequence[bytes], loses_digits: LosesDigits | None = None
    ) -> list[tuple[Int64s, Node]]:
        """Columns of `documents`, JSON texts that are expected to be alike when `shape` is the same.

        Returns nodes, each with the places of its documents: one, or two where some documents have numbers that a
        64-bit integer or a double cannot hold. Arrow reads 2 beside 1.5 as 2.0 and forgets how a number was written;
        `loses_digits` says of a node whether that matters, given the one of the documents with such numbers. Without it
        no digits matter: numbers are measurements.
        """
        long = np.array(with_long_numbers(documents) if loses_digits else [], dtype=np.int64)
        parsed = [(long, _parse_exactly([documents[place] for place in long]))] if len(long) else []
        if len(usual := np.setdiff1d(np.arange(len(documents)), long)):
            alike = [documents[place] for place in usual]
            node = self._parse_alike(shape, alike)
            if node is None or (loses_digits and loses_digits(node, parsed[0][1] if parsed else None)):
                node = _parse_exactly(alike)
            parsed.append((usual, node))
        return parsed

    def _parse_alike(self, shape: Hashable, documents: Sequence[bytes]) -> Node | None:
        array = self._read_alike(shape, documents)
        return None if array is None else from_arrow(array)

    def _read_alike(self, shape: Hashable, documents: Sequence[bytes]) -> pa.Array | None:
        """The documents as Arrow reads them; None if it cannot read them together, or would change them."""
        known = self._types.get(shape)
        try:
            array = _read(documents, known)
        except pa.ArrowInvalid:
            if known is None:
                return None
            # What was learned may no longer hold (an integer column that now has fractions): look afresh.
            del self._types[shape]
            return self._read_alike(shape, documents)
        seen = _unify(known, array.type)
        if not _is_sound(array):
            # Arrow rewrites text that looks like a timestamp, and loses nulls that open a list (apache/arrow#51305).
            # It does neither where it is told the type, and now most types are known.
            try:
                array = _read(documents, seen)
            except pa.ArrowInvalid:
                return None
            if not _is_sound(array):
                return None
        if seen is not None:
            self._types[shape] = seen
        return array


def _parse_exactly(documents: Sequence[bytes]) -> Node:
    """The documents as Python reads them: slower, whatever they hold, every number as it was written."""
    return from_python([_decode(document) for document in documents])


def _read(documents: Sequence[bytes], known: pa.DataType | None) -> pa.Array:
    """Documents as one array, by Arrow's reader. Raises ArrowInvalid where they do not agree."""
    if any(b"\n" in document or b"\r" in document for document in documents):
        documents = [document.translate(_LINE_ENDS) for document in documents]
    lines = b'{"":' + b'}\n{"":'.join(documents) + b"}\n"
    table = pj.read_json(
        io.BytesIO(lines),
        read_options=pj.ReadOptions(use_threads=False, block_size=len(lines) + 1),
        parse_options=pj.ParseOptions(
            explicit_schema=None if known is None else pa.schema([pa.field("", known)]),
            unexpected_field_behavior="infer",
        ),
        memory_pool=_POOL,
    )
    return table.column(0).chunk(0)  # one block, one chunk


# Line ends can only stand between the tokens of a document (inside text they are escaped), where a blank serves.
_LINE_ENDS = bytes(0x20 if code in b"\r\n" else code for code in range(256))


def _is_sound(array: pa.Array) -> bool:
    """Whether text is still text and lists have all their elements."""
    if pa.types.is_struct(array.type):
        return all(_is_sound(array.field(position)) for position in range(array.type.num_fields))
    if pa.types.is_list(array.type):
        complete = len(array) == 0 or array.offsets[-1].as_py() <= len(array.values)
        return complete and _is_sound(array.values)
    return not pa.types.is_timestamp(array.type)


def _unify(known: pa.DataType | None, seen: pa.DataType) -> pa.DataType | None:
    """The type to read with next time: all fields seen so far, timestamps as text, None where only nulls were seen."""
    if pa.types.is_timestamp(seen):
        return pa.string()
    if pa.types.is_struct(seen):
        before = {member.name: member.type for member in known} if known is not None else {}
        unified = {member.name: _unify(before.get(member.name), member.type) for member in seen}
        return pa.struct([pa.field(name, one) for name, one in unified.items() if one is not None])
    if pa.types.is_list(seen):
        element = _unify(known.value_type if known is not None and pa.types.is_list(known) else None, seen.value_type)
        return None if element is None else pa.list_(element)
    return None if pa.types.is_null(seen) else seen


# Arrow's own allocators keep what they once had; a load's memory should be that of its batches.
_POOL = pa.system_memory_pool()


def give_back_memory() -> None:
    """Returns to the system what the last batch needed and the allocators keep, before it adds up."""
    _POOL.release_unused()
    if (pool := pa.default_memory_pool()).backend_name != _POOL.backend_name:
        pool.release_unused()
