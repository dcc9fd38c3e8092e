"""What destinations need so that this source's tables load right there: defaults, and refusals in one line.

DuckDB, PostgreSQL and MotherDuck need nothing, nor does Databricks. What was checked where is in docs/destinations.md.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, Literal, NamedTuple

import dlt
from dlt.common.schema import Schema
from dlt.destinations.impl.bigquery.factory import BigQueryTypeMapper
from dlt.destinations.impl.clickhouse.factory import ClickHouseTypeMapper
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.destinations.impl.redshift.factory import RedshiftTypeMapper
from dlt.destinations.impl.snowflake.factory import SnowflakeTypeMapper

from ...errors import ConfigurationError
from ...tables.build import without_nul
from ...tables.contract import RUNS, LoadTable, without_tombstones
from ..dlt_inside import configuration_of, duckdb_file, load_files_without_rows, loads_by_adbc
from .delta import replace_by_key_in_delta_tables
from .ducklake import prepare_ducklake
from .lakes import Lake, TableFormat

FileFormat = Literal["parquet", "jsonl", "insert_values"]

# Arrow has no type for JSON, so it is loaded as text. A column of these warehouses that is made for JSON would take the
# text for a JSON string, with the document quoted inside; and BigQuery loads no such column from Parquet at all. As in
# Databricks and ClickHouse it is text, which their functions for JSON parse.


class BigQueryTypes(BigQueryTypeMapper):
    """JSON is text, which Parquet may have, too."""

    sct_to_unbound_dbt = BigQueryTypeMapper.sct_to_unbound_dbt | {"json": "STRING"}

    def ensure_supported_type(self, *_: Any) -> None:
        """Refuses nothing."""


class SnowflakeTypes(SnowflakeTypeMapper):
    """JSON is text."""

    sct_to_unbound_dbt = SnowflakeTypeMapper.sct_to_unbound_dbt | {"json": "VARCHAR"}


class RedshiftTypes(RedshiftTypeMapper):
    """JSON is text."""

    sct_to_unbound_dbt = RedshiftTypeMapper.sct_to_unbound_dbt | {"json": "varchar(max)"}


class ClickHouseTypes(ClickHouseTypeMapper):
    """Dates are text: `Date` begins in 1970, `Date32` in 1900, and both end before 9999-12-31.

    A date of birth would become 1970-01-01.
    """

    sct_to_unbound_dbt = ClickHouseTypeMapper.sct_to_unbound_dbt | {"date": "String"}


TYPES = {
    "bigquery": BigQueryTypes,
    "clickhouse": ClickHouseTypes,
    "redshift": RedshiftTypes,
    "snowflake": SnowflakeTypes,
}


def prepare_destination(pipeline: dlt.Pipeline) -> None:
    """Let the destination load right; what its maker has set, with `type_mapper=...` say, stays.

    Raises ConfigurationError if it would load wrong.
    """
    destination, kind = pipeline.destination, _kind(pipeline)
    _check_address(pipeline, kind)
    if kind in TYPES:
        destination.caps_params.setdefault("type_mapper", TYPES[kind])
    if kind == "ducklake":
        prepare_ducklake()
        # Each table is a commit of the lake, and of those that come at the same time all but one are made again.
        destination.caps_params.setdefault("loader_parallelism_strategy", "sequential")
    if kind == "sqlalchemy" and "type_mapper" not in destination.caps_params:
        capabilities: Any = pipeline.destination_client().capabilities
        from .sql_alchemy import types_with_json_once  # which needs SQLAlchemy

        destination.caps_params["type_mapper"] = types_with_json_once(capabilities.type_mapper)
    if preferred := destination.caps_params.get("preferred_table_format"):
        raise ConfigurationError(
            f"preferred_table_format of the destination {destination.destination_name} is {preferred!r}: leave it out, "
            "and set table_format = 'delta' of the source for Delta tables; Iceberg tables are not made"
        )
    if kind == "athena":
        raise ConfigurationError(
            "dlt cannot replace the rows of a run in Athena, neither in its own tables nor in Iceberg's: load Delta "
            "tables into the bucket, which Athena reads, with the destination filesystem"
        )


def _check_address(pipeline: dlt.Pipeline, kind: str) -> None:
    """Refuse an address that something else would be made of, or an error with the password in it."""
    if kind in ("postgres", "redshift"):
        scheme = getattr(configuration_of(pipeline).credentials, "drivername", "postgresql")
        if scheme not in ("postgresql", "postgres"):
            raise ConfigurationError(
                f"the credentials of the destination {pipeline.destination.destination_name} begin with {scheme}://: "
                "they must begin with postgresql://"
            )
    elif (file := duckdb_file(pipeline)) is not None and file.name.startswith("md:"):
        raise ConfigurationError(
            "the destination duckdb would take an address that begins with md: for the name of a file: take the "
            "destination motherduck"
        )


class Layout(NamedTuple):
    """How a destination takes tables."""

    file_format: FileFormat | None = None
    """Of the files that they are loaded from, where dlt's own choice will not do."""
    kept_in: Literal["files", "delta"] | None = None
    """In a lake: whether in files that are only added to, or in Delta tables."""
    no_nul: bool = False
    """Whether texts cannot have the character NUL."""

    def finish(self, table: LoadTable) -> LoadTable:
        """Return the table as the destination takes it."""
        if self.no_nul:
            table.data = without_nul(table.data)
        if self.kept_in == "files" and table.is_child:
            table.data = without_tombstones(table.data)  # rows that the run's next load does not repeat do not count
        table.file_format, table.kept_in = self.file_format, self.kept_in
        return table


def layout_of(
    pipeline: dlt.Pipeline, client: Any, table_format: TableFormat | None, dropped: Collection[str]
) -> tuple[Layout, Any]:
    """Return how the pipeline's destination takes tables, and whom to ask what it holds: `client`, or a lake.

    `dropped` are tables that go before the load. Raises ConfigurationError if the destination has the tables in another
    format, cannot have them in this one, or if their schema, which may be imported, says another.
    """
    if isinstance(client, FilesystemClient):
        lake = Lake(client, table_format)
        if RUNS not in dropped and (there := lake.stored_format()) not in (None, table_format or "files"):
            kind = "Delta tables" if there == "delta" else "Parquet files"
            raise ConfigurationError(
                f"the dataset {client.dataset_name} has {kind}, and table_format is {table_format or 'not set'}: "
                "set it as it was, or take another dataset"
            )
        _check_formats(client.schema, table_format, dropped)
        if table_format is None and "{load_id}" not in client.config.layout:
            raise ConfigurationError(
                f"the layout {client.config.layout!r} of the destination filesystem lacks {{load_id}}, by which the "
                "newest rows of a run are told: add it, or take table_format = 'delta'"
            )
        if table_format == "delta":
            replace_by_key_in_delta_tables()
        return Layout("parquet", table_format or "files"), lake
    if table_format:
        kind = pipeline.destination.destination_name
        raise ConfigurationError(f"table_format is for the destination filesystem: leave it out for {kind}")
    _check_formats(client.schema, None, dropped)
    no_nul = pipeline.destination.destination_type.endswith(("postgres", "redshift"))
    return Layout(needed_file_format(pipeline), no_nul=no_nul), client


def _check_formats(schema: Schema, table_format: TableFormat | None, dropped: Collection[str]) -> None:
    for name, table in schema.tables.items():
        if name not in dropped and (said := table.get("table_format")) not in (None, "native", table_format):
            raise ConfigurationError(
                f"the schema {schema.name} has table_format {said!r} for {name}: leave it out there, and set "
                "table_format = 'delta' of the source for Delta tables; Iceberg tables are not made"
            )


def needed_file_format(pipeline: dlt.Pipeline) -> FileFormat | None:
    """Return how tables must be loaded where dlt's own choice will not do.

    In CSV, dlt's choice for PostgreSQL, an empty text is the same as none. And whichever door makes a table, the column
    for JSON must be one that Parquet can be loaded into. ClickHouse refuses Parquet whose dates its own types do not
    hold, even for a column of text. For Redshift without a staging bucket dlt has no other choice, and says so at every
    table unless it is told.
    """
    kind = _kind(pipeline)
    if kind == "clickhouse":
        return "jsonl"
    if kind == "redshift" and not pipeline.staging:
        return "insert_values"
    if kind == "postgres" and loads_by_adbc():
        load_files_without_rows()
        return "parquet"
    return None


def _kind(pipeline: dlt.Pipeline) -> str:
    return pipeline.destination.destination_type.rpartition(".")[2]
