"""A DuckLake, by dlt's destination: opened once for a load, and without its catalog's password in errors."""

from __future__ import annotations

import hashlib
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any
from urllib.parse import quote, quote_plus
from weakref import WeakSet

import dlt
import duckdb
from dlt.destinations.exceptions import DestinationConnectionError

from ..dlt_inside import configuration_of

_opened_lakes: Counter[str] = Counter()
"""How many loads each DuckDB in memory is kept for by `open_ducklake_once`."""
_opening_lakes = threading.RLock()
_ITS_OWN = ":memory:"
"""A DuckDB that nobody else can have."""


@contextmanager
def open_ducklake_once(pipeline: dlt.Pipeline) -> Iterator[None]:
    """Let dlt open a DuckLake once: by itself it makes a DuckDB for each group of statements, and attaches the lake.

    All that opens the lake meanwhile gets a connection to one DuckDB in memory, which has the lake's name. In the end
    the lake is detached, and free for other processes. Other destinations are left alone, and so are lakes whose
    configuration has statements for each new DuckDB, or a name for it.
    """
    config = configuration_of(pipeline)
    if config.destination_type != "ducklake" or _needs_own_duckdb(config.credentials):
        yield
        return
    prepare_ducklake()
    credentials = config.credentials
    name = _duckdb_of(credentials)
    with duckdb.connect(name) as kept:
        with _opening_lakes:
            _opened_lakes[name] += 1
        try:
            yield
        finally:
            with _opening_lakes:
                _opened_lakes[name] -= 1
                if not _opened_lakes[name]:
                    kept.execute(f'DETACH DATABASE IF EXISTS "{credentials.ducklake_name}"')


def _needs_own_duckdb(credentials: Any) -> bool:
    return bool(credentials.statements or "custom_user_agent" in (credentials.global_config or {}))


def _duckdb_of(credentials: Any) -> str:
    """Return the name of the DuckDB in memory that a load has opened a DuckLake with."""
    lake = (credentials.ducklake_name, credentials.catalog_location(), credentials.storage_url)
    return f":memory:{hashlib.sha256(repr(lake).encode()).hexdigest()[:16]}"


def prepare_ducklake() -> None:
    """Let dlt's clients share the DuckDB that `open_ducklake_once` keeps, and tell no password."""
    from dlt.destinations.impl.ducklake.configuration import DuckLakeCredentials
    from dlt.destinations.impl.ducklake.sql_client import DuckLakeSqlClient

    open_connection, close_connection = DuckLakeSqlClient.open_connection, DuckLakeSqlClient.close_connection
    if DuckLakeCredentials._conn_str is _database:
        return
    sharing: WeakSet[Any] = WeakSet()

    @wraps(open_connection)
    def open_shared(client: Any) -> Any:
        with _opening_lakes:  # one at a time: each makes the same secret for the bucket
            if _database(client.credentials) != _ITS_OWN:
                sharing.add(client)
            try:
                return open_connection(client)
            except DestinationConnectionError as error:
                failure = error
        raise _without_password(failure, client)

    @wraps(close_connection)
    def close_but_leave_attached(client: Any) -> None:
        if client in sharing and client._conn:
            sharing.discard(client)
            with suppress(duckdb.Error):
                client._conn.rollback()
            client._conn.execute("USE memory")  # dlt detaches the lake that is used, and others have it
        close_connection(client)

    DuckLakeCredentials._conn_str = _database  # type: ignore[assignment, method-assign]
    DuckLakeSqlClient.open_connection = open_shared  # type: ignore[assignment, method-assign]
    DuckLakeSqlClient.close_connection = close_but_leave_attached  # type: ignore[assignment, method-assign]


def _database(credentials: Any) -> str:
    """Return what DuckDB opens for a DuckLake."""
    name = _duckdb_of(credentials)
    return name if _opened_lakes[name] and not _needs_own_duckdb(credentials) else _ITS_OWN


def _without_password(error: DestinationConnectionError, client: Any) -> DestinationConnectionError:
    """Return the error as it may be shown: DuckDB names the catalog's whole address, dlt what DuckDB says."""
    said, password = str(error.inner_exc), str(client.credentials.catalog.password or "")
    for secret in {password, quote(password), quote(password, safe=""), quote_plus(password)} - {""}:
        said = said.replace(secret, "***")
    if said == str(error.inner_exc):
        return error
    return DestinationConnectionError(type(client).__name__, client.dataset_name, said, duckdb.IOException(said))


def ducklake_catalog(config: Any) -> Callable[[], Any] | None:
    """Return what makes a client of a DuckLake's catalog if that is in PostgreSQL; None if it is elsewhere.

    Raises dlt's MissingDependencyException if there is no driver.
    """
    catalog = config.credentials.catalog
    if not catalog.drivername.startswith("postgres"):
        return None
    from dlt.destinations import postgres
    from dlt.destinations.impl.postgres.configuration import PostgresCredentials
    from dlt.destinations.impl.postgres.sql_client import Psycopg2SqlClient

    address = catalog.to_native_representation()
    credentials = PostgresCredentials(address.replace(catalog.drivername, "postgresql", 1))
    return lambda: Psycopg2SqlClient("public", "public", credentials, postgres().capabilities())
