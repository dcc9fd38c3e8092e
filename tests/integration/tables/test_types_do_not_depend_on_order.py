"""Agents whose schemas disagree: the same tables, columns, types and values, in whatever order they come."""

from itertools import permutations
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.doors import run
from support.tables import (
    BIGINT,
    BOOL,
    DATE,
    DOUBLE,
    STAMP,
    TEXT,
    TIME,
    Typed,
    assert_same,
    beside,
    boolean,
    columns,
    date,
    declared,
    everything,
    integer,
    listed,
    moment,
    number,
    string,
    thing,
    time,
)
from support.truth import assert_nothing_doubled
from support.warehouse import DATA, Warehouse

KINDS = {"n": number, "i": integer, "s": string, "b": boolean, "d": date, "m": moment, "t": time}
# What the three agents declare (`o` for nothing), and the type of the column.
RULES = {
    "nsi": DOUBLE, "ins": DOUBLE, "iin": DOUBLE, "nii": DOUBLE, "iss": BIGINT, "sib": BIGINT, "dis": BIGINT,
    "mdt": STAMP, "dmt": STAMP, "tdm": STAMP, "sms": STAMP, "bmd": STAMP, "dts": DATE, "tds": DATE, "bsd": DATE,
    "tbs": TIME, "sbt": TIME, "bss": BOOL, "ssb": BOOL, "sss": TEXT, "osn": DOUBLE, "sot": TIME, "bos": BOOL,
    "ood": DATE, "tnm": DOUBLE, "bmn": DOUBLE, "bib": BIGINT,
}  # fmt: skip
VALUES = {"n": 1.5, "i": 7, "s": "a text", "b": True, "d": "2026-01-28", "m": "2026-01-28T08:00:00Z", "t": "08:30:00"}
NAMES = ["First", "Second", "Third"]


def schema_of(place: int) -> Any:
    fields = {f"f_{rule}": KINDS[rule[place]] for rule in RULES if rule[place] != "o"}
    shape = [thing(a=integer), string, listed(integer)][place]
    return thing(**fields, deep=thing(**fields), rows=listed(thing(**fields)), odd=shape)


def data_of(place: int) -> Any:
    fields = {f"f_{rule}": VALUES[rule[place]] for rule in RULES if rule[place] != "o"}
    shape = [{"a": 1}, "text", [1, 2]][place]
    return {**fields, "deep": fields, "rows": [fields, {}], "odd": shape}


@pytest.fixture
def three(cloud: Emulator) -> list[Typed]:
    agents = [Typed(cloud, name, schema_of(place)) for place, name in enumerate(NAMES)]
    for place, agent in enumerate(agents):
        agent.load(data_of(place), {}, data_of(place))
        agent.add(1, data={"f_nsi": VALUES["nsi"[place]]})
    return agents


def assert_rules(house: Warehouse, table: str = DATA, prefix: str = "") -> None:
    found = columns(house)[table]
    assert {rule: found.get(f"{prefix}f_{rule}") for rule in RULES} == RULES


def test_the_type_of_a_column_follows_the_rule(three: list[Typed], house: Warehouse) -> None:
    house.load()
    assert_rules(house)
    assert_rules(house, prefix="deep__")
    assert_rules(house, f"{DATA}__rows")
    assert house.sql(f"select sum(f_nsi), count(f_nsi__v_text) from {DATA}") == [(3 * 1.5 + 3 * 7, 3)]


def test_all_orders_and_ways_of_loading_give_the_same(three: list[Typed], house: Warehouse) -> None:
    house.load(agents=NAMES)
    wanted = everything(house)
    for names in permutations(NAMES):
        house = beside(house, "".join(names))
        for name in names:
            house.load(agents=[name])
            assert_rules_of(house, names[: names.index(name) + 1])
        assert_same(wanted, everything(house))
        assert_nothing_doubled(house)


def assert_rules_of(house: Warehouse, names: tuple[str, ...]) -> None:
    """The columns of the agents that are loaded have their types, and there are no others."""
    places = [NAMES.index(name) for name in names]
    wanted = {f"f_{rule}": kind for rule, kind in RULES.items() if any(rule[place] != "o" for place in places)}
    found = declared(house, DATA)
    assert {name: kind for name, kind in found.items() if name.startswith("f_") and "__v_" not in name} == wanted


WAYS: dict[str, dict[str, Any]] = {
    "chunks of 1": {"chunk_size": 1},
    "chunks of 5": {"chunk_size": 5},
    "pages of 1": {"page_size": 1},
    "chunks and pages": {"chunk_size": 2, "page_size": 2},
    "one after the other": {"max_concurrency": 1},
}


@pytest.mark.parametrize("order", ["oldest", "shuffled"])
def test_chunks_and_pages_give_the_same(three: list[Typed], house: Warehouse, order: str) -> None:
    run(house)
    wanted = everything(house)
    house.cloud.order = order
    for way, given in WAYS.items():
        house = beside(house, way)
        house.load(**given)
        assert_same(wanted, everything(house))


def test_runs_that_are_asked_for_by_id_give_the_same(three: list[Typed], house: Warehouse) -> None:
    house.load()
    wanted = everything(house)
    house = beside(house, "other")
    ids = sorted(one["id"] for one in house.cloud.runs())
    for place in range(0, len(ids), 5):
        run(house, run_ids=ids[place : place + 5])
    assert_same(wanted, everything(house))


@pytest.mark.parametrize("backwards", [False, True])
def test_tables_of_each_agent_have_the_agents_own_types(three: list[Typed], house: Warehouse, backwards: bool) -> None:
    for name in NAMES[::-1] if backwards else NAMES:
        house.load(agents=[name], data_tables="per_agent")
    own = {"n": DOUBLE, "i": BIGINT, "s": TEXT, "b": BOOL, "d": DATE, "m": STAMP, "t": TIME}
    for place, name in enumerate(NAMES):
        wanted = {f"f_{rule}": own[rule[place]] for rule in RULES if rule[place] != "o"}
        found = declared(house, name.lower())
        assert {column: kind for column, kind in found.items() if column.startswith("f_")} == wanted


def test_values_without_a_schema_do_not_take_the_type_of_a_declared_column(cloud: Emulator, house: Warehouse) -> None:
    silent = Typed(cloud, "Silent", {})
    Typed(cloud, "Invoices", thing(total=number, due=date)).load({"total": 1, "due": "2026-01-28"})
    silent.load({"total": "a lot", "due": 5})
    wanted: Any = None
    for names in (["Silent", "Invoices"], ["Invoices", "Silent"]):
        house = beside(house, names[0])
        for name in names:
            house.load(agents=[name])
        found = declared(house, DATA)
        assert found == {"total": DOUBLE, "total__v_text": TEXT, "due": DATE, "due__v_bigint": BIGINT}
        wanted = wanted or everything(house)
        assert_same(wanted, everything(house))


def test_older_schemas_of_runs_do_not_take_the_type_of_a_declared_column(cloud: Emulator, house: Warehouse) -> None:
    invoices = Typed(cloud, "Invoices", thing(total=number))
    invoices.load({"total": "a lot"}, data_schema=thing(total=string))
    claims = Typed(cloud, "Claims", thing(total=boolean, n=integer))
    claims.load({"total": "2026-01-28"}, data_schema=thing(total=date))
    claims.load({"total": True, "n": 1})
    found = []
    for name in ("Invoices", "Claims"):
        house = beside(house, name)
        house.load(agents=[name])
        house.load()
        assert declared(house, DATA)["total"] == DOUBLE
        found.append(everything(house))
    assert found[0] == found[1]


def test_within_a_schema_text_beside_anything_else_is_text(cloud: Emulator, house: Warehouse) -> None:
    Typed(cloud, "One", thing(grade={"anyOf": [number, string]}, on={"type": ["string", "boolean", "null"]}))
    house.load()
    assert declared(house, DATA) == {"grade": TEXT, "on": TEXT}
