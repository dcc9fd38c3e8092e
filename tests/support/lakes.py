"""Lakes that a pipeline loads into, read as docs/destinations.md tells users to read them."""

from pathlib import Path
from typing import Any

import dlt
from deltalake import DeltaTable

from llama_cloud_emulator import Emulator
from llama_extract_dlt import open_lake
from support.warehouse import Row, Warehouse, read_tables


class DeltaWarehouse(Warehouse):
    """Delta tables in a folder or a bucket; `storage` is what a Delta reader needs to reach it."""

    def __init__(self, cloud: Emulator, url: str, destination: Any, storage: dict[str, str] | None = None) -> None:
        self.cloud = cloud
        self._url = url
        self._storage = storage
        self.pipeline = dlt.pipeline("llama_extract", destination=destination, dataset_name="llama_extract")
        self._rows: dict[str, list[Row]] = {}

    def load(self, **arguments: Any) -> dict[str, Any]:
        """Loads all that the source has; the source's own counts of it."""
        return super().load(**({"table_format": "delta"} | arguments))

    def _table_names(self) -> list[str]:
        names = self.pipeline.default_schema.data_table_names()
        return [name for name in names if DeltaTable.is_deltatable(self._location(name), self._storage)]

    def _read(self) -> dict[str, list[Row]]:
        return {
            name: DeltaTable(self._location(name), storage_options=self._storage).to_pyarrow_table().to_pylist()
            for name in self._table_names()
        }

    def _location(self, name: str) -> str:
        return f"{self._url}/llama_extract/{name}"


class FilesWarehouse(Warehouse):
    """Parquet files in a folder or a bucket."""

    def __init__(self, cloud: Emulator, destination: Any) -> None:
        self.cloud = cloud
        self.pipeline = dlt.pipeline("llama_extract", destination=destination, dataset_name="llama_extract")
        self._rows: dict[str, list[Row]] = {}

    def _read(self) -> dict[str, list[Row]]:
        with open_lake(self.pipeline) as connection:
            return read_tables(connection, self.pipeline.default_schema.data_table_names())


def delta_in_a_folder(cloud: Emulator, folder: Path) -> DeltaWarehouse:
    """Delta tables in a local folder."""
    return DeltaWarehouse(cloud, str(folder), dlt.destinations.filesystem(str(folder)))
