"""JSON documents in, columns out: by Arrow's C++ reader where the documents agree, by Python where they do not."""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj

from .row_keys import Int64s


@dataclass(slots=True)
class Elements:
    """The elements of all lists at one path: which place each list is at, and the position in that list."""

    parent: Int64s
    index: Int64s
    node: Node

    def take(self, places: Int64s) -> Elements:
        """The elements at these places, which are in ascending order."""
        return Elements(self.parent[places], self.index[places], self.node.take(places))


@dataclass(slots=True)
class Node:
    """All values at one path of a batch of documents: `length` places, each empty or holding one value.

    A place holds a scalar (in the array of its dlt type, null elsewhere), an object (its members are in
    `fields`, each a node with the same places) or a list (its elements are in `elements`).
    """

    length: int
    scalars: dict[str, pa.Array] = field(default_factory=dict)
    fields: dict[str, Node] = field(default_factory=dict)
    elements: Elements | None = None

    def take(self, places: Int64s) -> Node:
        """The node of these places alone, which are in ascending order."""
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


@dataclass(slots=True)
class Batch:
    """Documents that were read together: the places they had among all, and their values.

    `exact` says that numbers are of the kind they were written as. Arrow reads 2 beside 1.5 as 2.0.
    """

    places: Int64s
    root: Node
    exact: bool


class Parser:
    """Reads documents of one shape after another and remembers what it has seen of each shape."""

    def __init__(self) -> None:
        self._types: dict[Hashable, pa.DataType] = {}

    def parse(self, shape: Hashable, documents: Sequence[bytes], *, all_digits: bool = True) -> list[Batch]:
        """Columns of `documents`, JSON texts that are expected to be alike when `shape` is the same.

        Returns one batch, or two where some documents had to be read by Python: those with numbers that a 64-bit
        integer or a double cannot hold (unless not `all_digits` matter), or all when Arrow cannot read them together.
        """
        exact = _with_long_numbers(documents) if all_digits else []
        if not exact:
            return [self._parse_alike(shape, np.arange(len(documents)), documents)]
        usual = np.setdiff1d(np.arange(len(documents)), exact)
        batches = [parse_exactly(np.array(exact), documents)]
        if len(usual):
            batches.append(self._parse_alike(shape, usual, documents))
        return batches

    def _parse_alike(self, shape: Hashable, places: Int64s, documents: Sequence[bytes]) -> Batch:
        known = self._types.get(shape)
        alike = [documents[place] for place in places]
        try:
            array = _read(alike, known)
        except pa.ArrowInvalid:
            if known is None:
                return parse_exactly(places, documents)
            # What was learned may no longer hold (an integer column that now has fractions): look afresh.
            del self._types[shape]
            return self._parse_alike(shape, places, documents)
        seen = _unify(known, array.type)
        if not _is_sound(array):
            # Arrow rewrites text that looks like a timestamp, and loses nulls that open a list (apache/arrow#51305).
            # It does neither where it is told the type, and now most types are known.
            try:
                array = _read(alike, seen)
            except pa.ArrowInvalid:
                return parse_exactly(places, documents)
            if not _is_sound(array):
                return parse_exactly(places, documents)
        if seen is not None:
            self._types[shape] = seen
        return Batch(places, from_arrow(array), exact=False)


def parse_exactly(places: Int64s, documents: Sequence[bytes]) -> Batch:
    """The documents at these places, read by Python: slower, whatever they hold, every number as it was written."""
    return Batch(places, from_python([_decode(documents[place]) for place in places]), exact=True)


def from_arrow(array: pa.Array) -> Node:
    """The node of an Arrow array."""
    node = Node(len(array))
    if pa.types.is_struct(array.type):
        for position, child in enumerate(array.flatten()):
            node.fields[array.type.field(position).name] = from_arrow(child)
    elif pa.types.is_list(array.type):
        parent = pc.list_parent_indices(array).to_numpy(zero_copy_only=False).astype(np.int64)
        lengths = pc.fill_null(pc.list_value_length(array), 0).to_numpy(zero_copy_only=False).astype(np.int64)
        starts = np.cumsum(lengths) - lengths
        index = np.arange(len(parent), dtype=np.int64) - starts[parent]
        node.elements = Elements(parent, index, from_arrow(array.flatten()))
    elif array.null_count < len(array):
        node.scalars[_SCALAR_TYPES[array.type]] = array
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
                members.setdefault(key, [None] * len(values))[place] = member
        elif isinstance(value, list):
            parent.extend([place] * len(value))
            index.extend(range(len(value)))
            elements.extend(value)
        else:
            kind, scalar = _scalar(value)
            scalars.setdefault(kind, [None] * len(values))[place] = scalar
    node.scalars = {kind: pa.array(column, type=ARROW_TYPES[kind]) for kind, column in scalars.items()}
    node.fields = {key: from_python(column) for key, column in members.items()}
    if elements:
        node.elements = Elements(np.array(parent), np.array(index), from_python(elements))
    return node


def concat_scalars(parts: Sequence[pa.Array | None], lengths: Sequence[int], kind: str) -> pa.Array:
    """Scalars of one kind, one part after another, nulls for a part that has none."""
    kind_of = ARROW_TYPES[kind]
    filled = [pa.nulls(n, kind_of) if part is None else part for part, n in zip(parts, lengths, strict=True)]
    return pa.concat_arrays(filled)


def concat_elements(parts: Sequence[Elements | None], lengths: Sequence[int]) -> Elements | None:
    """The lists of nodes of these lengths, put one after another; None if there are no lists."""
    starts = np.cumsum(lengths) - lengths
    there = [(start, part) for start, part in zip(starts, parts, strict=True) if part is not None]
    if not there:
        return None
    return Elements(
        np.concatenate([part.parent + start for start, part in there]),
        np.concatenate([part.index for _, part in there]),
        _concat([part.node for _, part in there]),
    )


def _concat(nodes: Sequence[Node]) -> Node:
    """The places of all nodes, one node after another."""
    if len(nodes) == 1:
        return nodes[0]
    lengths = [node.length for node in nodes]
    kinds = dict.fromkeys(kind for node in nodes for kind in node.scalars)
    keys = dict.fromkeys(key for node in nodes for key in node.fields)
    return Node(
        sum(lengths),
        {kind: concat_scalars([node.scalars.get(kind) for node in nodes], lengths, kind) for kind in kinds},
        {key: _concat([node.fields.get(key) or Node(node.length) for node in nodes]) for key in keys},
        concat_elements([node.elements for node in nodes], lengths),
    )


ARROW_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
}
_SCALAR_TYPES = {arrow: kind for kind, arrow in ARROW_TYPES.items()}


def _scalar(value: Any) -> tuple[str, Any]:
    """A JSON scalar with its dlt type; numbers that no type holds keep their digits as text."""
    if isinstance(value, bool):
        return "bool", value
    if isinstance(value, _Number):
        return value.classify()
    if isinstance(value, str):
        return "text", value.encode("utf-8", "replace").decode()
    raise TypeError(f"not a JSON value: {type(value).__name__}")


class _Number(str):
    """A number as it was written."""

    __slots__ = ()

    def classify(self) -> tuple[str, Any]:
        if not any(mark in self for mark in ".eE"):
            integer = int(self)
            return ("bigint", integer) if -(2**63) <= integer < 2**63 else ("text", str(self))
        double = float(self)
        if math.isfinite(double) and Decimal(repr(double)) == Decimal(self):
            return "double", double
        return "text", str(self)


def _decode(document: bytes) -> Any:
    return json.loads(document, parse_int=_Number, parse_float=_Number)


# Digits and points become "0" and the rest stays, so that one search finds any long number (and long digits in
# text, which the pattern then tells apart).
_DIGITS_TO_ZERO = bytes(0x30 if chr(code) in "0123456789." else code for code in range(256))
_LONG_DIGITS = b"0" * 16
_SIGNS = (_LONG_DIGITS, b"0e000", b"0E000", b"0e+000", b"0E+000")
_LONG_NUMBER = re.compile(rb"[:\[,]\s*(-?(?:[0-9]\.?){16,}(?:[eE][+-]?[0-9]+)?)")
_HUGE_EXPONENT = re.compile(rb"[0-9][eE]\+?[0-9]{3}")


def _with_long_numbers(documents: Sequence[bytes]) -> list[int]:
    """The places of documents with a number that a 64-bit integer or a double may not hold."""
    digits = b"\n".join(documents).translate(_DIGITS_TO_ZERO)
    if not any(sign in digits for sign in _SIGNS):
        return []
    return [place for place, document in enumerate(documents) if _has_long_number(document)]


def _has_long_number(document: bytes) -> bool:
    if _HUGE_EXPONENT.search(document):
        return True
    numbers = (match[1].decode() for match in _LONG_NUMBER.finditer(document))
    # An integer of 16 digits fits its column, but not if Arrow makes a double of it for a fraction beside it.
    return any("." not in number or _Number(number).classify()[0] == "text" for number in numbers)


def _read(documents: Sequence[bytes], known: pa.DataType | None) -> pa.Array:
    """Documents as one array, by Arrow's reader. Raises ArrowInvalid where they do not agree."""
    lines = _as_lines(documents)
    if lines.count(b"\n") > len(documents) or b"\r" in lines:
        lines = _as_lines([document.translate(_LINE_ENDS) for document in documents])
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


def _as_lines(documents: Sequence[bytes]) -> bytes:
    return b'{"":' + b'}\n{"":'.join(documents) + b"}\n"


# Arrow's own allocators keep what they once had; a load's memory should be that of its chunks.
_POOL = pa.system_memory_pool()

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
        before = {known.field(p).name: known.field(p).type for p in range(known.num_fields)} if known else {}
        fields = []
        for position in range(seen.num_fields):
            name = seen.field(position).name
            unified = _unify(before.get(name), seen.field(position).type)
            if unified is not None:
                fields.append(pa.field(name, unified))
        return pa.struct(fields)
    if pa.types.is_list(seen):
        element = _unify(known.value_type if known is not None and pa.types.is_list(known) else None, seen.value_type)
        return None if element is None else pa.list_(element)
    return None if pa.types.is_null(seen) else seen


def give_back_memory() -> None:
    """Returns to the system what the last chunk needed and the allocators keep, before it adds up."""
    _POOL.release_unused()
    if (pool := pa.default_memory_pool()).backend_name != _POOL.backend_name:
        pool.release_unused()


def read_values(raws: Sequence[bytes]) -> dict[str, pa.Array]:
    """Raw JSON scalars as arrays by their dlt type, each with all places."""
    joined = b"[" + b",".join(raws) + b"]"
    if _LONG_DIGITS not in joined.translate(_DIGITS_TO_ZERO):
        try:
            array = pa.array(msgspec.json.decode(joined))
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, msgspec.DecodeError):
            pass
        else:
            if array.type in _SCALAR_TYPES:
                return {_SCALAR_TYPES[array.type]: array}
            if pa.types.is_null(array.type):
                return {}
    return from_python(_decode(joined)).scalars
