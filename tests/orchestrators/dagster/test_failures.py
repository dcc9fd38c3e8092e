"""What goes wrong is a failure in one line; only what may pass is tried again, and no secret is shown."""

from pathlib import Path

import dlt
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt.load.locks.dataset import alone
from support.dagster import Project
from support.truth import assert_whole


def test_a_wrong_key_is_not_tried_again(cloud: Emulator, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = "llx-another-key"
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", wrong)
    result = project.load()
    assert not result.success
    assert result.failure.startswith("GET /api/v1/extraction/extraction-agents answered 401")
    assert "check api_key, and that base_url is the key's region" in result.failure
    assert result.retries == 0
    assert wrong not in repr(result.events)


@pytest.mark.parametrize(
    ("settings", "variables", "message"),
    [
        ({}, {"LLAMA_CLOUD_API_KEY": ""}, "no API key: set LLAMA_CLOUD_API_KEY"),
        ({"agents": ["Nobody"]}, {}, "there is no agent 'Nobody'; the agents of this project are:"),
        ({"agent": ["Invoices"]}, {}, "sync does not take agent"),
        ({}, {"DESTINATION_TYPE": "nowhere"}, "dlt has no destination 'nowhere'"),
        ({}, {"DESTINATION_TYPE": "postgres"}, "the destination postgres lacks"),
        ({}, {"LLAMA_CLOUD_BASE_URL": "http://example.com"}, "would send the API key unencrypted"),
    ],
)
def test_what_has_to_be_changed_is_said_in_one_line_and_not_tried_again(
    cloud: Emulator,
    project: Project,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, list[str]],
    variables: dict[str, str],
    message: str,
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    result = project.load(settings=settings)
    assert not result.success
    assert message in result.failure
    assert result.retries == 0


def test_a_warehouse_that_is_not_there_is_tried_again_and_its_password_not_shown(
    cloud: Emulator, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DESTINATION__POSTGRES__CREDENTIALS", "postgresql://loader:a-secret-word@127.0.0.1:1/warehouse")
    result = project.load(destination="postgres")
    assert not result.success
    assert result.retries == 2
    assert "a-secret-word" not in repr(result.events)


def test_trouble_of_the_service_is_tried_again(cloud: Emulator, project: Project) -> None:
    cloud.fail(times=1, status=503)
    result = project.load(settings={"max_tries": 1})
    assert result.success
    assert result.retries == 1
    assert_whole(project.warehouse(cloud))


def test_a_load_that_is_kept_out_says_by_whom_and_is_tried_again(
    cloud: Emulator, project: Project, tmp_path: Path
) -> None:
    file = dlt.destinations.duckdb(str(tmp_path / "llamacloud.duckdb"))
    other = dlt.pipeline("other", destination=file, dataset_name="llama_extract")
    with alone(other, 0):
        result = project.load(wait_for_lock=0)
    assert not result.success
    assert result.failure.startswith("another load into the dataset llama_extract is at work (process ")
    assert result.retries == 2
    assert project.load().success
    assert_whole(project.warehouse(cloud))
