"""A DuckDB file, kept open for a package.

dlt opens it for each table. A file that nobody else has open is read when it is opened and written when it is closed,
and one that a thread opens while another closes it says that it is in use. But what DuckDB keeps of an open file in
its log and in memory grows with every package, as dlt lets the log have a gigabyte.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import dlt

from ..dlt_inside import PassingCollector, duckdb_file


@contextmanager
def open_duckdb_once(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Keep the pipeline's DuckDB file open, if it has one: one that is not there from the first table on."""
    if (file := duckdb_file(pipeline)) is None:
        yield
        return
    given = pipeline.collector
    with ExitStack() as opened:
        if file.is_file():
            keep_duckdb_open(pipeline, opened)
        else:
            pipeline.collector = _Opener(pipeline, opened)
        try:
            yield
        finally:
            pipeline.collector = given


def keep_duckdb_open(pipeline: dlt.Pipeline, opened: ExitStack) -> None:
    """Open the pipeline's DuckDB file, if it has one, until `opened` is closed."""
    if duckdb_file(pipeline) is not None:
        client: Any = pipeline.sql_client()
        opened.enter_context(client)


class _Opener(PassingCollector):
    """Opens the file when tables are loaded first, and passes all on to the pipeline's own collector."""

    def __init__(self, pipeline: dlt.Pipeline, opened: ExitStack) -> None:
        super().__init__(pipeline.collector)
        self._pipeline = pipeline
        self._opened = opened
        self._is_open = False

    def _start(self, step: str) -> None:
        if step.startswith("Load ") and not self._is_open:
            self._is_open = True
            keep_duckdb_open(self._pipeline, self._opened)
        super()._start(step)
