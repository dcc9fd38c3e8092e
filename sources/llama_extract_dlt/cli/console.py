"""All that the command prints: to stderr for people, and one JSON object to stdout."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..load.report import KINDS, Progress, Report

LINE_EVERY = 30.0
"""Seconds between two lines of progress where there is no terminal: a log stays readable."""

_console = Console(stderr=True)
if not _console.is_terminal and "COLUMNS" not in os.environ:
    _console.width = 120  # of a log, which nobody has to scroll
_live: list[Live] = []


def say(*lines: str) -> None:
    """Prints lines to stderr."""
    for line in lines:
        _console.print(text(line), soft_wrap=True)


def text(words: str) -> Text:
    """Other people's words as they are: nothing in them does anything to the terminal, or to the line."""
    return Text(printable(words), no_wrap=True, overflow="ellipsis")


def printable(words: str) -> str:
    """The words with an escape for each character that would do something."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in words
    )


def print_json(document: Mapping[str, Any]) -> None:
    """Prints one line to stdout, unless nobody reads it."""
    try:
        print(json.dumps(document), flush=True)
    except BrokenPipeError:
        pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, "standard output") from None


def show_table(heads: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Prints rows under their heads: numbers stand right, and texts give way where the terminal is narrow."""
    table = Table(box=SIMPLE_HEAD, show_edge=False, pad_edge=False, header_style="bold")
    for head, *values in zip(heads, *rows, strict=True):
        is_number = all(isinstance(value, int | float | None | Number) for value in values)
        table.add_column(text(head), justify="right" if is_number else "left", no_wrap=is_number)
    for row in rows:
        table.add_row(*map(cell, row))
    _console.print(table)


class Number(str):
    """A number with a word about it."""


def cell(value: Any) -> Text:
    """A value as a person reads it."""
    if isinstance(value, int | float):
        return Text(f"{value:,.2f}" if isinstance(value, float) else f"{value:,}")
    words = "-" if value is None else " ".join(str(value).split())
    return text(words if len(words) <= 40 else words[:39] + "…")


def count(number: int, thing: str) -> str:
    """The number and what it counts: 1 run, 2,000 runs."""
    return f"{number:,} {thing}{'' if number == 1 else 's'}"


def duration(seconds: float) -> str:
    """How long, as one says it: 40 s, 8 min, 2 h 5 min."""
    minutes = round(seconds / 60)
    if minutes < 2:
        return f"{seconds:.0f} s"
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60:,} h {minutes % 60} min"


# ── what was done, or would be ────────────────────────────────────────────────────────────────────────────────────


def show_report(report: Report, quiet: bool) -> None:
    """Tells a person what the load did, and in any case what it could not do."""
    if not quiet:
        heads = [*KINDS, "requests"]
        rows = [[agent.name, *(getattr(agent, head) for head in heads)] for agent in report.agents.values()]
        changed = [row for row in sorted(rows) if row[1] or row[2] or row[4]]
        if changed and len(rows) > 1:
            show_table(["agent", *heads], changed)
        found = [f"{getattr(report, kind):,} {kind}" for kind in KINDS if getattr(report, kind)]
        rows_loaded = f"{count(sum(report.tables.values()), 'row')} in {count(len(report.tables), 'table')}"
        loaded = f"{', '.join(found) or 'none'}{f' ({rows_loaded})' if report.tables else ''}"
        say(f"runs: {loaded} in {report.seconds:.1f} s with {count(report.requests, 'request')}")
    if report.rejected:
        say(f"{report.rejected:,} could not be read as runs: see the table extraction_runs__rejected")
    for run_or_job in report.missing:
        say(f"not found: {run_or_job}")
    for agent_id, reason in report.unreadable.items():
        known = report.agents.get(agent_id)
        say(f"agent {known.name if known else agent_id} could not be read: {reason}")


def show_plan(planned: Mapping[str, Any], by_id: int, rate: float | None, windowed: bool) -> None:
    """Tells a person what a load would read, and how long that takes."""
    rows = []
    for plan in planned["agents"]:
        more = "at least " * plan["at_least"]
        reading = "all, for those in the window" if windowed else plan["reading"]
        runs = f"{'up to ' if windowed else more}{plan['runs']:,}"
        rows.append([plan["agent"], reading, Number(runs), Number(f"{more}{plan['requests']:,}")])
    if rows:
        show_table(["agent", "would read", "runs", "requests"], rows)
    if by_id:
        say(f"by ID or job: {count(by_id, 'run')}, a request each")
    takes = f"{'at least ' * planned['at_least']}{count(planned['requests'], 'request')}"
    lasts = f", {duration(planned['seconds'])} at {rate:g} a minute" if rate else ""
    say(f"nothing was loaded; a load would take {takes}{lasts}")


# ── progress ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def progress(rate: float | None, options: argparse.Namespace) -> Iterator[Callable[[Progress], None] | None]:
    """What to call with the progress: one line on a terminal, else now and then one; None if nothing is to be said."""
    if options.quiet or options.verbose:  # dlt's own log says it then
        yield None
    elif _console.is_terminal:
        with Live(
            console=_console, transient=True, auto_refresh=False, redirect_stdout=False, redirect_stderr=False
        ) as it:
            _live.append(it)
            yield lambda progress: it.update(text(describe(progress, rate)), refresh=True)
    else:
        due = time.monotonic() + LINE_EVERY

        say_once = waiting(options)

        def say_when_due(progress: Progress) -> None:
            nonlocal due
            if progress.step == "waiting":
                say_once(progress.waiting)
            elif time.monotonic() >= due:
                due += LINE_EVERY
                say(describe(progress, rate))

        yield say_when_due


def waiting(options: argparse.Namespace) -> Callable[[str], object]:
    """What is called with a sentence about another load, again and again: it is said once."""
    said: set[str] = set()

    def say_once(sentence: str) -> None:
        if not (options.quiet or said):
            say(f"waiting: {sentence}")
        said.add(sentence)

    return say_once


_LONGEST_NAME = 24
"""Characters of an agent's name in the line of progress: on a narrow terminal the numbers must have room, too."""


def describe(progress: Progress, rate: float | None) -> str:
    """How far a load has come, how long it takes, and what it waits for."""
    if progress.step == "waiting":
        return f"waiting: {progress.waiting}"
    parts: list[str] = [] if progress.step == "reading" else [progress.step]
    if progress.agent and progress.step == "reading":
        name = progress.agent if len(progress.agent) <= _LONGEST_NAME else f"{progress.agent[: _LONGEST_NAME - 1]}…"
        parts.append(f"{name} {_of(progress.agent_read, progress.agent_total)}")
    parts.append(f"{_of(progress.read, progress.total)} runs")
    parts.append(f"{_of(progress.requests, progress.requests_expected, 'of about')} requests")
    if progress.seconds_left is not None:
        at = f" ({rate:g} a minute)" if rate else ""
        parts.append(f"{duration(progress.seconds_left)} left{at}")
    if progress.waiting:
        parts.append(f"waiting: {progress.waiting}")
    return " · ".join(parts)


def _of(done: int, total: int | None, of: str = "of") -> str:
    return f"{done:,}" if total is None else f"{done:,} {of} {total:,}"


# ── logs ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def set_up_logs(verbose: bool) -> None:
    """Shows dlt's log, and with -v the source's; what they quote of other people's words is made printable."""
    dlts, ours = logging.getLogger("dlt"), logging.getLogger("llama_extract_dlt")
    if verbose:
        ours.setLevel(logging.INFO)
        ours.addHandler(Sayer())
    else:
        dlts.addFilter(is_news)
        ours.addHandler(logging.NullHandler())  # else Python would print its warnings
        sys.unraisablehook = lambda _: None  # of files that are closed when the disk is full
    dlts.addFilter(make_printable)


def is_news(record: logging.LogRecord) -> bool:
    """Whether dlt's word is worth saying: an error, or a try that fails, comes back as an exception, which is told."""
    message = record.getMessage()
    fails = record.exc_info or "Traceback (most recent" in message or "was not fully loaded" in message
    slower = "native writer could not be found" in message  # of each table, where a warehouse takes no Parquet
    return record.levelno < logging.ERROR and not fails and not slower


class Sayer(logging.Handler):
    """Says what is logged."""

    def emit(self, record: logging.LogRecord) -> None:
        """Says a record, its traceback included."""
        say(*f"{record.levelname.lower()}: {self.format(record)}".split("\n"))


def make_printable(record: logging.LogRecord) -> bool:
    """Makes a log record printable, line by line."""
    record.msg, record.args = "\n".join(map(printable, record.getMessage().split("\n"))), ()
    if record.exc_info:
        trace = logging.Formatter().formatException(record.exc_info)
        record.exc_text = "\n".join(map(printable, trace.split("\n")))
    if any(line.is_started for line in _live):
        sys.stderr.write("\r\x1b[K")  # the line of the progress, which comes again
    return True
