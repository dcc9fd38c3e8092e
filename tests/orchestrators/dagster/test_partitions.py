"""Agents as partitions: a sensor finds them, each is loaded and checked by itself, all into the same tables."""

from typing import Any

import dagster as dg
import pytest
from dagster import DagsterRunStatus
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus as Status

from llama_cloud_emulator import Emulator
from llama_extract_dlt.dagster import LlamaExtractResource, agent_partitions, agents_sensor, llama_extract_assets
from support.dagster import AT_ONCE, Project, add_receipts
from support.truth import assert_whole

RUNS = "extraction_runs"
NOTHING_MISSING = dg.AssetCheckKey(dg.AssetKey(["llama_extract", RUNS]), "nothing_missing")


@pytest.fixture
def project(project: Project) -> Project:
    """Loads agent by agent."""
    project.assets = llama_extract_assets(partitions_def=agent_partitions(), retry_policy=AT_ONCE)
    return project


def tick(project: Project) -> dict[str, dg.RunRequest]:
    """What the sensor asks for, by partition; what it says of partitions is done."""
    sensor = agents_sensor(project.assets)
    resources = {"llama_extract": LlamaExtractResource()}
    definitions = dg.Definitions(assets=[project.assets], sensors=[sensor], resources=resources)
    with dg.build_sensor_context(
        instance=project.instance, repository_def=definitions.get_repository_def(), resources=resources
    ) as context:
        found: Any = sensor(context)
    for request in found.dynamic_partitions_requests:
        if isinstance(request, dg.AddDynamicPartitionsRequest):
            project.instance.add_dynamic_partitions(request.partitions_def_name, request.partition_keys)
        else:
            for key in request.partition_keys:
                project.instance.delete_dynamic_partition(request.partitions_def_name, key)
    return {request.partition_key: request for request in found.run_requests}


def partitions(project: Project) -> set[str]:
    return set(project.instance.get_dynamic_partitions("llama_cloud_agents"))


def test_each_agent_is_loaded_by_itself_and_together_they_are_all(cloud: Emulator, project: Project) -> None:
    add_receipts(cloud)
    requested = tick(project)
    with_runs = {run["extraction_agent_id"] for run in cloud.runs()}
    assert with_runs <= requested.keys() == partitions(project)
    names = {agent["id"]: agent["name"] for agent in cloud.agents()}
    assert {key: requested[key].tags["llama_cloud/agent"] for key in names} == names
    for agent_id in with_runs:
        result = project.load(agent_id)
        assert result.success
        assert result.metadata(RUNS)["runs_new"] == len(cloud.runs(agent_id))
    assert_whole(project.warehouse(cloud))
    assert project.load(agent_id).materialized == [RUNS]


def test_the_sensor_follows_the_agents(cloud: Emulator, project: Project) -> None:
    before = tick(project).keys()
    added = cloud.add_agent("Späte \x1b Agentin", {"type": "object", "properties": {}})["id"]
    assert tick(project).keys() == partitions(project) == before | {added}
    cloud.delete_agent(added)
    assert tick(project).keys() == partitions(project) == before


def test_an_agent_that_the_list_shows_broken_keeps_its_partition(cloud: Emulator, project: Project) -> None:
    before = set(tick(project))
    cloud.on_answer = lambda path, query, document: ["no agent"] if path.endswith("/extraction-agents") else None
    assert tick(project) == {}
    assert partitions(project) == before


def test_an_agent_whose_load_is_under_way_gets_no_second_one(cloud: Emulator, project: Project) -> None:
    requested = tick(project)
    agent_id, request = next(iter(requested.items()))
    job = dg.Definitions(assets=[project.assets], resources={"llama_extract": LlamaExtractResource()})
    project.instance.create_run_for_job(
        job_def=job.resolve_implicit_global_asset_job_def(),
        tags={**request.tags, "dagster/partition": agent_id},
        status=DagsterRunStatus.STARTED,
    )
    assert tick(project).keys() == requested.keys() - {agent_id}


def test_a_good_load_of_one_agent_does_not_hide_the_trouble_of_another(cloud: Emulator, project: Project) -> None:
    bad, good = add_receipts(cloud), cloud.agents()[0]["id"]
    tick(project)
    cloud.hide_agent(bad)
    assert project.load(bad).failed == {"nothing_missing"}
    assert project.load(good).failed == set()
    found = project.instance.event_log_storage.get_asset_check_partition_info([NOTHING_MISSING])
    states = {info.partition_key: info.latest_execution_status for info in found}
    assert states == {bad: Status.FAILED, good: Status.SUCCEEDED}


def test_the_sensor_fails_in_one_line(cloud: Emulator, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "llx-another-key")
    with pytest.raises(dg.Failure, match=r"answered 401.*check api_key") as failed:
        tick(project)
    assert "llx-another-key" not in repr(failed.value.description)
