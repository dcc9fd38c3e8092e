"""What a kill leaves between two tables is made good."""

import signal
import subprocess
import sys

from llama_extract_dlt import sync
from support.agents import Agent, fill
from support.doors import Executioner, is_kill, pipeline_of, run, source_of
from support.truth import assert_true
from support.warehouse import Warehouse

CHILDREN_ONLY = """
import os, signal, sys, threading, dlt
from pathlib import Path
from dlt.destinations.impl.duckdb.sql_client import DuckDbSqlClient
from llama_extract_dlt import llama_extract, sync

execute = DuckDbSqlClient.execute_query

def execute_query(self, query, *args, **kwargs):
    if str(query).startswith("DELETE FROM") and '"extraction_runs" ' in str(query).split("WHERE")[0] + " ":
        if "_staging" not in str(query).split("WHERE")[0]:
            while any(others()):
                threading.Event().wait(0.01)
            os.kill(os.getpid(), signal.SIGKILL)
    return execute(self, query, *args, **kwargs)

def others():
    # The jobs of other tables that are still to be done.
    for jobs in Path(pipeline.working_dir).glob("load/normalized/*/*_jobs"):
        if jobs.name in ("new_jobs", "started_jobs"):
            yield from (job for job in jobs.iterdir() if not job.name.startswith("extraction_runs."))

DuckDbSqlClient.execute_query = execute_query
door, name, path, key, base, data_tables = sys.argv[1:]
pipeline = dlt.pipeline(name, destination=dlt.destinations.duckdb(path), dataset_name="llama_extract")
if door == "pending":
    pipeline.load()
else:
    sync(pipeline, llama_extract(api_key=key, base_url=base, data_tables=data_tables))
"""


def killed_before_the_runs(house: Warehouse, door: str, name: str = "llama_extract", tables: str = "shared") -> None:
    """A process that loads all child tables, and is killed at the moment at which it would replace the runs."""
    house.forget()
    cloud, command = house.cloud, [sys.executable, "-c", CHILDREN_ONLY, door, name, str(house.path)]
    command += [cloud.api_key, cloud.base_url, tables]
    process = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300)
    assert process.returncode == -signal.SIGKILL, process.stderr
    pipeline_of(house, name).drop()


def test_a_switch_of_tables_that_wrote_child_rows_only_and_is_taken_back_loses_nothing(
    letters: Agent, house: Warehouse
) -> None:
    fill(letters, 4)
    house.load()
    killed_before_the_runs(house, "load", tables="per_agent")
    assert len(house.rows("letters")) == 4
    house.load(full_scan=True)
    assert_true(house)
    assert house.rows("letters") == []


def test_an_edit_of_which_child_rows_came_only_and_that_is_taken_back_leaves_nothing(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    before = next(one for one in house.cloud.runs() if one["id"] == ids[1])
    house.load()
    house.cloud.edit_run(ids[1], True, data={"n": -1, "items": [{"a": -1}, {"a": -2}]})
    killed_before_the_runs(house, "load")
    house.cloud.edit_run(ids[1], False, data=before["data"], updated_at=before["updated_at"])
    house.load(full_scan=True)
    assert_true(house)


def test_an_old_package_of_which_child_rows_came_only_is_made_good(letters: Agent, house: Warehouse) -> None:
    ids = fill(letters, 4)
    run(house, "slow")
    letters.edit(ids[1])
    slow = pipeline_of(house, "slow")
    slow.extract(source_of(house))
    slow.normalize()
    letters.edit(ids[1])
    sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
    assert_true(house)
    killed_before_the_runs(house, "pending", "slow")
    for name in ("slow", "quick"):
        sync(pipeline_of(house, name), source_of(house, full_scan=True))
        assert_true(house)


def test_a_package_that_is_taken_up_again_after_other_loads_takes_no_column_away(
    letters: Agent, house: Warehouse
) -> None:
    """dlt then merges what the other load has left in its staging tables, with the columns of the old package."""
    ids = fill(letters, 2)
    run(house)
    killed = 0
    for moment in range(1, 60, 5):
        letters.edit(ids[0])
        house.forget()
        slow = pipeline_of(house, "slow", Executioner(moment, only="Load"))
        try:
            slow.run(source_of(house, full_scan=True))
            break
        except BaseException as error:
            if not is_kill(error):
                raise
            killed += 1
        new_column = {f"field_{moment}": "kept"}
        house.cloud.edit_run(ids[1], True, data={"n": moment, f"n{moment}": moment}, **new_column)
        sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
        pipeline_of(house, "slow").run()
        sync(pipeline_of(house, "quick"), source_of(house, full_scan=True))
        assert_true(house)
    assert killed > 5
