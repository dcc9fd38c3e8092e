"""Keeping other loads out of a dataset: which lock a destination has, and how long a load needs it."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, ref

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient
from dlt.destinations.job_client_impl import SqlJobClientBase

from ..destinations.duckdb_file import keep_duckdb_open
from ..destinations.ducklake import ducklake_catalog, open_ducklake_once
from ..dlt_inside import PassingCollector, database_file
from .files import FileLock
from .objects import ObjectLock
from .postgres import PostgresLock
from .waiting import Lock, held

_LOCKS: WeakKeyDictionary[dlt.Pipeline, Lock] = WeakKeyDictionary()
"""The locks of the pipelines that are loading."""


@contextmanager
def alone(pipeline: dlt.Pipeline, wait: float, on_wait: Callable[[str], object] | None = None) -> Iterator[Lock]:
    """Keeps out other loads into the same dataset, whose staging tables are the same; waits for one to end.

    A DuckLake is opened once meanwhile.

    Raises DatasetBusyError if one is still at work after `wait` seconds.
    """
    lock, dataset = _lock_of(pipeline)
    with held(lock, f"the dataset {dataset}", wait, on_wait), open_ducklake_once(pipeline):
        _LOCKS[pipeline] = lock
        try:
            yield lock
        finally:
            _LOCKS.pop(pipeline, None)  # it may be collected already


def keep_alone(pipeline: dlt.Pipeline, wait: float) -> None:
    """Keep out other loads as `alone` does, where nobody has called that, until what dlt is doing has ended.

    That is `pipeline.run`, or one of its steps; when `pipeline.load` loads later what was extracted now, others are
    kept out again.
    """
    with _guarding:
        if pipeline in _LOCKS:
            return
        if not isinstance(pipeline.collector, _Guard):
            pipeline.collector = _Guard(pipeline, wait)
        guard = pipeline.collector
    guard.begin()


_guarding = threading.Lock()


class _Guard(PassingCollector):
    """Has the lock from `begin`, or from the beginning of a load, to the end of what the pipeline is doing."""

    def __init__(self, pipeline: dlt.Pipeline, wait: float) -> None:
        super().__init__(pipeline.collector)
        self._pipeline = ref(pipeline)
        self._wait = wait
        self._lock = ExitStack()
        self._beginning = threading.Lock()
        self._ends_with_step = False

    def begin(self) -> None:
        pipeline = self._pipeline()
        assert pipeline is not None
        with self._beginning:
            if pipeline not in _LOCKS:
                self._lock.enter_context(alone(pipeline, self._wait))

    def _start(self, step: str) -> None:
        if step.startswith("Load ") and (pipeline := self._pipeline()) is not None:
            keep_alone(pipeline, self._wait)
            keep_duckdb_open(pipeline, self._lock)
            self._ends_with_step = not pipeline.config.enable_runtime_trace  # nobody tells when all has ended
        super()._start(step)

    def _stop(self) -> None:
        super()._stop()
        if self._ends_with_step:
            self._ends_with_step = False
            self._lock.close()

    def on_end_trace(self, *args: Any) -> None:
        """Let others in."""
        self._lock.close()
        self._given.on_end_trace(*args)


def keeps_out_everybody(pipeline: dlt.Pipeline) -> bool:
    """Return whether the dataset's lock is the destination's own, which ends with whoever has it."""
    return pipeline.destination.destination_type.endswith(".postgres")


# ── which lock ────────────────────────────────────────────────────────────────────────────────────────────────────


def _lock_of(pipeline: dlt.Pipeline) -> tuple[Lock, str]:
    """Return the lock of the pipeline's dataset, and what the dataset is called in the destination.

    PostgreSQL has a lock of its own, an S3 bucket an object, a file of DuckDB, of SQLite or of a DuckLake's catalog,
    and a local folder a lock file beside it. For other destinations only loads from this machine are kept out, by a
    lock file in dlt's folder for pipelines.
    """
    client = pipeline.destination_client()
    config: Any = client.config
    kind = pipeline.destination.destination_type.rpartition(".")[2]
    # As it is called in the destination, however it is spelt here.
    dataset = (client.sql_client.dataset_name if isinstance(client, SqlJobClientBase) else pipeline.dataset_name) or ""
    number = int(_digest(dataset)[:15], 16)
    if kind == "postgres":
        return PostgresLock(pipeline.sql_client, number), dataset
    if kind == "ducklake" and (connect := ducklake_catalog(config)) is not None:
        return PostgresLock(connect, number), dataset
    if (file := database_file(pipeline)) is not None and file.parent.is_dir():  # else the database will say so
        return FileLock(file.with_name(f".{file.name}.lock")), dataset
    if isinstance(client, FilesystemClient):
        folder = f"{client.bucket_path.rstrip('/')}/.llama_extract_locks/{dataset}.lock"
        if client.is_local_filesystem:
            return FileLock(Path(folder)), dataset
        if config.protocol in ("s3", "s3a"):
            return ObjectLock(client.fs_client, folder), dataset
    name = f"llama_extract_{_digest(kind, config.fingerprint(), dataset)}.lock"
    return FileLock(Path(get_dlt_pipelines_dir(), name)), dataset


def _digest(*parts: str | None) -> str:
    return hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]
