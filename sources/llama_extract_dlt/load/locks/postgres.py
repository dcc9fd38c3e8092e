"""PostgreSQL's own lock, which keeps out loads from any machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from ...errors import DatasetBusyError
from .waiting import describe_holder

_HOLDER = """
SELECT a.application_name FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %s AND l.objid = %s AND l.objsubid = 1
    AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""


class PostgresLock:
    """An advisory lock, which belongs to a connection and ends with it.

    Args:
        connect: makes a client with `execute_sql` of a connection that commits by itself.
        number: of 60 bits; which lock it is, in its database.
    """

    longest_pause = 0.1  # workers side by side wait for each other at every package

    def __init__(self, connect: Callable[[], Any], number: int) -> None:
        self._connect = connect
        self._number = number
        self._connection: Any = None
        self._client: Any = None

    def take(self) -> str | None:
        """Take it and return None, or return who has it."""
        if self._connection is None:
            self._connection = self._connect()
            self._client = self._connection.__enter__()
        if self._client.execute_sql("SELECT pg_try_advisory_lock(%s)", self._number)[0][0]:
            self._client.execute_sql("SELECT set_config('application_name', %s, false)", describe_holder()[:63])
            return None
        found = self._client.execute_sql(_HOLDER, self._number >> 32, self._number & 0xFFFFFFFF)
        return (found[0][0] or "") if found else ""

    def check(self) -> None:
        """Raise DatasetBusyError if the connection has broken, and the lock with it."""
        try:
            self._client.execute_sql("SELECT 1")
        except Exception as error:
            raise DatasetBusyError(
                "the connection that kept other loads out of the dataset has broken: run again"
            ) from error

    def release(self) -> None:
        """Give it back, and close the connection: the server would notice only some time after that."""
        if self._connection is not None:
            with suppress(Exception):  # it may be broken, which is as good
                self._client.execute_sql("SELECT pg_advisory_unlock_all()")
            with suppress(Exception):
                self._connection.__exit__(None, None, None)
        self._connection = None
