"""Workers that load different agents into one PostgreSQL dataset at the same time, each a process of its own."""

import json
import random
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import dlt
import psycopg2
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, DatasetBusyError, sync
from llama_extract_dlt.load.locks.dataset import alone
from support.agents import Agent, fill
from support.command import Command, Held, Outcome, outcome
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_true
from support.warehouse import Warehouse


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=60, seed=5, page_limit=5) as emulator:
        yield emulator


@pytest.fixture
def empty() -> Iterator[Emulator]:
    """A LlamaCloud to which the test adds agents of its own."""
    with Emulator(runs=0, corpus="empty", page_limit=5) as emulator:
        yield emulator


PROGRAM = """
import sys
import dlt
from llama_extract_dlt import sync
agent = sys.argv[sys.argv.index("--agent") + 1]
pipeline = dlt.pipeline("llama_extract_postgres", destination="postgres", dataset_name="llama_extract")
sync(pipeline, agents=[agent], parallel=True, chunk_size=3)
"""
"""A worker whose pipeline is called like that of `Team.load`."""


class Team:
    """Workers, each on a machine of its own, and the dataset that they load into."""

    def __init__(self, cloud: Emulator, folder: Path, url: str) -> None:
        self.cloud, self.folder, self.url = cloud, folder, url
        self.house = PostgresWarehouse(cloud, url)
        self.machines = 0

    def pipeline_of(self, agent: str) -> dlt.Pipeline:
        """A pipeline for one agent, or for all."""
        return dlt.pipeline(
            f"llama_extract_{agent.replace('-', '')}",
            destination=dlt.destinations.postgres(self.url),
            dataset_name="llama_extract",
        )

    def change(self, statement: str) -> None:
        """Changes the dataset."""
        with closing(psycopg2.connect(self.url, options="-c search_path=llama_extract")) as connection:
            connection.autocommit = True
            connection.cursor().execute(statement)

    def roots(self) -> dict[str, str]:
        """The table of each agent's data."""
        found = {}
        for table in self.house.tables():
            if "__" not in table and not table.startswith("extraction"):
                join = f'from "{table}" d join extraction_runs r on r.id = d._run_id'
                for (agent,) in self.house.sql(f"select distinct extraction_agent_id {join}"):
                    assert found.setdefault(agent, table) == table
        return found

    def start(
        self, agents: list[str], *options: str, script: str | None = None, **environment: str
    ) -> subprocess.Popen[str]:
        """Starts a worker for these agents, by name or id, where nobody has loaded yet."""
        self.machines += 1
        folder = self.folder / f"machine {self.machines}"
        folder.mkdir()
        named = [word for agent in agents for word in ("--agent", agent)]
        worker = Command(self.cloud, folder)
        worker.environment["DESTINATION__POSTGRES__CREDENTIALS"] = self.url
        worker.environment["SOURCES__LLAMA_EXTRACT__LOOKUP_FILES"] = "false"
        worker.environment["SOURCES__LLAMA_EXTRACT__MAX_CONCURRENCY"] = "1"
        if script is not None:
            worker.script = folder / "worker.py"
            worker.script.write_text(script)
        return worker.start("-q", "--parallel", "--destination", "postgres", *named, *options, **environment)

    @contextmanager
    def reading(self, agents: list[str], request: int, *options: str, text: str = "", **more: str) -> Iterator[None]:
        """A worker that waits for the answer to a request meanwhile; afterwards it goes on and ends well."""
        held = Held(self.cloud, request, text, only=True)
        with held.back(lambda: self.start(agents, *options, **more)) as process:
            yield
        all_end_well([process])
        self.house.forget()

    def load(self, agents: list[str] | None = None, *, parallel: bool = True, **arguments: Any) -> dict[str, int]:
        """Another worker's load, from beginning to end; how many runs were new, updated and so on."""
        pipeline = self.house.pipeline
        given = {"api_key": self.cloud.api_key, "base_url": self.cloud.base_url, "lookup_files": False} | arguments
        report = sync(pipeline, agents=agents, parallel=parallel, **given)
        pipeline.drop()
        self.house.forget()
        kinds = {"new": report.new, "updated": report.updated, "deleted": report.deleted}
        return {kind: count for kind, count in kinds.items() if count}


@pytest.fixture
def found(tmp_path: Path, server: PostgresServer) -> Callable[[Emulator], Team]:
    url = server.database()
    return lambda cloud: Team(cloud, tmp_path, url)


@pytest.fixture
def team(cloud: Emulator, found: Callable[[Emulator], Team]) -> Team:
    return found(cloud)


def all_end_well(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        ended = outcome(process)
        assert ended == Outcome(0, "", ""), ended.err


def test_four_workers_at_once_with_edits_and_a_kill_in_between_load_what_is_there(cloud: Emulator, team: Team) -> None:
    dice = random.Random(7)
    agents = [agent["name"] for agent in cloud.agents()]
    shares = [agents[:2], *([agent] for agent in agents[2:])]
    assert len(shares) == 4
    all_end_well([team.start(share, "--chunk-size", "7") for share in shares])
    assert_true(team.house)
    for _ in range(2):
        runs = [run for run in cloud.runs() if run["status"] == "SUCCESS" and isinstance(run["data"], dict)]
        for run in dice.sample(runs, 8):
            shorter = {name: value[:1] if isinstance(value, list) else value for name, value in run["data"].items()}
            cloud.edit_run(run["id"], data=shorter | {"edited": dice.choice([1, "one", [1, 2]])})
        for agent in cloud.agents():
            cloud.add_run(agent["id"])
        held = Held(cloud, dice.randint(3, 9), only=True)
        processes = [team.start(share, "--full-scan") for share in shares]
        assert held.reached.wait(timeout=300)
        processes[1].kill()
        held.release.set()
        processes[1].communicate()
        all_end_well([*processes[:1], *processes[2:], team.start(shares[1], "--full-scan")])
        team.house.forget()
        assert_true(team.house)
    assert team.load(parallel=False, full_scan=True) == {}  # which compares every run with its rows


def test_a_column_that_two_make_with_two_types_has_the_values_of_both(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "One"), Agent(empty, "Two")
    one.add(12, data={"x": "text", "list": [{"y": 1}]})
    two.add(3, data={"x": 1, "list": [{"y": "2026-01-01"}, {"y": {"z": 1}}]})
    team = found(empty)
    with team.reading(["One"], 1, "--chunk-size", "4"):
        team.load(["Two"])
    assert_true(team.house)
    two.add(1, data={"x": True, "list": [{"w": 1.5}]})
    one.add(12, data={"v": 1})
    with team.reading(["One"], 1, "--chunk-size", "4"):
        two.add(1, data={"v": [1], "u": "text"})
        team.load(["Two"])
    assert_true(team.house)


def test_runs_that_another_worker_has_loaded_meanwhile_are_not_replaced_by_what_was_read_before(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    agent = Agent(empty)
    runs = fill(agent, 20)
    team = found(empty)
    for request in (4, 2):
        with team.reading([agent.id], request, "--full-scan"):
            agent.edit(runs[-1])
            agent.edit(runs[0])
            team.load([agent.id], full_scan=True)
            assert_true(team.house)
        assert_true(team.house)
        agent.edit(runs[10])


def test_who_reads_again_counts_what_it_has_loaded(empty: Emulator, found: Callable[[Emulator], Team]) -> None:
    agent = Agent(empty)
    fill(agent, 20)
    team = found(empty)
    held = Held(empty, 4, only=True)
    worker = team.start([agent.id], "--chunk-size", "6", "--json")
    assert held.reached.wait(timeout=300)
    there = team.house.sql("select count(*) from extraction_runs")[0][0]
    assert 0 < there < 20
    assert team.load([agent.id]) == {"new": 20 - there}
    held.release.set()
    ended = outcome(worker)
    assert (ended.code, ended.err) == (0, "")
    told = json.loads(ended.out)
    assert told["runs"]["new"] == told["agents"][agent.id]["new"] == there
    assert told["runs"]["updated"] == 0
    assert len(told["load_ids"]) == len(team.house.sql("select 1 from _dlt_loads")) - 1
    assert_true(team.house)


def test_a_run_that_has_moved_to_another_workers_agent_is_as_that_one_has_it(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "One"), Agent(empty, "Two")
    waiting = one.add(2, "PENDING")
    fill(one, 3)
    fill(two, 3)
    team = found(empty)
    all_end_well([team.start([one.id])])
    team.load([two.id])
    for run in waiting:
        one.finish(run)
        empty.move_run(run, two.id)
    # It is held with one of them read, and the other asked for by its ID.
    with team.reading([one.id], 2, text="/extraction/runs/"):
        for run in waiting:
            two.edit(run)
        team.load([two.id])
        assert_true(team.house)
    assert_true(team.house)


def test_a_run_that_was_loaded_under_another_agent_meanwhile_leaves_nothing_in_its_tables(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "One"), Agent(empty, "Two")
    fill(two, 4)
    team = found(empty)
    team.load([two.id])
    fill(two, 1)
    with team.reading([two.id], 1, text=two.id):
        run = one.add(1, data={"fresh": [{"q": 1}], "n": 1})[0]
        one.add(2, data={"n": 1})
        team.load([one.id])
        empty.edit_run(run, data={"n": 5})
        empty.move_run(run, two.id)
    assert_true(team.house)


def test_a_run_that_another_worker_has_removed_stays_away(empty: Emulator, found: Callable[[Emulator], Team]) -> None:
    one, last = Agent(empty, "One"), Agent(empty, "Last")
    runs = fill(one, 6)
    fill(last, 2)
    team = found(empty)
    team.load([one.id])
    one.edit(runs[3])
    with team.reading([one.id, last.id], 1, "--full-scan", text=last.id):
        empty.delete_run(runs[3])
        assert team.load([one.id], full_scan=True, deleted_runs="remove") == {"deleted": 1}
    assert_true(team.house)


def test_a_name_that_another_worker_has_brought_up_to_date_stays(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, last = Agent(empty, "One"), Agent(empty, "Last")
    fill(one, 3)
    team = found(empty)
    team.load([one.id])
    fill(last, 1)
    with team.reading([one.id, last.id], 1, "--rewrite", text=last.id):
        empty.rename_agent(one.id, "Anew")
        team.load([one.id])
    assert_true(team.house)
    team.load([one.id], full_scan=True)
    assert_true(team.house)


def test_a_run_that_could_not_be_found_and_was_loaded_meanwhile_is_not_removed(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two, hidden = (Agent(empty, name) for name in ("One", "Two", "Hidden"))
    runs = fill(one, 5)
    fill(two, 3)
    team = found(empty)
    team.load([one.id, two.id])
    empty.hide_agent(hidden.id, 404)
    for run in runs[1:3]:
        empty.move_run(run, hidden.id)
    fill(one, 1)
    settings = {"SOURCES__LLAMA_EXTRACT__DELETED_RUNS": "remove"}
    with team.reading([one.id], 2, "--full-scan", text="/extraction/runs/", **settings):
        for run in runs[1:3]:
            empty.move_run(run, two.id)
        team.load([two.id], full_scan=True)
    assert_true(team.house)


def test_workers_with_one_pipeline_between_them_forget_nothing(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "One"), Agent(empty, "Two")
    fill(one, 6)
    fill(two, 6)
    team = found(empty)
    with team.reading([one.id], 2, script=PROGRAM):
        assert team.load([two.id]) == {"new": 6}
    assert_true(team.house)
    fill(one, 1)
    fill(two, 1)
    empty.reset_requests()
    assert team.load([one.id, two.id]) == {"new": 2}
    assert one.offsets() == two.offsets() == [0]  # of neither everything was read again
    assert_true(team.house)


def test_two_agents_whose_tables_would_have_one_name_get_one_each(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "Bills!"), Agent(empty, "Bills?")
    fill(one, 8)
    fill(two, 8)
    team = found(empty)
    with team.reading([one.id], 1, "--chunk-size", "3", SOURCES__LLAMA_EXTRACT__DATA_TABLES="per_agent"):
        team.load([two.id], data_tables="per_agent")
    assert team.roots().keys() == {one.id, two.id}
    assert_true(team.house, team.roots())


def test_a_full_scan_leaves_alone_what_another_worker_has_begun_to_load(
    empty: Emulator, found: Callable[[Emulator], Team]
) -> None:
    one, two = Agent(empty, "One"), Agent(empty, "Two")
    fill(one, 4)
    team = found(empty)
    team.load()
    fill(two, 4)
    (begun,) = (run["id"] for run in empty.runs(two.id)[:1])
    rows = f"from extraction_runs__data where _run_id = '{begun}'"
    team.change(f"insert into extraction_runs__data (_run_id, _dlt_id, _dlt_load_id) values ('{begun}', 'x', '1.5')")
    assert team.load([one.id], full_scan=True) == {}
    assert team.house.sql(f"select _dlt_id {rows}") == [("x",)]
    assert team.load([two.id]) == {"new": 4}
    assert_true(team.house)


def test_who_has_nothing_to_load_waits_for_nobody(empty: Emulator, found: Callable[[Emulator], Team]) -> None:
    agent = Agent(empty)
    fill(agent, 3)
    team = found(empty)
    team.load([agent.id])
    with alone(team.house.pipeline, 0):
        assert team.load([agent.id], wait_for_lock=0.01) == {}
        fill(agent, 1)
        with pytest.raises(DatasetBusyError, match="still at work"):
            team.load([agent.id], wait_for_lock=0.01)
    assert team.load([agent.id]) == {"new": 1}


def test_what_cannot_go_side_by_side_is_refused(
    empty: Emulator, found: Callable[[Emulator], Team], tmp_path: Path
) -> None:
    given = {"api_key": empty.api_key, "base_url": empty.base_url, "parallel": True}
    with pytest.raises(ConfigurationError, match="parallel is for PostgreSQL"):
        sync(Warehouse(empty, tmp_path / "warehouse.duckdb").pipeline, **given)
    with pytest.raises(ConfigurationError, match="leave parallel out for that load"):
        sync(found(empty).house.pipeline, refresh=True, **given)
    assert empty.requests == []


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
@pytest.mark.parametrize("whole_first", [True, False])
def test_the_whole_project_and_its_agents_may_be_loaded_in_any_order(
    empty: Emulator, found: Callable[[Emulator], Team], whole_first: bool, tables: str
) -> None:
    agents = [Agent(empty, name) for name in ("One", "Two", "Three")]
    runs = {agent.id: fill(agent, 6) for agent in agents}
    team = found(empty)

    def whole() -> None:
        team.load(parallel=False, data_tables=tables)

    def one_by_one() -> None:
        for agent in agents:
            team.house.pipeline = team.pipeline_of(agent.id)
            team.load([agent.id], parallel=False, data_tables=tables)
        team.house.pipeline = team.pipeline_of("")

    for turn in range(3):
        whole() if whole_first == (turn % 2 == 0) else one_by_one()
        assert_true(team.house, team.roots() if tables == "per_agent" else None)
        for agent in agents:
            *_, next_one, newest = runs[agent.id]
            empty.edit_run(newest, data={"lines": [{"text": str(turn)}]})
            empty.edit_run(next_one, data={"lines": []})
            runs[agent.id] += fill(agent, 1)
