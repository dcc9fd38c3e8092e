"""SQLite: JSON is there once, moments are the same, also in rows that are written again from what is there."""

import json
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest
import sqlalchemy as sa
from dlt.destinations.impl.sqlalchemy.type_mapper import SqlalchemyTypeMapper

from llama_cloud_emulator import Emulator
from llama_extract_dlt.load.destinations.layout import prepare_destination
from support.sqlite import SqliteWarehouse
from support.truth import deleted
from support.warehouse import Warehouse

CREATED = "2024-02-29T23:30:00.123456+05:30"


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=4, seed=3, corpus="invoices") as emulator:
        run = emulator.runs()[-1]["id"]
        emulator.edit_run(run, created_at=CREATED, novelty={"a": [1.10, "ü", None, {"b": True}]}, data={"at": CREATED})
        yield emulator


@pytest.fixture
def house(cloud: Emulator, tmp_path: Path) -> Iterator[SqliteWarehouse]:
    warehouse = SqliteWarehouse(cloud, tmp_path / "warehouse.db")
    yield warehouse
    warehouse.close()


def json_texts(house: Warehouse, columns: dict[str, list[str]]) -> dict[str, list[Any]]:
    """What is in columns for JSON: their texts."""
    return {
        f"{table}.{name}": sorted(str(row[name]) for row in house.rows(table))
        for table, names in columns.items()
        for name in names
    }


def test_json_is_the_text_that_other_databases_have(house: SqliteWarehouse, cloud: Emulator, tmp_path: Path) -> None:
    house.load()
    columns = {
        name: [column for column, hints in table["columns"].items() if hints.get("data_type") == "json"]
        for name, table in house.pipeline.default_schema.tables.items()
        if name in house.tables()
    }
    assert {"data_schema", "permission_info", "novelty"} <= {name for names in columns.values() for name in names}
    other = Warehouse(cloud, tmp_path / "other.duckdb")
    other.load()
    assert json_texts(house, columns) == json_texts(other, columns)
    agents = {json.dumps(agent["data_schema"], sort_keys=True) for agent in cloud.agents()}
    stored = house.sql("select data_schema from extraction_schemas")
    assert agents <= {json.dumps(json.loads(text), sort_keys=True) for (text,) in stored}
    assert house.sql("select json_type(novelty, '$.a') from extraction_runs where novelty is not null") == [("array",)]
    other.close()


def test_moments_are_in_utc(house: SqliteWarehouse, cloud: Emulator) -> None:
    house.load()
    moments = {row["id"]: row["created_at"] for row in house.rows("extraction_runs")}
    assert moments == {run["id"]: datetime.fromisoformat(run["created_at"]) for run in cloud.runs()}
    query = "select created_at, strftime('%s', created_at) from extraction_runs where novelty is not null"
    seconds = int(datetime.fromisoformat(CREATED).timestamp())
    assert house.sql(query) == [("2024-02-29 18:00:00.123456", str(seconds))]


def test_a_run_that_is_flagged_keeps_what_it_had(house: SqliteWarehouse, cloud: Emulator) -> None:
    house.load()
    (before,) = [row for row in house.rows("extraction_runs") if row["novelty"]]
    cloud.delete_run(before["id"])
    house.load(full_scan=True)
    assert deleted(house) == {before["id"]}
    (after,) = [row for row in house.rows("extraction_runs") if row["novelty"]]
    written = {"_deleted_at", "_dlt_load_id"}
    assert {k: v for k, v in after.items() if k not in written} == {k: v for k, v in before.items() if k not in written}


def test_types_that_somebody_has_set_stay(tmp_path: Path) -> None:
    destination = dlt.destinations.sqlalchemy(f"sqlite:///{tmp_path}/warehouse.db", type_mapper=SqlalchemyTypeMapper)
    pipeline = dlt.pipeline("own", destination=destination, dataset_name="llama_extract")
    prepare_destination(pipeline)
    types: Any = pipeline.destination_client().capabilities.type_mapper  # type: ignore[attr-defined]
    assert types is SqlalchemyTypeMapper


def test_types_other_than_json_are_those_of_the_database() -> None:
    from dlt.destinations.impl.sqlalchemy.type_mapper import MysqlVariantTypeMapper

    from llama_extract_dlt.load.destinations.sql_alchemy import types_with_json_once

    capabilities = dlt.destinations.sqlalchemy("sqlite://").capabilities()
    types: Any = types_with_json_once(MysqlVariantTypeMapper)(capabilities)
    assert type(types.to_destination_type({"data_type": "double"})) is sa.dialects.mysql.DOUBLE  # type: ignore[attr-defined]
