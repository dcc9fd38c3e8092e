"""No door, pipeline name or dataset makes a row come twice."""

import subprocess
import sys
from typing import Any

import dlt
import duckdb
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import Agent, fill
from support.doors import killed_run, pipeline_of, query, run, source_of
from support.postgres import PostgresServer, PostgresWarehouse
from support.truth import assert_true
from support.warehouse import Warehouse


@pytest.mark.parametrize("moment", [5, 12])
def test_a_plain_run_that_is_killed_in_its_first_load_doubles_nothing(
    letters: Agent, house: Warehouse, moment: int
) -> None:
    fill(letters, 4)
    killed_run(house, moment)
    run(house)
    assert_true(house)
    run(house, full_scan=True)
    assert_true(house)


def test_a_plain_run_that_is_killed_again_and_again_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    assert killed_run(house, 3)
    assert killed_run(house, 6, data_tables="per_agent")
    killed_run(house, 11)
    run(house)
    assert_true(house)


def test_a_second_pipeline_name_on_the_same_dataset_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    run(house)
    run(house, "another")
    assert_true(house)
    fill(letters, 2)
    run(house, "a_third")
    run(house)
    run(house, "another")
    assert_true(house)


def test_a_second_pipeline_by_load_doubles_nothing(letters: Agent, house: Warehouse) -> None:
    fill(letters, 4)
    run(house)
    sync(pipeline_of(house, "another"), source_of(house))
    assert_true(house)
    sync(pipeline_of(house, "a_third"), source_of(house, chunk_size=2))
    assert_true(house)


@pytest.mark.parametrize("database", ["none yet", "empty"])
def test_another_load_between_the_steps_of_a_plain_run_doubles_nothing(
    letters: Agent, house: Warehouse, database: str
) -> None:
    fill(letters, 4)
    if database == "empty":
        duckdb.connect(str(house.path)).close()
    slow = pipeline_of(house, "slow")
    slow.extract(source_of(house))
    slow.normalize()
    run(house, "quick")
    slow.activate()
    slow.load()
    house.forget()
    assert_true(house)


def test_pipelines_of_two_names_share_the_tables_of_each_agent(
    cloud: Emulator, letters: Agent, house: Warehouse
) -> None:
    """Agents get other names in between, so that each pipeline by itself would name other tables."""
    forms = Agent(cloud, "Forms")
    ids = fill(letters, 3) + fill(forms, 3)
    given: dict[str, Any] = {"data_tables": "per_agent"}
    sync(pipeline_of(house), source_of(house, **given))
    cloud.rename_agent(letters.id, "Bills")
    cloud.rename_agent(forms.id, "Letters")
    roots = {letters.id: "letters", forms.id: "forms"}
    for name in ("another", "llama_extract", "another"):
        letters.edit(ids[0])
        forms.edit(ids[3])
        fill(letters, 1)
        sync(pipeline_of(house, name), source_of(house, full_scan=True, **given))
        assert_true(house, roots)


def test_of_pipelines_of_two_names_one_clears_what_the_other_wrote(letters: Agent, house: Warehouse) -> None:
    forms = Agent(house.cloud, "Forms")
    fill(letters, 2)
    plain = forms.add(2)
    sync(pipeline_of(house, "another"), source_of(house))  # which knows of no list in the data of forms
    house.cloud.edit_run(plain[0], data={"n": 1, "items": [{"a": 1}]})
    sync(pipeline_of(house), source_of(house, full_scan=True))
    assert_true(house)
    forms.edit(plain[0])
    sync(pipeline_of(house, "another"), source_of(house))
    assert_true(house)


def test_agents_are_right_whichever_pipeline_loaded_them_last(letters: Agent, house: Warehouse) -> None:
    sync(pipeline_of(house), source_of(house))
    for name, called in (("another", "Bills"), ("llama_extract", "Letters")):
        house.cloud.rename_agent(letters.id, called)
        sync(pipeline_of(house, name), source_of(house))
        house.forget()
        assert {row["name"] for row in house.rows("extraction_agents") if row["id"] == letters.id} == {called}


def test_a_schema_that_a_cut_off_load_left_out_comes_with_the_next(letters: Agent, house: Warehouse) -> None:
    house.load()
    before = sorted(row["hash"] for row in house.rows("extraction_schemas"))
    query(house, "delete from extraction_schemas")
    house.load()
    assert sorted(row["hash"] for row in house.rows("extraction_schemas")) == before != []


@pytest.mark.parametrize("door", ["load", "run"])
def test_one_pipeline_loads_two_datasets_in_turn(letters: Agent, house: Warehouse, door: str) -> None:
    fill(letters, 4)
    for _ in range(3):
        for dataset in ("one", "two"):
            destination = dlt.destinations.duckdb(str(house.path))
            pipeline = dlt.pipeline("in_turn", destination=destination, dataset_name=dataset)
            if door == "load":
                sync(pipeline, source_of(house))
            else:
                pipeline.run(source_of(house))
            with duckdb.connect(str(house.path)) as connection:
                counted = connection.execute(f"select count(*), count(distinct id) from {dataset}.extraction_runs")
                assert counted.fetchall() == [(len(house.cloud.runs()),) * 2]
        fill(letters, 1)


@pytest.mark.parametrize("door", ["load", "run"])
@pytest.mark.parametrize("put_back", [True, False])
def test_an_older_copy_of_the_database_or_none_is_brought_up_to_date(
    letters: Agent, house: Warehouse, door: str, put_back: bool
) -> None:
    ids = fill(letters, 3)
    run(house)
    copy = house.path.read_bytes()
    letters.edit(ids[0])
    fill(Agent(house.cloud, "Forms"), 2)
    fill(letters, 1)
    run(house)
    house.forget()
    house.path.unlink()
    if put_back:
        house.path.write_bytes(copy)
    if door == "load":
        sync(pipeline_of(house), source_of(house))
    else:
        run(house)
    assert_true(house)
    assert {row["name"] for row in house.rows("extraction_agents")} == {"Letters", "Forms", "Default"}


TOGETHER = """
import sys, dlt
from llama_extract_dlt import llama_extract
url, key, base, name = sys.argv[1:]
pipeline = dlt.pipeline(name, destination=dlt.destinations.postgres(url), dataset_name="llama_extract")
pipeline.run(llama_extract(api_key=key, base_url=base))
"""


def test_two_plain_runs_at_once_into_postgresql_are_made_good_by_a_full_scan(
    cloud: Emulator, letters: Agent, server: PostgresServer
) -> None:
    fill(letters, 4)
    url = server.database()
    command = [sys.executable, "-c", TOGETHER, url, cloud.api_key, cloud.base_url]
    both = [subprocess.Popen([*command, name], stderr=subprocess.DEVNULL) for name in ("one", "two")]
    for process in both:
        process.wait(timeout=300)
    house = PostgresWarehouse(cloud, url)
    house.load(full_scan=True)
    assert_true(house)
    house.close()
