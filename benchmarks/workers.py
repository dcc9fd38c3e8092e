"""Loads a project by one worker, and by several at the same time, into PostgreSQL.

    python -m benchmarks.workers                           # 8 agents with 1,000 runs each, answers after 300 ms
    python -m benchmarks.workers --workers 1 2 4 --rounds 3

Each worker is the command, a process of its own with its share of the agents; all begin together. The time is that of
the slowest. The server is the one that the tests start, on loopback.
"""

import argparse
import asyncio
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2

from benchmarks.__main__ import machine
from benchmarks.destinations import start_postgres
from benchmarks.measure import environment_of
from benchmarks.scale import SCHEMA, add
from llama_cloud_emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(description="Load a project by one worker, and by several at the same time.")
    parser.add_argument("--agents", type=int, default=8)
    parser.add_argument("--runs", type=int, default=1000, help="of each agent")
    parser.add_argument("--latency", type=float, default=0.3, help="seconds that each answer takes longer")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--concurrency", type=int, help="requests of a worker at once (max_concurrency)")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(f"{options.agents} agents with {options.runs:,} runs each, {options.latency} s; {machine()}", flush=True)
    seconds: dict[int, list[float]] = defaultdict(list)
    with Emulator(runs=0, corpus="empty") as cloud, start_postgres() as server:
        agents = [cloud.add_agent(f"Agent {number}", SCHEMA)["id"] for number in range(options.agents)]
        for number in range(options.runs):
            for agent in agents:
                add(cloud, agent, number)
        cloud.on_request = lambda *_: asyncio.sleep(options.latency)
        for _ in range(options.rounds):
            for workers in options.workers:
                url = server.database()
                shares = [agents[place::workers] for place in range(workers)]
                seconds[workers].append(load(cloud, url, shares, options.concurrency))
                loaded = count(url)
                print(
                    f"  {workers} workers: {seconds[workers][-1]:.2f} s, {loaded:,} runs", file=sys.stderr, flush=True
                )
                if loaded != options.agents * options.runs:
                    raise SystemExit(f"{loaded:,} runs were loaded")
    print("| workers | seconds (median) | all rounds | times one worker |\n| ---: | ---: | --- | ---: |")
    for workers, all_rounds in seconds.items():
        median = statistics.median(all_rounds)
        ratio = statistics.median(next(iter(seconds.values()))) / median
        print(f"| {workers} | {median:.2f} | {', '.join(f'{one:.2f}' for one in all_rounds)} | {ratio:.2f} |")


def load(cloud: Emulator, url: str, shares: list[list[str]], concurrency: int | None) -> float:
    """The seconds that the workers take with their shares of the agents."""
    with tempfile.TemporaryDirectory(prefix="workers-") as folder:
        environment = environment_of(cloud, Path(folder), DESTINATION__POSTGRES__CREDENTIALS=url)
        if concurrency:
            environment["SOURCES__LLAMA_EXTRACT__MAX_CONCURRENCY"] = str(concurrency)
        command = [sys.executable, str(ROOT / "pipelines" / "runs.py"), "-q", "--destination", "postgres"]
        if len(shares) > 1:
            command.append("--parallel")
        began = time.monotonic()
        workers: list[subprocess.Popen[Any]] = []
        for share in shares:
            named = [word for agent in share for word in ("--agent", agent)] if len(shares) > 1 else []
            workers.append(subprocess.Popen([*command, *named], cwd=folder, env=environment))
        codes = [worker.wait() for worker in workers]
        seconds = time.monotonic() - began
    if any(codes):
        raise SystemExit(f"workers ended with {codes}")
    return seconds


def count(url: str) -> int:
    """How many runs are loaded."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select count(*) from llama_extract.extraction_runs")
        found = cursor.fetchone()
    assert found is not None
    return int(found[0])


if __name__ == "__main__":
    main()
