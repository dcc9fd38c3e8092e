"""The destinations that the contract test runs on, each with a warehouse that reads it as docs/destinations.md says."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import dlt
from dlt.common.storages.configuration import FilesystemConfiguration

from llama_cloud_emulator import Emulator
from support.ducklake import DuckLakeWarehouse, install_extensions
from support.lakes import DeltaWarehouse, FilesWarehouse, delta_in_a_folder
from support.postgres import PostgresServer, PostgresWarehouse
from support.s3 import ObjectStorage
from support.sqlite import SqliteWarehouse
from support.warehouse import Warehouse


class Services:
    """What destinations need: a folder, a PostgreSQL server, object storage; the last two start when asked for."""

    def __init__(self, folder: Path, get: Callable[[str], Any]) -> None:
        self.folder = folder
        self._get = get

    @property
    def postgres(self) -> PostgresServer:
        server: PostgresServer = self._get("server")
        return server

    @property
    def storage(self) -> ObjectStorage:
        storage: ObjectStorage = self._get("storage")
        return storage


def duckdb(services: Services) -> Callable[[Emulator], Warehouse]:
    return lambda cloud: Warehouse(cloud, services.folder / "warehouse.duckdb")


def postgres(services: Services) -> Callable[[Emulator], Warehouse]:
    url = services.postgres.database()
    return lambda cloud: PostgresWarehouse(cloud, url)


def delta(services: Services) -> Callable[[Emulator], Warehouse]:
    return lambda cloud: delta_in_a_folder(cloud, services.folder / "lake")


def delta_on_s3(services: Services) -> Callable[[Emulator], Warehouse]:
    bucket = services.storage.bucket()
    options = bucket.object_store_options()
    return lambda cloud: DeltaWarehouse(cloud, bucket.url, bucket.destination(), options)


def files(services: Services) -> Callable[[Emulator], Warehouse]:
    folder = str(services.folder / "lake")
    return lambda cloud: FilesWarehouse(cloud, dlt.destinations.filesystem(folder))


def files_on_s3(services: Services) -> Callable[[Emulator], Warehouse]:
    bucket = services.storage.bucket()
    return lambda cloud: FilesWarehouse(cloud, bucket.destination())


def ducklake_in_sqlite(services: Services) -> Callable[[Emulator], Warehouse]:
    install_extensions()
    catalog, folder = services.folder / "catalog.sqlite", str(services.folder / "lake")
    attach = f"attach 'ducklake:sqlite:{catalog}' as lake (read_only)"
    return lambda cloud: DuckLakeWarehouse(cloud, f"sqlite:///{catalog}", folder, attach)


def ducklake_in_postgres_on_s3(services: Services) -> Callable[[Emulator], Warehouse]:
    install_extensions()
    url, bucket = services.postgres.database(), services.storage.bucket()
    storage = FilesystemConfiguration(bucket_url=bucket.url, credentials=bucket.credentials())
    attach = f"attach 'ducklake:postgres:{url}' as lake (metadata_schema 'ducklake', read_only)"
    return lambda cloud: DuckLakeWarehouse(cloud, url, storage, attach, bucket.duckdb_secret())


def sqlite(services: Services) -> Callable[[Emulator], Warehouse]:
    return lambda cloud: SqliteWarehouse(cloud, services.folder / "warehouse.db")


DESTINATIONS: dict[str, Callable[[Services], Callable[[Emulator], Warehouse]]] = {
    "DuckDB": duckdb,
    "PostgreSQL": postgres,
    "Delta, local": delta,
    "Delta, S3": delta_on_s3,
    "Parquet files, local": files,
    "Parquet files, S3": files_on_s3,
    "SQLite": sqlite,
    "DuckLake, SQLite catalog, local": ducklake_in_sqlite,
    "DuckLake, PostgreSQL catalog, S3": ducklake_in_postgres_on_s3,
}
"""By the name that the documentation has. Each gives what makes a pipeline into the same dataset, as another machine
would have it."""
