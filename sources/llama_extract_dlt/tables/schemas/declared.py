"""Columns that are known before any value came: those of the contract, and those that agents' schemas declare."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping
from typing import Any

from ... import settings
from ..columns import Column, Names, child_path
from ..contract import AGENT_KEYS, AGENTS, CHILD_KEYS, METADATA_KEYS, RUN_KEYS, RUNS, TEXT_TABLES
from . import api
from .json_schema import Shape

Columns = dict[str, dict[str, Column]]
"""Columns by their table's name and their own."""

_PRECEDENCE = ("double", "bigint", "timestamp", "date", "time", "bool", "text", "json")
"""Which of several declared types a shared column gets: what can be computed with, rather than what holds all."""


def settled(types: Iterable[str]) -> str:
    """Return the type of a column that several schemas declare, whatever their order.

    Integers and numbers together are double. Otherwise numbers go before times, times before booleans and booleans
    before text: `sum(total)` works, and the other schemas' texts go to the variant column.
    """
    found = set(types)
    return next(kind for kind in _PRECEDENCE if kind in found)


def contract_columns(names: Names) -> Columns:
    """Return all tables and columns that the API documents and that this source adds, but for the data."""
    agents, runs = _columns(AGENT_KEYS), _columns(RUN_KEYS)
    found: Columns = {name: _columns(kinds) for name, kinds in TEXT_TABLES.items()}
    found |= {
        AGENTS: agents | _members(names, api.AGENT, agents),
        RUNS: {name: runs[name] for name in ("id", "agent_name", "file_name")} | _members(names, api.RUN, runs) | runs,
    }
    for part, schema in (("config", api.CONFIG), ("file", api.FILE)):
        found[names.table((RUNS, part))] = _columns(CHILD_KEYS) | _members(names, schema, CHILD_KEYS)
    metadata = data_columns(names, (RUNS, "field_metadata"), Shape(api.FIELD_METADATA))
    metadata[names.table((RUNS, "field_metadata"))] |= _columns(METADATA_KEYS)
    return found | metadata


def data_columns(names: Names, path: tuple[str, ...], shape: Shape) -> Columns:
    """Return the tables and columns that a schema declares for the objects of the table at `path`.

    The upper levels come first, up to `settings.DECLARED_COLUMNS` columns in `settings.DECLARED_TABLES` tables; a
    reference that leads back into itself is not followed. What is left out comes with its first value.
    """
    found: Columns = {names.table(path): _columns(CHILD_KEYS)}
    columns = 0
    todo: deque[tuple[tuple[str, ...], tuple[str, ...], Shape, frozenset[int]]]
    todo = deque([(path, (), shape, frozenset())])
    for _ in range(10 * settings.DECLARED_COLUMNS):  # places to look at: parts that lead to each other make many
        if not todo or columns == settings.DECLARED_COLUMNS:
            break
        table_path, inner, here, above = todo.popleft()
        table = found[names.table(table_path)]
        if here.data_type is not None:
            column, columns = names.column(inner, CHILD_KEYS), columns + 1
            before = [table[column].data_type] if column in table else []
            table[column] = Column(settled([here.data_type, *before]), here.description)
        if here.parts and here.parts <= above:
            continue
        above |= here.parts
        below = child_path(table_path, inner)
        if here.is_list and _make_room(found, names, below):
            todo.append((below, (), here.element(), above))
        todo.extend((table_path, (*inner, key), here.member(key), above) for key in here.members)
    return found


def _make_room(found: Columns, names: Names, path: tuple[str, ...]) -> bool:
    """Add a table for the path if there is none; return whether there is one now, which takes room and a name."""
    try:
        name = names.table(path)
    except ValueError:  # a run that has the list is rejected
        return False
    if name not in found and len(found) < settings.DECLARED_TABLES:
        found[name] = _columns(CHILD_KEYS)
    return name in found


def _members(names: Names, schema: Mapping[str, Any], keys: Iterable[str]) -> dict[str, Column]:
    """Return the columns of an object's members; one that is an object without members of its own is JSON."""
    found: dict[str, Column] = {}
    todo: deque[tuple[tuple[str, ...], Shape]]
    todo = deque([((key,), Shape(schema).member(key)) for key in Shape(schema).members])
    while todo:
        path, shape = todo.popleft()
        todo.extend(((*path, key), shape.member(key)) for key in shape.members)
        if not shape.members and path[0] not in keys:
            found[names.column(path, tuple(keys))] = Column(shape.data_type or "json")
    return found


def _columns(kinds: Mapping[str, str]) -> dict[str, Column]:
    return {name: Column(kind) for name, kind in kinds.items()}
