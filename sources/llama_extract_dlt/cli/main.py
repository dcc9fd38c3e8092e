"""The scheduled command: loads LlamaCloud extraction runs into a warehouse.

    python pipelines/runs.py --demo          # try it, no account needed
    python pipelines/runs.py                 # every run of the project
    python pipelines/runs.py --agent Invoices --destination postgres

Exit codes: 0 all well, 1 failed, 2 wrong usage or configuration, 3 loaded, but some of the runs asked for were not
found or could not be read, 130 interrupted.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, NoReturn

import dlt
from dlt.common.configuration.exceptions import ConfigFieldMissingException, ConfigurationException
from dlt.common.destination.exceptions import UnknownDestinationModule
from dlt.common.exceptions import MissingDependencyException
from dlt.common.pipeline import get_dlt_pipelines_dir
from dlt.common.runtime.collector import LogCollector
from dlt.common.runtime.collector_base import Collector
from dlt.destinations.exceptions import DatabaseException

from .. import config
from ..errors import ConfigurationError, LlamaExtractError
from ..load.locks import only_process
from ..load.session import load
from ..settings import CHUNK_SIZE
from ..source import llama_extract

OK, FAILED, MISCONFIGURED, INCOMPLETE, INTERRUPTED = 0, 1, 2, 3, 130


def interrupted(*_: object) -> NoReturn:
    """Ctrl-C ends the process there and then: a load may be cut off anywhere, the next one starts over."""
    os.write(2, b"\n" * os.isatty(2) + b"interrupted: run again to finish, nothing will be in the warehouse twice\n")
    os._exit(INTERRUPTED)


DEMO_RUNS = 300


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, interrupted)
    # dlt would hold SIGINT and SIGTERM back until the tables that are being loaded are done.
    os.environ.setdefault("RUNTIME__INTERCEPT_SIGNALS", "false")
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed by whoever started this
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115
    options = parse(arguments)
    set_up_logs(options.verbose)
    try:
        return run(options)
    except Exception as error:  # a user meets one line, whatever went wrong
        if options.verbose:
            say(*traceback.format_exc().rstrip().split("\n"))
        cause = telling_cause(error)
        say(f"error: {one_line(cause, options.destination)}")
        return MISCONFIGURED if isinstance(cause, CONFIGURATION_ERRORS) else FAILED


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="runs.py",
        description="Load LlamaCloud extraction runs into a warehouse. All agents' runs, unless some are named.",
        epilog="Exit codes: 0 all well, 1 failed, 2 wrong usage or configuration, "
        "3 loaded, but some runs asked for were not found or could not be read, 130 interrupted.",
    )
    what = parser.add_argument_group("what to load")
    what.add_argument("--demo", action="store_true", help="load made-up runs from a local emulator; needs no account")
    what.add_argument("--agent", action="append", default=[], metavar="ID|NAME", help="this agent's runs (repeatable)")
    what.add_argument("--run-id", action="append", default=[], metavar="ID", help="this run (repeatable)")
    what.add_argument("--job-id", action="append", default=[], metavar="ID", help="this job's run (repeatable)")
    what.add_argument("--since", metavar="TIME", help="only runs updated from then on, as 2026-01-31 or with a time")
    what.add_argument("--until", metavar="TIME", help="only runs updated before then")
    how = parser.add_argument_group("how")
    how.add_argument("--full-scan", action="store_true", help="compare all runs; finds edits of old runs and deletions")
    how.add_argument("--refresh", action="store_true", help="drop all tables and what is known, and load anew")
    how.add_argument("--chunk-size", type=int, metavar="N", help=f"runs to commit at a time (default: {CHUNK_SIZE})")
    how.add_argument("--dry-run", action="store_true", help="say what would be read; load nothing")
    where = parser.add_argument_group("where to")
    where.add_argument("--destination", default="duckdb", metavar="NAME", help="a dlt destination (default: duckdb)")
    where.add_argument("--dataset", default="llama_extract", metavar="NAME", help="default: llama_extract")
    output = parser.add_argument_group("output")
    output.add_argument("--json", action="store_true", help="print the summary as one JSON object on stdout")
    output.add_argument("-v", "--verbose", action="store_true", help="log progress; show tracebacks")
    output.add_argument("-q", "--quiet", action="store_true", help="print errors only")
    return parser.parse_args(arguments)


def run(options: argparse.Namespace) -> int:
    """Loads, reports, and returns the exit code."""
    began = time.monotonic()
    # Made-up runs must never mix with real ones: the demo has a pipeline, and with it a database, of its own.
    name = "llama_extract_demo" if options.demo else "llama_extract"
    arguments = source_arguments(options)
    with ExitStack() as stack:
        if options.demo:
            arguments |= stack.enter_context(demo_service())
        source = llama_extract(**arguments)
        if not options.destination.strip():
            raise ConfigurationError("--destination is empty: leave it out for duckdb, or name one of dlt's")
        check_dataset(options.dataset, source)
        folder = Path(get_dlt_pipelines_dir())
        folder.mkdir(parents=True, exist_ok=True)
        busy = LlamaExtractError(f"another run is at work in {folder / name}: wait for its end")
        stack.enter_context(only_process(folder / f"{name}.lock", busy))
        pipeline = fresh_pipeline(name, options)
        if options.dry_run:
            return dry_run(pipeline, source, arguments, options)
        refresh = "drop_sources" if options.refresh else None
        loads = [load_id for info in load(pipeline, source, refresh=refresh) for load_id in info.loads_ids]
        summary = summarize(source, loads, time.monotonic() - began)
        complete = report(summary, options.quiet)
        if options.demo and not options.quiet:
            show_demo(pipeline)
    if options.json:
        print(json.dumps(summary), flush=True)
    return OK if complete else INCOMPLETE


def source_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The source's arguments that the command line has; the rest comes from dlt's configuration."""
    given: dict[str, Any] = {"since": options.since, "until": options.until, "full_scan": options.full_scan or None}
    if options.agent or options.run_id or options.job_id:
        # What is chosen here replaces what is configured, all three together.
        chosen = {"agents": options.agent, "run_ids": options.run_id, "job_ids": options.job_id}
        given |= {name: values or config.DEFAULT for name, values in chosen.items()}
    configured = None if options.demo else config.configured("chunk_size")
    given["chunk_size"] = first_given(options.chunk_size, configured, CHUNK_SIZE)
    given = {name: value for name, value in given.items() if value is not None}
    # What is configured is for the real runs.
    return dict.fromkeys(config.SETTINGS, config.DEFAULT) | given if options.demo else given


def first_given(*values: Any) -> Any:
    """The first of the values that is not None."""
    return next(value for value in values if value is not None)


def check_dataset(name: str, source: Any) -> None:
    """Refuses a name that dlt would quietly load under another."""
    normal = source.schema.naming.normalize_table_identifier(name) if name.strip() else "llama_extract"
    if name != normal:
        raise ConfigurationError(f"{name!r} cannot be a dataset's name: take --dataset {normal}")


def fresh_pipeline(name: str, options: argparse.Namespace) -> dlt.Pipeline:
    """The pipeline, with nothing that an earlier run left on this machine.

    A run that was killed leaves a package which dlt would resume, and a half-loaded one would then be in the child
    tables twice. Starting over is safe: the state comes back from the destination, and loading again merges. It also
    keeps apart what goes to different destinations, datasets and working directories.
    """
    shutil.rmtree(Path(get_dlt_pipelines_dir()) / name, ignore_errors=True)
    pipeline = dlt.pipeline(
        name, destination=options.destination, dataset_name=options.dataset, progress=progress(options)
    )
    if pipeline.destination.destination_type == "dlt.destinations.duckdb":
        keep_names_apart(pipeline)
    return pipeline


def keep_names_apart(pipeline: dlt.Pipeline) -> None:
    """Lets the dataset have the name of the DuckDB file, as by default.

    DuckDB names a catalog after its file, and then finds `llama_extract.table` ambiguous, which dlt writes everywhere.
    So the catalog gets another name for as long as it is open.
    """
    credentials: Any = pipeline.destination_client().config.credentials
    if Path(credentials.database).name.split(".")[0] == pipeline.dataset_name:
        rename = f'alter database if exists "{pipeline.dataset_name}" set alias to "{pipeline.dataset_name}_file"'
        statements = [*(credentials.statements or []), rename]
        pipeline.destination.config_params["credentials"] = {
            "database": credentials.database,
            "statements": statements,
        }


def dry_run(pipeline: dlt.Pipeline, source: Any, arguments: Mapping[str, Any], options: argparse.Namespace) -> int:
    """Says what a load would read, and loads nothing."""
    # Nothing is written, not even an empty file.
    credentials: Any = pipeline.destination_client().config.credentials
    there = "duckdb" not in pipeline.destination.destination_type or Path(credentials.database).exists()
    if there and not options.refresh:
        pipeline.sync_destination()
    plans = [agent_plan._asdict() for agent_plan in source.resources["sync_plan"]]
    settings = config.read(arguments)
    asked_for = [settings[name] for name in ("agents", "run_ids", "job_ids") if settings[name] is not None]
    by_id = len(settings["run_ids"] or ()) + len(settings["job_ids"] or ())
    listing = 0 if asked_for and not any(asked_for) else 1
    requests = listing + by_id + sum(agent_plan["requests"] for agent_plan in plans)
    more = any(agent_plan["at_least"] for agent_plan in plans)
    if not options.quiet:
        rows = [
            [
                row["agent"],
                row["reading"],
                f"{row['runs']:,}{'+' * row['at_least']}",
                f"{row['requests']:,}{'+' * row['at_least']}",
            ]
            for row in plans
        ]
        if rows:
            say(*grid(["agent", "would read", "runs", "requests"], rows))
        if by_id:
            say(f"by ID or job: {by_id:,} {'run' if by_id == 1 else 'runs'}, a request each")
        say(f"nothing was loaded; a load would take {'at least ' * more}{requests:,} requests")
    if options.json:
        print(json.dumps({"agents": plans, "requests": requests, "at_least": more}), flush=True)
    return OK


def summarize(source: Any, load_ids: Sequence[str], seconds: float) -> dict[str, Any]:
    """What the load did, as --json prints it."""
    # Both resources report what the two have counted so far: the larger counts are the whole.
    reports = [resource.custom_metrics for resource in source.resources.values() if resource.custom_metrics]
    counts = max(reports, key=lambda report: (report["requests"], sum(report["tables"].values())))
    return {
        "runs": counts["runs"],
        "agents": counts["agents"],
        "unreadable": counts["unreadable"],
        "tables": dict(sorted(counts["tables"].items())),
        "requests": counts["requests"],
        "seconds": round(seconds, 3),
        "load_ids": list(load_ids),
    }


# ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────


def say(*lines: str) -> None:
    """Prints lines to stderr, all that this command says but its progress."""
    print(*map(printable, lines), sep="\n", file=sys.stderr, flush=True)


def printable(text: str) -> str:
    """The text with an escape for each character that would do something to the terminal, or to the line."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def set_up_logs(verbose: bool) -> None:
    """Shows dlt's log, and with -v the source's; what they quote of other people's words is made printable."""
    dlts, ours = logging.getLogger("dlt"), logging.getLogger("llama_extract_dlt")
    if verbose:
        ours.setLevel(logging.INFO)
        ours.addHandler(Sayer())
    else:
        # What dlt logs as an error, traceback and all, comes back as an exception that is told. Its warnings stay.
        dlts.addFilter(lambda record: record.levelno < logging.ERROR)
        ours.addHandler(logging.NullHandler())  # else Python would print its warnings
    dlts.addFilter(make_printable)


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
    return True


def report(summary: dict[str, Any], quiet: bool) -> bool:
    """Tells a person what the load did; whether all that was asked for is there."""
    runs, tables, agents = summary["runs"], summary["tables"], summary["agents"]
    kinds = ("new", "updated", "unchanged", "deleted")
    if not quiet:
        rows = [[counts["name"], *(counts[kind] for kind in (*kinds, "requests"))] for counts in agents.values()]
        changed = [row for row in sorted(rows) if row[1] or row[2] or row[4]]
        if changed and len(rows) > 1:
            say(*grid(["agent", *kinds, "requests"], changed))
        counted = ", ".join(f"{runs[kind]:,} {kind}" for kind in kinds if runs[kind]) or "none"
        loaded = f" ({sum(tables.values()):,} rows in {len(tables)} tables)" if tables else ""
        say(f"runs: {counted}{loaded} in {summary['seconds']:.1f} s with {summary['requests']:,} requests")
    if runs["rejected"]:
        say(f"{runs['rejected']:,} could not be read as runs: see the table extraction_runs__rejected")
    for run_or_job in runs["missing"]:
        say(f"not found: {run_or_job}")
    for agent_id, reason in summary["unreadable"].items():
        say(f"agent {agent_id} could not be read: {reason}")
    return not (runs["rejected"] or runs["missing"] or summary["unreadable"])


class Counter(Collector):
    """One line on a terminal that counts what each of dlt's steps has done."""

    # What a step is called here, its unit, and whether one of its counters counts in that unit.
    STEPS: Mapping[str, tuple[str, str, Callable[[str], bool]]] = {
        "Extract": ("reading", "runs", "extraction_runs".__eq__),
        "Normalize": ("preparing", "rows", "Files".__ne__),
        "Load": ("loading", "files", "Jobs".__eq__),
    }

    def _start(self, step: str) -> None:
        self._verb, self._unit, self._counts = self.STEPS[step.split()[0]]
        self._count = 0
        self._show()

    def update(self, name: str, inc: int = 1, *_: Any, label: str | None = None, **__: Any) -> None:
        """Counts, and shows the count a few times a second."""
        if self._counts(name) and not label:  # what has a label is counted without it, too
            self._count += inc
        if time.monotonic() - self._shown > 0.2:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        print(f"\r{f'{self._verb}: {self._count:,} {self._unit}':<40}", end="", file=sys.stderr, flush=True)

    def _stop(self) -> None:
        print(f"\r{'':<40}\r", end="", file=sys.stderr, flush=True)


def progress(options: argparse.Namespace) -> Any:
    """How dlt reports progress: its log with -v, a counting line on a terminal, else nothing."""
    if options.verbose:
        return LogCollector(5.0, sys.stderr, dump_system_stats=False)
    return None if options.quiet or not sys.stderr.isatty() else Counter()


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────

CONFIGURATION_ERRORS = ConfigurationError, ConfigurationException, MissingDependencyException, UnknownDestinationModule


def telling_cause(error: BaseException) -> BaseException:
    """The error that says most: this source's own or a configuration error if there is one, else the innermost."""
    while not isinstance(error, (LlamaExtractError, *CONFIGURATION_ERRORS)):
        inner = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
        if inner is None:
            break
        error = inner
    return error


def one_line(error: BaseException, destination: str) -> str:
    """What went wrong, for people."""
    if isinstance(error, LlamaExtractError):
        return str(error)
    if isinstance(error, UnknownDestinationModule):
        return f"dlt has no destination {destination!r}: try duckdb, postgres, filesystem, snowflake or bigquery"
    if isinstance(error, MissingDependencyException):
        return f"{error.caller} needs more packages: pip install {' '.join(map(repr, error.dependencies))}"
    if isinstance(error, ConfigFieldMissingException):
        path = ["destination", destination, *(["credentials"] if error.spec_name.endswith("Credentials") else [])]
        return (
            f"the destination {destination} lacks {', '.join(error.fields)}: set it under [{'.'.join(path)}] in "
            f".dlt/secrets.toml, or {'__'.join([*path, error.fields[0]]).upper()} in the environment"
        )
    return f"{type(error).__name__}: {' '.join(str(error).split())[:500]} (-v shows where)"


# ── the demo ──────────────────────────────────────────────────────────────────────────────────────────────────────

DEMO_QUERIES = {
    "Runs by agent and status": """
        select a.name as agent, r.status, count(*) as runs, cast(max(r.updated_at) as date) as latest
        from extraction_runs r join extraction_agents a on a.id = r.extraction_agent_id
        group by a.name, r.status order by runs desc, agent limit 8""",
    "Line items of the largest invoices": """
        select d.vendor__name as vendor, d.invoice_date, i.description, i.quantity, i.amount
        from extraction_runs__data d join extraction_runs__data__line_items i on i._dlt_parent_id = d._dlt_id
        where i.amount is not null order by d.total desc nulls last, i._dlt_list_idx limit 6""",
    "The least confident fields, with what the document says": """
        select m.field_path as field, m.confidence, c.page, c.matching_text as citation, f.name as file
        from extraction_runs__field_metadata m
        join extraction_runs__field_metadata__citation c on c._dlt_parent_id = m._dlt_id
        left join extraction_runs__file f on f._run_id = m._run_id
        where m.confidence is not null order by m.confidence, m._dlt_id limit 6""",
}


@contextmanager
def demo_service() -> Iterator[dict[str, Any]]:
    """A local LlamaCloud with made-up runs; gives the source's arguments for it, whatever is configured."""
    try:
        from llama_cloud_emulator import Emulator
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs the module {error.name}: pip install 'dlt-source-llama-extract[demo]'"
        ) from None
    with Emulator(runs=DEMO_RUNS, seed=1) as cloud:
        yield {
            "api_key": cloud.api_key,
            "base_url": cloud.base_url,
            "project_id": cloud.project_id,
            "organization_id": cloud.organization_id,
        }


def show_demo(pipeline: dlt.Pipeline) -> None:
    """Prints what a few queries on the loaded tables give, where the tables are, and what to do next."""
    with pipeline.sql_client() as client:
        for title, query in DEMO_QUERIES.items():
            # One agent's runs alone have not every table.
            with suppress(DatabaseException), client.execute_query(query) as cursor:
                say("", title, *grid([column[0] for column in cursor.description], cursor.fetchall()))
    say("", "These runs are made up, by a local stand-in for LlamaCloud. Next:")
    if pipeline.destination.destination_type == "dlt.destinations.duckdb":
        credentials: Any = pipeline.destination_client().config.credentials
        query = f"duckdb.connect('{credentials.database}').sql('from {pipeline.dataset_name}.extraction_runs').show()"
        python = min(sys.executable, os.path.relpath(sys.executable), key=len)
        say(f'  look around     {python} -c "import duckdb; {query}"')
    say("  your own runs   LLAMA_CLOUD_API_KEY=llx-... python pipelines/runs.py")


def grid(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """Rows as lines of aligned text."""
    cells = [list(names), *([cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["─" * width for width in widths])
    lines = ("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)) for row in cells)
    return [f"  {line}".rstrip() for line in lines]


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    # Printable already, for its width.
    text = f"{value:,.2f}" if isinstance(value, float) else printable(" ".join(str(value).split()))
    return text if len(text) <= 40 else text[:39] + "…"


if __name__ == "__main__":
    sys.exit(main())
