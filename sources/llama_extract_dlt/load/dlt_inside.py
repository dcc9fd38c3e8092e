"""What this source needs of dlt beyond its documented interface: the one module that an upgrade of dlt may break."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from copy import deepcopy
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary

import dlt
import pyarrow.parquet as pq
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs.config_section_context import ConfigSectionContext
from dlt.common.pipeline import PipelineContext
from dlt.common.runtime.collector_base import Collector
from dlt.common.schema.typing import TTableSchemaColumns
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.versioned_state import decompress_state
from dlt.extract import DltResource
from dlt.extract.items_transform import MapItem

from ..errors import ConfigurationError


def current_load_id() -> str:
    """Return the id of the load package that is being extracted; empty if somebody looks at a resource by itself."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return ""


def claim_package(token: str) -> bool:
    """Return whether the load package that is being extracted is this claimant's alone, as far as this source goes.

    Two sources of one name in one `pipeline.run` share a package.
    """
    try:
        state: Any = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return True
    return bool(state.setdefault("llama_extract", token) == token)


def save_extracted_schema(pipeline: dlt.Pipeline, schema: dlt.Schema) -> None:
    """Keep a schema that was changed after the extraction, for the packages that are not normalized yet."""
    pipeline.schemas.save_schema(schema)
    packages = pipeline._get_normalize_storage().extracted_packages
    for load_id in packages.list_packages():
        packages.save_schema(load_id, schema)


def refreshed_tables() -> tuple[list[str], list[str]]:
    """Return the tables that dlt will drop, and those that it will empty, before it loads the package (`refresh`)."""
    try:
        state: Any = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return [], []
    names = ([table["name"] for table in state.get(kind, ())] for kind in ("dropped_tables", "truncated_tables"))
    dropped, emptied = names
    return dropped, emptied


def resource_state(pipeline: dlt.Pipeline, source: str, resource: str) -> dict[str, Any]:
    """Return what the pipeline knows of a resource; empty if it was never loaded."""
    return _of_resource(pipeline.state, source, resource)


def state_of_load(text: str | None, source: str, resource: str) -> dict[str, Any]:
    """Return what a load has left of a resource, from the text that dlt keeps a pipeline's state as, if it has any."""
    return _of_resource(decompress_state(text), source, resource) if text else {}


def _of_resource(state: Any, source: str, resource: str) -> dict[str, Any]:
    found: dict[str, Any] = state.get("sources", {}).get(source, {}).get("resources", {}).get(resource, {})
    return found


_CONFIGURATIONS: WeakKeyDictionary[dlt.Pipeline, Any] = WeakKeyDictionary()


@contextmanager
def one_configuration(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Let the destination's configuration be worked out once, which takes dlt as long as a query and is done each time.

    That is with credentials for whoever asks for a client, and without for what the destination can do.
    """
    if pipeline in _CONFIGURATIONS:
        yield
        return
    destination: Any = pipeline.destination
    resolve, known = destination.configuration, dict[Any, Any]()

    def configuration(initial_config: Any, accept_partial: bool = False) -> Any:
        if initial_config is None or initial_config.is_resolved():
            return resolve(initial_config, accept_partial)
        # Of two loads at once with one destination, each may ask here.
        asking = Container()[ConfigSectionContext].pipeline_name
        bound = (getattr(initial_config, name, None) for name in ("dataset_name", "default_schema_name"))
        key = (accept_partial, asking, *bound, id(getattr(initial_config, "staging_config", None)))
        if key not in known:
            known[key] = resolve(initial_config, accept_partial)
        return known[key]

    _CONFIGURATIONS[pipeline], destination.configuration = None, configuration
    try:
        yield
    finally:
        del _CONFIGURATIONS[pipeline]
        vars(destination).pop("configuration", None)  # of two loads at once with one object, the other may have done so


def configuration_of(pipeline: dlt.Pipeline) -> Any:
    """Return the configuration of the pipeline's destination, credentials and all."""
    if (known := _CONFIGURATIONS.get(pipeline)) is not None:
        return known
    config = pipeline.destination_client().config
    if pipeline in _CONFIGURATIONS:
        _CONFIGURATIONS[pipeline] = config
    return config


def check_dataset(pipeline: dlt.Pipeline) -> None:
    """Refuse a dataset whose name is that of another one's staging dataset: dlt would empty its tables."""
    config = configuration_of(pipeline)
    layout: str = getattr(config, "staging_dataset_name_layout", "")
    name: str = getattr(config, "dataset_name", None) or pipeline.dataset_name or ""
    before, mark, after = layout.partition("%s")
    if mark and name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
        other = name[len(before) : len(name) - len(after)]
        raise ConfigurationError(
            f"the dataset {name!r} is where dlt stages the dataset {other!r}, whose loads would empty it: "
            "take another dataset name"
        )


def check_row_ids() -> None:
    """Refuse dlt's setting that gives rows other ids than the source's own, which keys and joins rely on."""
    for name in ("normalize.parquet_normalizer.add_dlt_id", "normalize.parquet_normalizer.add_dlt_load_id"):
        if dlt.config.get(name, bool):
            raise ConfigurationError(
                f"{name} is set: leave it out, this source gives its rows ids that tables are joined by"
            )


def running_pipeline() -> dlt.Pipeline | None:
    """Return the pipeline that is running, if it has a destination; None when there is none."""
    context = Container()[PipelineContext]
    pipeline: Any = context.pipeline() if context.is_active() else None
    return pipeline if pipeline is not None and pipeline.destination else None


def duckdb_file(pipeline: dlt.Pipeline) -> Path | None:
    """Return the DuckDB file that a pipeline loads into; None if it loads into something else, or into memory."""
    if not pipeline.destination.destination_type.endswith(".duckdb"):
        return None
    database = getattr(configuration_of(pipeline).credentials, "database", None)
    return Path(database) if isinstance(database, str) and database not in (":memory:", ":external:") else None


def database_file(pipeline: dlt.Pipeline) -> Path | None:
    """Return the file that one process at a time writes: DuckDB's, SQLite's, or a DuckLake's catalog; None if none."""
    config = configuration_of(pipeline)
    name = ""
    if config.destination_type == "ducklake" and config.credentials.catalog.drivername in ("sqlite", "duckdb"):
        name = config.credentials.catalog.database
    elif config.destination_type == "sqlalchemy" and config.credentials.drivername.startswith("sqlite"):
        name = config.credentials.database
    return Path(name) if name and name != ":memory:" else duckdb_file(pipeline)


def name_duckdb_file(pipeline: dlt.Pipeline, name: str) -> None:
    """Let the DuckDB file be called `name`, with `.duckdb`, where the configuration names none."""
    pipeline.destination.config_params["pipeline_name"] = name  # which dlt calls it after


def load_tables_in_turn(pipeline: dlt.Pipeline) -> None:
    """Let DuckDB load one table at a time: it uses all cores for each, and every other one takes memory."""
    if pipeline.destination.destination_type.endswith(".duckdb"):
        pipeline.destination.caps_params.setdefault("max_parallel_load_jobs", 1)


class PassingCollector(Collector):
    """Stands in the place of a pipeline's collector, which is told of dlt's steps, and passes all on to that."""

    def __init__(self, given: Collector) -> None:
        self._given = given

    def __getattribute__(self, name: str) -> Any:
        """Return the collector's own hooks for dlt's traces, where a subclass has none."""
        if name in _TRACE_HOOKS and name not in type(self).__dict__:
            return getattr(self._given, name)
        return super().__getattribute__(name)

    def _start(self, step: str) -> None:
        self._given.step = step
        self._given._start(step)

    def _stop(self) -> None:
        self._given._stop()

    def update(self, *args: Any, **kwargs: Any) -> None:
        """Pass a count on."""
        self._given.update(*args, **kwargs)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        """Return a copy of the collector itself, which is all that another pipeline needs."""
        return deepcopy(self._given, memo)


_TRACE_HOOKS = ("on_start_trace", "on_start_trace_step", "on_end_trace_step", "on_end_trace")


def hints_of(resource: DltResource) -> dict[str, Any]:
    """Return the hints that a resource was given, its own and those of `apply_hints` or `pipeline.run`."""
    hints: Any = resource._hints
    return dict(hints or {})


def made_by(resource: DltResource) -> Any:
    """Return the function, or whatever it is, that gives a resource its items; copies of the resource have the same."""
    return resource._pipe.gen


def steps_of(resource: DltResource) -> list[Any]:
    """Return what the items of a resource go through: maps, filters, limits."""
    return list(resource._pipe.steps)


def replace_function(step: MapItem, replace: Callable[[Any], Any]) -> None:
    """Let a map call another function in the place of its own."""
    for name in ("_f", "_f_meta"):
        if (function := getattr(step, name)) is not None:
            setattr(step, name, replace(function))


def in_pool_thread() -> bool:
    """Return whether dlt extracts in a thread of its pool, which resources do that are parallelized."""
    return threading.current_thread().name.startswith("dlt-pool-")


def stored_columns(client: Any, schema: dlt.Schema, tables: Iterable[str]) -> Iterator[tuple[str, TTableSchemaColumns]]:
    """Yield the columns that tables have in the destination, as the schema calls them; none of a table that is missing.

    A destination may store names otherwise, Snowflake in upper case, and dlt gives them as they are stored.
    """
    fold = client.capabilities.casefold_identifier
    for table, columns in client.get_storage_tables(dict.fromkeys(tables)):
        own = {fold(name): name for name in schema.tables.get(table, {}).get("columns", {})}
        named: dict[str, Any] = {
            own.get(name) or (name.lower() if fold is str.upper else name): one for name, one in columns.items()
        }
        yield table, {name: one | {"name": name} for name, one in named.items()}


def loads_by_adbc() -> bool:
    """Return whether dlt loads PostgreSQL by ADBC."""
    return find_spec("adbc_driver_postgresql") is not None


def load_files_without_rows() -> None:
    """Let dlt load Parquet files without rows by ADBC, which cannot tell the columns of no batch at all.

    Such a file makes an empty table; dlt has made the table when it comes to the file.
    """
    from dlt.destinations._adbc_jobs import AdbcParquetCopyJob  # which only few destinations need

    load = AdbcParquetCopyJob.run
    if not hasattr(load, "__wrapped__"):

        @wraps(load)
        def load_rows(job: Any) -> None:
            if pq.read_metadata(job._file_path).num_rows:
                load(job)

        AdbcParquetCopyJob.run = load_rows  # type: ignore[assignment, method-assign]
