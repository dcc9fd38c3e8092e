"""A database that the version before has loaded gets the new tables and columns by itself; a rewrite fills them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.before import restore, served
from support.doors import run
from support.tables import assert_led_to_values, columns
from support.truth import assert_true
from support.warehouse import METADATA, Warehouse

NEW = {"extraction_runs": {"agent_name", "file_name", "_deleted_at"}, METADATA: {"data_value", "data_table"}}
DOORS: dict[str, Callable[..., Any]] = {
    "sync": Warehouse.load,
    "run": run,
    "chunks": lambda house, **given: house.load(chunk_size=5, **given),
}


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with served() as cloud:
        yield cloud


@pytest.fixture
def house(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> Warehouse:
    house = warehouse(cloud)
    restore(house.path)
    return house


def fresh(house: Warehouse) -> Warehouse:
    house.pipeline.drop()
    house.close()
    return Warehouse(house.cloud, house.path.with_name("fresh.duckdb"))


@pytest.mark.parametrize("door", DOORS)
def test_the_next_load_brings_the_new_tables_and_columns(house: Warehouse, door: str) -> None:
    before = columns(house)
    assert not before["extraction_runs"].keys() & {"agent_name", "file_name"}
    DOORS[door](house, full_scan_every=0, lookup_files=False)
    after = columns(house)
    for table, names in NEW.items():
        assert after[table].keys() >= names
    house = fresh(house)
    DOORS[door](house, lookup_files=False)
    wanted = columns(house)
    missing = {table: set(kinds) - set(after.get(table, {})) for table, kinds in wanted.items()}
    # A column keeps its type, so that values may be in other variants than in a new database.
    assert {table: names for table, left in missing.items() if (names := {n for n in left if "__v_" not in n})} == {}
    for table, kinds in before.items():
        assert {name: after[table][name] for name in kinds} == kinds


@pytest.mark.parametrize("door", DOORS)
def test_a_rewrite_fills_them(cloud: Emulator, house: Warehouse, door: str) -> None:
    DOORS[door](house, rewrite=True, lookup_files=False)
    assert_true(house)
    assert assert_led_to_values(house, {one["id"]: one["data"] for one in cloud.runs()}) > 100
    again = house.content()
    house.load(full_scan=True, lookup_files=False)
    assert house.content() == again


def test_what_is_new_after_the_upgrade_has_its_names_without_a_rewrite(cloud: Emulator, house: Warehouse) -> None:
    agent = cloud.agents()[0]
    added = cloud.add_run(agent["id"])
    house.load(full_scan_every=0, lookup_files=False)
    (row,) = [row for row in house.rows("extraction_runs") if row["id"] == added["id"]]
    assert row["agent_name"] == agent["name"]
    assert any(one["data_value"] for one in house.rows(METADATA) if one["_run_id"] == added["id"])
