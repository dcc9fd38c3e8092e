"""The database that the version before has loaded."""

import zipfile
from pathlib import Path

import duckdb

from support.places import TEST_DATA

EXPORT = TEST_DATA / "loaded_by_the_version_before.zip"


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
