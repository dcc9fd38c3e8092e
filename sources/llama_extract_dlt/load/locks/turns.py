"""Workers side by side: a dataset is locked while a worker loads a package, and not while it reads.

What a worker has read may not fit any more when its turn comes, because of what others have loaded meanwhile. Then it
reads again, with the others kept out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from typing import Any

import dlt
from dlt.common.pipeline import LoadInfo
from dlt.destinations.exceptions import DatabaseUndefinedRelation
from dlt.extract import DltSource

from ...errors import ConfigurationError
from ...tables.contract import RUNS
from ..dlt_inside import save_extracted_schema, state_of_load, stored_columns
from ..running_sync import RunningSync
from ..warehouse.queries import marks, portions
from ..warehouse.stored_schema import complete_from_catalogue, take_over_stored
from .dataset import keeps_out_everybody

_logger = logging.getLogger(__name__)

LONGEST_WAIT = 3600.0
"""Seconds that a worker waits for its turn, where `wait_for_lock` says nothing else."""


class Turns:
    """Loads what one worker reads, package by package, each in its turn.

    Args:
        pipeline: of this worker; another one has a pipeline of another name.
        source: what it reads.
        running: where the extractions of the source are.
        keep_out: keeps out the others, waiting for them.
        start_over: makes the pipeline forget what it has not loaded.

    Raises ConfigurationError if the destination has no lock that keeps out workers on other machines.
    """

    def __init__(
        self,
        pipeline: dlt.Pipeline,
        source: DltSource,
        running: RunningSync,
        keep_out: Callable[[], AbstractContextManager[Any]],
        start_over: Callable[[], object],
    ) -> None:
        if not keeps_out_everybody(pipeline):
            raise ConfigurationError(
                "parallel is for PostgreSQL, which has a lock of its own: leave it out for "
                f"{pipeline.destination.destination_name}, where loads side by side wait for each other (wait_for_lock)"
            )
        self._pipeline = pipeline
        self._source = source
        self._schema_name = source.schema.name
        self._schema_given = source.schema.clone()
        self._running = running
        self._keep_out = keep_out
        self._start_over = start_over
        self._begin()

    def run(self, arguments: dict[str, Any], stack: ExitStack) -> LoadInfo | None:
        """Extract a package; in its turn, which lasts as long as `stack`, load it.

        Returns dlt's LoadInfo, or None where there was nothing to load.
        """
        self._pipeline.extract(self._source, **arguments)
        if not (tables := self._extracted_tables()):
            self._pipeline.normalize()  # which throws the empty package away
            return None
        stack.enter_context(self._keep_out())
        if reason := self._outdated(self._take_over()):
            _logger.info("%s: what was read is read again", reason)
            self._running.extractions[-1].close()
            self._start_over()
            self._begin()
            self._source.schema = self._schema_given.clone()  # the other one has the columns of the package
            self._pipeline.extract(self._source, **arguments)
            tables = self._extracted_tables()
            self._take_over()
        self._pipeline.normalize()
        info = self._pipeline.load()
        self._ended.update(info.loads_ids)
        self._own_tables |= tables
        self._running.extractions[-1].note_loaded()
        return info

    def _begin(self) -> None:
        """Note which loads have ended, and only then let the pipeline's state come from the destination."""
        self._ended = self._loads_ended()
        self._own_tables: set[str] = set()
        self._pipeline.sync_destination()

    def _extracted_tables(self) -> set[str]:
        packages = map(self._pipeline.get_load_package_info, self._pipeline.list_extracted_load_packages())
        jobs = (job for package in packages for some in package.jobs.values() for job in some)
        return {job.job_file_info.table_name for job in jobs}

    # ── what others have done ─────────────────────────────────────────────────────────────────────────────────────

    def _take_over(self) -> dict[str, dict[str, Any]]:
        """Take over into the package's schema what others have made: the newest schema in the dataset has it all.

        Returns the types of the columns that are in the dataset, by their tables.
        """
        schema = self._pipeline.schemas[self._schema_name]
        client: Any = self._pipeline.destination_client(self._schema_name)
        types: dict[str, dict[str, Any]] = {}
        with client:
            take_over_stored(client, schema, ())
            for table, columns in stored_columns(client, schema, schema.data_table_names(include_incomplete=True)):
                if columns:
                    complete_from_catalogue(schema, table, columns)
                    types[table] = {name: column.get("data_type") for name, column in columns.items()}
        save_extracted_schema(self._pipeline, schema)
        return types

    def _outdated(self, types: Mapping[str, Mapping[str, Any]]) -> str:
        """Return what others have done that makes the extracted package unfit; empty if nothing.

        `types` are those of the columns in the dataset.
        """
        extraction = self._running.extractions[-1]
        if made := extraction.adopt(types, self._own_tables):
            return f"another worker has made {made} otherwise"
        others = sorted(self._loads_ended() - self._ended)
        written = self._rows("id, extraction_agent_id", RUNS, others)
        if not extraction.package_ids.isdisjoint(run_id for run_id, _ in written):
            return "another worker has loaded the same runs"
        touched = {agent_id for _, agent_id in written}
        states = self._pipeline.schemas[self._schema_name].state_table_name
        for pipeline_name, text in self._rows("pipeline_name, state", states, others):
            if pipeline_name == self._pipeline.pipeline_name:
                return f"another worker's pipeline is called {pipeline_name}, too"
            touched.update(state_of_load(text, self._schema_name, RUNS).get("touched", {}).get("agents", ()))
        if touched & (extraction.package_agents | extraction.metrics()["agents"].keys()):
            return "another worker has loaded runs of the same agents"
        return ""

    def _loads_ended(self) -> set[str]:
        loads = dlt.Schema(self._schema_name).loads_table_name
        return {load_id for (load_id,) in self._select("load_id", loads, "status = 0", ())}

    def _rows(self, columns: str, table: str, loads: Sequence[str]) -> list[tuple[Any, ...]]:
        """Return the rows of these loads."""
        return [
            row
            for some in portions(loads)
            for row in self._select(columns, table, f"_dlt_load_id IN ({marks(some)})", some)
        ]

    def _select(self, columns: str, table: str, condition: str, values: Iterable[str]) -> Sequence[Any]:
        with self._pipeline.sql_client() as client:
            query = f"SELECT {columns} FROM {client.make_qualified_table_name(table)} WHERE {condition}"  # noqa: S608
            try:
                return client.execute_sql(query, *values) or ()
            except DatabaseUndefinedRelation:
                return ()
