"""Databases other than DuckDB whose tables somebody has dropped or changed."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import Agent, fill
from support.destinations import DESTINATIONS, Services
from support.doors import source_of
from support.truth import assert_true
from support.warehouse import DATA, Warehouse

Make = Callable[[str], tuple[Warehouse, Agent]]


@pytest.fixture
def make(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Make]:
    with Emulator(runs=0, corpus="empty") as cloud:

        def make(kind: str) -> tuple[Warehouse, Agent]:
            return DESTINATIONS[kind](Services(tmp_path, request.getfixturevalue))(cloud), Agent(cloud)

        yield make


def execute(house: Warehouse, *statements: str) -> None:
    """Statements in which `|table|` names a table of the dataset."""
    with house.pipeline.sql_client() as client:
        for statement in statements:
            start, name, end = statement.split("|")
            client.execute_sql(f"{start}{client.make_qualified_table_name(name)}{end}")


@pytest.mark.parametrize("kind", ["PostgreSQL", "DuckLake, SQLite catalog, local", "SQLite"])
def test_tables_that_were_dropped_come_back_with_the_next_load(make: Make, kind: str) -> None:
    house, letters = make(kind)
    fill(letters, 7)
    house.load(page_size=5)
    for table in ("extraction_runs", DATA, "_dlt_loads", "_dlt_pipeline_state"):
        execute(house, f"drop table |{table}|")
        house.load(page_size=5)
        assert_true(house)
    execute(house, "drop table |_dlt_loads|")
    sync(house.pipeline, source_of(house), refresh=True)
    house.forget()
    assert_true(house)


def test_columns_that_were_changed_in_postgresql_take_what_fits(make: Make) -> None:
    house, letters = make("PostgreSQL")
    letters.add(data={"n": 1.5})
    house.load()
    execute(
        house,
        f"alter table |{DATA}| add column mine text not null default 'x'",
        f"alter table |{DATA}| alter column n type bigint using 2",
    )
    letters.add(data={"n": 28320.08})
    letters.add(data={"n": 7})
    house.load()
    house.load(rewrite=True)
    assert {row.pop("mine") for row in house.rows(DATA)} == {"x"}
    execute(house, f"alter table |{DATA}| drop column mine")
    assert_true(house)
