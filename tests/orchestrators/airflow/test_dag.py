"""The project's DAG, and the examples of its documentation."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from support.agents import RUNS, Agent, fill, stamp
from support.airflow import COMMAND, HOME, run_dag
from support.places import ROOT
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_whole
from support.warehouse import Warehouse

DOCS = (ROOT / "docs/airflow.md").read_text()
FILE = "airflow_dag"


def dags_test(**environment: str) -> subprocess.CompletedProcess[str]:
    """`airflow dags test llama_extract`, as a user types it, with this environment beside the tests' own."""
    line = [str(COMMAND), "dags", "test", "llama_extract"]
    return subprocess.run(line, env=os.environ | environment, capture_output=True, text=True, check=False)


def test_the_dag_runs_as_it_is_with_the_key_alone(
    letters: Agent, tmp_path: Path, warehouse: Callable[[Emulator], Warehouse]
) -> None:
    fill(letters, 3)
    ended = dags_test(LLAMA_CLOUD_API_KEY=letters.cloud.api_key, LLAMA_CLOUD_BASE_URL=letters.cloud.base_url)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert letters.cloud.api_key not in ended.stdout + ended.stderr
    house = warehouse(letters.cloud)
    house.path = HOME / "llamacloud.duckdb"
    assert_whole(house)
    assert list(tmp_path.glob("*.duckdb")) == []


def test_a_wrong_key_is_a_failed_task_with_one_line_that_has_no_key(letters: Agent) -> None:
    account = {"conn_type": "generic", "password": "llx-nobody-may-see-this", "host": letters.cloud.base_url}
    ended = dags_test(AIRFLOW_CONN_LLAMA_CLOUD=json.dumps(account), LLAMA_CLOUD_API_KEY=letters.cloud.api_key)
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1
    (line,) = [line for line in said.splitlines() if "AirflowFailException: " in line]
    assert "answered 401" in line
    assert "check api_key, and that base_url is the key's region" in line
    assert "nobody-may-see-this" not in said
    assert said.count("starting task_id=load") == 1


def test_one_task_loads_the_project(letters: Agent, house: Warehouse) -> None:
    fill(letters, 2)
    fill(Agent(letters.cloud, "Forms"), 2)
    ended = run_dag(FILE)
    assert ended.state == "success"
    assert ended.tasks == {("shares", -1): "success", ("load", 0): "success"}
    assert ended.labels == ["all agents"]
    assert ended.report["runs"]["new"] == 4
    assert_whole(house)


def test_mapped_tasks_load_an_agent_each_and_one_stops_no_other(
    letters: Agent, house: Warehouse, server: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    forms = Agent(letters.cloud, "Forms")
    fill(letters, 2)
    fill(forms, 1)
    url = server.database()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    letters.cloud.fail(times=None, path=RUNS, query={"extraction_agent_id": letters.id}, status=403)
    ended = run_dag(FILE, by_agent=True)
    assert ended.state == "failed"
    states = dict(zip(ended.labels, [ended.tasks["load", number] for number in range(3)], strict=True))
    assert states == {"Letters": "failed", "Forms": "success", "Default": "success"}
    letters.cloud.heal()
    ended = run_dag(FILE, by_agent=True)
    assert ended.state == "success"
    assert sum(report["runs"]["new"] for report in ended.reports.values()) == 2
    assert_whole(PostgresWarehouse(letters.cloud, url))


def test_a_window_loads_what_is_in_it(letters: Agent, house: Warehouse) -> None:
    fill(letters, 2)
    since = stamp(letters.time)
    (inside,) = fill(letters, 1)
    until = letters.tick()
    fill(letters, 1)
    since = next(run["updated_at"] for run in letters.cloud.runs() if run["id"] == inside)
    assert run_dag(FILE, since=since, until=until).report["runs"]["new"] == 1
    assert [row["id"] for row in house.rows("extraction_runs")] == [inside]
    letters.cloud.reset_requests()
    assert run_dag(FILE, since="31.1.2026").state == "failed"
    assert letters.cloud.requests == []


def test_parsing_the_file_imports_nothing_that_takes_time() -> None:
    code = f"import runpy, sys; runpy.run_path({str(ROOT / 'pipelines/airflow_dag.py')!r}); print(*sys.modules)"
    modules = set(
        subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    )
    assert "llama_extract_dlt.airflow" in modules
    assert not modules & {"dlt", "pyarrow", "duckdb"}


# ── the documentation ─────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("code", re.findall(r"^```python\n(.*?)^```$", DOCS, re.MULTILINE | re.DOTALL))
def test_every_dag_of_the_documentation_runs(house: Warehouse, cloud: Emulator, code: str) -> None:
    fill(Agent(cloud, "Invoices"), 2)
    file = HOME / "dags/example.py"
    file.write_text(code)
    try:
        ended = run_dag("example")
    finally:
        file.unlink()
    assert ended.state == "success"
    assert_whole(house)


@pytest.mark.parametrize("conf", re.findall(r"airflow dags trigger llama_extract --conf '(.*)'", DOCS))
def test_every_conf_of_the_documentation_is_one_that_the_dag_takes(letters: Agent, house: Warehouse, conf: str) -> None:
    letters.add()
    ended = run_dag(FILE, **json.loads(conf))
    assert ended.state == "success"
    assert len(ended.labels) == (2 if "by_agent" in conf else 1)


@pytest.fixture
def command() -> Iterator[Callable[[str], Any]]:
    """Runs a command of Airflow's in this process; connections that it makes are gone afterwards."""
    from airflow.cli import cli_parser

    made = []

    def run(line: str) -> None:
        words = shlex.split(line)[1:]
        made.append(words[2])
        arguments = cli_parser.get_parser().parse_args(words)
        arguments.func(arguments)

    yield run
    for connection in made:
        arguments = cli_parser.get_parser().parse_args(["connections", "delete", connection])
        arguments.func(arguments)


def test_the_connections_of_the_documentation_are_those_that_a_task_uses(
    letters: Agent, server: PostgresServer, command: Callable[[str], Any]
) -> None:
    fill(letters, 1)
    url = server.database()
    for line in re.findall(r"^\$ (airflow connections add .*)$", DOCS, re.MULTILINE):
        line = line.replace("llx-...", letters.cloud.api_key).replace(
            "https://api.cloud.llamaindex.ai", letters.cloud.base_url
        )
        command(line.replace("postgresql://loader:password@localhost:5432/warehouse", url))
    assert run_dag(FILE).state == "success"
    assert_whole(PostgresWarehouse(letters.cloud, url))
