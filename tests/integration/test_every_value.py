"""Every value of every run, in the warehouse as in the API."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from llama_cloud_emulator import Emulator
from support.warehouse import (
    DATA,
    KEYS,
    NAMING,
    Warehouse,
    data_row_of,
    differences,
    expected_data,
    expected_metadata,
    parse_json,
    reassembled_data,
    same,
    with_text,
)

METADATA = "extraction_runs__field_metadata"
RUNS = 2000


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warehouse]:
    folder = tmp_path_factory.mktemp("every_value")
    with pytest.MonkeyPatch.context() as patch, Emulator(runs=RUNS, seed=20261123) as cloud:
        patch.setenv("DLT_DATA_DIR", str(folder / "dlt"))
        patch.setenv("RUNTIME__DLTHUB_TELEMETRY", "false")
        warehouse = Warehouse(cloud, Path(folder) / "warehouse.duckdb")
        warehouse.load()
        yield warehouse
        warehouse.close()


def by(rows: list[dict[str, Any]], key: str) -> dict[Any, dict[str, Any]]:
    found = {row[key]: row for row in rows}
    assert len(found) == len(rows), f"{key} is not unique"
    return found


def test_data_is_complete(loaded: Warehouse) -> None:
    runs = loaded.cloud.runs()
    actual = reassembled_data(loaded)
    wrong = [
        line for run in runs for line in differences(expected_data(run["data"]), actual.get(run["id"], []), run["id"])
    ]
    assert len(runs) == RUNS
    assert wrong == []
    assert set(actual) <= {run["id"] for run in runs}


def test_scalars_of_runs_are_complete(loaded: Warehouse) -> None:
    rows = by(loaded.rows("extraction_runs"), "id")
    apart = {"config", "file", "data", "data_schema", "extraction_metadata"}
    wrong = []
    for run in loaded.cloud.runs():
        row = dict(rows.pop(run["id"]))
        expected = {name: value for name, value in run.items() if name not in apart}
        metadata = run["extraction_metadata"] or {}
        expected |= {f"extraction_metadata__usage__{name}": n for name, n in (metadata.get("usage") or {}).items()}
        for name in ("agent_name", "file_name", "data_schema_hash", "_content_hash", "_dlt_load_id", "_child_rows"):
            row.pop(name)
        wrong += differences(without_nulls(expected), without_nulls(row), run["id"])
    assert wrong == []
    assert not rows


@pytest.mark.parametrize("part", ["config", "file"])
def test_config_and_file_are_complete(loaded: Warehouse, part: str) -> None:
    rows = by(loaded.rows(f"extraction_runs__{part}"), "_run_id")
    wrong = []
    records = file_records(loaded) if part == "file" else {}
    for run in loaded.cloud.runs():
        run[part] = run[part] or records.get(run["file_id"])
        if run[part] is None:
            assert run["id"] not in rows
            continue
        row = rows.pop(run["id"])
        assert row["_dlt_parent_id"] == run["id"]
        for name in ("permission_info", "resource_info"):
            if name in row:
                row[name] = parse_json(row[name])
        actual = {name: value for name, value in row.items() if name not in KEYS}
        nested = {name: value for name, value in run[part].items() if isinstance(value, dict)}
        wrong += [name for name, value in nested.items() if actual.pop(name) != value]
        scalars = {name: value for name, value in run[part].items() if name not in nested}
        wrong += differences(without_nulls(scalars), without_nulls(actual), run["id"])
    assert wrong == []
    assert not rows


def test_schemas_are_stored_once_and_found_by_their_hash(loaded: Warehouse) -> None:
    schemas = {row["hash"]: parse_json(row["data_schema"]) for row in loaded.rows("extraction_schemas")}
    rows = by(loaded.rows("extraction_runs"), "id")
    agents = by(loaded.rows("extraction_agents"), "id")
    for run in loaded.cloud.runs():
        assert schemas[rows[run["id"]]["data_schema_hash"]] == run["data_schema"]
    for agent in loaded.cloud.agents():
        assert schemas[agents[agent["id"]]["data_schema_hash"]] == agent["data_schema"]
        assert parse_json(agents[agent["id"]]["config"]) == agent["config"]
    distinct = {str(schema) for schema in (*schemas.values(),)}
    assert len(distinct) == len(schemas)


def test_field_metadata_and_citations_are_complete(loaded: Warehouse) -> None:
    citations = citations_by_parent(loaded)
    actual: dict[str, dict[str, Any]] = {}
    for row in loaded.rows(METADATA):
        rows = actual.setdefault(row["_run_id"], {})
        assert row["field_path"] not in rows
        assert row["_dlt_parent_id"] == row["_run_id"]
        rows[row["field_path"]] = row
    wrong: list[str] = []
    for run in loaded.cloud.runs():
        rows = actual.pop(run["id"], {})
        tree = (run["extraction_metadata"] or {}).get("field_metadata")
        for path, expected in expected_metadata(tree):
            field_path = ".".join(map(str, path))
            where = f"{run['id']} {field_path}"
            row = rows.pop(field_path, None)
            if row is None:
                wrong.append(f"{where}: no row")
                continue
            assert row["_dlt_list_idx"] == next((step for step in reversed(path) if isinstance(step, int)), 0)
            assert row["field_name"] == ".".join(step for step in path if isinstance(step, str))
            found = {NAMING.normalize_path(k): v for k, v in row.items() if k not in KEYS and v is not None}
            for key in ("field_path", "field_name", "data_row_id", "data_table", "data_column"):
                found.pop(key, None)
            if row["_dlt_id"] in citations:
                found["citation"] = citations.pop(row["_dlt_id"])
            wrong += differences(expected | with_text(run["data"], path), found, where)
        wrong += [f"{run['id']} {path}: not expected" for path in rows]
    assert wrong == []
    assert not actual
    assert not citations


def test_metadata_points_to_the_row_that_holds_the_value(loaded: Warehouse) -> None:
    places: dict[str, tuple[str, list[int]]] = {}
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for table in loaded.tables():
        if table == DATA or table.startswith(f"{DATA}__"):
            found |= {row["_dlt_id"]: (table, row) for row in loaded.rows(table)}

    def place(row_id: str) -> tuple[str, list[int]]:
        if row_id not in places:
            table, row = found[row_id]
            above = [] if table == DATA else place(row["_dlt_parent_id"])[1]
            places[row_id] = (table, [*above, row["_dlt_list_idx"]])
        return places[row_id]

    data = {run["id"]: run["data"] for run in loaded.cloud.runs()}
    trees = {run["id"]: (run["extraction_metadata"] or {}).get("field_metadata") for run in loaded.cloud.runs()}
    paths = {
        (run_id, ".".join(map(str, path))): path
        for run_id, tree in trees.items()
        for path, _ in expected_metadata(tree)
    }
    pointing = 0
    for row in loaded.rows(METADATA):
        expected = data_row_of(data[row["_run_id"]], paths[row["_run_id"], row["field_path"]])
        actual = None if row["data_row_id"] is None else place(row["data_row_id"])
        assert actual == expected, (row["_run_id"], row["field_path"])
        if row["data_row_id"]:
            table, data_row = found[row["data_row_id"]]
            assert data_row["_run_id"] == row["_run_id"]
            assert row["data_table"] == table
            pointing += 1
            if row["data_value"] is not None:
                columns = [name for name in data_row if name.split("__v_")[0] == row["data_column"]]
                (value,) = [data_row[name] for name in columns if data_row[name] is not None]
                assert same(parsed(row["data_value"], value), value)
    assert pointing > RUNS


def parsed(text: str, like: Any) -> Any:
    """A value of the JSON from its text, as far as it was not a text itself."""
    if isinstance(like, bool | int | float):
        return json.loads(text)
    return {"true": "True", "false": "False"}.get(text, text)  # as dlt writes booleans into a column of texts


def test_loading_again_changes_nothing(cloud: Emulator, warehouse: Callable[[Emulator], Warehouse]) -> None:
    house = warehouse(cloud)
    house.load()
    before = house.content()
    house.load()
    assert house.content() == before
    assert sum(before["extraction_runs"].values()) == 60


def file_records(loaded: Warehouse) -> dict[str, dict[str, Any]]:
    """The records of the files that runs name without describing them."""
    ids = sorted({run["file_id"] for run in loaded.cloud.runs() if run["file"] is None and run["file_id"]})
    records = []
    for begin in range(0, len(ids), 50):
        answer = httpx.get(
            f"{loaded.cloud.base_url}/api/v1/beta/files",
            params={"file_ids": ids[begin : begin + 50], "page_size": 50},
            headers={"Authorization": f"Bearer {loaded.cloud.api_key}"},
        )
        records += answer.json()["items"]
    assert records
    return {record["id"]: record for record in records}


def citations_by_parent(loaded: Warehouse) -> dict[str, list[dict[str, Any]]]:
    """Citations with their boxes, as the API nests them."""
    boxes: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(loaded.rows(f"{METADATA}__citation__bounding_boxes"), key=lambda row: row["_dlt_list_idx"]):
        values = {name: value for name, value in row.items() if name not in KEYS and value is not None}
        boxes.setdefault(row["_dlt_parent_id"], []).append(values)
    citations: dict[str, list[dict[str, Any]]] = {}
    for row in sorted(loaded.rows(f"{METADATA}__citation"), key=lambda row: row["_dlt_list_idx"]):
        values = {name: value for name, value in row.items() if name not in KEYS and value is not None}
        if row["_dlt_id"] in boxes:
            values["bounding_boxes"] = boxes.pop(row["_dlt_id"])
        citations.setdefault(row["_dlt_parent_id"], []).append(values)
    assert not boxes
    return citations


def without_nulls(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if value is not None}


def test_same_tells_values_apart() -> None:
    """The comparison itself can fail."""
    assert not same("00123", "123")
    assert not same(True, 1)
    assert not same("1", 1)
    assert not same("2026-01-28", "2026-01-29")
    assert same(1, 1.0)
    assert list(differences([{"a": 1}], [{"a": 1, "b": 2}]))
