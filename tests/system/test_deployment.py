"""The command where nobody watches: ended by a supervisor whatever it is at, with little that it may write to."""

import os
import pty
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import psycopg2
import pytest

from llama_cloud_emulator import Emulator
from support.command import KEY, Command, Held, Outcome, outcome
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_whole

ENDED = Outcome(143, "", "terminated: run again to finish, nothing will be in the warehouse twice\n")


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=12, seed=3, corpus="invoices", page_limit=2, api_key=KEY) as emulator:
        yield emulator


@pytest.fixture
def command(cloud: Emulator, tmp_path: Path) -> Iterator[Command]:
    command = Command(cloud, tmp_path)
    yield command
    for process in command.started:
        if process.poll() is None:  # the test has failed
            process.kill()
            process.communicate()


def wait_until(due: Callable[[], bool], process: subprocess.Popen[str]) -> None:
    while not due():
        assert process.poll() is None, process.communicate()
        time.sleep(0.005)  # is not what is waited for: it leaves the processor to the load


# ── SIGTERM ───────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("waiting_for", ["the rate limit", "the next try"])
def test_a_load_that_waits_for_the_service_ends_when_it_is_told_to(
    cloud: Emulator, command: Command, waiting_for: str
) -> None:
    if waiting_for == "the next try":
        cloud.fail(times=None, path="/runs", headers={"Retry-After": "300"})
        settings, said = {}, b"before trying again"
    else:
        settings, said = {"SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE": "0.1"}, b" 1 requests"
    ours, its = pty.openpty()
    process = command.start(stderr=its, TERM="xterm-256color", COLUMNS="120", **settings)
    os.close(its)
    shown = b""
    while said not in shown:
        shown += os.read(ours, 4096)
    process.send_signal(signal.SIGTERM)
    ended = process.wait(timeout=60)
    with suppress(OSError):  # how Linux says that nobody has the other end any more
        while chunk := os.read(ours, 4096):
            shown += chunk
    os.close(ours)
    assert (ended, outcome(process).out) == (143, "")
    assert shown.decode().endswith(f"\n{ENDED.err[:-1]}\r\n")


class Locked:
    """Holds a lock on a table of a PostgreSQL database, and tells whether somebody waits for it."""

    def __init__(self, url: str, table: str, mode: str) -> None:
        self._connection = psycopg2.connect(url)
        self._connection.cursor().execute(f"lock table llama_extract.{table} in {mode} mode")

    def has_waiting(self) -> bool:
        cursor = self._connection.cursor()
        cursor.execute("select count(*) from pg_locks where locktype = 'relation' and not granted")
        return bool(cursor.fetchall()[0][0])

    def close(self) -> None:
        self._connection.close()


@pytest.mark.parametrize(
    ("table", "mode"),
    [
        pytest.param("_dlt_pipeline_state", "access exclusive", id="asking what is known"),
        pytest.param("extraction_runs__config", "share", id="merging"),
    ],
)
def test_a_load_that_waits_for_the_database_ends_when_it_is_told_to(
    cloud: Emulator, command: Command, server: PostgresServer, table: str, mode: str
) -> None:
    url = server.database()
    command.environment["DESTINATION__POSTGRES__CREDENTIALS"] = url
    assert command("-q", "--destination", "postgres") == (0, "", "")
    cloud.add_run()
    with closing(Locked(url, table, mode)) as locked:
        process = command.start("-q", "--destination", "postgres", "--full-scan")
        wait_until(locked.has_waiting, process)
        process.send_signal(signal.SIGTERM)
        assert outcome(process) == ENDED
    assert command("-q", "--destination", "postgres") == (0, "", "")
    assert_whole(PostgresWarehouse(cloud, url))


def test_workers_end_with_the_load(cloud: Emulator, command: Command) -> None:
    process = command.start("-q", NORMALIZE__WORKERS="2")
    proc = Path("/proc")
    ours = (proc / str(process.pid) / "cmdline").read_bytes

    def has_worker() -> bool:
        """Whether there is one, which from then on does nothing, so that the load cannot go on."""
        for child in (proc / f"{process.pid}/task/{process.pid}/children").read_text().split():
            with suppress(FileNotFoundError, ProcessLookupError):
                if (proc / child / "cmdline").read_bytes() == ours():  # it is forked, and no program of its own
                    os.kill(int(child), signal.SIGSTOP)
                    return True
        return False

    wait_until(lambda: len(cloud.requests) > 4 and has_worker(), process)
    process.send_signal(signal.SIGTERM)
    assert outcome(process) == ENDED  # it has the outputs of the load open, and would keep who reads them waiting


def test_the_first_process_of_a_container_ends_when_it_is_told_to(cloud: Emulator, command: Command) -> None:
    """The system lets such a process ignore SIGTERM unless it has asked to hear of it."""
    script, contained = command.folder / "first.py", ["unshare", "--pid", "--fork", "--kill-child"]
    if subprocess.run([*contained, "true"], capture_output=True).returncode:
        pytest.skip("this machine does not let us have processes with numbers of their own")
    script.write_text(f"import os, sys; os.execvp('unshare', [*{contained}, {sys.executable!r}, *sys.argv[1:]])")
    held = Held(cloud, 3)
    command.script, first = script, command.script
    process = command.start(str(first), "-q")
    assert held.reached.wait(timeout=60)
    (child,) = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert "NSpid:" in (status := Path(f"/proc/{child}/status").read_text())
    assert status.split("NSpid:")[1].splitlines()[0].split()[-1] == "1"
    os.kill(int(child), signal.SIGTERM)
    ended = outcome(process)
    held.release.set()
    assert ended == ENDED
