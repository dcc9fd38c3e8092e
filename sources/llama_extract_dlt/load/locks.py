"""Locks that keep two loads into one dataset apart."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.destinations.job_client_impl import SqlJobClientBase

from ..errors import LlamaExtractError
from .dlt_inside import duckdb_file


@contextmanager
def alone(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keeps out other loads into the same dataset: their staging tables are the same.

    A DuckDB file has a lock file beside it, PostgreSQL a lock of its own; for other destinations only loads from this
    machine are kept out, by a lock file in dlt's folder for pipelines.
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
        elif (file := duckdb_file(pipeline)) is not None:
            if file.parent.is_dir():  # else DuckDB will say so
                stack.enter_context(only_process(file.with_name(f".{file.name}.lock"), busy))
        else:
            name = f"llama_extract_{_digest(destination_type, config.fingerprint(), dataset)}.lock"
            stack.enter_context(only_process(Path(get_dlt_pipelines_dir(), name), busy))
        yield


def _digest(*parts: str | None) -> str:
    return hashlib.sha256("\0".join(part or "" for part in parts).encode()).hexdigest()[:16]


_held: set[int] = set()
"""Descriptors of the locks that this process has."""


@contextmanager
def only_process(lock_file: Path, otherwise: Exception) -> Iterator[None]:
    """Keeps out other processes of this machine; raises `otherwise` when one is in already.

    The system ends the lock with the process, however that ends. The file is removed with the lock held, so whoever has
    opened it before gets a lock on a file that is no longer there, sees that, and takes the next one.
    """
    while (lock := _open_locked(lock_file, otherwise)) is None:
        pass
    _held.add(lock)
    try:
        yield
    finally:
        with suppress(OSError):  # Windows does not remove what is open
            lock_file.unlink()
        _held.discard(lock)
        os.close(lock)


def _open_locked(lock_file: Path, otherwise: Exception) -> int | None:
    """The descriptor of the file, locked; None if somebody has removed the file meanwhile."""
    try:
        lock_file.parent.mkdir(parents=True, exist_ok=True)
        lock = os.open(lock_file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            _lock(lock)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), os.stat(lock_file)):
                    return lock
        except BaseException:
            os.close(lock)
            raise
        os.close(lock)
        return None
    except BlockingIOError:
        raise otherwise from None
    except OSError as error:
        raise LlamaExtractError(f"cannot make the lock file {lock_file}: {error.strerror}") from error


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        """Locks the file; raises BlockingIOError when somebody else has."""
        try:
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
        except PermissionError as error:
            raise BlockingIOError from error
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        """Locks the file; raises BlockingIOError when somebody else has."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _close_held() -> None:
        """A forked worker may outlive a load that is killed, and must not keep its locks."""
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_close_held)
