"""Warehouses that no test can reach: the SQL that dlt makes for our tables, and their habits on databases that we have.

`WRITE_GOLDEN=1 python -m pytest tests/integration/test_warehouses_out_of_reach.py` writes tests/golden anew.
"""

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dlt
import pytest
from dlt.common.schema import Schema
from dlt.common.storages.load_package import ParsedLoadJobFileName
from dlt.destinations.job_client_impl import SqlJobClientBase

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, sync
from llama_extract_dlt.load.destinations.layout import needed_file_format, prepare_destination
from support.places import TESTS
from support.truth import assert_whole
from support.warehouse import Warehouse

GOLDEN = TESTS / "golden"
ADDRESSES: dict[str, dict[str, Any]] = {
    "bigquery": {"credentials": {"project_id": "project", "private_key": "k", "client_email": "loader@example.com"}},
    "clickhouse": {"credentials": "clickhouse://loader:p@127.0.0.1:1/warehouse"},
    "databricks": {
        "credentials": {"server_hostname": "localhost", "http_path": "/p", "access_token": "t", "catalog": "main"}
    },
    "motherduck": {"credentials": "md:warehouse?motherduck_token=t"},
    "redshift": {"credentials": "postgresql://loader:p@127.0.0.1:1/warehouse"},
    "snowflake": {"credentials": {"database": "warehouse", "username": "loader", "password": "p", "host": "account"}},
}


def pipeline_into(warehouse: str, **options: Any) -> dlt.Pipeline:
    destination = getattr(dlt.destinations, warehouse)(**ADDRESSES[warehouse] | options)
    return dlt.pipeline(f"into_{warehouse}", destination=destination, dataset_name="llama_extract")


@pytest.fixture(scope="module")
def schema(tmp_path_factory: pytest.TempPathFactory) -> Schema:
    """The tables that a load of runs of all kinds makes."""
    folder = tmp_path_factory.mktemp("golden")
    with pytest.MonkeyPatch.context() as patch, Emulator(runs=60, seed=7) as cloud:
        patch.setenv("DLT_DATA_DIR", str(folder))
        house = Warehouse(cloud, folder / "warehouse.duckdb")
        house.load()
        house.load(rewrite=True)  # what is new is appended, and what was there before merged
        loaded = house.pipeline.default_schema
        house.close()
        return loaded


def client_of(pipeline: dlt.Pipeline, schema: Schema) -> SqlJobClientBase:
    """What loads the tables, without a connection."""
    destination = pipeline.destination
    config: Any = destination.spec()._bind_dataset_name(dataset_name="llama_extract")
    client: Any = destination.client(schema.clone(), config)
    return client


def sql_of(client: SqlJobClientBase) -> Iterator[str]:
    """What makes each of our tables, and what merges a child table and the table of the runs."""
    for name, table in sorted(client.schema.tables.items()):
        if not name.startswith("_dlt"):
            columns = sorted(table["columns"].values(), key=lambda column: column["name"])
            yield from client._get_table_update_sql(name, columns, generate_alter=False)
    for name in ("extraction_runs__file", "extraction_runs"):
        for job in client._create_merge_followup_jobs([client.prepare_load_table(name)]):
            yield Path(job.new_file_path()).read_text()


@pytest.mark.parametrize("warehouse", sorted(ADDRESSES))
def test_the_sql_for_a_warehouse_is_what_somebody_has_looked_at(schema: Schema, warehouse: str) -> None:
    pipeline = pipeline_into(warehouse)
    prepare_destination(pipeline)
    made = "\n\n".join(" ".join(statement.split(" ")).strip() for statement in sql_of(client_of(pipeline, schema)))
    made = re.sub(r"(?<=_)[0-9a-f]{6,}(?=\W)|(?<=/)[0-9a-f]{12}(?=')", "…", re.sub(r"[ \t]+\n", "\n", made)) + "\n"
    file = GOLDEN / f"{warehouse}.sql"
    if os.environ.get("WRITE_GOLDEN"):
        file.write_text(made)
    assert made == file.read_text()


@pytest.mark.parametrize("warehouse", sorted(ADDRESSES))
def test_a_warehouse_takes_our_columns_from_the_files_that_it_is_given(schema: Schema, warehouse: str) -> None:
    pipeline = pipeline_into(warehouse)
    prepare_destination(pipeline)
    file_format = needed_file_format(pipeline) or "parquet"
    client = client_of(pipeline, schema)
    known = [*client.capabilities.supported_loader_file_formats, *client.capabilities.supported_staging_file_formats]
    assert file_format in known
    jobs = [ParsedLoadJobFileName(name, "1", 0, file_format) for name in schema.tables if not name.startswith("_dlt")]
    assert client.verify_schema(list(schema.tables), jobs)


def types_of(warehouse: str, schema: Schema, data_type: str) -> set[str]:
    """What columns of a type are in the warehouse."""
    pipeline = pipeline_into(warehouse)
    prepare_destination(pipeline)
    client: Any = client_of(pipeline, schema)
    return {
        client.type_mapper.to_destination_type(column, table)
        for table in schema.tables.values()
        for column in table["columns"].values()
        if column.get("data_type") == data_type
    }


@pytest.mark.parametrize(
    ("warehouse", "text"),
    [
        ("bigquery", "STRING"),
        ("clickhouse", "String"),
        ("databricks", "STRING"),
        ("redshift", "varchar(max)"),
        ("snowflake", "VARCHAR"),
    ],
)
def test_json_is_text_where_it_would_be_quoted_in_a_column_for_json(schema: Schema, warehouse: str, text: str) -> None:
    assert types_of(warehouse, schema, "json") == {text}


def test_no_date_is_lost_in_clickhouse(schema: Schema) -> None:
    assert types_of("clickhouse", schema, "date") == {"String"}


def test_what_somebody_has_set_stays() -> None:
    own = dlt.destinations.clickhouse().capabilities().type_mapper
    pipeline = pipeline_into("clickhouse", type_mapper=own)
    prepare_destination(pipeline)
    assert pipeline.destination.capabilities().type_mapper is own


def test_athena_is_refused_before_anything_is_sent(cloud: Emulator) -> None:
    """There, dlt makes no SQL that would merge a table by a key that is not unique in it."""
    pipeline = dlt.pipeline("into_athena", destination="athena", dataset_name="llama_extract")
    with pytest.raises(ConfigurationError, match="with the destination filesystem"):
        prepare_destination(pipeline)


# ── their habits, on databases that we have ───────────────────────────────────────────────────────────────────────


def test_a_warehouse_that_stores_names_in_upper_case_is_loaded_again_and_again(tmp_path: Path) -> None:
    """As Snowflake does."""
    with Emulator(runs=30, seed=7, corpus="invoices") as cloud:
        house = Warehouse(cloud, tmp_path / "warehouse.duckdb")

        def load(**arguments: Any) -> tuple[int, ...]:
            destination = dlt.destinations.duckdb(str(house.path), casefold_identifier=str.upper)
            pipeline = dlt.pipeline("upper", destination=destination, dataset_name="llama_extract")
            report = sync(pipeline, api_key=cloud.api_key, base_url=cloud.base_url, **arguments)
            pipeline.drop()  # the state comes back from the warehouse
            return report.new, report.updated, report.unchanged, report.deleted

        assert load() == (30, 0, 0, 0)
        assert load() == (0, 0, 30, 0)
        first, second, *_ = cloud.runs()
        cloud.edit_run(first["id"], data=None, extraction_metadata=None)
        cloud.delete_run(second["id"])
        assert load(full_scan=True) == (0, 1, 28, 1)
        assert load(full_scan=True) == (0, 0, 29, 0)
        tables = house.sql("select table_name from information_schema.tables where table_name not like '_DLT%'")
        assert all(name == name.upper() for (name,) in tables)
        flagged = house.sql('select id from "EXTRACTION_RUNS" where _deleted_at is not null')
        assert flagged == [(second["id"],)]


def test_rows_as_sql_have_every_value(tmp_path: Path) -> None:
    """That is how Redshift is loaded without a bucket."""
    with Emulator(runs=30, seed=7, corpus="invoices") as cloud:
        house = Warehouse(cloud, tmp_path / "warehouse.duckdb")
        sync(house.pipeline, api_key=cloud.api_key, base_url=cloud.base_url, loader_file_format="insert_values")
        assert_whole(house)
        house.close()
