"""What the schemas of the loaded agents declare are tables and columns from the start, with their types."""

from collections.abc import Callable
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import Agent
from support.doors import pipeline_of, run, source_of
from support.tables import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    STAMP,
    TEXT,
    TIME,
    Typed,
    boolean,
    columns,
    date,
    declared,
    integer,
    listed,
    moment,
    number,
    string,
    thing,
    time,
)
from support.truth import assert_true
from support.warehouse import DATA, Warehouse

INVOICE = thing(
    number=string,
    total=number,
    pages=integer,
    paid=boolean,
    due=date,
    received_at=moment,
    at={"anyOf": [time, {"type": "null"}]},
    grade={"anyOf": [number, string]},
    share={"type": ["integer", "number"]},
    vendor=thing(name=string, address=thing(zipCode=string)),
    tags=listed(string),
    line_items=listed(thing(amount=number, taxes=listed(thing(rate=number, steps=listed(integer))))),
    scores=listed(listed(integer)),
)
ROOT = {"number": TEXT, "total": DOUBLE, "pages": BIGINT, "paid": BOOL, "due": DATE, "received_at": STAMP, "at": TIME}
ROOT |= {"grade": TEXT, "share": DOUBLE, "vendor__name": TEXT, "vendor__address__zip_code": TEXT}
LISTS = {
    "__tags": {"value": TEXT},
    "__line_items": {"amount": DOUBLE},
    "__line_items__taxes": {"rate": DOUBLE},
    "__line_items__taxes__steps": {"value": BIGINT},
    "__scores": {},
    "__scores__list": {"value": BIGINT},
}

DOORS: dict[str, Callable[..., Any]] = {
    "sync": Warehouse.load,
    "run": run,
    "another name": lambda house, **given: sync(pipeline_of(house, "another"), source_of(house, **given)),
    "chunks": lambda house, **given: house.load(chunk_size=1, **given),
}


@pytest.fixture
def invoices(cloud: Emulator) -> Typed:
    return Typed(cloud, "Invoices", INVOICE)


def assert_declared(house: Warehouse, root: str = DATA, table: dict[str, str] = ROOT) -> None:
    assert declared(house, root) == table
    found = columns(house)
    assert {name for name in found if name.startswith(f"{root}__")} == {f"{root}{name}" for name in LISTS}
    for name, wanted in LISTS.items():
        assert declared(house, f"{root}{name}") == wanted


@pytest.mark.parametrize("door", DOORS)
def test_an_agent_without_runs_has_all_its_tables_and_columns(invoices: Typed, house: Warehouse, door: str) -> None:
    DOORS[door](house)
    assert_declared(house)


@pytest.mark.parametrize("door", DOORS)
def test_runs_without_values_have_all_columns(invoices: Typed, house: Warehouse, door: str) -> None:
    invoices.load({}, {"total": None, "tags": [], "line_items": None}, None, [])
    invoices.add(1, "ERROR", data=None)
    DOORS[door](house)
    assert_declared(house)
    assert len(house.rows("extraction_runs")) == 5


@pytest.mark.parametrize("door", DOORS)
def test_tables_of_an_agent_have_all_columns(invoices: Typed, house: Warehouse, door: str) -> None:
    DOORS[door](house, data_tables="per_agent")
    assert_declared(house, "invoices")
    invoices.load({"total": 1.5})
    DOORS[door](house, data_tables="per_agent")
    assert_declared(house, "invoices")
    assert [row["total"] for row in house.rows("invoices")] == [1.5]


def test_only_the_agents_that_are_named_have_columns(invoices: Typed, house: Warehouse) -> None:
    Typed(house.cloud, "Claims", thing(claimant=string, parts=listed(integer))).load({"claimant": "A"})
    house.load(agents=["Invoices"])
    assert_declared(house)
    house.load(agents=["Claims"])
    assert declared(house, DATA) == ROOT | {"claimant": TEXT}
    assert declared(house, f"{DATA}__parts") == {"value": BIGINT}


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
@pytest.mark.parametrize("chosen", ["run_ids", "job_ids"])
def test_runs_that_are_asked_for_bring_the_columns_of_their_agent(
    invoices: Typed, house: Warehouse, chosen: str, tables: str
) -> None:
    Typed(house.cloud, "Claims", thing(claimant=string, parts=listed(integer))).load({"claimant": "A"})
    (run_id,) = invoices.load({"total": 3}, job_id="6f1b0c52-8d1e-4c77-9a30-5a0f4be1c0d1")
    wanted = {"run_ids": run_id, "job_ids": "6f1b0c52-8d1e-4c77-9a30-5a0f4be1c0d1"}[chosen]
    house.load(**{chosen: [wanted]}, data_tables=tables)
    root = "invoices" if tables == "per_agent" else DATA
    assert_declared(house, root)
    assert [row["total"] for row in house.rows(root)] == [3.0]


def test_a_run_that_was_written_with_an_older_schema_gets_the_agents_columns(invoices: Typed, house: Warehouse) -> None:
    (run_id,) = invoices.load({"old": 1}, data_schema=thing(old=integer))
    house.load(run_ids=[run_id])
    assert_declared(house, table=ROOT | {"old": BIGINT})


@pytest.mark.parametrize("door", DOORS)
def test_an_agent_that_is_added_later_brings_its_columns(invoices: Typed, house: Warehouse, door: str) -> None:
    DOORS[door](house)
    Typed(house.cloud, "Claims", thing(claimant=string, filed=date, parts=listed(thing(name=string))))
    DOORS[door](house)
    assert declared(house, DATA) == ROOT | {"claimant": TEXT, "filed": DATE}
    assert declared(house, f"{DATA}__parts") == {"name": TEXT}


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
@pytest.mark.parametrize("door", DOORS)
def test_a_field_that_is_added_to_a_schema_is_a_column_with_the_next_load(
    invoices: Typed, house: Warehouse, door: str, tables: str
) -> None:
    invoices.load({"total": 1})
    DOORS[door](house, data_tables=tables)
    more = INVOICE["properties"] | {"iban": string, "paid_on": date, "notes": listed(string)}
    invoices.change(thing(**more))
    DOORS[door](house, data_tables=tables)
    root = "invoices" if tables == "per_agent" else DATA
    assert declared(house, root) == ROOT | {"iban": TEXT, "paid_on": DATE}
    assert declared(house, f"{root}__notes") == {"value": TEXT}
    invoices.load({"iban": "CH93", "paid_on": "2026-01-28", "notes": ["a"]})
    DOORS[door](house, data_tables=tables)
    assert declared(house, root) == ROOT | {"iban": TEXT, "paid_on": DATE}


def test_a_column_whose_values_all_went_to_a_variant_is_there(invoices: Typed, house: Warehouse) -> None:
    invoices.load({"total": "a lot", "due": "soon", "line_items": [{"amount": True}], "pages": 2.5})
    house.load()
    (row,) = house.rows(DATA)
    assert (row["total"], row["total__v_text"], row["due"], row["due__v_text"]) == (None, "a lot", None, "soon")
    assert (row["pages"], row["pages__v_double"]) == (None, 2.5)
    (item,) = house.rows(f"{DATA}__line_items")
    assert (item["amount"], item["amount__v_bool"]) == (None, True)
    found = declared(house, DATA)
    assert {name: found[name] for name in ROOT} == ROOT


@pytest.mark.parametrize("door", DOORS)
def test_columns_keep_their_types_when_values_come(invoices: Typed, house: Warehouse, door: str) -> None:
    DOORS[door](house)
    invoices.load({"total": 7, "pages": 2, "number": "00123", "due": "2026-01-28", "share": 1, "at": "08:30:00"})
    invoices.load({"received_at": "2026-01-28T08:00:00Z", "tags": ["a"], "scores": [[1, 2], [3]], "paid": True})
    invoices.load({"line_items": [{"amount": 5, "taxes": [{"rate": 19, "steps": [1]}]}], "grade": "1.5"})
    DOORS[door](house)
    assert_declared(house)
    assert_true(house)


def test_agents_that_cannot_be_read_do_not_keep_the_others_columns_away(invoices: Typed, house: Warehouse) -> None:
    hidden = Agent(house.cloud, "Hidden")
    house.cloud.hide_agent(hidden.id)
    house.load()
    assert_declared(house)


@pytest.mark.parametrize("target", ["PER_PAGE", "PER_TABLE_ROW"])
def test_rows_of_pages_and_tables_have_all_columns(house: Warehouse, target: str) -> None:
    agent = Typed(house.cloud, "Invoices", INVOICE, config={"extraction_target": target})
    house.load()
    assert_declared(house)
    agent.load([{"total": 1}, {"total": 2, "tags": ["a"]}])
    house.load()
    assert_declared(house)
