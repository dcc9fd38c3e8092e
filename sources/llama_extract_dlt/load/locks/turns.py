"""Workers side by side: a dataset is locked while a worker loads a package, and not while it reads.

What a worker has read may not fit any more when its turn comes, because of what others have loaded meanwhile. Then it
reads again, with the others kept out.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Sequence
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
from ..warehouse.stored_schema import complete, take_over_stored
from .dataset import keeps_out_everybody

_logger = logging.getLogger(__name__)

LONGEST_WAIT = 3600.0
"""Seconds that a worker waits for its turn, where `wait_for_lock` says nothing else."""

_IDS_PER_QUERY = 500


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
        if reason := self._outdated():
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

    def _outdated(self) -> str:
        """Return what others have done that makes the extracted package unfit; empty if nothing."""
        extraction = self._running.extractions[-1]
        if made := extraction.adopt(self._types_there(), self._own_tables):
            return f"another worker has made {made} otherwise"
        others = sorted(self._loads_ended() - self._ended)
        if others and extraction.package_ids & self._column("id", RUNS, others):
            return "another worker has loaded the same runs"
        states = self._pipeline.schemas[self._schema_name].state_table_name
        if self._pipeline.pipeline_name in self._column("pipeline_name", states, others):
            return f"another worker's pipeline is called {self._pipeline.pipeline_name}, too"
        touched = self._column("extraction_agent_id", RUNS, others)
        for text in self._column("state", states, others):
            touched.update(state_of_load(text, self._schema_name, RUNS).get("touched", {}).get("agents", ()))
        if touched & (extraction.package_agents | extraction.metrics()["agents"].keys()):
            return "another worker has loaded runs of the same agents"
        return ""

    def _types_there(self) -> dict[str, dict[str, Any]]:
        """Return the types of the columns that are in the dataset, by their tables."""
        schema = self._pipeline.schemas[self._schema_name]
        client: Any = self._pipeline.destination_client(self._schema_name)
        with client:
            names = schema.data_table_names(include_incomplete=True)
            return {
                table: {name: column.get("data_type") for name, column in columns.items()}
                for table, columns in stored_columns(client, schema, names)
                if columns
            }

    def _take_over(self) -> None:
        """Take over into the package's schema what others have made: the newest schema in the dataset has it all."""
        schema = self._pipeline.schemas[self._schema_name]
        client: Any = self._pipeline.destination_client(self._schema_name)
        with client:
            take_over_stored(client, schema, ())
            for table, columns in stored_columns(client, schema, schema.data_table_names(include_incomplete=True)):
                if columns:
                    complete(schema, table, columns)
        save_extracted_schema(self._pipeline, schema)

    def _loads_ended(self) -> set[str]:
        return self._first_column(dlt.Schema(self._schema_name).loads_table_name, "load_id", "status = 0", ())

    def _column(self, column: str, table: str, loads: Sequence[str]) -> set[str]:
        """Return the values that the rows of these loads have in a column."""
        found: set[str] = set()
        for start in range(0, len(loads), _IDS_PER_QUERY):
            some = loads[start : start + _IDS_PER_QUERY]
            found |= self._first_column(table, column, f"_dlt_load_id IN ({_marks(some)})", some)
        return found

    def _first_column(self, table: str, column: str, condition: str, values: Iterable[str]) -> set[str]:
        with self._pipeline.sql_client() as client:
            query = f"SELECT {column} FROM {client.make_qualified_table_name(table)} WHERE {condition}"  # noqa: S608
            try:
                return {row[0] for row in client.execute_sql(query, *values) or ()}
            except DatabaseUndefinedRelation:
                return set()


def _marks(values: Collection[str]) -> str:
    return ", ".join(["%s"] * len(values))
