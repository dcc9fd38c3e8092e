"""Locks that keep two loads into one dataset apart."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.job_client_impl import SqlJobClientBase

from ..errors import LlamaExtractError


@contextmanager
def alone(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keeps out other loads into the same dataset: their staging tables are the same.

    A DuckDB file has a lock file beside it, PostgreSQL a lock of its own; for other destinations only loads from this
    machine are kept out.
    """
    destination_type, client = pipeline.destination.destination_type, pipeline.destination_client()
    config: Any = client.config
    # As it is called in the destination, however it is spelt here.
    dataset = client.sql_client.dataset_name if isinstance(client, SqlJobClientBase) else pipeline.dataset_name
    busy = LlamaExtractError(f"another load into the dataset {dataset} is at work: wait for its end")
    with ExitStack() as stack:
        if destination_type.endswith(".postgres"):
            sql: Any = pipeline.sql_client()
            stack.enter_context(sql)
            # It is the database's own lock, belongs to the connection, and ends with it.
            number = int(_digest(dataset)[:15], 16)
            if not sql.execute_sql("SELECT pg_try_advisory_lock(%s)", number)[0][0]:
                raise busy
        elif destination_type.endswith(".duckdb") and config.credentials.database != ":memory:":
            file = Path(config.credentials.database)
            if file.parent.is_dir():  # else DuckDB will say so
                stack.enter_context(only_process(file.with_name(f".{file.name}.lock"), busy))
        else:
            name = f"llama_extract_{_digest(destination_type, config.fingerprint(), dataset)}.lock"
            folder = Path(get_dlt_pipelines_dir())
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(only_process(folder / name, busy))
        yield


def _digest(*parts: str | None) -> str:
    return hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]


@contextmanager
def only_process(lock_file: Path, otherwise: Exception) -> Iterator[None]:
    """Keeps out other processes of this machine; raises `otherwise` when one is in already."""
    # SQLite's lock works everywhere, and ends with the process, however that ends.
    with closing(sqlite3.connect(lock_file, timeout=0, isolation_level=None)) as lock:
        try:
            lock.execute("begin exclusive")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY:
                raise
            raise otherwise from None
        yield
