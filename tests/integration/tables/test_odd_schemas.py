"""Schemas that are long, endless or full of odd names."""

import json
from typing import Any

import pytest

from support.doors import run
from support.tables import (
    BIGINT,
    DATE,
    DOUBLE,
    TEXT,
    Typed,
    boolean,
    columns,
    date,
    declared,
    integer,
    listed,
    number,
    string,
    thing,
)
from support.truth import assert_nothing_doubled, assert_true
from support.warehouse import DATA, Warehouse

MANY = 3000


def test_a_schema_of_thousands_of_fields_begins_with_a_thousand_columns(house: Warehouse) -> None:
    agent = Typed(house.cloud, "Generated", thing(**{f"f{place}": integer for place in range(MANY)}))
    house.load()
    assert len(declared(house, DATA)) == 1000
    agent.load({f"f{place}": place for place in range(0, MANY, 2)})
    house.load()
    (row,) = house.rows(DATA)
    assert {name: row[name] for name in row if name.startswith("f") and row[name] is not None} == {
        f"f{place}": place for place in range(0, MANY, 2)
    }
    assert set(declared(house, DATA).values()) == {BIGINT}


def test_long_schemas_of_tables_within_tables_are_loaded(house: Warehouse) -> None:
    deep = thing(value=number)
    for place in range(15):
        deep = thing(**{f"level{place}": listed(deep), f"n{place}": integer})
    agent = Typed(house.cloud, "Deep", deep)
    house.load()
    assert declared(house, DATA) == {"n14": BIGINT}
    data: Any = {"value": 1.5}
    for place in range(15):
        data = {f"level{place}": [data], f"n{place}": place}
    agent.load(data)
    house.load()
    assert_nothing_doubled(house)
    found = [row["value"] for table in house.tables() for row in house.rows(table) if row.get("value") is not None]
    assert found == [1.5]


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
def test_a_schema_that_refers_to_itself_is_loaded(house: Warehouse, tables: str) -> None:
    clause = thing(text=string, weight=number, sub=listed({"$ref": "#/$defs/Clause"}))
    schema = thing(clauses=listed({"$ref": "#/$defs/Clause"}), title=string) | {"$defs": {"Clause": clause}}
    agent = Typed(house.cloud, "Contracts", schema)
    house.load(data_tables=tables)
    root = "contracts" if tables == "per_agent" else DATA
    assert declared(house, f"{root}__clauses") == {"text": TEXT, "weight": DOUBLE}
    deep = {"text": "a", "weight": 1, "sub": [{"text": "b", "sub": [{"text": "c", "sub": [{"weight": 4}]}]}]}
    agent.load({"clauses": [deep]})
    house.load(data_tables=tables)
    assert_true(house, {agent.id: root} if tables == "per_agent" else None)
    assert {kinds["weight"] for name, kinds in columns(house).items() if "weight" in kinds} == {DOUBLE}


@pytest.mark.parametrize(
    "schema",
    [
        {"$ref": "#"},
        {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}},
        thing(a={"$ref": "#"}, n=integer),
        thing(a={"$ref": "#/nowhere"}, n=integer),
        thing(a={"anyOf": [{"$ref": "#"}, listed({"$ref": "#"})]}, n=integer),
        thing(a={"$ref": 7}, n={"type": "odd"}, m={"type": ["odd", 7]}, k=None, j=[], i="integer"),
        {"type": "object", "properties": ["n"]},
        {"type": "array", "items": thing(n=integer)},
        {"type": "object", "properties": {"n": True, "m": {"items": True, "type": "array"}}},
        True,
        "integer",
        None,
        [],
    ],
    ids=str,
)
def test_no_schema_stops_a_load(house: Warehouse, schema: Any) -> None:
    agent = Typed(house.cloud, "Odd", schema, config=None)
    house.load()
    agent.change({})  # the emulator makes up no data by such a schema
    agent.load(
        {"n": 1, "a": {"n": 2, "a": [{"n": 3}]}, "m": [1]}, {"n": 1.5, "a": [{"n": 1}]}, [{"n": 1}], data_schema=schema
    )
    agent.change(schema)
    house.load()
    run(house, full_scan=True)
    assert_nothing_doubled(house)
    assert len(house.rows("extraction_runs")) == 3
    assert len(house.rows(DATA)) == 3


def test_lists_of_lists_are_tables(house: Warehouse) -> None:
    agent = Typed(house.cloud, "Grids", thing(grid=listed(listed(listed(thing(x=number, on=date))))))
    house.load()
    assert declared(house, f"{DATA}__grid__list__list") == {"x": DOUBLE, "on": DATE}
    assert declared(house, f"{DATA}__grid") == declared(house, f"{DATA}__grid__list") == {}
    agent.load({"grid": [[[{"x": 1, "on": "2026-01-28"}], []], [[{"x": 2}]]]})
    house.load()
    assert_true(house)


EQUAL = thing(Total=string, total=number, items=listed(thing(A=date, a=integer)))


def test_names_that_become_equal_have_one_column_until_a_row_has_both(house: Warehouse) -> None:
    agent = Typed(house.cloud, "Odd", EQUAL)
    house.load()
    assert len(declared(house, DATA)) == 1
    assert len(declared(house, f"{DATA}__items")) == 1
    agent.load({"total": 1.5, "Total": 2.5})
    house.load()
    assert "total__also" in declared(house, DATA)


def test_names_that_become_equal_both_keep_their_values(house: Warehouse) -> None:
    agent = Typed(house.cloud, "Odd", EQUAL)
    house.load()
    agent.load({"total": 1.5, "Total": "one", "items": [{"a": 1, "A": "2026-01-28"}]})
    agent.load({"Total": "two"}, {"total": 2.5})
    house.load()
    values = [str(value) for row in house.rows(DATA) for name, value in row.items() if name.startswith("total")]
    assert sorted(value for value in values if value != "None") == ["1.5", "2.5", "one", "two"]
    (item,) = house.rows(f"{DATA}__items")
    assert {str(value) for name, value in item.items() if not name.startswith("_")} >= {"1", "2026-01-28"}


ODD = [
    "_dlt_id",
    "_run_id",
    "_deleted",
    "",
    " ",
    "🦆",
    "y" * 300,
    "a__b",
    "a.b",
    "2026",
    "value",
    "list",
    "select",
    '"',
]


@pytest.mark.parametrize("name", ODD, ids=range(len(ODD)))
def test_a_field_with_an_odd_name_has_one_column_of_its_type(house: Warehouse, name: str) -> None:
    agent = Typed(house.cloud, "Odd", thing(**{name: number, "rows": listed(thing(**{name: number}))}))
    house.load()
    before = columns(house)
    assert list(declared(house, DATA).values()) == list(declared(house, f"{DATA}__rows").values()) == [DOUBLE]
    agent.load({name: 7, "rows": [{name: 8}]})
    house.load()
    assert {table: kinds for table, kinds in columns(house).items() if kinds != before.get(table)} == {}
    (column,) = declared(house, DATA)
    assert [row[column] for row in house.rows(DATA)] == [7.0]
    assert [row[column] for row in house.rows(f"{DATA}__rows")] == [8.0]


def test_lists_with_odd_names_have_one_table(house: Warehouse) -> None:
    names = ["", "x" * 9, "y" * 100, "a__b", "_dlt_id", "list"]
    agent = Typed(house.cloud, "Odd", thing(**{name: listed(thing(n=integer)) for name in names}))
    house.load()
    before = columns(house)
    assert len([name for name in before if name.startswith(f"{DATA}__")]) == len(names)
    agent.load({name: [{"n": 1}] for name in names})
    house.load()
    assert {table: kinds for table, kinds in columns(house).items() if kinds != before.get(table)} == {}


def test_a_field_that_is_a_list_for_one_and_a_scalar_for_another_has_both(house: Warehouse) -> None:
    one = Typed(house.cloud, "One", thing(part=listed(thing(n=integer)), flag=boolean))
    two = Typed(house.cloud, "Two", thing(part=string, flag=thing(on=boolean)))
    house.load()
    before = columns(house)
    assert declared(house, DATA) == {"part": TEXT, "flag": "BOOLEAN", "flag__on": "BOOLEAN"}
    assert declared(house, f"{DATA}__part") == {"n": BIGINT}
    one.load({"part": [{"n": 1}], "flag": True})
    two.load({"part": "p", "flag": {"on": False}})
    house.load()
    assert columns(house) == before
    assert_true(house)


def test_what_is_in_a_schema_comes_back_as_it_is(house: Warehouse) -> None:
    schema = thing(**{"y" * 300: number, "": string, "a": {"$ref": "#"}})
    Typed(house.cloud, "Odd", schema)
    house.load()
    assert schema in [json.loads(row["data_schema"]) for row in house.rows("extraction_schemas")]
