"""Python programs that start at once: forked from a process that has imported what they import.

A program that loads a few runs takes seconds to import dlt and Arrow, and a fraction of one to do its work. All else is
as if it had been started: the module `__main__`, the environment, the outputs, how it ends, whose child it is. What
`support.fast` does for the tests' own loads is done for its loads, too.
"""

import atexit
import ctypes
import functools
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path
from typing import Any

import duckdb

# What Python or a library looks at once, when it starts: a program that is given any of these is started for real.
EARLY = ("COVERAGE_", "LANG", "LC_", "PYTHON", "TZ")
# Libraries, none of which looks at the environment or the outputs when it is imported. The project's own code is not
# among them.
IMPORTED = (
    "dlt.common.libs.pyarrow", "dlt.common.libs.sql_alchemy_compat", "dlt.destinations.impl.duckdb.duck",
    "dlt.destinations.impl.filesystem.filesystem", "dlt.destinations.impl.postgres.postgres", "h11", "httpcore",
    "httpx", "msgspec", "numpy", "numpy.typing", "pandas", "pendulum.locales.en.locale", "pluggy", "pyarrow.compute",
    "pyarrow.json", "pyarrow.pandas_compat", "pyarrow.parquet", "requests", "rich.progress", "rich.table",
    "sqlalchemy",
)  # fmt: skip
_SUBREAPER = 36  # PR_SET_CHILD_SUBREAPER of Linux


class Forked(subprocess.Popen[str]):
    """A Python program, its script and its arguments being given, as `subprocess.Popen` would start it."""

    def _execute_child(self, args: Any, *more: Any) -> None:
        _, preexec_fn, _, _, cwd, env, _, _, _, p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, *_ = more
        assert preexec_fn is None
        with tempfile.TemporaryFile() as request:
            request.write(
                json.dumps({"line": list(map(str, args)), "cwd": str(cwd or os.getcwd()), "env": env}).encode()
            )
            request.flush()
            outputs = [fd if fd >= 0 else number for number, fd in enumerate((p2cread, c2pwrite, errwrite))]
            self.pid = _server().fork([*outputs, request.fileno()])
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)  # type: ignore[attr-defined]


class _Server:
    """The process that forks, which lives as long as this one."""

    def __init__(self) -> None:
        self._socket, its = socket.socketpair()
        with its:
            self._process = subprocess.Popen(
                [sys.executable, __file__, str(its.fileno())], pass_fds=[its.fileno()], stdin=subprocess.DEVNULL
            )
        self._lock = threading.Lock()
        atexit.register(self._end)

    def _end(self) -> None:
        self._socket.close()
        self._process.wait()

    def fork(self, given: list[int]) -> int:
        """The id of a program, which is a child of this process."""
        prctl = ctypes.CDLL(None).prctl
        with self._lock:
            prctl(_SUBREAPER, 1)
            try:
                socket.send_fds(self._socket, [b"!"], given)
                program = int.from_bytes(self._socket.recv(8), "little")
            finally:
                prctl(_SUBREAPER, 0)
        assert program, "the process that forks has ended"
        return program


@functools.cache
def _server() -> _Server:
    return _Server()


def can_fork(environment: dict[str, str]) -> bool:
    """Whether this machine can do that, and a program with this environment."""
    return sys.platform == "linux" and not any(name.startswith(EARLY) for name in environment)


# ── in the server ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _serve(asked: socket.socket) -> None:
    """Forks when it is asked to; returns in each of the programs."""
    while True:
        message, given, _, _ = socket.recv_fds(asked, 1, 4)
        if not message:
            sys.exit()
        reading, writing = os.pipe()
        # A process whose parent has ended is the child of whoever asks for such: of the tests.
        between = os.fork()
        if between == 0:
            if (program := os.fork()) == 0:
                asked.close()
                os.close(reading)
                os.close(writing)
                _become(given)
                return
            os.write(writing, program.to_bytes(8, "little"))
            os._exit(0)
        os.waitpid(between, 0)
        asked.sendall(os.read(reading, 8))
        for fd in (reading, writing, *given):
            os.close(fd)


def _become(given: list[int]) -> None:
    """Makes this process that of the program that was asked for."""
    with open(given.pop(), "rb") as file:
        file.seek(0)
        request = json.load(file)
    for number, fd in enumerate(given):
        os.dup2(fd, number)
        os.close(fd)
    for stream in ("stdin", "stdout", "stderr"):
        setattr(sys, f"__{stream}__", None)
    sys.stdin = os.fdopen(0, closefd=False)
    sys.stdout = os.fdopen(1, "w", buffering=1 if os.isatty(1) else -1, closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)
    os.environ.clear()
    os.environ.update(request["env"])
    os.chdir(request["cwd"])
    sys.argv[:] = request["line"]
    sys.path[0] = str(Path(sys.argv[0]).parent)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    tempfile.tempdir = None


if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).parent.parent)
    from importlib import import_module

    from support import fast

    for name in IMPORTED:
        import_module(name)
    fast.make_loads_cheap()
    duckdb.close()  # what importing it has opened has a thread, which no fork has
    _serve(socket.socket(fileno=int(sys.argv[1])))
    runpy.run_path(sys.argv[0], run_name="__main__")
