"""How a destination takes the tables, and how it is asked what it holds."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple

import dlt
from dlt.destinations.impl.filesystem.filesystem import FilesystemClient

from ..errors import ConfigurationError
from ..tables.build import without_nul
from ..tables.contract import LoadTable, without_tombstones
from .delta import replace_by_key_in_delta_tables
from .dlt_inside import needed_file_format
from .lakes import Lake, TableFormat


class Layout(NamedTuple):
    """How a destination takes tables."""

    file_format: Literal["parquet"] | None = None
    """Of the files that they are loaded from, where dlt's own choice will not do."""
    kept_in: Literal["files", "delta"] | None = None
    """In a lake: whether in files that are only added to, or in Delta tables."""
    no_nul: bool = False
    """Whether texts cannot have the character NUL."""

    def finish(self, table: LoadTable) -> LoadTable:
        """Return the table as the destination takes it."""
        if self.no_nul:
            table.data = without_nul(table.data)
        if self.kept_in == "files" and table.is_child:
            table.data = without_tombstones(table.data)  # rows that the run's next load does not repeat do not count
        table.file_format, table.kept_in = self.file_format, self.kept_in
        return table


def layout_of(pipeline: dlt.Pipeline, client: Any, table_format: TableFormat | None) -> tuple[Layout, Any]:
    """Return how the pipeline's destination takes tables, and whom to ask what it holds: `client`, or a lake.

    Raises ConfigurationError if it knows no such format.
    """
    if isinstance(client, FilesystemClient):
        if table_format is None and "{load_id}" not in client.config.layout:
            raise ConfigurationError(
                f"the layout {client.config.layout!r} of the destination filesystem lacks {{load_id}}, by which the "
                "newest rows of a run are told: add it, or take table_format = 'delta'"
            )
        if table_format == "delta":
            replace_by_key_in_delta_tables()
        return Layout("parquet", table_format or "files"), Lake(client, table_format)
    if table_format:
        kind = pipeline.destination.destination_name
        raise ConfigurationError(f"table_format is for the destination filesystem: leave it out for {kind}")
    no_nul = pipeline.destination.destination_type.endswith(("postgres", "redshift"))
    return Layout(needed_file_format(pipeline), no_nul=no_nul), client
