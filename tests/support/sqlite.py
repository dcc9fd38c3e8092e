"""A SQLite file that a pipeline loads into by SQLAlchemy, read as docs/destinations.md tells users to read it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime, time
from pathlib import Path
from typing import Any

import dlt

from llama_cloud_emulator import Emulator
from support.warehouse import Row, Warehouse

MEANINGS: dict[str, Callable[[Any], Any]] = {
    "BOOLEAN": {0: False, 1: True}.__getitem__,
    "DATE": date.fromisoformat,
    "DATETIME": lambda text: datetime.fromisoformat(text).replace(tzinfo=UTC),
    "TIME": time.fromisoformat,
}
"""What values of columns that were made as this type say: SQLite has no types of its own for them."""


class SqliteWarehouse(Warehouse):
    """A SQLite database; dlt puts each dataset into a file of its own beside it."""

    def __init__(self, cloud: Emulator, path: Path) -> None:
        self.cloud = cloud
        self.path = path.with_stem(f"{path.stem}__llama_extract")
        destination = dlt.destinations.sqlalchemy(f"sqlite:///{path}")
        self.pipeline = dlt.pipeline("llama_extract", destination=destination, dataset_name="llama_extract")
        self._rows: dict[str, list[Row]] = {}

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with closing(sqlite3.connect(self.path)) as connection:
            return connection.execute(query).fetchall()

    def _table_names(self) -> list[str]:
        query = "select name from sqlite_master where type = 'table' and name not like '\\_dlt%' escape '\\' order by 1"
        return [name for (name,) in self.sql(query)]

    def _read(self) -> dict[str, list[Row]]:
        found = {}
        for table in self._table_names():
            columns = [(name, MEANINGS.get(kind, lambda value: value)) for _, name, kind, *_ in self._columns(table)]
            found[table] = [
                {
                    name: None if value is None else meaning(value)
                    for (name, meaning), value in zip(columns, row, strict=True)
                }
                for row in self.sql(f'select * from "{table}"')
            ]
        return found

    def _columns(self, table: str) -> list[tuple[Any, ...]]:
        return self.sql(f'pragma table_info("{table}")')
