"""What is said in a library."""

import logging
import uuid
from typing import Any

import pytest

from support.agents import Agent, fill
from support.doors import run
from support.lies import empty, lie_about
from support.warehouse import Warehouse


@pytest.mark.parametrize("door", ["load", "run"])
def test_what_could_not_be_loaded_is_a_warning_once_each(
    letters: Agent, house: Warehouse, door: str, caplog: pytest.LogCaptureFixture
) -> None:
    ids = fill(letters, 3)
    forms = Agent(house.cloud, "Forms")
    forms.add(1)
    house.cloud.hide_agent(forms.id, 403)
    house.cloud.add_raw_item(letters.id, b'"no run"')
    absent = [str(uuid.UUID(int=number, version=4)) for number in (1, 2)]
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        given: dict[str, Any] = {"agents": ["Letters", "Forms"], "run_ids": [ids[0], *absent]}
        house.load(**given) if door == "load" else run(house, **given)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("llama_extract_dlt")]
    for wanted in (*absent, "Forms", "extraction_runs__rejected"):
        assert len([line for line in lines if wanted in line]) == 1, (wanted, lines)
    assert not any(house.cloud.api_key in line for line in lines)


def test_a_load_that_is_well_warns_of_nothing(
    letters: Agent, house: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    fill(letters, 12)
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        run(house, page_size=5)
        house.load(page_size=5, full_scan=True)
    assert [record for record in caplog.records if record.name.startswith("llama_extract_dlt")] == []


def test_a_list_that_cannot_be_believed_is_a_warning(
    letters: Agent, house: Warehouse, caplog: pytest.LogCaptureFixture
) -> None:
    fill(letters, 6)
    house.load()
    lie_about({letters: empty})
    with caplog.at_level(logging.WARNING, logger="llama_extract_dlt"):
        run(house, full_scan=True)
    lines = [record.getMessage() for record in caplog.records if record.name.startswith("llama_extract_dlt")]
    assert len([line for line in lines if "Letters" in line]) == 1, lines
