"""What `sync` does in a task: what it loads, from where and into what, and when the task fails or is tried again."""

import json
import os
import signal
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt.load.locks.dataset import alone
from support.agents import RUNS, Agent, fill
from support.airflow import Run
from support.doors import query
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_whole
from support.warehouse import Warehouse

AGENTS = "/api/v1/extraction/extraction-agents"


def connection(**fields: Any) -> str:
    """A connection as an environment variable has it."""
    return json.dumps({"conn_type": "generic"} | fields)


@pytest.fixture
def no_environment(service: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LLAMA_CLOUD_API_KEY", "LLAMA_CLOUD_BASE_URL", "DESTINATION__DUCKDB__CREDENTIALS"):
        monkeypatch.delenv(name)


# ── what is loaded ────────────────────────────────────────────────────────────────────────────────────────────────


def test_with_nothing_new_the_task_succeeds_and_says_so(letters: Agent, house: Warehouse, sync: Run) -> None:
    fill(letters, 3)
    first = sync()
    assert (first.state, first.tries, first.report["runs"]["new"]) == ("success", 1, 3)
    again = sync()
    assert (again.state, again.report["runs"]["new"], again.report["tables"]) == ("success", 0, {})
    assert again.report["complete"] is True
    assert again.results["call"] == again.report
    assert_whole(house)


def test_connections_lead_to_the_service_and_to_postgresql(
    letters: Agent, no_environment: None, server: PostgresServer, sync: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(letters, 3)
    url = server.database()
    host, _, port = letters.cloud.base_url.rpartition(":")
    account = {"password": letters.cloud.api_key, "host": host.removeprefix("http://"), "schema": "http"}
    monkeypatch.setenv("AIRFLOW_CONN_LLAMA_CLOUD", connection(**account, port=int(port)))
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url + "?application_name=airflow&connect_timeout=10")
    house = PostgresWarehouse(letters.cloud, url)
    assert sync().state == "success"
    assert_whole(house)
    monkeypatch.setenv("AIRFLOW_CONN_ELSEWHERE", connection(host=letters.cloud.base_url, password="llx-wrong"))
    ended = sync(service="elsewhere")
    assert "check api_key" in str(ended.error), "the connection that is named is the one that is used"
    fill(letters, 1)
    assert sync(agents=[letters.id]).report["runs"]["new"] == 1
    assert_whole(PostgresWarehouse(letters.cloud, url))


def test_dlts_variables_choose_another_destination(
    letters: Agent, house: Warehouse, sync: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    fill(letters, 1)
    monkeypatch.setenv("DESTINATION_TYPE", "filesystem")
    monkeypatch.setenv("DESTINATION__FILESYSTEM__BUCKET_URL", str(tmp_path / "lake"))
    ended = sync(dataset="elsewhere")
    assert (ended.state, ended.report["open_rejects"]) == ("success", 0)
    assert list((tmp_path / "lake/elsewhere/extraction_runs").iterdir())


def test_every_task_has_a_folder_of_its_own_that_is_gone_afterwards(
    letters: Agent, house: Warehouse, sync: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    fill(letters, 1)
    assert sync().state == "success"
    assert sync(since="no time").state == "failed"
    assert list((tmp_path / "temporary").iterdir()) == []


# ── what ends it ──────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [401, 403, 422])
def test_what_would_not_pass_by_itself_is_not_tried_again(
    letters: Agent, house: Warehouse, sync: Run, status: int
) -> None:
    letters.cloud.fail(times=None, path=AGENTS, status=status)
    ended = sync()
    assert (ended.state, ended.tries, ended.reports) == ("failed", 1, {})
    assert f"answered {status}: " in str(ended.error)
    assert "\n" not in str(ended.error)


@pytest.mark.parametrize(
    "fault", [{"status": 429}, {"status": 503}, {"kind": "disconnect"}, {"kind": "html", "status": 200}]
)
def test_trouble_that_passes_is_tried_again(letters: Agent, house: Warehouse, sync: Run, fault: Any) -> None:
    fill(letters, 2)
    letters.cloud.fail(times=1, path=AGENTS, **fault)
    ended = sync(max_tries=1)
    assert (ended.state, ended.tries) == ("success", 2), ended.error
    assert_whole(house)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"since": "yesterday"}, "which is no time: write 2026-01-31"),
        ({"since": "2026-02-01", "until": "2026-01-01"}, "since must be before until"),
        ({"agents": ["Lettres"]}, "there is no agent 'Lettres'; the agents of this project are: "),
        ({"agent": ["Letters"]}, "sync does not take agent"),
        ({"warehouse": "lake"}, "is of the type aws, and must be postgres"),
        ({"service": "empty"}, "the connection 'empty' has no password"),
    ],
)
def test_a_mistake_is_one_line_and_not_tried_again(
    letters: Agent, house: Warehouse, sync: Run, monkeypatch: pytest.MonkeyPatch, arguments: Any, message: str
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_LAKE", "aws://key:secret@")
    monkeypatch.setenv("AIRFLOW_CONN_EMPTY", connection(host=letters.cloud.base_url))
    ended = sync(**arguments)
    assert (ended.state, ended.tries) == ("failed", 1)
    assert message in str(ended.error)
    assert "\n" not in str(ended.error)


def test_a_connection_that_is_named_has_to_be_there(letters: Agent, house: Warehouse, sync: Run) -> None:
    """Else a secrets backend that is down for a moment would have a load go to DuckDB."""
    ended = sync(warehouse="werehouse")
    assert (ended.state, ended.tries) == ("failed", 2)
    assert "werehouse" in str(ended.error)
    assert not house.path.exists()


def test_a_warehouse_that_is_not_there_is_one_line_and_tried_again(
    letters: Agent, house: Warehouse, sync: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", "postgres://loader:secret-of-the-warehouse@127.0.0.1:1/warehouse")
    ended = sync()
    assert (ended.state, ended.tries) == ("failed", 2)
    assert "Connection refused" in str(ended.error)
    assert "\n" not in str(ended.error)
    assert "secret-of-the-warehouse" not in str(ended.error)


def test_a_dataset_that_is_busy_is_waited_for_then_tried_again(letters: Agent, house: Warehouse, sync: Run) -> None:
    fill(letters, 1)
    sync()
    with alone(house.pipeline, 0):
        ended = sync(wait_for_lock=0.1)
    assert (ended.state, ended.tries, ended.reports) == ("failed", 2, {})
    assert "another load into the dataset llama_extract is still at work after 0.1 s (process " in str(ended.error)


def test_sigterm_ends_a_task_that_is_then_tried_again(
    letters: Agent, house: Warehouse, sync: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The real runner kills a task that still runs 5 seconds after; what is in the folder would stay then."""
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    fill(letters, 3)
    signals, known = [signal.SIGTERM], set()

    def terminate(*_: Any) -> None:
        known.add(os.environ["RUNTIME__INTERCEPT_SIGNALS"])  # by which dlt keeps off, while it loads too
        if signals:
            os.kill(os.getpid(), signals.pop())

    letters.cloud.on_request = terminate
    ended = sync()
    assert (ended.state, ended.tries, signals, known) == ("success", 2, [], {"false"})
    assert "RUNTIME__INTERCEPT_SIGNALS" not in os.environ
    assert list((tmp_path / "temporary").iterdir()) == []
    assert_whole(house)


# ── what is not complete ──────────────────────────────────────────────────────────────────────────────────────────


def test_an_item_that_is_no_run_fails_every_load_until_somebody_has_seen_to_it(
    letters: Agent, house: Warehouse, sync: Run
) -> None:
    forms = Agent(letters.cloud, "Forms")
    fill(letters, 2)
    letters.cloud.add_raw_item(letters.id, b'"a run?"')
    first = sync()
    assert (first.state, first.tries) == ("failed", 1)
    assert str(first.error).startswith(
        "loaded, but not complete: 1 item was no run, see the table extraction_runs__rej"
    )
    assert (first.report["complete"], first.report["runs"]["new"], first.report["open_rejects"]) == (False, 2, 1)
    later = sync()  # with nothing new
    assert (later.state, later.tries, str(later.error)) == ("failed", 1, str(first.error))
    assert (later.report["complete"], later.report["runs"]["rejected"], later.report["open_rejects"]) == (False, 0, 1)
    assert sync(agents=["Letters"]).state == "failed"
    assert sync(agents=[forms.id]).state == "success", "an agent has nothing to do with what another one lacks"
    house.forget()
    assert_whole(house)
    query(house, "delete from extraction_runs__rejected")
    for _ in range(2):
        ended = sync(full_scan=True)
        assert (ended.state, ended.report["complete"], ended.report["open_rejects"]) == ("success", True, 0)


def test_what_cannot_be_read_or_is_missing_fails_every_load(letters: Agent, house: Warehouse, sync: Run) -> None:
    forms = Agent(letters.cloud, "Forms")
    good, _ = fill(letters, 1), fill(forms, 1)
    letters.cloud.fail(times=None, path=RUNS, query={"extraction_agent_id": forms.id}, status=403)
    for new in (1, 0):
        ended = sync()
        assert (ended.state, ended.tries, ended.report["runs"]["new"]) == ("failed", 1, new)
        assert "not complete: could not be read: agent Forms (" in str(ended.error)
        assert list(ended.report["unreadable"]) == [forms.id]
    no_run = "00000000-0000-4000-8000-000000000000"
    for _ in range(2):
        ended = sync(run_ids=[*good, no_run])
        assert (ended.state, str(ended.error)) == ("failed", f"loaded, but not complete: not found: {no_run}")
        assert ended.report["runs"]["missing"] == [no_run]


def test_rejects_are_counted_in_postgresql(
    letters: Agent, house: Warehouse, server: PostgresServer, sync: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = server.database()
    monkeypatch.setenv("AIRFLOW_CONN_WAREHOUSE", url)
    fill(letters, 1)
    letters.cloud.add_raw_item(letters.id, b"null")
    for _ in range(2):
        assert sync(agents=[letters.id]).report["open_rejects"] == 1
    with closing(psycopg2.connect(url)) as database, database, database.cursor() as cursor:
        cursor.execute("delete from llama_extract.extraction_runs__rejected")
    assert sync(agents=[letters.id]).state == "success"


# ── agents ────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_agents_are_listed_for_mapped_tasks(letters: Agent, service: Emulator, list_agents: Callable[..., Any]) -> None:
    forms = Agent(letters.cloud, "Forms")
    known = {agent["id"]: agent["name"] for agent in letters.cloud.agents()}
    letters.cloud.reset_requests()
    ended = list_agents()
    listed = {agent["id"]: agent["name"] for agent in ended.results["call"]}
    assert sorted(listed.values()) == ["Default", "Forms", "Letters"]
    assert listed.items() >= known.items()
    assert len(letters.cloud.requests) == 1
    assert list_agents(agents=["Forms"]).results["call"] == [{"id": forms.id, "name": "Forms"}]
    assert list_agents(agents=[]).results["call"] == []
    assert list_agents(api_key="llx-wrong").tries == 1
