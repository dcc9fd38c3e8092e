"""DuckLakes that a pipeline loads into, read as docs/destinations.md tells users to read them: by DuckDB."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dlt
import duckdb
from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials
from duckdb_extensions import import_extension

from llama_cloud_emulator import Emulator
from support.warehouse import Row, Warehouse, read_tables

EXTENSIONS = ("ducklake", "sqlite_scanner", "postgres_scanner", "httpfs")

ONE_THREAD = {"threads": 1}
"""DuckDB's own are of no use to tables this small, and take as much time again."""


def install_extensions() -> None:
    """Puts DuckDB's extensions where it looks for them, from the packages that have them: nothing is fetched."""
    for name in EXTENSIONS:
        import_extension(name)


class DuckLakeWarehouse(Warehouse):
    """A DuckLake; `attach` is what a reader says to DuckDB, after `secret` if the data is in a bucket."""

    def __init__(self, cloud: Emulator, catalog: str, storage: Any, attach: str, secret: str = "") -> None:
        self.cloud = cloud
        credentials = DuckLakeCredentials(catalog=catalog, storage=storage)
        credentials.global_config = ONE_THREAD
        destination = dlt.destinations.ducklake(credentials)
        self.pipeline = dlt.pipeline("llama_extract", destination=destination, dataset_name="llama_extract")
        self._attach = attach
        self._duckdb = duckdb.connect(config=ONE_THREAD)  # one for all reading: it loads its extensions once
        self._duckdb.execute(f"set timezone = 'UTC'; {secret}")
        self._rows: dict[str, list[Row]] = {}

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._reader() as connection:
            return connection.execute(query).fetchall()

    def _read(self) -> dict[str, list[Row]]:
        with self._reader() as connection:
            return read_tables(connection, self._names(connection))

    def close(self) -> None:
        """Lets go of the pipeline."""
        super().close()
        self._duckdb.close()

    @contextmanager
    def _reader(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A DuckDB with the lake as it is now."""
        self._duckdb.execute(f"{self._attach}; use lake.llama_extract; begin")
        try:
            yield self._duckdb
        finally:
            self._duckdb.execute("rollback; use memory; detach lake")
