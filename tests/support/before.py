"""The database that the version before has loaded, and the service that it has loaded from."""

import json
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

from llama_cloud_emulator import Emulator
from support.places import TEST_DATA

EXPORT = TEST_DATA / "loaded_by_the_version_before.zip"


@contextmanager
def served() -> Iterator[Emulator]:
    """A LlamaCloud with the runs and agents that it had then."""
    with Emulator(seed=7, corpus="empty") as cloud, zipfile.ZipFile(EXPORT) as archive:
        service = json.loads(archive.read("service.json"))
        for agent in service["agents"]:
            cloud.add_agent(**agent)
        for run in service["runs"]:
            cloud.add_run(run["extraction_agent_id"], **run)
        assert cloud.agents() == service["agents"]
        assert cloud.runs() == service["runs"][::-1]
        yield cloud


def restore(path: Path) -> None:
    """Makes the database at this place."""
    export = path.with_suffix(".export")
    with zipfile.ZipFile(EXPORT) as archive:
        archive.extractall(export)
    with duckdb.connect(str(path)) as connection:
        connection.execute((export / "schema.sql").read_text())
        for file in export.glob("*.parquet"):
            dataset = "llama_extract_staging" if "llama_extract_staging_" in file.stem else "llama_extract"
            table = file.stem.removeprefix(f"{dataset}_")
            connection.execute(f"insert into {dataset}.\"{table}\" by name select * from '{file}'")
