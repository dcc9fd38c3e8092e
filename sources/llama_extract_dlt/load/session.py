"""Loading to the end: package after package, from what the destination knows, and alone."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.pipeline import LoadInfo
from dlt.extract import DltSource

from ..errors import ConfigurationError, LlamaExtractError
from ..tables.contract import RUNS
from .extraction import DOORS, Door
from .locks import alone

RUN_ARGUMENTS = frozenset({"loader_file_format", "refresh", "schema_contract"})
"""What `load` passes on to `pipeline.run`; the others would have no effect on a source that merges by itself."""

_M_MMAP_THRESHOLD = -3  # in glibc's malloc.h
_LARGE_BLOCK = 1024 * 1024


def load(
    pipeline: dlt.Pipeline,
    source: DltSource,
    *,
    on_package: Callable[[LoadInfo], object] | None = None,
    **arguments: Any,
) -> list[LoadInfo]:
    """Loads all that the source has, in packages of its `chunk_size` runs, each committed before the next.

    Nobody else loads into the dataset meanwhile, as long as they use this function, too: from the same machine, or with
    PostgreSQL from anywhere. Arrow takes its memory from the system's allocator as long as it lasts.

    Args:
        pipeline: must have nothing pending; what a killed load has left behind may be in the warehouse twice.
        source: `llama_extract(...)`.
        on_package: called with what dlt says of each package, when it is committed; an exception ends the load.
        arguments: those of `pipeline.run` in `RUN_ARGUMENTS`; `refresh` counts for the first package only.

    Returns:
        What dlt says of each package.

    Raises:
        ConfigurationError: it is no source, or an argument of `pipeline.run` that does not go with it.
        LlamaExtractError: another load is at work; or the source was ended, by a limit say, before it was complete.
    """
    if not isinstance(source, DltSource):
        raise ConfigurationError(f"load takes the source itself, llama_extract(...), not a {type(source).__name__}")
    if unknown := arguments.keys() - RUN_ARGUMENTS:
        names = ", ".join(sorted(RUN_ARGUMENTS))
        raise ConfigurationError(f"load does not take {min(unknown)}: the source says that itself; it takes {names}")
    infos: list[LoadInfo] = []
    with ExitStack() as stack:
        stack.enter_context(alone(pipeline))
        _keep_open(pipeline, stack)
        door = stack.enter_context(_open_door(pipeline))
        stack.enter_context(_returning_memory())
        if pipeline.destination.destination_type.endswith(".duckdb"):
            # DuckDB uses all cores for one table: dlt's 20 at a time take no less time, and more memory.
            pipeline.destination.caps_params.setdefault("max_parallel_load_jobs", 2)
        if arguments.get("refresh"):
            # First what is known, then the tables: cut off in between, the next load still finds all that is missing.
            pipeline.run(source.with_resources("forget"))
        while True:
            info = pipeline.run(source, **arguments)
            info.raise_on_failed_jobs()
            infos.append(info)
            if on_package is not None:
                on_package(info)
            if RUNS not in source.selected_resources:
                return infos  # the agents come in one package
            if not door.syncs:
                raise LlamaExtractError("the source did not say whether the load is complete: run again")
            if door.syncs[-1].complete:
                return infos
            if door.syncs[-1].closed:
                message = "the load is not complete: a limit, such as add_limit, ended the source before its end"
                raise LlamaExtractError(f"{message}; run again without it")
            arguments.pop("refresh", None)


def _keep_open(pipeline: dlt.Pipeline, stack: ExitStack) -> None:
    """Keeps a DuckDB file open that is there: opened by one thread while another closes it, it says it is in use."""
    config: Any = pipeline.destination_client().config
    if pipeline.destination.destination_type.endswith(".duckdb") and Path(config.credentials.database).is_file():
        client: Any = pipeline.sql_client()
        stack.enter_context(client)


@contextmanager
def _open_door(pipeline: dlt.Pipeline) -> Iterator[Door]:
    """Lets the source know that it is loaded package after package; ends reading ahead when nothing more is loaded."""
    door = DOORS[pipeline] = Door()
    try:
        yield door
    finally:
        del DOORS[pipeline]
        for sync in door.syncs:
            sync.close()


@contextmanager
def _returning_memory() -> Iterator[None]:
    """Lets what one package has needed go back to the system before the next: else every one leaves something behind.

    Arrow's own allocator keeps what threads have freed. The system's (glibc's) gives back large blocks at once, but
    by and by counts larger and larger ones as small, which ends when it is told a size.
    """
    pool = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)
    try:
        yield
    finally:
        pa.set_memory_pool(pool)
