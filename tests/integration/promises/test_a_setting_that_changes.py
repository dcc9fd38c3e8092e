"""A setting that changes, or is changed back, loses nothing."""

import pytest

from llama_extract_dlt import settings
from support.agents import Agent, fill
from support.doors import killed_run, run, sync_killed_after
from support.truth import assert_true
from support.warehouse import Warehouse


@pytest.mark.parametrize("packages", [1, 2])
def test_a_switch_of_tables_that_is_cut_off_and_taken_back_loses_nothing(
    letters: Agent, house: Warehouse, packages: int
) -> None:
    forms = Agent(house.cloud, "Forms")
    fill(letters, 5)
    fill(forms, 3)
    house.load()
    assert sync_killed_after(house, packages, data_tables="per_agent", chunk_size=2)
    run(house, full_scan=True)
    assert_true(house)
    assert house.rows("letters") == house.rows("forms") == []


@pytest.mark.parametrize("moment", [4, 10])
def test_a_switch_of_tables_that_is_killed_and_taken_back_loses_nothing(
    letters: Agent, house: Warehouse, moment: int
) -> None:
    fill(letters, 4)
    run(house)
    killed_run(house, moment, data_tables="per_agent")
    run(house, full_scan=True)
    assert_true(house)
    assert "letters" not in house.tables() or house.rows("letters") == []


def test_runs_that_were_asked_for_with_another_setting_come_back_to_their_tables(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    house.load()
    house.load(run_ids=ids[:2], data_tables="per_agent")
    house.load(full_scan=True)
    assert_true(house)
    assert house.rows("letters") == []


def test_runs_that_were_asked_for_first_are_synced_into_the_tables_of_the_sync(
    letters: Agent, house: Warehouse
) -> None:
    ids = fill(letters, 4)
    run(house, run_ids=ids[:2])
    run(house, data_tables="per_agent")
    run(house, data_tables="per_agent", full_scan=True)
    assert_true(house, {letters.id: "letters"})


def test_what_an_earlier_version_wrote_is_written_again_by_a_full_scan(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    ids = fill(letters, 3)
    with monkeypatch.context() as earlier:
        earlier.setattr(settings, "WRITER", "an earlier one")
        house.load()
    assert house.load(full_scan=True)["runs"]["updated"] == len(ids)
    assert house.load(full_scan=True)["runs"]["unchanged"] == len(ids)
    assert_true(house)
