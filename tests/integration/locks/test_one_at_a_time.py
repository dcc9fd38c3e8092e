"""A lock is had by one at a time, ends with whoever has it, and says who that is."""

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pytest

from llama_extract_dlt import ConfigurationError, DatasetBusyError
from llama_extract_dlt.load.locks import objects
from llama_extract_dlt.load.locks.files import FileLock
from llama_extract_dlt.load.locks.objects import ObjectLock
from llama_extract_dlt.load.locks.postgres import PostgresLock
from llama_extract_dlt.load.locks.waiting import Lock, held
from support.postgres import PostgresServer

HOLDER = re.compile(r"process \d+ on \S+ since \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC")
Contend = Callable[[], Lock]


@pytest.fixture
def of_a_file(tmp_path: Path) -> Contend:
    return lambda: FileLock(tmp_path / "it.lock")


@pytest.fixture
def of_postgresql(server: PostgresServer) -> Contend:
    pipeline = dlt.pipeline("locks", destination=dlt.destinations.postgres(server.database()), dataset_name="it")
    return lambda: PostgresLock(pipeline.sql_client, 2**59 + 7)


@pytest.fixture
def of_a_bucket(storage: Any) -> Contend:
    bucket = storage.bucket()
    return lambda: ObjectLock(bucket.filesystem(), f"{bucket.name}/locks/it.lock")


@pytest.fixture(params=["of_a_file", "of_postgresql", "of_a_bucket"])
def contend(request: pytest.FixtureRequest) -> Iterator[Contend]:
    """Makes a lock that contends with the others it makes, as one of another process would."""
    made: list[Lock] = []
    make: Contend = request.getfixturevalue(request.param)

    def another() -> Lock:
        made.append(make())
        return made[-1]

    yield another
    for lock in made:
        lock.release()


def test_who_comes_second_is_told_who_has_it_and_gets_it_afterwards(contend: Contend) -> None:
    one, two = contend(), contend()
    assert one.take() is None
    one.check()
    assert HOLDER.fullmatch(two.take() or "")
    one.release()
    assert two.take() is None
    assert HOLDER.fullmatch(one.take() or "")
    two.release()
    one.release()  # which has not got it
    assert contend().take() is None


def test_of_many_at_once_one_gets_it(contend: Contend) -> None:
    for _ in range(5):
        locks = [contend() for _ in range(6)]
        start, got = threading.Barrier(len(locks)), list[Lock]()

        def try_it(lock: Lock, start: threading.Barrier = start, got: list[Lock] = got) -> None:
            start.wait()
            if lock.take() is None:
                got.append(lock)

        threads = [threading.Thread(target=try_it, args=[lock]) for lock in locks]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(got) == 1
        for lock in locks:
            lock.release()


def test_waiting_ends_with_the_lock_or_with_an_error_that_names_the_holder(contend: Contend) -> None:
    one, two, said = contend(), contend(), list[str]()

    def release_at_the_third(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 3:
            one.release()

    assert one.take() is None
    with held(two, "the dataset x", 60, release_at_the_third):
        assert len(said) == 3
        assert re.fullmatch(rf"another load into the dataset x is at work \({HOLDER.pattern}\)", said[0])
        with pytest.raises(DatasetBusyError, match=r"is still at work after 0\.1 s") as failure, held(one, "it", 0.1):
            raise AssertionError
        assert HOLDER.fullmatch(failure.value.holder)
    with held(one, "the dataset x"):
        pass


# ── in a bucket ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_lock_in_a_bucket_that_is_not_renewed_keeps_nobody_out(
    of_a_bucket: Contend, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = of_a_bucket()
    assert dead.take() is None
    dead._released.set()  # type: ignore[attr-defined]  # as if its process were gone
    assert of_a_bucket().take() is not None
    monkeypatch.setattr(objects, "LOCK_LEASE", 0.0)
    next_one = of_a_bucket()
    assert next_one.take() is None
    with pytest.raises(DatasetBusyError, match="could not be kept"):
        dead.check()
    dead.release()  # which leaves the other's alone
    monkeypatch.undo()
    assert of_a_bucket().take() is not None
    next_one.release()


def test_a_bucket_that_is_not_there_has_no_lock(storage: Any) -> None:
    """Nor has anybody else it: to wait would be of no use."""
    with pytest.raises(ConfigurationError, match="there is no bucket nowhere: check bucket_url"):
        ObjectLock(storage.bucket().filesystem(), "nowhere/locks/it.lock").take()


def test_a_lock_in_a_bucket_is_renewed_and_noticed_when_it_is_lost(
    storage: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(objects, "LOCK_RENEWAL", 0.02)
    bucket = storage.bucket()
    files, path = bucket.filesystem(), f"{bucket.name}/locks/it.lock"
    lock = ObjectLock(bucket.filesystem(), path)
    assert lock.take() is None
    seen = {files.info(path)["ETag"]}
    while len(seen) < 4:
        seen.add(files.info(path)["ETag"])
    lock.check()
    files.pipe_file(path, b"somebody else")
    renewing = lock._renewing
    assert renewing is not None
    renewing.join(timeout=300)
    with pytest.raises(DatasetBusyError, match="run again"):
        lock.check()
    lock.release()
    assert files.cat_file(path) == b"somebody else"


# ── in PostgreSQL ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_released_lock_of_postgresql_is_free_before_the_server_notices_that_its_connection_has_ended(
    server: PostgresServer,
) -> None:
    pipeline = dlt.pipeline("locks", destination=dlt.destinations.postgres(server.database()), dataset_name="it")
    with ExitStack() as later:

        @contextmanager
        def connect() -> Iterator[Any]:
            yield later.enter_context(pipeline.sql_client())

        one, two = PostgresLock(connect, 7), PostgresLock(connect, 7)
        assert one.take() is None
        assert two.take() is not None
        one.release()
        assert two.take() is None
        two.release()


def test_a_connection_that_breaks_is_noticed(server: PostgresServer) -> None:
    url = server.database()
    pipeline = dlt.pipeline("locks", destination=dlt.destinations.postgres(url), dataset_name="it")
    lock = PostgresLock(pipeline.sql_client, 7)
    assert lock.take() is None
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("select pg_terminate_backend(pid) from pg_locks where locktype = 'advisory'")
        connection.commit()
    with pytest.raises(DatasetBusyError, match="has broken: run again"):
        lock.check()
    lock.release()


# ── a file ─────────────────────────────────────────────────────────────────────────────────────────────────────────

CONTENDER = """
import os, sys
from pathlib import Path
from llama_extract_dlt.errors import DatasetBusyError
from llama_extract_dlt.load.locks.files import FileLock
from llama_extract_dlt.load.locks.waiting import held
lock, marker, left = Path(sys.argv[1]), sys.argv[2], 400
while left:
    try:
        with held(FileLock(lock), 'it'):
            os.close(os.open(marker, os.O_CREAT | os.O_EXCL))  # fails if somebody else is in, too
            os.sched_yield()
            os.remove(marker)
            left -= 1
    except DatasetBusyError:
        pass
"""


def test_one_process_at_a_time_has_a_lock_though_each_removes_the_file(tmp_path: Path) -> None:
    line = [sys.executable, "-c", CONTENDER, str(tmp_path / "it.lock"), str(tmp_path / "in")]
    contenders = [subprocess.Popen(line, stderr=subprocess.PIPE, text=True) for _ in range(4)]
    assert [(one.communicate(timeout=120)[1], one.returncode) for one in contenders] == [("", 0)] * 4
    assert list(tmp_path.iterdir()) == []


ORPHAN = """
import os, signal, sys
from pathlib import Path
from llama_extract_dlt.errors import DatasetBusyError
from llama_extract_dlt.load.locks.files import FileLock
from llama_extract_dlt.load.locks.waiting import held
with held(FileLock(Path(sys.argv[1])), 'it'):
    child = os.fork()
    if not child:
        print(os.getpid(), flush=True)
        signal.pause()
    signal.pause()
"""


def test_a_worker_that_outlives_a_killed_load_does_not_keep_its_lock(tmp_path: Path) -> None:
    lock = tmp_path / "it.lock"
    parent = subprocess.Popen([sys.executable, "-c", ORPHAN, str(lock)], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    try:
        with pytest.raises(DatasetBusyError), held(FileLock(lock), "it"):
            pass
        parent.kill()
        parent.wait(timeout=300)
        with held(FileLock(lock), "it"):
            assert lock.exists()
        assert not lock.exists()
    finally:
        os.kill(child, signal.SIGKILL)
        parent.communicate()
