"""What the command does: makes the pipeline and the source that its options ask for, loads, or says what it would."""

from __future__ import annotations

import argparse
import ctypes
import shutil
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import dlt
import pyarrow as pa
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.runtime.collector import LogCollector
from dlt.extract import DltSource

from .. import config
from ..errors import ConfigurationError
from ..load.dlt_inside import duckdb_file, name_duckdb_file
from ..load.locks.files import FileLock
from ..load.locks.waiting import held
from ..session import pipeline_name, plan_sync, sync
from ..settings import CHUNK_SIZE, RATE_WINDOW
from ..source import llama_extract
from . import console, demo
from .main import INCOMPLETE, OK

_M_MMAP_THRESHOLD = -3  # in glibc's malloc.h
_LARGE_BLOCK = 1024 * 1024


def run(options: argparse.Namespace) -> int:
    """Loads, reports, and returns the exit code."""
    check_temporary_folder()
    # Made-up runs must never mix with real ones: the demo has a pipeline, and with it a database, of its own.
    name = "llama_extract_demo" if options.demo else "llama_extract"
    arguments = source_arguments(options)
    with ExitStack() as stack:
        if options.demo:
            arguments |= stack.enter_context(demo.service())
        settings, source = config.read(arguments), llama_extract(**arguments)
        name = pipeline_name(name, settings)
        if not options.destination.strip():
            raise ConfigurationError("--destination is empty: leave it out for duckdb, or name one of dlt's")
        check_dataset(options.dataset, source)
        folder = Path(get_dlt_pipelines_dir())
        working = FileLock(folder / f"{name}.lock")
        wait = settings["wait_for_lock"]
        stack.enter_context(held(working, f"the folder {folder / name}", wait, console.waiting(options)))
        pipeline = fresh_pipeline(name, options)
        if options.dry_run:
            return dry_run(pipeline, arguments, settings, options)
        return_memory()
        with console.progress(settings["requests_per_minute"], options) as on_progress:
            report = sync(pipeline, source, refresh=options.refresh, on_progress=on_progress)
        console.show_report(report, options.quiet)
        if options.demo and not options.quiet:
            demo.show(pipeline)
    if options.json:
        console.print_json(report.as_dict())
    return OK if report.complete else INCOMPLETE


def check_temporary_folder() -> None:
    """Refuses to begin where no folder for temporary files can be written to: dlt needs one."""
    try:
        tempfile.gettempdir()
    except FileNotFoundError as error:
        raise ConfigurationError(f"{error.strerror}: set TMPDIR to a folder that can be written to") from error


def source_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The source's arguments that the command line has; the rest comes from dlt's configuration."""
    given: dict[str, Any] = {"since": options.since, "until": options.until}
    given |= {"full_scan": options.full_scan or None, "rewrite": options.rewrite or None}
    if options.agent or options.run_id or options.job_id:
        # What is chosen here replaces what is configured, all three together.
        chosen = {"agents": options.agent, "run_ids": options.run_id, "job_ids": options.job_id}
        given |= {name: values or config.DEFAULT for name, values in chosen.items()}
    configured = None if options.demo else config.configured("chunk_size")
    sizes = (options.chunk_size, configured, CHUNK_SIZE)
    given |= {"wait_for_lock": options.wait_for_lock, "parallel": options.parallel or None}
    given["table_format"] = options.table_format
    given["chunk_size"] = next(size for size in sizes if size is not None)
    given = {name: value for name, value in given.items() if value is not None}
    # What is configured is for the real runs.
    return dict.fromkeys(config.SETTINGS, config.DEFAULT) | given if options.demo else given


def check_dataset(name: str, source: DltSource) -> None:
    """Refuses a name that dlt would quietly load under another."""
    normal = source.schema.naming.normalize_table_identifier(name) if name.strip() else "llama_extract"
    if name != normal:
        raise ConfigurationError(f"{name!r} cannot be a dataset's name: take --dataset {normal}")


def fresh_pipeline(name: str, options: argparse.Namespace) -> dlt.Pipeline:
    """The pipeline, with nothing that an earlier run left on this machine.

    That keeps apart what goes to different destinations, datasets and working directories; the state comes back from
    the destination.
    """
    shutil.rmtree(Path(get_dlt_pipelines_dir()) / name, ignore_errors=True)
    progress: Any = LogCollector(5.0, sys.stderr, dump_system_stats=False) if options.verbose else None
    pipeline = dlt.pipeline(name, destination=options.destination, dataset_name=options.dataset, progress=progress)
    if pipeline.destination.destination_type == "dlt.destinations.duckdb":
        name_database(pipeline, name.replace("llama_extract", "llamacloud"))
    return pipeline


def name_database(pipeline: dlt.Pipeline, name: str) -> None:
    """Calls the DuckDB file, where the configuration names none, otherwise than its dataset.

    Raises ConfigurationError if there is only a file that the version before has made: nobody begins anew unawares.
    """
    name_duckdb_file(pipeline, name)
    file = duckdb_file(pipeline)
    if file is None or file.name != "llamacloud.duckdb" or file.exists():
        return
    before = file.with_name("llama_extract.duckdb")
    if before.exists():
        parts = [path.name for path in (before, before.with_suffix(".duckdb.wal")) if path.exists()]
        moves = " && ".join(f"mv {part} {part.replace('llama_extract', name)}" for part in parts)
        raise ConfigurationError(
            f"the database is now called {file.name}, and {before} is there: to go on with that, {moves}; "
            "to begin anew, move it away"
        )


def return_memory() -> None:
    """Lets what one package has needed go back to the system before the next: else every one leaves something behind.

    Arrow's own allocator keeps what threads have freed. The system's (glibc's) gives back large blocks at once, but
    counts larger and larger ones as small as they are freed; told a size, it stops that.
    """
    pa.set_memory_pool(pa.system_memory_pool())
    if sys.platform == "linux":
        with suppress(AttributeError):  # another C library
            ctypes.CDLL(None).mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK)


# ── the dry run ───────────────────────────────────────────────────────────────────────────────────────────────────


def dry_run(
    pipeline: dlt.Pipeline, arguments: Mapping[str, Any], settings: Mapping[str, Any], options: argparse.Namespace
) -> int:
    """Says what a load would read, and loads nothing."""
    plans = [plan._asdict() for plan in plan_sync(pipeline, refresh=options.refresh, **arguments)]
    asked_for = [settings[name] for name in ("agents", "run_ids", "job_ids") if settings[name] is not None]
    by_id = len(settings["run_ids"] or ()) + len(settings["job_ids"] or ())
    listing = 0 if asked_for and not any(asked_for) else 1
    requests = listing + by_id + sum(plan["requests"] for plan in plans)
    rate = settings["requests_per_minute"]
    planned = {
        "agents": plans,
        "requests": requests,
        "at_least": any(plan["at_least"] for plan in plans),
        "seconds": round(requests * RATE_WINDOW / rate) if rate else None,
    }
    if not options.quiet:
        windowed = settings["since"] is not None or settings["until"] is not None
        console.show_plan(planned, by_id, rate, windowed)
    if options.json:
        console.print_json(planned)
    return OK
