"""A lock file, for the processes of one machine."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path

from ...errors import LlamaExtractError
from .waiting import describe_holder

_held: set[int] = set()
"""Descriptors of the locks that this process has."""


class FileLock:
    """The system's lock on a file, which ends with the process, however that ends.

    The file says who has it. It is removed with the lock held, so whoever has opened it before gets a lock on a file
    that is no longer there, sees that, and takes the next one.
    """

    longest_pause = 1.0

    def __init__(self, file: Path) -> None:
        self._file = file
        self._lock: int | None = None

    def take(self) -> str | None:
        """Take it and return None, or return who has it; raise LlamaExtractError if there can be no such file."""
        try:
            self._file.parent.mkdir(parents=True, exist_ok=True)
            while self._lock is None:
                self._lock = _open_locked(self._file)
        except BlockingIOError:
            return self._holder()
        except OSError as error:
            raise LlamaExtractError(f"cannot make the lock file {self._file}: {error.strerror}") from error
        _held.add(self._lock)
        with suppress(OSError):  # a full disk is no reason to let others in
            os.write(self._lock, describe_holder().encode())
        return None

    def check(self) -> None:
        """Do nothing: the system takes it from nobody."""

    def release(self) -> None:
        """Remove the file, and let others in."""
        if self._lock is None:
            return
        with suppress(OSError):  # Windows does not remove what is open
            self._file.unlink()
        _held.discard(self._lock)
        os.close(self._lock)
        self._lock = None

    def _holder(self) -> str:
        with suppress(OSError, UnicodeDecodeError):
            return self._file.read_text()[:200]
        return ""


def _open_locked(file: Path) -> int | None:
    """Return the descriptor of the file, locked and empty; None if somebody has removed the file meanwhile."""
    lock = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        _lock(lock)
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(lock), os.stat(file)):
                os.truncate(lock, 0)  # of a process that was killed
                return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


if sys.platform == "win32":
    import msvcrt

    def _lock(descriptor: int) -> None:
        """Lock the file; raise BlockingIOError when somebody else has."""
        try:
            os.lseek(descriptor, 1024, os.SEEK_SET)  # what is locked cannot be read, and the holder's name can
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        except PermissionError as error:
            raise BlockingIOError from error
else:
    import fcntl

    def _lock(descriptor: int) -> None:
        """Lock the file; raise BlockingIOError when somebody else has."""
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _close_held() -> None:
        """Close the locks: a forked worker may outlive a load that is killed, and must not keep them."""
        for descriptor in _held:
            os.close(descriptor)
        _held.clear()

    os.register_at_fork(after_in_child=_close_held)
