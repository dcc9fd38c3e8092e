"""A source that is tried, and doors that loaded a part."""

from contextlib import suppress
from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_extract_dlt import ConfigurationError, LlamaExtractError, sync
from support.agents import Agent, fill
from support.doors import pipeline_of, query, run, source_of
from support.truth import assert_true
from support.warehouse import DATA, Warehouse, between_packages

# ── a source that is tried ──────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("limit", [1])
def test_what_a_limit_cut_off_comes_with_the_next_run(letters: Agent, house: Warehouse, limit: int) -> None:
    fill(letters, 12)
    pipeline_of(house).run(source_of(house, page_size=5).add_limit(limit))
    run(house, page_size=5)
    assert_true(house)


def test_a_limit_leaves_no_run_that_a_full_scan_calls_unchanged_without_its_children(
    letters: Agent, house: Warehouse
) -> None:
    fill(letters, 12)
    for limit in (1, 2):
        pipeline_of(house).run(source_of(house, page_size=5).add_limit(limit))
        house.forget()
        assert {row["id"] for row in house.rows("extraction_runs")} <= {row["_run_id"] for row in house.rows(DATA)}
    run(house, page_size=5, full_scan=True)
    assert_true(house)


def test_a_loop_that_stops_iterating_a_source_does_no_harm(letters: Agent, house: Warehouse) -> None:
    fill(letters, 6)
    next(iter(source_of(house).resources["extraction_runs"]))
    pipeline_of(house).run(source_of(house).with_resources("extraction_agents"))
    run(house)
    assert_true(house)


# ── doors that loaded a part ────────────────────────────────────────────────────────────────────────────────────────


def test_sync_as_a_statement_loads(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    sync(pipeline_of(house), source_of(house))
    assert_true(house)


def test_each_package_is_there_when_the_next_begins(letters: Agent, house: Warehouse) -> None:
    fill(letters, 6)
    seen: list[int] = []

    def look() -> None:
        seen.append(query(house, "select count(*) from extraction_runs")[0][0])

    report = sync(pipeline_of(house), source_of(house, chunk_size=2), on_progress=between_packages(look))
    assert seen == sorted(set(seen))
    assert 0 < seen[0] <= seen[-1] < 6
    assert len(report.load_ids) == len(seen) + 1
    house.forget()
    assert_true(house)


@pytest.mark.parametrize("where", ["argument", "configuration"])
def test_a_plain_run_loads_all_whatever_the_chunk_size(
    letters: Agent, house: Warehouse, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(letters, 12)
    given = {"chunk_size": 3} if where == "argument" else {}
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__CHUNK_SIZE", "3")
    assert run(house, page_size=5, **given)["runs"]["new"] == 12
    assert_true(house)


def test_the_steps_of_a_pipeline_one_by_one_load_all_whatever_the_chunk_size(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    pipeline = pipeline_of(house)
    pipeline.extract(source_of(house, page_size=5, chunk_size=3))
    pipeline.normalize()
    pipeline.load()
    assert_true(house)


def test_a_load_of_a_source_that_was_cut_short_is_no_complete_load(letters: Agent, house: Warehouse) -> None:
    fill(letters, 12)
    try:
        sync(pipeline_of(house), source_of(house, page_size=5, chunk_size=3).add_limit(1))
    except LlamaExtractError:
        house.load(page_size=5)
    house.forget()
    assert_true(house)


def test_what_a_killed_load_left_pending_is_dropped_and_all_is_loaded(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    run(house)
    fill(letters, 1)
    pipeline = pipeline_of(house)
    pipeline.extract(source_of(house))
    pipeline.normalize()
    fill(letters, 2)
    pipeline.extract(source_of(house))
    assert sync(pipeline, source_of(house)).new == 3
    assert not pipeline.has_pending_data
    assert_true(house)


def test_a_load_of_the_agents_alone_is_no_complete_load_of_runs(letters: Agent, house: Warehouse) -> None:
    fill(letters, 3)
    with suppress(LlamaExtractError):
        sync(pipeline_of(house), source_of(house).with_resources("extraction_agents"))
    house.load()
    assert_true(house)


@pytest.mark.parametrize("setting", ["ADD_DLT_ID", "ADD_DLT_LOAD_ID"])
def test_a_setting_of_dlts_that_would_change_row_ids_is_refused(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    fill(letters, 1)
    monkeypatch.setenv(f"NORMALIZE__PARQUET_NORMALIZER__{setting}", "true")
    with pytest.raises(PipelineStepFailed, match=setting.lower()):
        house.load()
    monkeypatch.undo()
    run(house)
    assert_true(house)


def test_sync_takes_a_source_and_no_argument_that_would_have_no_effect(letters: Agent, house: Warehouse) -> None:
    wrong: Any
    for wrong in ([source_of(house)], source_of(house).extraction_runs, "llama_extract"):
        with pytest.raises(ConfigurationError, match="sync takes the source itself"):
            sync(house.pipeline, wrong)
    for argument in ({"write_disposition": "replace"}, {"table_name": "runs"}, {"primary_key": "job_id"}):
        with pytest.raises(ConfigurationError, match=next(iter(argument))):
            sync(house.pipeline, source_of(house), **argument)
    assert house.cloud.requests == []
