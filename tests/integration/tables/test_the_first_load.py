"""Every table and column that is known is there from the first load on, even where nothing came."""

from collections.abc import Callable
from typing import Any

import duckdb
import pytest
from llama_cloud.types.extraction import ExtractAgent, ExtractConfig, ExtractRun
from llama_cloud.types.file import File

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import Agent, fill
from support.doors import pipeline_of, run, source_of
from support.tables import BIGINT, BOOL, DOUBLE, KEYS, STAMP, TEXT, beside, columns
from support.warehouse import METADATA, Warehouse

CITATION, BOXES = f"{METADATA}__citation", f"{METADATA}__citation__bounding_boxes"
CONTRACT = {"extraction_agents", "extraction_schemas", "extraction_runs", METADATA, CITATION, BOXES}
CONTRACT |= {f"extraction_runs__{part}" for part in ("config", "file", "data", "rejected")}

KNOWN = {
    "extraction_runs": dict.fromkeys(("id", "agent_name", "file_name", "status", "error", "_content_hash"), TEXT)
    | dict.fromkeys(("extraction_agent_id", "project_id", "job_id", "file_id", "data_schema_hash"), TEXT)
    | dict.fromkeys(("created_at", "updated_at", "_deleted_at"), STAMP)
    | {"from_ui": BOOL, "_deleted": BOOL, "_child_rows": BIGINT, "_dlt_load_id": TEXT}
    | {"extraction_metadata__usage__num_pages_extracted": BIGINT},
    "extraction_agents": dict.fromkeys(("id", "name", "project_id", "custom_configuration"), TEXT)
    | {"config": "JSON", "data_schema_hash": TEXT, "created_at": STAMP, "updated_at": STAMP},
    "extraction_schemas": {"hash": TEXT, "data_schema": "JSON"},
    METADATA: dict.fromkeys(("confidence", "extraction_confidence", "parsing_confidence"), DOUBLE)
    | dict.fromkeys(("field_path", "field_name", "data_row_id", "reasoning", "error"), TEXT)
    | dict.fromkeys(("data_value", "data_table", "data_column"), TEXT),
    CITATION: {"page": BIGINT, "matching_text": TEXT}
    | dict.fromkeys(("page_dimensions__width", "page_dimensions__height"), DOUBLE),
    BOXES: dict.fromkeys("xywh", DOUBLE),
    "extraction_runs__file": {"file_size": BIGINT, "permission_info": "JSON", "resource_info": "JSON"},
    "extraction_runs__rejected": dict.fromkeys(("extraction_agent_id", "reason", "position", "raw", "_dlt_id"), TEXT),
}


def assert_contract(house: Warehouse) -> None:
    found = columns(house)
    assert found.keys() >= CONTRACT
    for table, wanted in KNOWN.items():
        assert {name: found[table].get(name) for name in wanted} == wanted, table
    for table in CONTRACT:
        if table.startswith("extraction_runs__") and not table.endswith("__rejected"):
            assert found[table].keys() >= KEYS, table


DOORS: dict[str, Callable[..., Any]] = {
    "sync": Warehouse.load,
    "run": run,
    "another name": lambda house, **given: run(house, "another", **given),
    "sync by another name": lambda house, **given: sync(pipeline_of(house, "another"), source_of(house, **given)),
    "chunks": lambda house, **given: house.load(chunk_size=1, **given),
}


@pytest.mark.parametrize("door", DOORS)
def test_a_project_without_anything_has_all_tables(house: Warehouse, door: str) -> None:
    DOORS[door](house)
    assert_contract(house)
    assert house.rows("extraction_runs") == []


@pytest.mark.parametrize("door", ["sync", "run"])
@pytest.mark.parametrize("what", ["file", "dataset"])
def test_a_load_after_all_is_gone_has_all_tables(letters: Agent, house: Warehouse, what: str, door: str) -> None:
    """The pipeline still knows the tables; what has no rows any more is there again all the same."""
    fill(letters, 2, data={"n": 1})
    pipeline = pipeline_of(house)

    def load() -> None:
        source = source_of(house)
        sync(pipeline, source) if door == "sync" else pipeline.run(source)
        house.forget()

    load()
    before = columns(house)
    if what == "file":
        house.path.unlink()
    else:
        with duckdb.connect(str(house.path)) as connection:
            connection.execute(f"DROP SCHEMA {pipeline.dataset_name} CASCADE")
    letters.delete(0, 1)
    load()
    assert columns(house) == before
    assert not any(house.rows(table) for table in CONTRACT - {"extraction_agents", "extraction_schemas"})


@pytest.mark.parametrize("door", DOORS)
def test_all_tables_and_columns_are_the_same_whatever_came(letters: Agent, house: Warehouse, door: str) -> None:
    letters.add(2)
    letters.add(1, "PENDING")
    DOORS[door](house)
    assert_contract(house)
    small = {table: found for table, found in columns(house).items() if table in CONTRACT and "__data" not in table}
    fill(letters, 1)
    run_id = letters.delete(0)[0]
    house.cloud.add_raw_item(letters.id, b'"no run"')
    DOORS[door](house, full_scan=True)
    large = columns(house)
    assert small == {table: large[table] for table in small}, run_id


def test_all_that_the_vendors_client_documents_has_a_column(house: Warehouse) -> None:
    house.load()
    found = columns(house)
    apart = {"config", "data", "data_schema", "extraction_metadata", "file"}
    for table, model, left_out in (
        ("extraction_runs", ExtractRun, apart),
        ("extraction_agents", ExtractAgent, {"data_schema"}),
        ("extraction_runs__config", ExtractConfig, set[str]()),
        ("extraction_runs__file", File, set[str]()),
    ):
        assert model.model_fields.keys() - left_out - found[table].keys() == set(), table


@pytest.mark.parametrize("part", ["config", "file"])
def test_columns_of_settings_and_files_keep_their_types_with_values(
    cloud: Emulator, house: Warehouse, part: str
) -> None:
    house.load()
    before = columns(house)[f"extraction_runs__{part}"]
    with Emulator(runs=24, seed=3) as full:
        house = beside(house, "full")
        house.cloud = full
        house.load()
        after = columns(house)[f"extraction_runs__{part}"]
        assert before == {name: after[name] for name in before}
        assert [name for name in after if name not in before] == []


def test_all_columns_but_keys_may_be_null(house: Warehouse) -> None:
    house.load()
    query = "select table_name, column_name from information_schema.columns where is_nullable = 'NO'"
    strict = house.sql(f"{query} and table_schema = 'llama_extract' and table_name like 'extraction%'")
    assert {column for _, column in strict} <= {"id", "hash", "_run_id", "_dlt_id"}


@pytest.mark.parametrize("chosen", [{"agents": []}, {"run_ids": []}, {"agents": [], "run_ids": [], "job_ids": []}])
@pytest.mark.parametrize("door", ["sync", "run"])
def test_to_ask_for_nothing_loads_nothing_and_makes_no_table(
    letters: Agent, house: Warehouse, door: str, chosen: dict[str, list[str]]
) -> None:
    fill(letters, 1)
    DOORS[door](house, **chosen)
    assert house.cloud.requests == []
    assert not house.path.exists() or house.tables() == []


def test_to_ask_for_nothing_changes_nothing_later(letters: Agent, house: Warehouse) -> None:
    fill(letters, 2)
    house.load()
    before = house.rows("extraction_runs")
    letters.edit(before[0]["id"])
    house.cloud.reset_requests()
    for chosen in ({"agents": []}, {"run_ids": []}):
        house.load(**chosen)
        run(house, **chosen)
    assert house.cloud.requests == []
    house.forget()
    assert house.rows("extraction_runs") == before
