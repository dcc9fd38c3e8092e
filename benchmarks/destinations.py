"""Loads the same runs into several destinations, in turn, and prints a table.

    python -m benchmarks --destination duckdb postgres delta ducklake

A first load, then one of a hundred runs that were edited. Every load is a process of its own, and starts from what the
destination has of it. PostgreSQL is the server that the tests start, on loopback; lakes are local folders.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from benchmarks.measure import measure
from llama_cloud_emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
EDITED = 100
KINDS = ("duckdb", "postgres", "delta", "ducklake", "files")


def compare(kinds: Sequence[str], runs: int, corpus: str, rounds: int) -> Iterator[str]:
    """Measures, and gives the lines of a Markdown table."""
    first: dict[str, list[dict[str, float]]] = defaultdict(list)
    edited: dict[str, list[dict[str, float]]] = defaultdict(list)
    with ExitStack() as stack:
        cloud = stack.enter_context(Emulator(runs=runs, seed=1, corpus=corpus))
        cloud.warm()
        server = stack.enter_context(start_postgres()) if "postgres" in kinds else None
        dice = random.Random(1)
        for number in range(rounds):
            folders = {kind: Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-"))) for kind in kinds}
            addresses = {kind: server.database() if kind == "postgres" else str(folders[kind]) for kind in kinds}
            for results in (first, edited):
                for kind in kinds:
                    results[kind].append(_load(kind, addresses[kind], cloud))
                    print(f"  round {number + 1}: {kind} {results[kind][-1]}", file=sys.stderr, flush=True)
                if results is first:
                    newest = cloud.runs()[: max(EDITED, runs // 10)]
                    for run in dice.sample(newest, EDITED):
                        cloud.edit_run(run["id"], data=run["data"] | {"edited": number})
                    cloud.warm()
    return _table(first, edited)


def _table(first: dict[str, list[dict[str, float]]], edited: dict[str, list[dict[str, float]]]) -> Iterator[str]:
    yield ""
    columns = [
        "first load, s",
        "CPU s",
        "peak MB",
        "times DuckDB",
        f"{EDITED} edited, s",
        "CPU s",
        "peak MB",
        "times DuckDB",
    ]
    yield f"| destination | {' | '.join(columns)} |"
    yield f"| --- {'| ---: ' * len(columns)}|"
    for kind in first:
        cells = [kind]
        for results in (first, edited):
            seconds, cpu, peak = (_median(results[kind], name) for name in ("seconds", "cpu", "peak_mb"))
            times = f"{seconds / _median(results['duckdb'], 'seconds'):.2f}" if "duckdb" in results else ""
            cells += [f"{seconds:.2f}", f"{cpu:.2f}", f"{peak:,.0f}", times]
        yield f"| {' | '.join(cells)} |"


def _median(results: list[dict[str, float]], name: str) -> float:
    return statistics.median(one[name] for one in results)


def start_postgres() -> Any:
    """The server that the tests start."""
    sys.path.insert(0, str(ROOT / "tests"))
    from support.postgres import postgres_server

    return postgres_server()


def _load(kind: str, address: str, cloud: Emulator) -> dict[str, float]:
    """One load in a process of its own, without what an earlier one has left in dlt's folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as data:
        environment = os.environ | {"DLT_DATA_DIR": data, "RUNTIME__DLTHUB_TELEMETRY": "false"}
        command = [sys.executable, "-m", "benchmarks.destinations", kind, address, cloud.base_url, cloud.api_key]
        found = measure(command, cwd=ROOT, env=environment)
    if found.code:
        raise SystemExit(f"the load into {kind} failed")
    return {**json.loads(found.said), "seconds": found.seconds, "cpu": found.cpu, "peak_mb": found.peak_mb}


def main() -> None:
    """Loads into one destination."""
    parser = argparse.ArgumentParser()
    for name in ("kind", "address", "base_url", "api_key"):
        parser.add_argument(name)
    options = parser.parse_args()
    import dlt

    from llama_extract_dlt import sync
    from llama_extract_dlt.cli.job import return_memory
    from llama_extract_dlt.settings import CHUNK_SIZE

    arguments: dict[str, Any] = {"base_url": options.base_url, "api_key": options.api_key, "lookup_files": False}
    if options.kind == "delta":
        arguments["table_format"] = "delta"
    destination = _destination(options.kind, options.address)
    pipeline = dlt.pipeline("bench", destination=destination, dataset_name="extractions")
    return_memory()
    report = sync(pipeline, chunk_size=CHUNK_SIZE, **arguments)
    print(json.dumps({"new": report.new, "updated": report.updated}))


def _destination(kind: str, address: str) -> Any:
    import dlt

    if kind == "duckdb":
        return dlt.destinations.duckdb(f"{address}/bench.duckdb")
    if kind == "postgres":
        return dlt.destinations.postgres(address)
    if kind == "ducklake":
        from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials

        catalog, storage = f"sqlite:///{address}/catalog.sqlite", f"{address}/lake"
        return dlt.destinations.ducklake(DuckLakeCredentials(catalog=catalog, storage=storage))
    return dlt.destinations.filesystem(f"{address}/lake")


if __name__ == "__main__":
    main()
