"""Loads the same runs with every peer, in turn, and prints a table.

    python -m benchmarks                          # 5,000 cited invoice runs, all peers, three rounds
    python -m benchmarks --runs 50000 --peers ours floor
    python -m benchmarks --destination duckdb postgres delta ducklake     # this source, into each of these

The runs are served over HTTP by the emulator in a process of its own, rendered beforehand. Every load has a
process, a folder and a DuckDB file of its own. Peers take turns, so that a slow moment of the machine hits all.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

from benchmarks.destinations import KINDS, compare
from benchmarks.peers import PEERS

NAMES = {
    "ours": "this source",
    "rest_api": "(a) dlt rest_api",
    "rest_api_tuned": "(b) dlt rest_api, tuned",
    "rest_api_tuned_more": "(b+) schema as JSON, too",
    "vendor": "(c) llama-cloud + read_json",
    "floor": "floor: parse, Parquet, DuckDB",
}


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Load the same runs with every peer, in turn.")
    parser.add_argument("--runs", type=int, default=5000)
    parser.add_argument("--corpus", default="invoices-cited", choices=["invoices-cited", "invoices", "mixed"])
    parser.add_argument("--peers", nargs="+", default=list(PEERS), choices=list(PEERS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--destination", nargs="+", choices=KINDS, help="compare these instead, with this source")
    options = parser.parse_args()
    print(f"{options.runs:,} runs ({options.corpus}), {options.rounds} rounds; {machine()}", flush=True)
    if options.destination:
        for line in compare(options.destination, options.runs, options.corpus, options.rounds):
            print(line)
        return
    results: dict[str, list[dict[str, Any]]] = defaultdict(list)
    with service(options.runs, options.corpus) as (base_url, api_key):
        for number in range(options.rounds):
            for peer in options.peers:
                result = measure(peer, base_url, api_key)
                results[peer].append(result)
                print(
                    f"  round {number + 1}: {NAMES[peer]:<30} {result['seconds']:8.2f} s", file=sys.stderr, flush=True
                )
    for line in table(results):
        print(line)


def measure(peer: str, base_url: str, api_key: str) -> dict[str, Any]:
    """One load in a fresh process and folder."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.peers", peer, base_url, api_key, folder]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@contextmanager
def service(runs: int, corpus: str) -> Iterator[tuple[str, str]]:
    """The emulator in a process of its own, all runs rendered."""
    command = [sys.executable, "-m", "llama_cloud_emulator", "--port", "0", "--runs", str(runs), "--corpus", corpus]
    with subprocess.Popen([*command, "--seed", "1", "--warm"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        try:
            yield ready["base_url"], ready["api_key"]
        finally:
            process.terminate()


def table(results: dict[str, list[dict[str, Any]]]) -> Iterator[str]:
    """The results as a Markdown table: medians, and how often ours goes into each."""
    median = {peer: statistics.median(one["seconds"] for one in found) for peer, found in results.items()}
    yield ""
    yield "| peer | seconds (median) | all rounds | runs/s | peak MB | rows in tables | ratio to ours |"
    yield "| --- | ---: | --- | ---: | ---: | ---: | ---: |"
    for peer, found in results.items():
        rounds = ", ".join(f"{one['seconds']:.2f}" for one in found)
        peak = max(one["peak_mb"] for one in found)
        ratio = f"{median[peer] / median['ours']:.2f}" if "ours" in median else ""
        yield (
            f"| {NAMES[peer]} | {median[peer]:.2f} | {rounds} | {found[0]['runs'] / median[peer]:,.0f} "
            f"| {peak:,.0f} | {found[0]['rows']:,} in {found[0]['tables']} | {ratio} |"
        )
    for one in results.get("floor", [])[-1:]:
        parts = ", ".join(f"{part} {one[part]:.2f} s" for part in ("parse", "parquet", "duckdb"))
        yield f"\nThe floor's parts: {parts}."


def machine() -> str:
    """What it was measured on."""
    packages = ", ".join(f"{name} {version(name)}" for name in ("dlt", "pyarrow", "duckdb", "httpx"))
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {system}, {packages}"


if __name__ == "__main__":
    main()
