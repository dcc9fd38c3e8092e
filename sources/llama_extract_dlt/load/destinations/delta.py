"""Delta tables, by dlt's filesystem destination: what a load has of a run replaces what there was of it.

dlt's own merge of Delta tables updates and inserts rows by a key. It leaves behind the rows of a list that became
shorter, and what it does to a child table has no key. So its job is told here how the tables of this source are merged,
in one transaction each; other tables are left to it.
"""

from __future__ import annotations

from functools import wraps
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from dlt.destinations.impl.filesystem.filesystem import DeltaLoadFilesystemJob, FilesystemClient

from ...settings import DELTA_CHECKPOINT_EVERY, DELTA_TRIES
from ...tables.contract import RUNS, key_of, without_tombstones

_CHECKPOINTS = {"delta.checkpointInterval": str(DELTA_CHECKPOINT_EVERY)}


def delta_files(client: FilesystemClient, table: str) -> list[str]:
    """Return the files that have the table's rows now; none if there is no such table."""
    opened = _open(client, table)
    files: list[str] = opened.file_uris() if opened is not None else []
    return files


def _open(client: FilesystemClient, table: str) -> Any:
    """Return the Delta table, whether or not a schema knows it; None if there is none."""
    from deltalake import DeltaTable

    location, options = _place(client, table)
    return DeltaTable(location, storage_options=options) if DeltaTable.is_deltatable(location, options) else None


def _place(client: FilesystemClient, table: str) -> tuple[str, dict[str, str]]:
    """Return where the table is, and what it takes to get there."""
    from dlt.common.libs.deltalake import deltalake_storage_options

    options = deltalake_storage_options(client.config.credentials, client.config.deltalake_storage_options)
    return client.get_open_table_location("delta", table), options


def replace_by_key_in_delta_tables() -> None:
    """Let dlt's job for Delta tables replace rows by their key where they are this source's."""
    run = DeltaLoadFilesystemJob.run
    if hasattr(run, "__wrapped__"):
        return

    @wraps(run)
    def replace_or_run(job: Any) -> None:
        if RUNS not in job._schema.tables:
            run(job)
            return
        config = job._job_client.config
        config.deltalake_configuration = _CHECKPOINTS | (config.deltalake_configuration or {})
        if job._load_table["write_disposition"] != "merge":
            run(job)
        else:
            _replace(job._job_client, job.load_table_name, _read(job.file_paths))

    DeltaLoadFilesystemJob.run = replace_or_run  # type: ignore[assignment, method-assign]


def _read(files: list[str]) -> pa.Table:
    """Return the rows of the files, one after the other.

    Arrow's own way to read several holds Python's lock while its threads look at the files, and they may need it.
    """
    tables = []
    for file in files:
        with pq.ParquetFile(file) as opened:
            tables.append(opened.read())
    return pa.concat_tables(tables, promote_options="default")


def _replace(client: FilesystemClient, name: str, data: pa.Table) -> None:
    """Replace the rows of the runs in `data`, tombstones among them, in one transaction."""
    from deltalake.exceptions import CommitFailedError
    from dlt.common.libs.deltalake import ensure_delta_compatible_arrow_data, write_delta_table

    key = key_of(name)
    keys = pc.unique(data[key])
    rows = ensure_delta_compatible_arrow_data(without_tombstones(data))
    for left in reversed(range(DELTA_TRIES)):
        if (table := _open(client, name)) is None:
            location, options = _place(client, name)
            configuration = client.config.deltalake_configuration
            write_delta_table(location, rows, "append", storage_options=options, configuration=configuration)
            return
        try:
            _merge(table, rows, key, keys)
            return
        except CommitFailedError:  # somebody has changed the table meanwhile: optimized it, say
            if not left:
                raise


def _merge(table: Any, rows: pa.Table, key: str, keys: pa.Array) -> None:
    from dlt.common.libs.deltalake import evolve_delta_table_schema

    evolve_delta_table_schema(table, rows.schema)
    if not len(keys):
        return
    listed = ", ".join("'" + value.replace("'", "''") + "'" for value in keys.to_pylist())
    of_these = f"target.{key} IN ({listed})"
    if not rows.num_rows:
        table.delete(of_these.removeprefix("target."))
        return
    own = "_dlt_id" if key == "_run_id" else key
    same = f"target.{own} = source.{own} AND {of_these}"
    if "_dlt_load_id" in rows.column_names:
        # Rows of other loads go: of a row that was there twice, both would be updated.
        same += " AND target._dlt_load_id = source._dlt_load_id"
    # Only files with rows of these runs are read and written again.
    merge = table.merge(rows, same, source_alias="source", target_alias="target")
    merge = merge.when_matched_update_all().when_not_matched_insert_all()
    merge.when_not_matched_by_source_delete(of_these).execute()
