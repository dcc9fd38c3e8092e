"""The scheduled command as a process of its own."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from llama_cloud_emulator import Emulator
from support.fork_server import Forked, can_fork
from support.places import ROOT
from support.warehouse import Warehouse

KEY = "llx-a-key-that-must-stay-secret"


class Outcome(NamedTuple):
    code: int
    out: str
    err: str


class Command:
    """Runs the command in a folder, against a LlamaCloud."""

    def __init__(self, cloud: Emulator, folder: Path) -> None:
        self.cloud = cloud
        self.folder = folder
        self.started: list[subprocess.Popen[str]] = []
        self.script = ROOT / "pipelines" / "runs.py"
        self.environment = {
            "PATH": "/usr/bin:/bin",
            "LLAMA_CLOUD_API_KEY": cloud.api_key,
            "LLAMA_CLOUD_BASE_URL": cloud.base_url,
            "DLT_DATA_DIR": str(folder / "dlt"),
            "RUNTIME__DLTHUB_TELEMETRY": "false",
        }
        # What the process needs to know while coverage is measured.
        self.environment |= {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}

    def start(self, *arguments: str, stderr: int = subprocess.PIPE, **environment: str | None) -> subprocess.Popen[str]:
        """The running command; None takes a variable away."""
        given = {name: value for name, value in (self.environment | environment).items() if value is not None}
        process = start_python([str(self.script), *arguments], cwd=self.folder, env=given, stderr=stderr)
        self.started.append(process)
        return process

    def __call__(self, *arguments: str, **environment: str | None) -> Outcome:
        return outcome(self.start(*arguments, **environment))

    def warehouse(self, name: str = "llamacloud") -> Warehouse:
        """What the command has loaded, for reading only."""
        house = Warehouse(self.cloud, self.folder / f"{name}.duckdb")
        house.close()
        return house


def start_python(
    line: list[str], *, cwd: Path, env: dict[str, str], stderr: int = subprocess.PIPE
) -> subprocess.Popen[str]:
    """A script with its arguments, as a process of its own."""
    given: dict[str, Any] = {
        "cwd": cwd,
        "env": env,
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.PIPE,
        "stderr": stderr,
        "text": True,
    }
    if can_fork(env):
        return Forked(line, **given)
    # Whoever starts the tests in the background has Ctrl-C ignored, and so would the command.
    hear_it = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    return subprocess.Popen([sys.executable, *line], **given, preexec_fn=hear_it)


def outcome(process: subprocess.Popen[str]) -> Outcome:
    """How it ended, and what it said, which never is the key."""
    out, err = process.communicate(timeout=300)
    assert KEY not in f"{out} {err}"
    return Outcome(process.returncode, out, err)


class Held:
    """Keeps a LlamaCloud from answering its n-th request; `reached` is set when the request has come.

    With `only`, it answers others meanwhile. Requests count that have the text in their path or query.
    """

    def __init__(self, cloud: Emulator, number: int, text: str = "", *, only: bool = False) -> None:
        self._text = text
        self.reached, self.release = threading.Event(), threading.Event()
        self._left = number
        self._only = only
        cloud.on_request = self._hold

    @contextmanager
    def back(self, start: Callable[[], subprocess.Popen[str]]) -> Iterator[subprocess.Popen[str]]:
        """A process that has come so far, and gets no answer as long as this lasts."""
        process = start()
        try:
            assert self.reached.wait(timeout=300)
            yield process
        except BaseException:
            process.kill()
            process.communicate()
            raise
        finally:
            self.release.set()

    def _hold(self, _: str, path: str, query: dict[str, list[str]]) -> Awaitable[object] | None:
        if self._text and self._text not in f"{path}?{query}":
            return None
        self._left -= 1
        if self._left == 0:
            self.reached.set()
            if self._only:
                return asyncio.to_thread(self.release.wait, timeout=300)
            self.release.wait(timeout=300)
        return None
