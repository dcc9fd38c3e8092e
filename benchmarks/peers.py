"""One load of one peer in a process of its own: `python -m benchmarks.peers NAME BASE_URL API_KEY FOLDER`.

Each loads all runs of the service at BASE_URL into a fresh DuckDB file in FOLDER, and prints one JSON object:
seconds, peak memory in MB, tables, rows.
"""

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb

ROOT = Path(__file__).resolve().parent.parent
DATASET = "llama_extract"


def ours(base_url: str, api_key: str, folder: Path) -> None:
    """This source as the command loads it: 5,000 runs a package."""
    import dlt

    from llama_extract_dlt import sync
    from llama_extract_dlt.cli.job import return_memory
    from llama_extract_dlt.settings import CHUNK_SIZE

    pipeline = dlt.pipeline("bench", destination=_duckdb(folder), dataset_name=DATASET)
    return_memory()
    sync(pipeline, api_key=api_key, base_url=base_url, chunk_size=CHUNK_SIZE)


def rest_api(base_url: str, api_key: str, folder: Path) -> None:
    """(a) dlt's REST source as it comes."""
    _rest_api(base_url, api_key, folder, hints={})


def rest_api_tuned(base_url: str, api_key: str, folder: Path) -> None:
    """(b) dlt's REST source, tuned: Parquet, and the metadata as a JSON column."""
    _rest_api(base_url, api_key, folder, hints=_as_json("extraction_metadata"), loader_file_format="parquet")


def rest_api_tuned_more(base_url: str, api_key: str, folder: Path) -> None:
    """(b+) the same, and the data schema as a JSON column, too."""
    hints = _as_json("extraction_metadata", "data_schema")
    _rest_api(base_url, api_key, folder, hints=hints, loader_file_format="parquet")


def vendor(base_url: str, api_key: str, folder: Path) -> None:
    """(c) the vendor's client writing JSON lines, and DuckDB's read_json: one table, no child tables."""
    from llama_cloud import LlamaCloud

    lines = folder / "runs.jsonl"
    with LlamaCloud(api_key=api_key, base_url=base_url) as client, lines.open("w") as out:
        for agent in client.extraction.extraction_agents.list(include_default=True):
            skip = 0
            while True:
                page = client.extraction.runs.list(extraction_agent_id=agent.id, skip=skip, limit=100)
                for run in page.items:
                    out.write(run.model_dump_json() + "\n")
                skip += len(page.items)
                if not page.items or skip >= page.total:
                    break
    with duckdb.connect(str(folder / "bench.duckdb")) as connection:
        connection.execute(f"create schema {DATASET}")
        connection.execute(
            f"create table {DATASET}.extraction_runs as "
            f"select * from read_json('{lines}', maximum_object_size=100000000)"
        )


def floor(base_url: str, api_key: str, folder: Path) -> dict[str, float]:
    """What no loader can do without: parse the bytes, write the rows as Parquet, have DuckDB read that.

    Fetching the bytes and making the rows is done before and not counted.
    """
    import io

    import httpx
    import pyarrow.json as pj
    import pyarrow.parquet as pq

    pages = []
    with httpx.Client(base_url=base_url, headers={"Authorization": f"Bearer {api_key}"}) as client:
        for agent in client.get("/api/v1/extraction/extraction-agents", params={"include_default": True}).json():
            skip = 0
            while True:
                arguments = {"extraction_agent_id": agent["id"], "skip": skip, "limit": 100}
                body = client.get("/api/v1/extraction/runs", params=arguments).content
                page = json.loads(body)
                skip += len(page["items"])
                if page["items"]:
                    pages.append(body)
                if not page["items"] or skip >= page["total"]:
                    break
    prepared = folder / "prepared"
    prepared.mkdir()
    ours(base_url, api_key, prepared)
    with duckdb.connect(str(prepared / "bench.duckdb")) as connection:
        names = [name for (name,) in connection.execute(_TABLES).fetchall()]
        tables = {name: connection.sql(f'select * from {DATASET}."{name}"').to_arrow_table() for name in names}

    began = time.perf_counter()
    for body in pages:
        pj.read_json(io.BytesIO(body), pj.ReadOptions(use_threads=False, block_size=len(body) + 1))
    parsed = time.perf_counter()
    for name, table in tables.items():
        pq.write_table(table, folder / f"{name}.parquet")
    written = time.perf_counter()
    with duckdb.connect(str(folder / "bench.duckdb")) as connection:
        connection.execute(f"create schema {DATASET}")
        for name in names:
            connection.execute(
                f"create table {DATASET}.\"{name}\" as select * from read_parquet('{folder / name}.parquet')"
            )
    ended = time.perf_counter()
    return {
        "seconds": ended - began,
        "parse": parsed - began,
        "parquet": written - parsed,
        "duckdb": ended - written,
    }


PEERS: dict[str, Callable[[str, str, Path], dict[str, float] | None]] = {
    "ours": ours,
    "rest_api": rest_api,
    "rest_api_tuned": rest_api_tuned,
    "rest_api_tuned_more": rest_api_tuned_more,
    "vendor": vendor,
    "floor": floor,
}
_TABLES = (
    f"select table_name from information_schema.tables where table_schema = '{DATASET}' "
    "and not starts_with(table_name, '_dlt') order by 1"
)


def _rest_api(base_url: str, api_key: str, folder: Path, hints: dict[str, Any], **load: Any) -> None:
    import dlt
    from dlt.sources.rest_api import rest_api_source

    source = rest_api_source(
        {
            "client": {"base_url": f"{base_url}/api/v1/extraction/", "auth": {"type": "bearer", "token": api_key}},
            "resources": [
                {
                    "name": "extraction_agents",
                    "endpoint": {
                        "path": "extraction-agents",
                        "params": {"include_default": True},
                        "paginator": "single_page",
                    },
                    "primary_key": "id",
                    "write_disposition": "merge",
                },
                {
                    "name": "extraction_runs",
                    "endpoint": {
                        "path": "runs",
                        "params": {"extraction_agent_id": "{resources.extraction_agents.id}"},
                        "data_selector": "items",
                        "paginator": {
                            "type": "offset",
                            "limit": 100,
                            "offset_param": "skip",
                            "limit_param": "limit",
                            "total_path": "total",
                        },
                    },
                    "primary_key": "id",
                    "write_disposition": "merge",
                    **hints,
                },
            ],
        },
        name="llama_extract_rest",
    )
    pipeline = dlt.pipeline("bench", destination=_duckdb(folder), dataset_name=DATASET)
    pipeline.run(source, **load).raise_on_failed_jobs()


def _as_json(*columns: str) -> dict[str, Any]:
    return {"columns": {name: {"data_type": "json"} for name in columns}}


def _duckdb(folder: Path) -> Any:
    import dlt

    return dlt.destinations.duckdb(str(folder / "bench.duckdb"))


def main() -> None:
    """Runs one peer and prints what it took."""
    name, base_url, api_key, folder = sys.argv[1:]
    os.environ |= {"DLT_DATA_DIR": f"{folder}/dlt", "RUNTIME__DLTHUB_TELEMETRY": "false"}
    began = time.perf_counter()
    parts = PEERS[name](base_url, api_key, Path(folder))
    seconds = time.perf_counter() - began
    with duckdb.connect(f"{folder}/bench.duckdb", read_only=True) as connection:
        names = [table for (table,) in connection.execute(_TABLES).fetchall()]
        rows = sum(connection.execute(f'select count(*) from {DATASET}."{table}"').fetchall()[0][0] for table in names)
        runs = connection.execute(f"select count(*) from {DATASET}.extraction_runs").fetchall()[0][0]
    report = {"seconds": seconds, "runs": runs, "tables": len(names), "rows": rows} | (parts or {})
    report["peak_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps(report))


if __name__ == "__main__":
    main()
