"""The scheduled command: loads LlamaCloud extraction runs into a warehouse.

    python pipelines/runs.py --demo          # try it, no account needed
    python pipelines/runs.py                 # every run of the project
    python pipelines/runs.py --agent Invoices --destination postgres

Exit codes: 0 all well, 1 failed, 2 wrong usage or configuration, 3 loaded, but some of the runs asked for were not
found or could not be read.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
# Cron and orchestrators start this from anywhere: the settings beside the code serve where there are none at hand.
if not Path(".dlt").is_dir() and (ROOT / ".dlt").is_dir():
    os.environ.setdefault("DLT_PROJECT_DIR", str(ROOT))

import dlt  # noqa: E402  (after the settings' place is known)
from dlt.common.configuration.exceptions import (  # noqa: E402
    ConfigFieldMissingException,
    ConfigurationException,
)
from dlt.common.destination.exceptions import UnknownDestinationModule  # noqa: E402
from dlt.common.runtime.collector import LogCollector  # noqa: E402
from dlt.common.runtime.collector_base import Collector  # noqa: E402

from llama_extract_dlt import ConfigurationError, LlamaExtractError, llama_extract  # noqa: E402

OK, FAILED, MISCONFIGURED, INCOMPLETE = range(4)
DEMO_RUNS = 300


class Summary(NamedTuple):
    """What a load did."""

    loaded: int
    rejected: int
    missing: list[str]
    tables: dict[str, int]
    requests: int
    seconds: float
    load_ids: list[str]

    def as_json(self) -> str:
        """One line for programs."""
        return json.dumps(
            {
                "runs": {"loaded": self.loaded, "rejected": self.rejected, "missing": self.missing},
                "tables": self.tables,
                "requests": self.requests,
                "seconds": round(self.seconds, 3),
                "load_ids": self.load_ids,
            }
        )

    def as_text(self) -> Iterator[str]:
        """A few lines for people."""
        rows = sum(self.tables.values())
        yield (
            f"{self.loaded:,} runs loaded ({rows:,} rows in {len(self.tables)} tables) "
            f"in {self.seconds:.1f} s with {self.requests} requests"
        )
        if self.rejected:
            yield f"{self.rejected} could not be read as runs: see the table extraction_runs__rejected"
        for run_id in self.missing:
            yield f"not found: {run_id}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    options = parse(arguments)
    try:
        return run(options)
    except KeyboardInterrupt:
        return say("interrupted: nothing half-loaded is kept, run again", FAILED)
    except Exception as error:  # a user meets one line, whatever went wrong
        if options.verbose:
            raise
        cause = root_cause(error)
        code = MISCONFIGURED if isinstance(cause, CONFIGURATION_ERRORS) else FAILED
        return say(one_line(cause), code)


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="runs.py",
        description="Load LlamaCloud extraction runs into a warehouse. All agents' runs, unless some are named.",
        epilog="Exit codes: 0 all well, 1 failed, 2 wrong usage or configuration, "
        "3 loaded, but some runs asked for were not found or could not be read.",
    )
    what = parser.add_argument_group("what to load")
    what.add_argument("--demo", action="store_true", help="load made-up runs from a local emulator; needs no account")
    what.add_argument("--agent", action="append", default=[], metavar="ID|NAME", help="this agent's runs (repeatable)")
    what.add_argument("--run-id", action="append", default=[], metavar="ID", help="this run (repeatable)")
    what.add_argument("--job-id", action="append", default=[], metavar="ID", help="this job's run (repeatable)")
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
    with ExitStack() as stack:
        connection = stack.enter_context(demo_service()) if options.demo else {}
        source = llama_extract(agents=options.agent, run_ids=options.run_id, job_ids=options.job_id, **connection)
        # Made-up runs must never mix with real ones: the demo has a pipeline, and with it a database, of its own.
        pipeline = dlt.pipeline(
            "llama_extract_demo" if options.demo else "llama_extract",
            destination=options.destination,
            dataset_name=options.dataset,
            progress=progress(options),
        )
        if pipeline.has_pending_data:
            # A run was killed. Resuming a half-loaded package could load rows twice; starting over cannot.
            pipeline.drop()
        info = pipeline.run(source)
        info.raise_on_failed_jobs()
        summary = summarize(source, info, time.monotonic() - began)
        if not options.quiet:
            for line in summary.as_text():
                say(line)
        if options.demo and not options.quiet:
            show_demo(pipeline)
    if options.json:
        print(summary.as_json(), flush=True)
    return INCOMPLETE if summary.missing or summary.rejected else OK


def summarize(source: Any, info: Any, seconds: float) -> Summary:
    """What the source counted, and the load ids."""
    # Every resource reports the counts of all so far: the last to finish has the whole.
    reports = [resource.custom_metrics for resource in source.resources.values() if resource.custom_metrics]
    counted: dict[str, Any] = max(
        reports, key=lambda report: (report["requests"], sum(report["tables"].values())), default={}
    )
    return Summary(
        loaded=counted.get("loaded", 0),
        rejected=counted.get("rejected", 0),
        missing=counted.get("missing", []),
        tables=dict(sorted(counted.get("tables", {}).items())),
        requests=counted.get("requests", 0),
        seconds=seconds,
        load_ids=list(info.loads_ids),
    )


# ── output ────────────────────────────────────────────────────────────────────────────────────────────────────────


def say(line: str, code: int = OK) -> int:
    """Prints a line to stderr, and gives back the exit code that goes with it."""
    print(line, file=sys.stderr, flush=True)
    return code


class Counter(Collector):
    """One line on a terminal that counts what is being extracted and loaded."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._shown = 0.0

    def update(
        self,
        name: str,
        inc: int = 1,
        total: int | None = None,
        inc_total: int | None = None,
        message: str | None = None,
        label: str | None = None,
    ) -> None:
        """Counts, and shows the count a few times a second."""
        self._counts[name] = self._counts.get(name, 0) + inc
        if time.monotonic() - self._shown > 0.2:
            self._shown = time.monotonic()
            if self.step.startswith("Extract"):
                text = f"reading: {self._counts.get('extraction_runs', 0):,} runs"
            else:
                text = f"{self.step.split()[0].lower()}: {self._counts.get('Jobs', 0) or sum(self._counts.values()):,}"
            print(f"\r{text:<60}", end="", file=sys.stderr, flush=True)

    def _start(self, step: str) -> None:
        self._counts.clear()

    def _stop(self) -> None:
        print(f"\r{'':<60}\r", end="", file=sys.stderr, flush=True)


def progress(options: argparse.Namespace) -> Any:
    """How dlt reports progress: its log with -v, a counting line on a terminal, else nothing."""
    if options.verbose:
        return LogCollector(5.0, sys.stderr)
    if options.quiet or not sys.stderr.isatty():
        return None
    return Counter()


# ── errors ────────────────────────────────────────────────────────────────────────────────────────────────────────

CONFIGURATION_ERRORS = (ConfigurationError, ConfigurationException, UnknownDestinationModule)


def root_cause(error: BaseException) -> BaseException:
    """The error that says most: this source's own or a configuration error if there is one, else the innermost."""
    chain = [error]
    while (inner := chain[-1].__cause__ or chain[-1].__context__) is not None and inner not in chain:
        chain.append(inner)
    for cause in chain:
        if isinstance(cause, (LlamaExtractError, *CONFIGURATION_ERRORS)):
            return cause
    return chain[-1]


def one_line(error: BaseException) -> str:
    """An error's message on one line; what it is as well, unless it is one of this source's."""
    text = " ".join(str(error).split())
    if isinstance(error, LlamaExtractError):
        return f"error: {text}"
    if isinstance(error, ConfigFieldMissingException):
        fields = ", ".join(error.fields)
        return (
            f"error: {error.spec_name} lacks {fields}: set it in .dlt/secrets.toml or in the environment, "
            f"for example DESTINATION__POSTGRES__CREDENTIALS"
        )
    if isinstance(error, UnknownDestinationModule):
        return f"error: dlt has no destination {error.ref!r}: try duckdb, postgres, filesystem, snowflake or bigquery"
    return f"error: {type(error).__name__}: {text[:500]} (-v shows where)"


# ── the demo ──────────────────────────────────────────────────────────────────────────────────────────────────────

DEMO_QUERIES = {
    "Runs by agent and status": """
        select a.name as agent, r.status, count(*) as runs, cast(max(r.updated_at) as date) as latest
        from extraction_runs r join extraction_agents a on a.id = r.extraction_agent_id
        group by a.name, r.status order by agent, runs desc limit 8""",
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


def demo_service() -> Any:
    """A local LlamaCloud with made-up runs, as a context that gives the source's connection arguments."""
    from contextlib import contextmanager

    try:
        from llama_cloud_emulator import Emulator
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            f"the demo needs the module {error.name}: pip install 'dlt-source-llama-extract[demo]'"
        ) from None

    @contextmanager
    def serve() -> Iterator[dict[str, str]]:
        with Emulator(runs=DEMO_RUNS, seed=1) as cloud:
            yield {"api_key": cloud.api_key, "base_url": cloud.base_url}

    return serve()


def show_demo(pipeline: Any) -> None:
    """Prints what a few queries on the loaded tables give, and what to do next."""
    with pipeline.sql_client() as client:
        for title, query in DEMO_QUERIES.items():
            with client.execute_query(query) as cursor:
                names = [column[0] for column in cursor.description]
                say(f"\n{title}")
                for line in grid(names, cursor.fetchall()):
                    say(line)
    say("\nThese runs are made up, by a local stand-in for LlamaCloud. Next:")
    path = getattr(pipeline.destination_client().config.credentials, "database", None)
    if pipeline.destination.destination_name == "duckdb" and path:
        say(f"  look around     duckdb {path} -c 'use {pipeline.dataset_name}; show tables'")
        say("                  (or in Python: duckdb.connect(...); every query above works there too)")
    say("  your own runs   LLAMA_CLOUD_API_KEY=llx-... python pipelines/runs.py")


def grid(names: Sequence[str], rows: Sequence[Sequence[Any]]) -> Iterator[str]:
    """Rows as aligned text."""
    cells = [list(names), *([cell(value) for value in row] for row in rows)]
    widths = [max(len(row[place]) for row in cells) for place in range(len(names))]
    for number, row in enumerate(cells):
        yield "  " + "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip()
        if number == 0:
            yield "  " + "  ".join("─" * width for width in widths)


def cell(value: Any) -> str:
    """A value as a person reads it."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:,.2f}"
    text = " ".join(str(value).split())
    return text if len(text) <= 40 else text[:39] + "…"


if __name__ == "__main__":
    sys.exit(main())
