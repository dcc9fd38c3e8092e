"""The deployment, the component and the examples of the docs load as they stand."""

import os
import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import yaml
from dagster.components.testing import create_defs_folder_sandbox

from llama_cloud_emulator import Emulator
from llama_extract_dlt.dagster import LlamaExtractComponent
from support.dagster import KEY, Project
from support.places import ROOT
from support.truth import assert_whole

PAGE = (ROOT / "docs/dagster.md").read_text()
DEPLOYMENT = ROOT / "pipelines/dagster_defs.py"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def assert_loads(definitions: dg.Definitions, cloud: Emulator) -> None:
    """What can be materialized is, and the runs are there."""
    dg.Definitions.validate_loadable(definitions)
    job = definitions.resolve_implicit_global_asset_job_def()
    with dg.DagsterInstance.ephemeral() as instance:
        partition = None
        if job.partitions_def is not None:
            partition = cloud.agents()[0]["id"]
            instance.add_dynamic_partitions("llama_cloud_agents", [partition])
        result = job.execute_in_process(instance=instance, partition_key=partition)
        told = next(
            event.step_materialization_data.materialization.metadata
            for event in result.get_asset_materialization_events()
            if event.asset_key is not None and event.asset_key.path[-1] == "extraction_runs"
        )
    assert told["runs_new"].value == len(cloud.runs())


def test_the_deployment_loads_by_dagsters_own_command(cloud: Emulator, project: Project, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry:\n  enabled: false\n")
    environment = os.environ | {"DAGSTER_HOME": str(home)}
    for command in (["definitions", "validate"], ["asset", "materialize", "--select", "*"]):
        done = subprocess.run(
            [Path(sys.executable).with_name("dagster"), *command, "-f", str(DEPLOYMENT)],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        assert KEY not in done.stdout + done.stderr
    assert_whole(project.warehouse(cloud))


def test_the_deployment_is_short_and_the_first_example() -> None:
    text = DEPLOYMENT.read_text()
    assert len(text.splitlines()) <= 20
    assert text.endswith(blocks("python")[0])


@pytest.mark.parametrize("number", range(1, len(blocks("python"))))  # the first is the deployment
def test_every_example_loads(cloud: Emulator, number: int) -> None:
    names: dict[str, dg.Definitions] = {}
    exec(compile(blocks("python")[number], f"docs/dagster.md: example {number}", "exec"), names)
    assert_loads(names["defs"], cloud)


@pytest.mark.parametrize("by_agent", [False, True])
def test_the_component_loads_from_yaml(cloud: Emulator, by_agent: bool) -> None:
    (text,) = blocks("yaml")
    contents = yaml.safe_load(text)
    if by_agent:
        contents["attributes"] |= {"by_agent": True}
    with create_defs_folder_sandbox() as sandbox:
        folder = sandbox.defs_folder_path / "llama"
        folder.mkdir(parents=True)
        (folder / "defs.yaml").write_text(yaml.safe_dump(contents))
        with sandbox.load_component_and_build_defs(folder) as (component, definitions):
            assert isinstance(component, LlamaExtractComponent)
            assert len(definitions.sensors or []) == by_agent
            assert len(definitions.schedules or []) == (not by_agent)
            if not by_agent:  # as the example has it
                assert_loads(definitions, cloud)


def test_the_page_names_the_checks_as_they_are(project: Project) -> None:
    (table,) = re.findall(r"^\| check of .*?(?=^$)", PAGE, re.MULTILINE | re.DOTALL)
    named = re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE)
    assert sorted(named) == sorted(key.name for key in project.assets.check_keys)
