"""An agent's JSON Schema in, column types out."""

from __future__ import annotations

import hashlib
import json
from typing import Any

_SCALARS = {"string": "text", "integer": "bigint", "number": "double", "boolean": "bool"}
_VALUES = {str: "text", int: "bigint", float: "double", bool: "bool"}
_FORMATS = {"date": "date", "date-time": "timestamp", "time": "time"}


class Shape:
    """What a JSON Schema says of one place in a document: the alternatives that its value may match.

    References and `anyOf` / `oneOf` / `allOf` are followed as far as the place needs, so recursive schemas are
    fine. A schema that is missing, malformed or silent gives shapes without a `data_type`, never an error.
    """

    __slots__ = ("_alternatives", "_root")

    def __init__(self, root: Any, schema: Any = None) -> None:
        """The shape of a document of the schema `root`, or of a part of it that `schema` describes."""
        self._root = root
        self._alternatives = _expand(root, root if schema is None else schema)

    def member(self, key: str) -> Shape:
        """The shape of an object's member."""
        found = []
        for schema in self._alternatives:
            properties = schema.get("properties")
            extra = schema.get("additionalProperties")
            if isinstance(properties, dict) and key in properties:
                found.append(properties[key])
            elif isinstance(extra, dict):
                found.append(extra)
        return Shape(self._root, {"anyOf": found})

    @property
    def members(self) -> list[str]:
        """The names of an object's members, by the schema."""
        properties = (schema.get("properties") for schema in self._alternatives)
        return list(dict.fromkeys(key for members in properties if isinstance(members, dict) for key in members))

    @property
    def parts(self) -> frozenset[int]:
        """The parts of the schema that describe members or elements, by their identity: the same again is recursion."""
        return frozenset(id(schema) for schema in self._alternatives if "properties" in schema or "items" in schema)

    def element(self) -> Shape:
        """The shape of a list's elements."""
        return Shape(self._root, {"anyOf": [schema.get("items") for schema in self._alternatives]})

    @property
    def is_list(self) -> bool:
        """Whether the value is a list, by the schema."""
        return any(schema.get("type") == "array" for schema in self._alternatives)

    @property
    def description(self) -> str | None:
        """What the schema says in words."""
        found = (schema.get("description") for schema in self._alternatives)
        return next((text for text in found if isinstance(text, str) and text), None)

    @property
    def data_type(self) -> str | None:
        """The dlt type of the scalars here; None when the schema says nothing.

        Text beside anything is text, which holds all; integers beside numbers are double, and either goes before
        booleans.
        """
        types = {kind for schema in self._alternatives for kind in _data_types(schema)}
        if len(types) > 1 and types & {"text", "date", "timestamp", "time"}:
            return "text"
        return next((kind for kind in ("double", "bigint") if kind in types), next(iter(types), None))


def schema_hash(schema: Any) -> str:
    """A key for a JSON Schema: the same for the same content, whatever the order of its keys and its blanks."""
    canonical = json.dumps(schema, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()[:32]


def _data_types(schema: dict[str, Any]) -> list[str]:
    kinds = schema.get("type")
    if kinds is None:  # the values that are allowed tell
        values = schema.get("enum")
        values = [*(values if isinstance(values, list) else []), schema.get("const")]
        return [_VALUES[type(value)] for value in values if type(value) in _VALUES]
    kinds = kinds if isinstance(kinds, list) else [kinds]
    types = [_SCALARS[kind] for kind in kinds if isinstance(kind, str) and kind in _SCALARS]
    stated = schema.get("format")
    if isinstance(stated, str) and stated in _FORMATS:
        return [_FORMATS[stated] if kind == "text" else kind for kind in types]
    return types


def _expand(root: Any, schema: Any) -> list[dict[str, Any]]:
    """The schema and all that its references and combinations lead to, each once."""
    found: list[dict[str, Any]] = []
    seen: set[int] = set()
    todo = [schema]
    while todo:
        current = todo.pop(0)
        if not isinstance(current, dict) or id(current) in seen:
            continue
        seen.add(id(current))
        found.append(current)
        for combination in ("anyOf", "oneOf", "allOf"):
            parts = current.get(combination)
            if isinstance(parts, list):
                todo.extend(parts)
        reference = current.get("$ref")
        if isinstance(reference, str):
            todo.append(_resolve(root, reference))
    return found


def _resolve(root: Any, reference: str) -> Any:
    """What a reference within the schema points to; None when it points nowhere or outside."""
    if not reference.startswith("#"):
        return None
    current = root
    for step in reference[1:].split("/")[1:]:
        step = step.replace("~1", "/").replace("~0", "~")
        if isinstance(current, dict):
            current = current.get(step)
        elif isinstance(current, list) and step.isdigit() and int(step) < len(current):
            current = current[int(step)]
        else:
            return None
    return current
