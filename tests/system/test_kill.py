"""A load that is killed again and again, wherever it may be: what is in the warehouse in the end, and what it cost."""

import math
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pytest

from llama_cloud_emulator import Emulator
from support.command import Command, outcome
from support.kills import Moment, kill, moments
from support.truth import assert_whole
from support.warehouse import Warehouse

PAGE, OVERLAP = 100, 1


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
        process.wait(timeout=300)  # it has nothing left to do, and had nothing to wait for
        assert outcome(process) == (1, "", "")
