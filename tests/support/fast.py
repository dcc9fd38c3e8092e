"""What makes a load of the tests cheaper, and changes nothing that a test looks at.

More than half of the processor time of a load of a few runs is dlt finding its own configuration: for every field of
every specification it works out the same facts about the same type hints, several hundred thousand times a load. These
are pure functions of their arguments, so that their results can be kept. That is for the tests, which make thousands
of such loads; a user makes one at a time, so that the source leaves dlt alone.
"""

import functools
import os
import ssl
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import duckdb
import httpx
from dlt.common import validation
from dlt.common.configuration.container import Container
from dlt.common.configuration.specs import base_configuration
from dlt.common.destination import DestinationCapabilitiesContext, utils
from dlt.common.schema import Schema
from dlt.common.storages.live_schema_storage import LiveSchemaStorage

PURE = (
    (base_configuration, "is_secret_hint"),
    (base_configuration, "extract_inner_hint"),
)


def make_loads_cheap() -> None:
    """Does all of that, in this process."""
    keep_pure_results()
    pass_capabilities()
    keep_read_schemas()
    make_small_databases()
    share_ssl_context()


def keep_pure_results() -> None:
    """Remembers the results of some functions of dlt, in every module that has them by name."""
    for module, name in PURE:
        _replace(name, getattr(module, name), _remembered(getattr(module, name)))
    make = validation.get_type_hints
    hints: dict[Any, dict[str, Any]] = {}

    def get_type_hints(spec: Any, globalns: Any = None) -> dict[str, Any]:
        """Of a dictionary that is checked; where its names are looked up follows from `spec`."""
        if spec not in hints:
            hints[spec] = make(spec, globalns=globalns)
        return hints[spec]

    vars(validation)["get_type_hints"] = get_type_hints


def pass_capabilities() -> None:
    """Passes to functions of dlt what a destination can do, their only setting: they look for it 200 times a load."""
    for name in ("prepare_load_table", "resolve_merge_strategy"):
        look_up = getattr(utils, name)
        _replace(name, look_up, _with_capabilities(look_up))


def _with_capabilities(look_up: Callable[..., Any]) -> Callable[..., Any]:
    plain = vars(look_up)["__wrapped__"]

    @functools.wraps(look_up)
    def passed(tables: Any, table: Any, destination_capabilities: Any = None) -> Any:
        container = Container()
        if destination_capabilities is None and DestinationCapabilitiesContext in container:
            destination_capabilities = container[DestinationCapabilitiesContext]
        if destination_capabilities is None:
            return look_up(tables, table)
        return plain(tables, table, destination_capabilities)

    return passed


def keep_read_schemas() -> None:
    """Lets a pipeline read its schema's file again only if that has changed: it does so twenty times a load."""
    get = LiveSchemaStorage.__getitem__

    def version(storage: LiveSchemaStorage, name: str) -> tuple[int, ...] | None:
        try:
            file = os.stat(storage.storage.make_full_path(storage._file_name_in_store(name, "json")))
        except FileNotFoundError:
            return None
        return file.st_ino, file.st_mtime_ns, file.st_size

    def get_once(self: LiveSchemaStorage, name: str) -> Schema:
        read = vars(self).setdefault("_read", {})
        there = version(self, name)
        live = self.live_schemas.get(name)
        if live is not None and there is not None and read.get(name) == (id(live), there, live.version_hash):
            return live
        schema = get(self, name)
        read[name] = (id(schema), there, schema.stored_version_hash)
        return schema

    LiveSchemaStorage.__getitem__ = get_once  # type: ignore[method-assign]


def share_ssl_context() -> None:
    """Reads the certificates once: a client makes a context even for plain HTTP, in 20 ms.

    A client that heeds the environment still makes its own: tests change what is there.
    """
    make = httpx.create_ssl_context
    shared: list[ssl.SSLContext] = []

    def create_ssl_context(verify: Any = True, cert: Any = None, trust_env: bool = True) -> ssl.SSLContext:
        if verify is not True or cert or trust_env:
            return make(verify=verify, cert=cert, trust_env=trust_env)
        if not shared:
            shared.append(make(trust_env=False))
        return shared[0]

    _replace("create_ssl_context", make, create_ssl_context)


def make_small_databases() -> None:
    """Lets a DuckDB file have small blocks: a column of three values takes one, which is written at each load.

    None of them is compressed: to find out how takes as long as all else that closing a file does. And one thread:
    more of them have nothing to do but to wake each other.
    """
    connect = duckdb.connect
    given = {"default_block_size": 16384, "force_compression": "uncompressed", "threads": 1}

    @functools.wraps(connect)
    def small(database: Any = ":memory:", read_only: bool = False, config: Any = None) -> duckdb.DuckDBPyConnection:
        return connect(database, read_only, given | (config or {}))

    _replace("connect", connect, small)


def work_in_memory() -> None:
    """Puts all temporary files where no disk is waited for, if there is such a place.

    Databases and working folders of thousands of loads are written, flushed and thrown away.
    """
    memory = Path("/dev/shm")
    if "TMPDIR" not in os.environ and memory.is_dir() and os.access(memory, os.W_OK):
        os.environ["TMPDIR"] = os.environ["PYTEST_DEBUG_TEMPROOT"] = str(memory)
        tempfile.tempdir = None  # to be found anew


def _remembered(function: Callable[..., Any]) -> Callable[..., Any]:
    results: dict[Any, Any] = {}

    @functools.wraps(function)
    def remembered(*args: Any, **kwargs: Any) -> Any:
        # Equal hints of different types (Literal[1] and Literal[True]) must not be taken for each other.
        key = (args, tuple(map(type, args)), tuple(kwargs.items()))
        try:
            return results[key]
        except KeyError:
            results[key] = result = function(*args, **kwargs)
            return result
        except TypeError:  # cannot be a key
            return function(*args, **kwargs)

    return remembered


def _replace(name: str, old: Callable[..., Any], new: Callable[..., Any]) -> None:
    for module in list(sys.modules.values()):
        if isinstance(module, ModuleType) and vars(module).get(name) is old:
            setattr(module, name, new)
