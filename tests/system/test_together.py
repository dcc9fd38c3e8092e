"""Two loads at once into one warehouse; and a PostgreSQL that gets what DuckDB gets."""

import json
import re
import signal
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import dlt
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import LlamaExtractError, llama_extract, sync
from support.command import Command, Held, Outcome, outcome
from support.kills import Moment, kill
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_whole
from support.warehouse import Warehouse

BUSY = re.compile(
    r"error: another load into the dataset llama_extract is at work "
    r"\(process \d+ on \S+ since [-\d]+ [:\d]+ UTC\): wait for its end, or set wait_for_lock\n"
)


def assert_busy(outcome: Outcome) -> None:
    assert (outcome.code, outcome.out) == (1, "")
    assert BUSY.fullmatch(outcome.err), outcome.err


@pytest.fixture
def url(server: PostgresServer) -> str:
    """An empty PostgreSQL database."""
    return server.database()


def invoices() -> Emulator:
    """A LlamaCloud with few runs, on several pages, of one agent. Each that is made has the same."""
    return Emulator(runs=12, seed=3, corpus="invoices", page_limit=2)


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with invoices() as emulator:
        yield emulator


class Machine(Command):
    """A place of its own to start the command from, in packages of four runs."""

    def __init__(self, cloud: Emulator, folder: Path, url: str | None = None) -> None:
        folder.mkdir()
        super().__init__(cloud, folder)
        self._options = ["-q", "--chunk-size", "4"]
        if url:
            self.environment["DESTINATION__POSTGRES__CREDENTIALS"] = url
            self._options += ["--destination", "postgres"]

    def start(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        return super().start(*self._options, *arguments, **settings)

    @contextmanager
    def loading(self) -> Iterator[subprocess.Popen[str]]:
        """A load under way: the service does not answer as long as this lasts."""
        with Held(self.cloud, 4).back(self.start) as process:
            yield process


# ── two at once ───────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_load_into_a_duckdb_file_keeps_out_the_command_and_other_programs(
    cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Machine(cloud, tmp_path / "machine")
    monkeypatch.setenv("DLT_DATA_DIR", machine.environment["DLT_DATA_DIR"])
    with invoices() as another_cloud:
        with machine.loading() as first:
            machine.environment["LLAMA_CLOUD_BASE_URL"] = another_cloud.base_url
            code, out, err = machine()
            assert (code, out, err.count("\n")) == (1, "", 1)
            assert err.startswith("error: another load into the folder ")
            destination = dlt.destinations.duckdb(str(machine.folder / "llamacloud.duckdb"))
            program = dlt.pipeline("program", destination=destination, dataset_name="llama_extract")
            source = llama_extract(api_key=another_cloud.api_key, base_url=another_cloud.base_url)
            with pytest.raises(LlamaExtractError, match="another load into the dataset llama_extract is at work"):
                sync(program, source)
        assert outcome(first) == (0, "", "")
        assert another_cloud.requests == []
    assert_whole(machine.warehouse())


def test_a_load_into_postgresql_keeps_out_other_machines(cloud: Emulator, tmp_path: Path, url: str) -> None:
    with invoices() as another_cloud:
        one, two = Machine(cloud, tmp_path / "one", url), Machine(another_cloud, tmp_path / "two", url)
        with one.loading() as first:
            assert_busy(two())
        assert outcome(first) == (0, "", "")
        assert another_cloud.requests == []
        assert_whole(PostgresWarehouse(cloud, url))
        assert two() == (0, "", "")
        assert_whole(PostgresWarehouse(cloud, url))


def test_a_server_by_another_name_is_still_the_same(cloud: Emulator, tmp_path: Path, url: str) -> None:
    with invoices() as another_cloud:
        one = Machine(cloud, tmp_path / "one", url)
        two = Machine(another_cloud, tmp_path / "two", url.replace("127.0.0.1", "localhost"))
        with one.loading() as first:
            assert_busy(two())
        assert outcome(first) == (0, "", "")


def test_a_duckdb_file_is_kept_from_others_whatever_their_working_folder(cloud: Emulator, tmp_path: Path) -> None:
    with invoices() as another_cloud:
        one, two = Machine(cloud, tmp_path / "one"), Machine(another_cloud, tmp_path / "two")
        for machine in (one, two):
            machine.environment["DESTINATION__DUCKDB__CREDENTIALS"] = f"duckdb:///{tmp_path}/llamacloud.duckdb"
        with one.loading() as first:
            assert_busy(two())
        assert outcome(first) == (0, "", "")


def test_of_loads_that_start_together_one_loads_and_the_others_say_so_or_find_nothing_new(
    cloud: Emulator, tmp_path: Path, url: str
) -> None:
    machines = [Machine(cloud, tmp_path / name, url) for name in ("one", "two", "three")]
    ended = [outcome(process) for process in [machine.start() for machine in machines]]
    assert (0, "", "") in ended
    for end in ended:
        if end != (0, "", ""):
            assert_busy(end)
    assert_whole(PostgresWarehouse(cloud, url))


def test_loads_into_other_datasets_do_not_keep_each_other_out(cloud: Emulator, tmp_path: Path, url: str) -> None:
    with invoices() as another_cloud:
        one, two = Machine(cloud, tmp_path / "one", url), Machine(another_cloud, tmp_path / "two", url)
        with one.loading() as first:
            assert two("--dataset", "other") == (0, "", "")
        assert outcome(first) == (0, "", "")


def test_loads_into_other_databases_do_not_keep_each_other_out(
    cloud: Emulator, tmp_path: Path, server: PostgresServer
) -> None:
    with invoices() as another_cloud:
        one = Machine(cloud, tmp_path / "one", server.database())
        two = Machine(another_cloud, tmp_path / "two", server.database())
        with one.loading() as first:
            assert two() == (0, "", "")
        assert outcome(first) == (0, "", "")


def test_a_dataset_is_the_same_however_its_name_is_spelt(cloud: Emulator, tmp_path: Path, url: str) -> None:
    with invoices() as another_cloud:
        destination = dlt.destinations.postgres(url)
        program = dlt.pipeline("program", destination=destination, dataset_name="LlamaExtract")
        with (
            Machine(cloud, tmp_path / "one", url).loading() as first,
            pytest.raises(LlamaExtractError, match="is at work"),
        ):
            sync(program, api_key=another_cloud.api_key, base_url=another_cloud.base_url)
        assert outcome(first) == (0, "", "")
        assert another_cloud.requests == []


def test_a_load_that_was_killed_keeps_nobody_out(cloud: Emulator, tmp_path: Path, url: str) -> None:
    one, two = Machine(cloud, tmp_path / "one", url), Machine(cloud, tmp_path / "two", url)
    with one.loading() as first:
        first.kill()
        assert outcome(first).code == -signal.SIGKILL
    assert two() == (0, "", "")
    assert_whole(PostgresWarehouse(cloud, url))


# ── PostgreSQL ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_loads_into_postgresql_that_are_killed_are_made_good_from_another_machine(
    cloud: Emulator, tmp_path: Path, url: str
) -> None:
    for number, moment in enumerate(
        [
            Moment("having begun to load", 1),
            Moment("having loaded", 5),
            Moment("having begun to load", 24),
            Moment("having read into files", 3),
        ]
    ):
        kill(Machine(cloud, tmp_path / str(number), url), moment)
    assert Machine(cloud, tmp_path / "last", url)() == (0, "", "")
    assert_whole(PostgresWarehouse(cloud, url))


@contextmanager
def both(cloud: Emulator, folder: Path, url: str) -> Iterator[Callable[..., dict[str, int]]]:
    """Loads into DuckDB and PostgreSQL, compares them, and says how many runs were new, updated and so on."""
    houses = [Warehouse(cloud, folder / "warehouse.duckdb"), PostgresWarehouse(cloud, url)]

    def load_both(**arguments: Any) -> dict[str, int]:
        in_duckdb, in_postgresql = (house.load(**arguments) for house in houses)
        assert in_postgresql == in_duckdb
        of_duckdb, of_postgresql = map(comparable, houses)
        assert of_postgresql.keys() == of_duckdb.keys()
        for table, rows in of_duckdb.items():
            assert of_postgresql[table] == rows, table
        assert in_duckdb["runs"].pop("missing") == []
        return {kind: count for kind, count in in_duckdb["runs"].items() if count and kind != "unchanged"}

    try:
        yield load_both
    finally:
        for house in houses:
            house.close()


def test_postgresql_gets_what_duckdb_gets(tmp_path: Path, url: str) -> None:
    with Emulator(runs=30, seed=7) as cloud, both(cloud, tmp_path, url) as load_both:
        assert load_both(chunk_size=12) == {"new": 30}
        assert load_both() == {}


def test_what_changed_and_what_was_deleted_is_in_postgresql_as_in_duckdb(tmp_path: Path, url: str) -> None:
    with Emulator(runs=30, seed=7) as cloud, both(cloud, tmp_path, url) as load_both:
        agent = cloud.agents()[0]["id"]
        load_both()
        for each in cloud.agents():
            cloud.add_run(each["id"])
        waiting = [run["id"] for run in cloud.runs() if run["status"] in ("CREATED", "PENDING")]
        cloud.finish_run(waiting[0])
        cloud.delete_run(waiting[1])
        assert load_both() == {"new": 5, "updated": 1, "deleted": 1}
        newest, *_, older, old, oldest = (run["id"] for run in cloud.runs(agent))
        cloud.edit_run(newest, data=None, extraction_metadata=None)  # has no rows in most tables now
        assert load_both(run_ids=[newest]) == {"updated": 1}
        cloud.edit_run(old, touch=False, data={"line_items": [{"amount": 1.5}]})
        cloud.delete_run(oldest)
        assert load_both(full_scan=True) == {"updated": 1, "deleted": 1}
        cloud.delete_run(older)
        vanished = cloud.agents()[1]["id"]
        deleted = 3 + len(cloud.runs(vanished))  # two were flagged before
        cloud.delete_agent(vanished)
        assert load_both(full_scan=True, deleted_runs="remove") == {"deleted": deleted}


def comparable(house: Warehouse) -> dict[str, Counter[str]]:
    """All rows of all tables, spelt in one way, but which load they are from."""
    return {
        table: Counter(
            repr(sorted((name, text) for name, value in row.items() if (text := spelt(name, value)) is not None))
            for row in house.rows(table)
        )
        for table in house.tables()
    }


def spelt(name: str, value: Any) -> Any:
    if name == "_dlt_load_id":
        return None
    if name == "_deleted_at":
        return value is not None
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, str) and value.startswith(("{", "[")):
        return json.dumps(json.loads(value), sort_keys=True)
    return value


def test_an_empty_text_is_not_null_in_postgresql(cloud: Emulator, url: str) -> None:
    agent = cloud.add_agent("Letters", {})
    cloud.add_run(agent["id"], data={"note": ""}, data_schema={})
    house = PostgresWarehouse(cloud, url)
    house.load(agents=["Letters"])
    house.close()
    assert house.sql("select note from extraction_runs__data") == [("",)]


def test_a_text_that_postgresql_cannot_hold_does_not_stop_the_rest(cloud: Emulator, url: str) -> None:
    run = cloud.runs()[0]
    cloud.edit_run(run["id"], data=run["data"] | {"notes": "NUL: \x00"})
    house = PostgresWarehouse(cloud, url)
    try:
        house.load()
    finally:
        house.close()
    others = {other["id"] for other in cloud.runs()} - {run["id"]}
    assert {row["id"] for row in house.rows("extraction_runs")} >= others
