"""A load that is killed again and again, wherever it may be: what is in the warehouse in the end, and what it cost."""

import math
import random
import shutil
import signal
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import duckdb
import pytest

from llama_cloud_emulator import Emulator
from test_command import Command, Held, outcome
from warehouse import Warehouse, differences, expected_run, loaded_runs

PAGE, OVERLAP = 100, 1
WORK = "dlt/pipelines/llama_extract"  # dlt's working folder
# Where a load can be killed: what happens there one time after the other, and how many times a package of it.
PLACES: dict[str, tuple[Iterable[str], int]] = {
    "before it answers a request": ((), 8),
    "having read into files": ([f"{WORK}/normalize/*/*/new_jobs/*"], 8),
    "having prepared files": ([f"{WORK}/load/new/*/new_jobs/*"], 8),
    "having begun to load": ([f"{WORK}/load/normalized/*/{state}_jobs/*" for state in ("started", "completed")], 18),
    "having loaded": ([f"{WORK}/load/normalized/*/completed_jobs/*"], 18),
    "having written to the database": (["llamacloud.duckdb*"], 50),
}


class Moment(NamedTuple):
    """When to kill a load: at what it does for the `count`-th time."""

    place: str
    count: int


def moments(number: int, seed: int, packages: float) -> list[Moment]:
    """Random moments within so many packages, as many at every place."""
    dice = random.Random(seed)
    places = [place for _ in range(math.ceil(number / len(PLACES))) for place in PLACES]
    dice.shuffle(places)
    return [Moment(place, dice.randint(1, round(PLACES[place][1] * packages))) for place in places[:number]]


def kill(command: Command, moment: Moment, *arguments: str) -> None:
    """Starts the command and kills it at the moment."""
    patterns, _ = PLACES[moment.place]
    held = Held(command.cloud, 0 if patterns else moment.count)
    due = times(command.folder, patterns, moment.count) if patterns else held.reached.is_set
    process = command.start("-q", *arguments)
    try:
        while process.poll() is None and not due():
            time.sleep(0.005)  # is not what is waited for: it leaves the processor to the load
        process.kill()
    finally:
        held.release.set()
    ended = outcome(process)
    assert ended == (-signal.SIGKILL, "", ""), f"not killed {moment}"


def times(folder: Path, patterns: Iterable[str], count: int) -> Callable[[], bool]:
    """Tells whether files have appeared `count` times from now on; a database that has another size is another."""

    def look() -> set[tuple[str, int]]:
        found = set()
        for pattern in patterns:
            with suppress(FileNotFoundError):  # the folder is just being moved
                for path in folder.glob(pattern):
                    found.add((path.name, path.stat().st_size if path.parent == folder else 0))
        return found

    before, seen = look(), set[tuple[str, int]]()

    def due() -> bool:
        seen.update(look() - before)
        return len(seen) >= count

    return due


def committed(command: Command) -> int:
    """How many runs are in the warehouse with loads that came to their end."""
    complete = "select count(*) from extraction_runs r join _dlt_loads l on l.load_id = r._dlt_load_id and l.status = 0"
    try:
        return command.warehouse().sql(complete)[0][0]
    except duckdb.Error:  # there is no such file yet, or no such table
        return 0


def pages(cloud: Emulator) -> list[int]:
    """The offsets at which the invoices were asked for since the last time, the first page's first."""
    listed = [request for request in cloud.requests if request.path.endswith("/runs")]
    invoices = [cloud.agents()[0]["id"]]
    cloud.reset_requests()
    return sorted(int(page.query["skip"][0]) for page in listed if page.query["extraction_agent_id"] == invoices)


def assert_whole(house: Warehouse) -> None:
    """The warehouse has all runs as the service has them, each row once."""
    loaded, truth = loaded_runs(house), {run["id"]: run for run in house.cloud.runs()}
    assert loaded.keys() == truth.keys()
    wrong = [line for run_id, run in truth.items() for line in differences(expected_run(run), loaded[run_id], run_id)]
    assert wrong == []
    for table in house.tables():
        ids = [row["_dlt_id"] for row in house.rows(table) if "_dlt_id" in row]
        assert len(set(ids)) == len(ids), f"{table} has rows twice"


@pytest.fixture
def command(tmp_path: Path) -> Iterator[Callable[[Emulator], Command]]:
    made: list[Command] = []

    def make(cloud: Emulator) -> Command:
        made.append(Command(cloud, tmp_path))
        return made[-1]

    yield make
    for process in (process for one in made for process in one.started):
        if process.poll() is None:  # the test has failed
            process.kill()
            process.communicate()


def test_a_load_killed_at_25_moments_ends_as_if_it_had_never_been(
    command: Callable[[Emulator], Command], tmp_path_factory: pytest.TempPathFactory
) -> None:
    chunk, kills = 250, 25  # twenty chunks: a kill that comes late under load must find something left to do
    with Emulator(runs=5000, seed=5, corpus="invoices") as cloud:
        undisturbed = Warehouse(cloud, tmp_path_factory.mktemp("undisturbed") / "warehouse.duckdb")
        undisturbed.load()
        undisturbed.close()
        needed, asked, done = len(pages(cloud)), 0, 0
        loading = command(cloud)
        for moment in moments(kills, seed=5, packages=1.5):
            kill(loading, moment, "--chunk-size", str(chunk))
            _, *offsets = pages(cloud) or [0]
            before, done = done, committed(loading)
            print(f"killed {moment.place} ({moment.count}): {done} runs committed, {len(offsets)} pages asked for")
            asked += len(offsets)
            # Not even a page of what is committed is read again, but for that which it ends in the middle of; and
            # nothing that comes after the next chunk is asked for.
            assert all(before - PAGE - OVERLAP <= offset < done + chunk + PAGE for offset in offsets)
        assert loading("-q", "--chunk-size", str(chunk)) == (0, "", "")
        asked += len(pages(cloud)) - 1
        # A kill costs a chunk, and the page that the commit ended in.
        assert asked <= needed + kills * (math.ceil(chunk / (PAGE - OVERLAP)) + 1)
        house = loading.warehouse()
        assert_whole(house)
        assert house.content() == undisturbed.content()


def test_a_killed_load_goes_on_without_its_working_folder_and_has_what_came_in_meanwhile(
    command: Callable[[Emulator], Command],
) -> None:
    page = 20
    with Emulator(runs=600, seed=6, corpus="invoices", page_limit=page) as cloud:
        loading = command(cloud)
        for moment in moments(4, seed=29, packages=2):
            kill(loading, moment, "--chunk-size", "100")
            shutil.rmtree(loading.environment["DLT_DATA_DIR"])
            done = committed(loading)
            print(f"killed {moment.place} ({moment.count}): {done} runs committed")
            cloud.add_run()
        assert done > 3 * page
        pages(cloud)
        assert loading("-q", "--chunk-size", "100") == (0, "", "")
        assert [offset for offset in pages(cloud) if page < offset < done - page - OVERLAP] == []
        assert_whole(loading.warehouse())


def test_a_load_afresh_that_was_killed_is_made_good_by_the_next(command: Callable[[Emulator], Command]) -> None:
    with Emulator(runs=12, seed=3, corpus="invoices") as cloud:
        loading = command(cloud)
        assert loading("-q") == (0, "", "")
        kill(loading, Moment("having begun to load", 1), "--refresh")
        assert loading("-q") == (0, "", "")
        assert_whole(loading.warehouse())


def test_a_load_that_fails_with_more_to_come_ends(command: Callable[[Emulator], Command]) -> None:
    with Emulator(runs=12, seed=3, corpus="invoices", page_limit=2) as cloud:
        loading = command(cloud)
        with duckdb.connect(str(loading.folder / "warehouse.duckdb")) as connection:
            connection.execute("create schema llama_extract")
            connection.execute("create table llama_extract.extraction_runs__file (_run_id varchar, id integer)")
        loading.environment["DESTINATION__DUCKDB__CREDENTIALS"] = f"duckdb:///{loading.folder}/warehouse.duckdb"
        process = loading.start("-q", "--chunk-size", "4")
        assert process.stderr is not None
        assert process.stderr.readline().startswith("error: ")
        process.wait(timeout=10)  # it has nothing left to do, and had nothing to wait for
        assert outcome(process) == (1, "", "")
