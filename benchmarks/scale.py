"""Simulates a project of many runs, night after night, and prints what each load took.

    python -m benchmarks.scale                                 # a million small runs of a hundred agents
    python -m benchmarks.scale --agents 10 --runs 1000         # runs are those of each agent

The command loads from the emulator into a DuckDB file. A run has about 2 KB of JSON. The hours are what the requests
take at a rate limit of 20 and of 1,000 a minute: the loads themselves run without one.
"""

import argparse
import json
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb

from benchmarks.__main__ import machine
from benchmarks.measure import environment_of, measure
from llama_cloud_emulator import Emulator

ROOT = Path(__file__).resolve().parent.parent
BEGAN = datetime(2025, 1, 1, tzinfo=UTC)
YEAR_OF_MINUTES, MOST_RUNS = 365 * 24 * 60, 100_000
"""So that no run of an agent is from the future, as long as there are not more than these."""

SCHEMA = {
    "type": "object",
    "properties": {
        "number": {"type": "string"},
        "total": {"type": "number"},
        "due": {"type": "string", "format": "date"},
        "lines": {"type": "array", "items": {"type": "object", "properties": {"text": {"type": "string"}}}},
    },
}


class Night(NamedTuple):
    """What one load took."""

    name: str
    read: int
    requests: int
    seconds: float
    peak_mb: float
    state_bytes: int
    database_mb: float


def main() -> None:
    """Simulates and prints."""
    parser = argparse.ArgumentParser(description="Simulate a project of many runs, night after night.")
    parser.add_argument("--agents", type=int, default=100)
    parser.add_argument("--runs", type=int, default=10_000, help="of each agent")
    options = parser.parse_args()
    print(f"{options.agents:,} agents with {options.runs:,} runs each; {machine()}", flush=True)
    with Emulator(runs=0, corpus="empty") as cloud, tempfile.TemporaryDirectory(prefix="scale-") as folder:
        agents = [cloud.add_agent(f"Agent {number}", SCHEMA)["id"] for number in range(options.agents)]
        for number in range(options.runs):
            for agent in agents:
                add(cloud, agent, number)
        print(f"made in {time.process_time():,.0f} CPU seconds", file=sys.stderr, flush=True)
        nights = [load(cloud, Path(folder), "first load")]
        nights.append(load(cloud, Path(folder), "nothing new"))
        for agent in agents:
            for number in range(options.runs // 100):
                add(cloud, agent, options.runs + number)
        nights.append(load(cloud, Path(folder), "1 % more runs"))
        nights.append(load(cloud, Path(folder), "full scan", "--full-scan"))
    for line in table(nights):
        print(line)


def add(cloud: Emulator, agent: str, number: int) -> None:
    """A run of the agent."""
    lines = [{"text": f"line {line} of {number}"} for line in range(number % 4)]
    minutes = number * YEAR_OF_MINUTES / MOST_RUNS
    moment = (BEGAN + timedelta(minutes=minutes)).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    field = {"confidence": 0.9, "citation": [{"page": 1, "matching_text": str(number)}]}
    cloud.add_run(
        agent,
        data={"number": f"N-{number}", "total": number / 4, "due": "2026-11-30", "lines": lines},
        data_schema=SCHEMA,
        config={"extraction_mode": "BALANCED"},
        created_at=moment,
        updated_at=moment,
        extraction_metadata={"field_metadata": {"number": field, "total": field}},
        file={"id": f"{agent[:-12]}{number:012}", "name": f"file {number}.pdf"},
    )


def load(cloud: Emulator, folder: Path, name: str, *options: str) -> Night:
    """The command's load, as a process of its own."""
    command = [sys.executable, str(ROOT / "pipelines" / "runs.py"), "--json", "-q", *options]
    found = measure(command, cwd=folder, env=environment_of(cloud, folder / "dlt"))
    if found.code:
        raise SystemExit(f"{name}: the load ended with {found.code}")
    told: dict[str, Any] = json.loads(found.said)
    database = folder / "llamacloud.duckdb"
    with duckdb.connect(str(database), read_only=True) as connection:
        query = "select length(state) from llama_extract._dlt_pipeline_state order by version desc limit 1"
        (state,) = connection.execute(query).fetchall()[0]
    runs = sum(told["runs"][kind] for kind in ("new", "updated", "unchanged"))
    night = Night(name, runs, told["requests"], found.seconds, found.peak_mb, state, database.stat().st_size / 1024**2)
    print(night, file=sys.stderr, flush=True)
    return night


def table(nights: list[Night]) -> list[str]:
    """The loads as a Markdown table."""
    lines = [
        "| load | runs looked at | requests | hours at 20 a minute | minutes at 1,000 | seconds without a limit "
        "| peak MB | state, KB | database, MB |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {night.name} | {night.read:,} | {night.requests:,} | {night.requests / 20 / 60:,.1f} "
        f"| {night.requests / 1000:,.1f} | {night.seconds:,.0f} | {night.peak_mb:,.0f} "
        f"| {night.state_bytes / 1024:,.0f} | {night.database_mb:,.0f} |"
        for night in nights
    ]
    return lines


if __name__ == "__main__":
    main()
