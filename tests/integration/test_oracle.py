"""The data tables are those of dlt's own normalizer, on any documents."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from llama_extract_dlt.tables.parse import Parser
from support.oracle import DATA, Sides, disagreements
from support.profiles import ORACLE_EXAMPLES, PROFILE

KEYS = st.one_of(
    st.sampled_from(["a", "b", "c", "total", "items", "Total Amount", "x-y", "value", "id", "list", "select", "1st"]),
    st.text(max_size=6),
)
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(-(2**70), 2**70),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from([0.5, 1.0, 2**53 + 1, 1e300, 1e-300, 0.1 + 0.2]),
    st.text(max_size=5),
    st.sampled_from(["2026-01-28", "2026-01-28T10:00:00Z", "00123", "true", "12", "1.5", "", "null", "\n", "😀"]),
)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4), max_leaves=12
)
WILD = st.dictionaries(KEYS, VALUES, max_size=5)
# Documents that agree on their types, as those of an agent usually do: what Arrow's reader takes.
TEXT = st.text(max_size=5) | st.sampled_from(["2026-01-28", "2026-01-28T10:00:00Z", "00123", "1.5", "null"])
LEAVES = {
    "flag": st.booleans(),
    "count": st.integers(-(2**40), 2**40),
    "amount": st.floats(allow_nan=False, allow_infinity=False) | st.integers(-1000, 1000),
    "name": TEXT,
    "due": st.dates().map(str),
    "at": st.datetimes().map(lambda moment: moment.isoformat() + "Z"),
    "tags": st.lists(st.none() | TEXT, max_size=3),
    "grid": st.lists(st.none() | st.lists(st.none() | st.integers(0, 9), max_size=3), max_size=3),
}


def tame(depth: int) -> st.SearchStrategy[dict[str, Any]]:
    members = {name: st.none() | leaf for name, leaf in LEAVES.items()}
    if depth:
        members["part"] = st.none() | tame(depth - 1)
        members["parts"] = st.none() | st.lists(st.none() | tame(depth - 1), max_size=2)
    return st.fixed_dictionaries({}, optional=members)


DOCUMENTS = st.lists(WILD, min_size=10, max_size=30) | st.lists(tame(2), min_size=10, max_size=30)
MANY = settings(max_examples=ORACLE_EXAMPLES[PROFILE], deadline=None, suppress_health_check=list(HealthCheck))
FEWER = settings(MANY, max_examples=ORACLE_EXAMPLES[PROFILE] // 3)


def has_collision(sides: Sides, value: Any, seen: set[str] | None = None, path: tuple[str, ...] = ()) -> bool:
    """Whether two keys of a row get one name, or one that is a key column's: there dlt loses a value."""
    if isinstance(value, list):
        if any(isinstance(one, list) for one in value) and any(
            isinstance(one, dict) and "list" in one for one in value
        ):
            return True  # lists in lists have the table of a key of that name, and which comes first is not told
        return any(
            has_collision(sides, element if isinstance(element, dict) else {"list": element}) for element in value
        )
    if not isinstance(value, dict):
        return False
    seen = set() if seen is None else seen
    for key, member in value.items():
        name = "__".join((*path, sides.naming.normalize_path(key) if key and not key.isspace() else "_empty"))
        kind = "table" if isinstance(member, list) else "column"
        blank = not key or key.isspace()
        if (blank and kind == "table") or (not blank and not sides.naming.normalize_path(key)):
            return True  # dlt has no name for such a list, nor for what is called `__`
        if not isinstance(member, dict):
            if (kind, name) in seen or name.startswith("_"):
                return True
            seen.add((kind, name))
        if has_collision(
            sides, member, seen if isinstance(member, dict) else None, (name,) if isinstance(member, dict) else ()
        ):
            return True
    return False


def without_collisions(sides: Sides, documents: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [document for document in documents if not has_collision(sides, document)]


@MANY
@given(DOCUMENTS)
def test_any_documents_give_the_tables_that_dlt_gives(documents: list[dict[str, Any]]) -> None:
    sides = Sides()
    assert list(disagreements(sides, without_collisions(sides, documents))) == []


@FEWER
@given(st.lists(DOCUMENTS, min_size=3, max_size=3))
def test_so_do_documents_that_come_in_chunks(chunks: list[list[dict[str, Any]]]) -> None:
    sides = Sides()
    for documents in chunks:
        assert list(disagreements(sides, without_collisions(sides, documents))) == []


@FEWER
@given(DOCUMENTS)
def test_so_do_documents_whose_schema_is_known(documents: list[dict[str, Any]]) -> None:
    types = {"a": "integer", "b": "number", "c": "string", "total": "boolean"}
    known = {"integer": "bigint", "number": "double", "string": "text", "boolean": "bool"}
    schema = {"type": "object", "properties": {name: {"type": kind} for name, kind in types.items()}}
    sides = Sides({name: known[kind] for name, kind in types.items()}, schema)
    assert list(disagreements(sides, without_collisions(sides, documents))) == []
    made = sides.types[DATA]
    assert {name: made[name] for name in types if name in made} == {
        name: known[kind] for name, kind in types.items() if name in made
    }


def test_what_dlt_has_no_name_for_is_called_empty() -> None:
    rows = Sides().ours([{"": [1], "__": 2}, {"__": [3]}])
    assert {
        table: [[c.value for c in cells.values()] for cells in found.values()] for table, found in rows.items()
    } == {
        DATA: [[2], []],
        f"{DATA}___empty": [[1], [3]],
    }


def test_deep_nesting_and_long_keys_are_as_with_dlt() -> None:
    deep: Any = {"leaf": 1}
    for level in range(20):
        deep = {"down": [deep, {"level": level}]} if level % 2 else {"in": deep}
    long = {"k" * 80: {"v" * 80: [{"x" * 600: 1}, "text"]}, "y" * 600: 2}  # a table is a file, with up to 200 bytes
    sides = Sides()
    assert list(disagreements(sides, [deep, long])) == []
    short = Sides(max_length=63)
    assert list(disagreements(short, [deep, long])) == []
    assert max(len(name) for name in short.types) == 63


def test_agents_that_call_different_things_alike_lose_nothing() -> None:
    sides = Sides()
    for value in (1, "1", 1.5, True, [1], {"a": 1}, None, "2026-01-28", 2**70):
        assert list(disagreements(sides, [{"same": value}, {"other": {"same": value}}])) == []


@FEWER
@given(DOCUMENTS)
def test_arrow_and_python_read_the_same(documents: list[dict[str, Any]]) -> None:
    """The fast way and the exact way, fed with the same documents."""
    fast, exact = Sides(), Sides()
    documents = without_collisions(fast, documents)
    fast_rows = fast.ours(documents)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Parser, "_read_alike", lambda *_: None)
        exact_rows = exact.ours(documents)
    assert fast_rows == exact_rows
