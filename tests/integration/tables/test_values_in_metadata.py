"""Field metadata has the value as the JSON has it, and leads to the table and the column that have it."""

import json
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.doors import run
from support.tables import Typed, assert_led_to_values, boolean, date, integer, listed, number, string, thing
from support.truth import assert_true
from support.warehouse import DATA, METADATA, Warehouse

LEAF = {"confidence": 0.5, "citation": [{"page": 1, "matching_text": "t"}]}


def known(data: Any) -> Any:
    """Metadata for every field of the data."""
    if isinstance(data, dict):
        return {name: known(value) for name, value in data.items()}
    return [known(value) for value in data] if isinstance(data, list) else LEAF


def add(agent: Typed, data: Any, tree: Any = None) -> str:
    metadata = {"field_metadata": known(data) if tree is None else tree}
    return agent.load(data, extraction_metadata=metadata)[0]


def values(house: Warehouse) -> dict[str, Any]:
    house.forget()
    return {row["field_path"]: row["data_value"] for row in house.rows(METADATA)}


SPELLED = {
    "100": "100", "100.0": "100.0", "1.50": "1.50", "1e3": "1e3", "1E+2": "1E+2", "-0": "-0", "-0.0": "-0.0",
    "0.1": "0.1", "12345678901234567890123": "12345678901234567890123", "9007199254740993": "9007199254740993",
    "3.14159265358979323846": "3.14159265358979323846", "true": "true", "false": "false", "null": None,
    '""': "", '"100"': "100", '"00123"': "00123", '"true"': "true", '"null"': "null", '" a "': " a ",
    '"say \\"no\\""': 'say "no"', '"a\\\\b"': "a\\b", '"two\\nlines\\r\\n"': "two\nlines\r\n", '"\\ud83e\\udd86"': "🦆",
    '"\\u00e9"': "é", '"{}"': "{}", '"1.50"': "1.50", "{}": None, "[]": None, '{"x": 1}': None, "[1]": None,
}  # fmt: skip


@pytest.mark.parametrize("schema", [{}, thing(v=number), thing(v=string)], ids=["silent", "number", "text"])
@pytest.mark.parametrize("tables", ["shared", "per_agent"])
def test_a_value_is_written_as_the_service_wrote_it(
    cloud: Emulator, house: Warehouse, schema: Any, tables: str
) -> None:
    agent = Typed(cloud, "Letters", schema)
    wanted = {}
    for written, value in SPELLED.items():
        (run_id,) = agent.load({"v": "here"}, extraction_metadata={"field_metadata": {"v": LEAF}})
        text = json.dumps(cloud.run(run_id)).replace('"data": {"v": "here"}', f'"data": {{"v": {written}}}')
        assert text.count(f'"data": {{"v": {written}}}') == 1
        cloud.set_raw(run_id, text.encode())
        wanted[run_id] = value
    house.load(data_tables=tables)
    assert {row["_run_id"]: row["data_value"] for row in house.rows(METADATA)} == wanted
    root = "letters" if tables == "per_agent" else DATA
    assert {row["data_table"] for row in house.rows(METADATA) if row["data_value"] is not None} == {root}


DOCUMENT = {
    "a": 1, "b": 1.5, "c": True, "d": "text", "n": None, "long": 12345678901234567890, "due": "2026-01-28",
    "deep": {"er": {"x": 1, "invoiceNumber": "00123"}}, "Net (EUR)": 7.0, "2026": 1, "_dlt_id": "own", "": "empty",
    "tags": ["x", 'a "b"', "1"], "grid": [[1, 2], [3]], "mixed": [1, "a", 2.5, True, None],
    "items": [{"amount": 5, "taxes": [{"rate": 19.5}, {"rate": "a lot"}]}, {"amount": "five", "taxes": []}],
}  # fmt: skip
SCHEMA = thing(
    a=number,
    due=date,
    d=integer,
    c=string,
    tags=listed(string),
    items=listed(thing(amount=number)),
    mixed=listed(boolean),
)


@pytest.mark.parametrize("schema", [{}, SCHEMA], ids=["silent", "declared"])
@pytest.mark.parametrize("tables", ["shared", "per_agent"])
@pytest.mark.parametrize("door", ["sync", "run"])
def test_every_value_is_found_by_its_table_and_column(
    cloud: Emulator, house: Warehouse, door: str, tables: str, schema: Any
) -> None:
    agent = Typed(cloud, "Letters", schema)
    documents = {add(agent, document): document for document in (DOCUMENT, DOCUMENT | {"a": "x", "d": 7}, {"a": True})}
    house.load(data_tables=tables) if door == "sync" else run(house, data_tables=tables)
    assert assert_led_to_values(house, documents) > 50
    tables_named = {row["data_table"] for row in house.rows(METADATA) if row["data_value"] is not None}
    root = "letters" if tables == "per_agent" else DATA
    below = ("", "__tags", "__grid__list", "__mixed", "__items", "__items__taxes")
    assert tables_named == {f"{root}{name}" for name in below}


@pytest.mark.parametrize("target", ["PER_PAGE", "PER_TABLE_ROW"])
@pytest.mark.parametrize("tables", ["shared", "per_agent"])
def test_every_value_of_pages_and_rows_is_found(cloud: Emulator, house: Warehouse, target: str, tables: str) -> None:
    agent = Typed(cloud, "Letters", thing(a=number), config={"extraction_target": target})
    document = [{"a": 1, "tags": ["x", "y"]}, {"a": "two", "rows": [{"b": 1.5}]}, {"a": None}]
    documents = {add(agent, document): document, add(agent, document[:1]): document[:1]}
    house.load(data_tables=tables)
    assert assert_led_to_values(house, documents) == 8
    assert values(house)["1.rows.0.b"] == "1.5"


def test_names_that_become_equal_have_their_own_values_and_one_column(cloud: Emulator, house: Warehouse) -> None:
    """Which of two keys of a row is in the column, and which beside it, is not told."""
    agent = Typed(cloud, "Letters", {})
    documents = {}
    for document in ({"Total": 1, "total": 2}, {"total": 3, "Total": 4}, {"Total": 5}, {"total": "six"}):
        documents[add(agent, document)] = document
    house.load()
    rows = house.rows(METADATA)
    assert {(row["_run_id"], row["field_path"], row["data_value"]) for row in rows} == {
        (run_id, key, str(value)) for run_id, document in documents.items() for key, value in document.items()
    }
    assert {row["data_column"] for row in rows} == {"total"}
    data = {row["_dlt_id"]: row for row in house.rows(DATA)}
    for row in rows:
        beside = [value for name, value in data[row["data_row_id"]].items() if name.startswith("total")]
        assert row["data_value"] in map(str, beside)


def test_a_field_that_is_not_in_the_data_has_no_value(cloud: Emulator, house: Warehouse) -> None:
    agent = Typed(cloud, "Letters", thing(a=number, b=number, items=listed(thing(c=number))))
    tree = {"a": LEAF, "b": LEAF, "gone": LEAF, "items": [{"c": LEAF}, {"c": LEAF}], "reasoning": "why", "error": "no"}
    add(agent, {"a": None, "items": [{"c": 1}]}, tree)
    add(agent, None, {"a": LEAF})
    house.load()
    found = {(row["field_path"], row["data_value"]) for row in house.rows(METADATA)}
    assert found == {("a", None), ("b", None), ("gone", None), ("items.0.c", "1"), ("items.1.c", None), ("", None)}


def test_values_follow_the_data_when_a_run_is_edited(cloud: Emulator, house: Warehouse) -> None:
    agent = Typed(cloud, "Letters", thing(a=number))
    run_id = add(agent, {"a": 1, "tags": ["x"]})
    house.load()
    for document in ({"a": "one", "tags": ["y", "z"]}, {"a": 2.5, "tags": []}):
        cloud.edit_run(run_id, True, data=document, extraction_metadata={"field_metadata": known(document)})
        house.load(full_scan=True)
        assert_led_to_values(house, {run_id: document})
        assert_true(house)


def test_a_text_with_a_null_character_is_the_same_in_both_places(cloud: Emulator, house: Warehouse) -> None:
    agent = Typed(cloud, "Letters", thing(a=string))
    documents = {add(agent, document): document for document in ({"a": "x\u0000y"}, {"a": "plain"})}
    house.load()
    assert_led_to_values(house, documents)
    assert sorted(values_of(house)) == sorted(row["a"] for row in house.rows(DATA))


def values_of(house: Warehouse) -> list[str]:
    return [row["data_value"] for row in house.rows(METADATA)]


def test_switching_the_tables_moves_what_metadata_say(cloud: Emulator, house: Warehouse) -> None:
    agent = Typed(cloud, "Letters", thing(a=number))
    documents = {add(agent, document): document for document in ({"a": 1}, {"a": "x", "tags": ["t"]})}
    for tables, root in (("shared", DATA), ("per_agent", "letters"), ("shared", DATA)):
        house.load(data_tables=tables)
        assert assert_led_to_values(house, documents) == 3
        assert {row["data_table"] for row in house.rows(METADATA)} == {root, f"{root}__tags"}


def test_what_is_known_of_a_whole_run_leads_to_no_column(cloud: Emulator, house: Warehouse) -> None:
    agent = Typed(cloud, "Letters", thing(a=number))
    add(agent, None, {"error": "it went wrong"})
    add(agent, {"a": 1}, {"reasoning": "why", "a": LEAF})
    house.load()
    found = {(row["field_path"], row["data_column"]) for row in house.rows(METADATA)}
    assert found == {("", None), ("a", "a")}
