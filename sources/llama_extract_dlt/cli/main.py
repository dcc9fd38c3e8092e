"""The command: loads LlamaCloud extraction runs into a warehouse.

    llama-extract --demo          # try it, no account needed
    llama-extract                 # every run of the project
    llama-extract --agent Invoices --destination postgres

What takes time to import (dlt, Arrow) is imported when the options are read and Ctrl-C is heard.
"""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from ..settings import CHUNK_SIZE
from . import signals

OK, FAILED, MISCONFIGURED, INCOMPLETE = 0, 1, 2, 3


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    mend_outputs()
    signals.hear()
    # dlt would hold the signals back until the tables that are being loaded are done.
    os.environ.setdefault("RUNTIME__INTERCEPT_SIGNALS", "false")
    options = parse(arguments)
    from . import console, errors, job

    console.set_up_logs(options.verbose)
    try:
        code = job.run(options)
    except Exception as error:  # a user meets one line, whatever went wrong
        code = MISCONFIGURED if errors.tell(error, options) else FAILED
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:  # nobody reads it any more: nor when the interpreter ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    return code


class Stderr(io.TextIOWrapper):
    """What nobody reads, or has no room, is not said; a load does not fail for that."""

    def write(self, text: str) -> int:
        """Writes what can be written."""
        with suppress(OSError):
            super().write(text)
        return len(text)

    def flush(self) -> None:
        """Writes what is left, if it can be."""
        with suppress(OSError):
            super().flush()


def mend_outputs() -> None:
    """Opens what whoever started this has closed, lest the database becomes the standard output."""
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(descriptor)
    if sys.stdout is None:
        sys.stdout = open(1, "w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = Stderr(io.FileIO(2, "w", closefd=False), "utf-8", "backslashreplace", line_buffering=True)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = Parser(
        prog="llama-extract",
        allow_abbrev=False,
        description="Load LlamaCloud extraction runs into a warehouse. All agents' runs, unless some are named.",
        epilog="Exit codes: 0 all well, 1 failed, 2 wrong usage or configuration, 3 loaded, but some runs asked for "
        "were not found or could not be read, 130 interrupted with Ctrl-C, 143 terminated.",
    )
    what = parser.add_argument_group("what to load")
    what.add_argument("--demo", action="store_true", help="load made-up runs from a local emulator; needs no account")
    what.add_argument("--agent", action="append", default=[], metavar="ID|NAME", help="this agent's runs (repeatable)")
    what.add_argument("--run-id", action="append", default=[], metavar="ID", help="this run (repeatable)")
    what.add_argument("--job-id", action="append", default=[], metavar="ID", help="this job's run (repeatable)")
    what.add_argument("--since", metavar="TIME", help="only runs updated from then on, as 2026-01-31 or with a time")
    what.add_argument("--until", metavar="TIME", help="only runs updated before then")
    how = parser.add_argument_group("how")
    how.add_argument("--rewrite", action="store_true", help="write all runs again, changed or not; drops nothing")
    how.add_argument("--full-scan", action="store_true", help="compare all runs; finds edits of old runs and deletions")
    how.add_argument("--refresh", action="store_true", help="drop all tables and what is known, and load anew")
    how.add_argument("--chunk-size", type=int, metavar="N", help=f"runs to commit at a time (default: {CHUNK_SIZE})")
    how.add_argument(
        "--wait-for-lock", type=float, metavar="SECONDS", help="wait so long for another load into the dataset to end"
    )
    how.add_argument(
        "--parallel", action="store_true", help="let workers load other agents into the dataset meanwhile (PostgreSQL)"
    )
    how.add_argument("--dry-run", action="store_true", help="say what would be read; load nothing")
    where = parser.add_argument_group("where to")
    where.add_argument("--destination", default="duckdb", metavar="NAME", help="a dlt destination (default: duckdb)")
    where.add_argument("--dataset", default="llama_extract", metavar="NAME", help="default: llama_extract")
    where.add_argument(
        "--table-format", choices=["delta"], help="of the tables in the destination filesystem (default: Parquet files)"
    )
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the report as one JSON object on stdout")
    output.add_argument("-v", "--verbose", action="store_true", help="log progress; show tracebacks")
    output.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    output.add_argument("--version", action=Version, nargs=0, help="print the version")
    return parser.parse_args(arguments)


class Parser(argparse.ArgumentParser):
    """Says in one line what it cannot take."""

    def error(self, message: str) -> NoReturn:
        """Says it, and ends."""
        self.exit(MISCONFIGURED, f"error: {message} (--help lists the options)\n")


class Version(argparse.Action):
    """Looks the version up when it is asked for."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        """Prints it, and ends."""
        from importlib.metadata import version

        print(f"llama-extract {version('dlt-source-llama-extract')}")
        parser.exit()
