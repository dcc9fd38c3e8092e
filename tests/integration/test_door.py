"""The one door, `sync`: what it takes, what it gives back, and what it does with what others have left."""

import json
import shutil
import subprocess
import sys
import threading
import traceback
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import FrozenInstanceError
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import dlt
import duckdb
import pytest
from dlt.common.destination import reference
from dlt.common.runtime.collector import DictCollector
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import (
    ConfigurationError,
    DatasetBusyError,
    LlamaExtractError,
    Progress,
    llama_extract,
    plan_sync,
    sync,
)
from llama_extract_dlt.load.locks.dataset import alone
from llama_extract_dlt.session import synced
from support.command import Held
from support.warehouse import Warehouse, between_packages


@pytest.fixture
def cloud() -> Iterator[Emulator]:
    with Emulator(runs=25, seed=7) as emulator:
        yield emulator


@pytest.fixture
def house(cloud: Emulator, tmp_path: Path) -> Iterator[Warehouse]:
    """A warehouse whose pipeline the tests load with themselves."""
    warehouse = Warehouse(cloud, tmp_path / "warehouse.duckdb")
    yield warehouse
    warehouse.close()


def account(cloud: Emulator) -> dict[str, Any]:
    return {"api_key": cloud.api_key, "base_url": cloud.base_url}


# ── what it gives back ────────────────────────────────────────────────────────────────────────────────────────────


def test_a_report_says_what_is_in_the_warehouse(cloud: Emulator, house: Warehouse) -> None:
    agent = cloud.agents()[0]
    no_run = str(uuid.uuid4())
    report = sync(house.pipeline, **account(cloud), agents=[agent["name"]], run_ids=[no_run])
    assert (report.new, report.updated, report.unchanged, report.deleted) == (len(cloud.runs(agent["id"])), 0, 0, 0)
    assert report.tables == {table: rows for table in house.tables() if (rows := len(house.rows(table)))}
    assert [(load_id,) for load_id in report.load_ids] == house.sql("select load_id from _dlt_loads order by load_id")
    assert report.requests == len(cloud.requests)
    assert (report.complete, report.missing, report.rejected, report.unreadable) == (False, (no_run,), 0, {})
    of_agent = report.agents[agent["id"]]
    assert (of_agent.name, of_agent.new) == (agent["name"], report.new)
    as_json = json.loads(json.dumps(report.as_dict()))
    assert as_json["runs"]["missing"] == [no_run]
    assert as_json["agents"][agent["id"]]["new"] == as_json["runs"]["new"] == report.new
    with pytest.raises(FrozenInstanceError):
        report.new = 0  # type: ignore[misc]
    assert sync(house.pipeline, llama_extract(**account(cloud), agents=[agent["id"]])).complete


def test_a_report_says_how_far_each_agent_is_known_also_when_nothing_was_new(cloud: Emulator, house: Warehouse) -> None:
    agent, unused = cloud.agents()[0], cloud.add_agent("Unused", {"type": "object", "properties": {}})
    cloud.add_run(agent["id"], status="PENDING")
    runs = cloud.runs(agent["id"])
    latest = max(datetime.fromisoformat(run["updated_at"]) for run in runs)
    waiting = sum(run["status"] in ("CREATED", "PENDING") for run in runs)
    for new in (len(runs), 0):
        report = sync(house.pipeline, **account(cloud), agents=[agent["id"], unused["id"]])
        known = report.agents[agent["id"]]
        assert (known.new, known.watermark, known.in_flight) == (new, latest, waiting)
        assert json.loads(json.dumps(known.as_dict()))["watermark"] == latest.isoformat()
        assert (report.agents[unused["id"]].watermark, report.agents[unused["id"]].in_flight) == (None, 0)
        assert report.agents[unused["id"]].as_dict()["watermark"] is None


def test_others_are_kept_out_while_one_looks_at_what_was_loaded(cloud: Emulator, house: Warehouse) -> None:
    other = dlt.pipeline("other", destination=dlt.destinations.duckdb(str(house.path)), dataset_name="llama_extract")
    with synced(house.pipeline, **account(cloud)) as report:
        assert report.new == len(house.rows("extraction_runs"))
        with pytest.raises(DatasetBusyError):
            sync(other, **account(cloud))
    assert sync(other, **account(cloud)).complete


def test_two_loads_at_once_with_one_destination_object_leave_it_as_it_was(cloud: Emulator, tmp_path: Path) -> None:
    destination = dlt.destinations.filesystem(str(tmp_path / "lake"))
    before = dict(vars(destination))
    pipelines = [dlt.pipeline(name, destination=destination, dataset_name=name) for name in ("one", "two")]
    with ExitStack() as first, ExitStack() as second:
        reports = [
            stack.enter_context(synced(pipeline, **account(cloud)))
            for stack, pipeline in zip((first, second), pipelines, strict=True)
        ]
        first.close()
        assert [report.new for report in reports] == [25, 25]
    assert vars(destination) == before
    assert [sync(pipeline, **account(cloud)).unchanged for pipeline in pipelines] == [25, 25]


def test_two_loads_at_once_with_one_destination_object_go_where_each_pipelines_settings_say(
    cloud: Emulator, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        monkeypatch.setenv(f"{name.upper()}__DESTINATION__DUCKDB__CREDENTIALS", f"duckdb:///{tmp_path}/{name}.duckdb")
    destination = dlt.destinations.duckdb()
    one, two = (dlt.pipeline(name, destination=destination, dataset_name="runs") for name in ("one", "two"))
    with synced(one, **account(cloud)):
        assert sync(two, **account(cloud)).new == 25
    for name in ("one", "two"):
        with duckdb.connect(str(tmp_path / f"{name}.duckdb"), read_only=True) as connection:
            assert connection.execute("select count(*) from runs.extraction_runs").fetchone() == (25,)


def test_a_load_works_out_the_destinations_configuration_once(
    cloud: Emulator, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By itself, dlt does so whenever a client is made."""
    resolve, asked = reference.resolve_configuration, list[bool]()

    def counted(config: Any, **given: Any) -> Any:
        if not config.is_resolved():
            asked.append(given["accept_partial"])
        return resolve(config, **given)

    monkeypatch.setattr(reference, "resolve_configuration", counted)
    for _ in range(2):
        asked.clear()
        sync(house.pipeline, **account(cloud))
        assert sorted(asked) == [False, True]  # with credentials, and without for what the destination can do


@pytest.mark.parametrize("function", [sync, plan_sync])
def test_a_pipeline_without_a_destination_is_refused_in_one_line(cloud: Emulator, function: Any) -> None:
    with pytest.raises(ConfigurationError, match=r"^the pipeline nowhere has no destination: give .*'duckdb'$"):
        function(dlt.pipeline("nowhere", dataset_name="llama_extract"), **account(cloud))
    assert cloud.requests == []


def test_between_packages_what_is_loaded_is_in_the_file_and_no_longer_in_memory(
    cloud: Emulator, house: Warehouse
) -> None:
    log, logged = house.path.with_name(f"{house.path.name}.wal"), list[int]()
    look = between_packages(lambda: logged.append(log.stat().st_size if log.exists() else 0))
    for given in ({}, {"rewrite": True}):
        logged.clear()
        sync(house.pipeline, **account(cloud), chunk_size=5, on_progress=look, **given)
        assert len(logged) > 3
        assert set(logged) == {0}


def test_a_plain_run_that_waits_holds_up_nobody_else(cloud: Emulator, house: Warehouse, tmp_path: Path) -> None:
    ended: list[Any] = []

    def load() -> None:
        waiting = dlt.pipeline("waiting", destination=house.pipeline.destination, dataset_name="llama_extract")
        source = llama_extract(**account(cloud), wait_for_lock=300)
        try:
            waiting.run(source)
            ended.append(source.resources["extraction_runs"].custom_metrics["runs"]["unchanged"])
        except BaseException as error:
            ended.append(error)

    with synced(house.pipeline, **account(cloud)):
        thread = threading.Thread(target=load)
        thread.start()
        while not any(step.name == "_wait_for" for step in stack_of(thread)):
            assert thread.is_alive(), ended
            threading.Event().wait(0.01)
        elsewhere = dlt.destinations.duckdb(str(tmp_path / "elsewhere.duckdb"))
        pipeline = dlt.pipeline("elsewhere", destination=elsewhere, dataset_name="llama_extract")
        assert pipeline.run(llama_extract(**account(cloud))).loads_ids
        assert thread.is_alive()
    thread.join()
    assert ended == [25]


def stack_of(thread: threading.Thread) -> list[traceback.FrameSummary]:
    """What the thread is doing."""
    frame = sys._current_frames().get(thread.ident or 0)
    return list(traceback.extract_stack(frame)) if frame else []


def test_a_sync_of_nothing_is_complete(cloud: Emulator, house: Warehouse) -> None:
    report = sync(house.pipeline, **account(cloud), agents=[])
    assert (report.complete, report.new, report.requests, report.tables) == (True, 0, 0, {})


def test_a_refresh_loads_anew_what_was_taken_away(cloud: Emulator, house: Warehouse) -> None:
    sync(house.pipeline, **account(cloud))
    kept = cloud.runs()[0]["id"]
    for run in cloud.runs()[1:]:
        cloud.delete_run(run["id"])
    assert sync(house.pipeline, **account(cloud), refresh=True).new == 1
    assert [row["id"] for row in house.rows("extraction_runs")] == [kept]


# ── what it takes ─────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"agent": "Invoices"}, "sync does not take agent"),
        ({"write_disposition": "replace"}, "sync does not take write_disposition"),
        ({"refresh": "drop_data"}, "refresh must be True or False"),
        ({"page_size": 0}, "page_size"),
        ({"timeout": 10**10}, "timeout must be a number of seconds above 0, up to a million"),
        ({"on_progress": 5}, "on_progress must be a function; it is 5"),
    ],
)
def test_an_argument_that_is_none_is_an_error_before_anything_is_sent(
    cloud: Emulator, house: Warehouse, given: dict[str, Any], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said):
        sync(house.pipeline, **account(cloud), **given)
    assert cloud.requests == []


def test_what_is_no_pipeline_is_refused(cloud: Emulator) -> None:
    for given in (None, "pipeline"):
        with pytest.raises(ConfigurationError, match=f"it takes a dlt pipeline, .* not a {type(given).__name__}"):
            sync(given, **account(cloud))  # type: ignore[arg-type]


def test_a_source_without_resources_is_refused(cloud: Emulator, house: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match="the source has no resource selected"):
        sync(house.pipeline, llama_extract(**account(cloud)).with_resources())


def test_a_pipeline_whose_folder_is_gone_is_refused(cloud: Emulator, house: Warehouse) -> None:
    shutil.rmtree(house.pipeline.working_dir)
    with pytest.raises(ConfigurationError, match=r"the working folder \S+ of the pipeline is gone"):
        sync(house.pipeline, **account(cloud))
    assert cloud.requests == []


def test_a_plain_run_of_one_worker_of_several_is_refused(cloud: Emulator, house: Warehouse) -> None:
    with pytest.raises(PipelineStepFailed, match=r"parallel is for sync\(pipeline, \.\.\.\)"):
        house.pipeline.run(llama_extract(**account(cloud), parallel=True))
    assert cloud.requests == []


def test_an_argument_of_the_source_goes_with_no_source(cloud: Emulator, house: Warehouse) -> None:
    with pytest.raises(ConfigurationError, match=r"agents is the source's: llama_extract\(agents="):
        sync(house.pipeline, llama_extract(**account(cloud)), agents=["Invoices"])
    assert cloud.requests == []


def test_a_loader_file_format_is_passed_on(cloud: Emulator, house: Warehouse) -> None:
    sync(house.pipeline, **account(cloud), loader_file_format="parquet", chunk_size=10)
    (metrics, *_) = house.pipeline.last_trace.last_load_info.load_packages
    assert {job.job_file_info.file_format for job in metrics.jobs["completed_jobs"]} >= {"parquet"}
    assert len(house.rows("extraction_runs")) == 25


def test_duckdb_loads_one_table_after_the_other(cloud: Emulator, house: Warehouse) -> None:
    """Each takes memory, and all cores."""
    sync(house.pipeline, **account(cloud))
    (metrics,) = house.pipeline.last_trace.last_load_info.metrics.values()
    jobs = sorted((job.started_at, job.finished_at) for job in metrics[0]["job_metrics"].values())
    assert len(jobs) > 20
    assert all(begun >= ended for (_, ended), (begun, _) in pairwise(jobs))


# ── what others have left ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("step", ["extracted", "normalized"])
def test_what_another_source_has_pending_is_not_lost(cloud: Emulator, house: Warehouse, step: str) -> None:
    @dlt.source
    def other() -> Any:
        return dlt.resource([{"id": 1}], name="things")

    house.pipeline.extract(other())
    if step == "normalized":
        house.pipeline.normalize()
    with pytest.raises(LlamaExtractError, match=r"the pipeline llama_extract has data of other .* pipeline\.load\(\)"):
        sync(house.pipeline, **account(cloud))
    assert cloud.requests == []
    house.pipeline.normalize()
    house.pipeline.load()
    assert sync(house.pipeline, **account(cloud)).new == 25
    assert len(house.rows("things")) == 1


# ── progress ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_progress_is_told_at_each_step(cloud: Emulator, house: Warehouse) -> None:
    told: list[Progress] = []
    report = sync(house.pipeline, **account(cloud), chunk_size=20, on_progress=told.append)
    steps = [one.step for one in told]
    changes = [step for before, step in zip(["", *steps], steps, strict=False) if step != before]
    assert changes == ["reading", "preparing", "loading"] * len(report.load_ids)
    assert [one.read for one in told] == sorted(one.read for one in told)
    assert (told[0].read, told[-1].read, told[-1].requests) == (0, 25, report.requests)


def test_progress_is_told_while_the_service_is_silent(cloud: Emulator, house: Warehouse) -> None:
    held, waiting = Held(cloud, 3), threading.Event()

    def on_progress(progress: Progress) -> None:
        if held.reached.is_set() and not waiting.is_set():
            assert progress.step == "reading"
            waiting.set()
            held.release.set()

    assert sync(house.pipeline, **account(cloud), on_progress=on_progress).new == 25
    assert waiting.is_set()


@pytest.mark.parametrize("where", ["in the load's thread", "while the service is silent"])
def test_an_exception_in_the_callback_ends_the_load_and_the_next_makes_it_good(
    cloud: Emulator, house: Warehouse, where: str
) -> None:
    silent = where.startswith("while")
    held = Held(cloud, 3 if silent else 0)
    raised: list[str] = []

    def on_progress(progress: Progress) -> None:
        if held.reached.is_set() if silent else progress.step == "loading":
            held.release.set()
            raised.append(progress.step)
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough") as failure:
        sync(house.pipeline, **account(cloud), on_progress=on_progress)
    assert len(raised) == 1
    assert (failure.value.__cause__, failure.value.__context__) == (None, None)  # it is not its own cause
    sync(house.pipeline, **account(cloud))
    assert {row["id"] for row in house.rows("extraction_runs")} == {run["id"] for run in cloud.runs()}


class Own(DictCollector):
    """A progress that counts all items of a load, and its steps."""

    items = 0

    def _start(self, step: str) -> None:
        self.steps = [*getattr(self, "steps", []), step.split()[0]]

    def update(self, name: str, inc: int = 1, *_: Any, **__: Any) -> None:
        self.items += inc * (name == "extraction_runs" and self.step.startswith("Extract "))


def test_the_pipelines_own_progress_is_told_as_well(cloud: Emulator, tmp_path: Path) -> None:
    own = Own()
    destination = dlt.destinations.duckdb(str(tmp_path / "own.duckdb"))
    pipeline = dlt.pipeline("own", destination=destination, dataset_name="llama_extract", progress=own)
    sync(pipeline, **account(cloud), on_progress=lambda progress: None)
    assert (own.items, set(own.steps)) == (25, {"Extract", "Normalize", "Load"})
    assert pipeline.collector is own


# ── the package ───────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "first", ["", "import llama_extract_dlt.tracking.events", "from llama_extract_dlt import llama_extract"]
)
def test_sync_is_the_function_whatever_is_imported_first_and_nothing_is_before_that(first: str) -> None:
    script = f"""
import sys, llama_extract_dlt
assert not {{"dlt", "pyarrow"}} & set(sys.modules)
{first}
from llama_extract_dlt import sync, Report
assert callable(sync) and callable(llama_extract_dlt.sync)
assert set(llama_extract_dlt.__all__) <= set(vars(llama_extract_dlt)) | {{
    name for name in llama_extract_dlt.__all__ if getattr(llama_extract_dlt, name)
}}
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("copy", ["itself", "clone", "with_resources", "loaded before"])
def test_a_copy_of_the_source_waits_as_long_as_it_does(cloud: Emulator, house: Warehouse, copy: str) -> None:
    source = llama_extract(**account(cloud), wait_for_lock=0.2)
    if copy == "clone":
        source = source.clone()
    elif copy == "with_resources":
        source = source.with_resources("extraction_runs")
    elif copy == "loaded before":
        sync(house.pipeline, source)
    another = dlt.pipeline("another", destination=house.pipeline.destination, dataset_name="llama_extract")
    with alone(another, 0), pytest.raises(DatasetBusyError, match=r"still at work after 0\.2 s"):
        sync(house.pipeline, source)
