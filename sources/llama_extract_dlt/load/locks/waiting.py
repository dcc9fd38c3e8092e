"""What a lock is, and waiting for one."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Protocol

from ...errors import DatasetBusyError

FIRST_PAUSE = 0.05
"""Seconds between the first two tries; each pause is twice the one before, up to the lock's longest."""


class Lock(Protocol):
    """Somebody has it, or nobody; it does not outlast the process that has it, or not for long.

    Attributes:
        longest_pause: seconds between two tries, at most.
    """

    longest_pause: float

    def take(self) -> str | None:
        """Take it and return None; return who has it, as far as that is known, if somebody else does."""

    def check(self) -> None:
        """Raise DatasetBusyError if it was lost since it was taken: others may load then."""

    def release(self) -> None:
        """Give it back, if it was taken."""


def describe_holder() -> str:
    """Return who takes a lock now, for others to read."""
    host = platform.node().split(".")[0][:20]
    return f"process {os.getpid()} on {host} since {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


@contextmanager
def held(lock: Lock, what: str, wait: float = 0.0, on_wait: Callable[[str], object] | None = None) -> Iterator[None]:
    """Has the lock as long as it lasts.

    Args:
        lock: which is given back in the end.
        what: what others are kept out of, for the error.
        wait: seconds to wait for whoever has it.
        on_wait: called with a sentence about that before each pause.

    Raises DatasetBusyError if somebody else has the lock to the end.
    """
    try:
        _wait_for(lock, what, wait, on_wait)
        yield
    finally:
        lock.release()


def _wait_for(lock: Lock, what: str, wait: float, on_wait: Callable[[str], object] | None) -> None:
    began, pause = time.monotonic(), FIRST_PAUSE
    while (holder := lock.take()) is not None:
        left = began + wait - time.monotonic()
        by = f" ({holder})" if holder else ""
        if left <= 0:
            still = f"still at work after {wait:g} s" if wait else "at work"
            raise DatasetBusyError(
                f"another load into {what} is {still}{by}: wait for its end, or set wait_for_lock", holder=holder
            )
        if on_wait is not None:
            on_wait(f"another load into {what} is at work{by}")
        time.sleep(min(pause, left))
        pause = min(2 * pause, lock.longest_pause)
