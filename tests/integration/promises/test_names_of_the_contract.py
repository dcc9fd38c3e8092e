"""Fields that are called like columns of the contract take nothing away."""

import uuid
from collections import Counter

from support.agents import CONFIG, Agent, Json
from support.doors import run
from support.truth import assert_nothing_doubled, deleted
from support.warehouse import DATA, Warehouse

OWNED = ["_deleted", "_Deleted", "_run_id", "_runId", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id"]


def test_a_field_called_deleted_takes_no_rows_away(letters: Agent, house: Warehouse) -> None:
    def data(value: Json, number: int) -> Json:
        inner = {"a": number, "_deleted": value}
        return {"n": number, "_deleted": value, "items": [inner, inner], "deep": {"_deleted": value, "a": 1}}

    values: list[Json] = [True, False, "yes", 1, {"x": 1}, [True], None]
    letters.add(data={"n": 3, "items": [{"a": 3}, {"a": 4}]})
    odd = [letters.add(data=data(value, 1))[0] for value in values]
    house.load()
    for run_id, value in zip(odd, values, strict=True):
        house.cloud.edit_run(run_id, data=data(value, 2))
    odd += [letters.add(data=data(value, 4))[0] for value in values]
    house.load()
    run(house, "another", full_scan=True)
    assert_nothing_doubled(house)
    every = [one["id"] for one in house.cloud.runs()]
    assert Counter(row["_run_id"] for row in house.rows(DATA)) == Counter(every)
    assert Counter(row["_run_id"] for row in house.rows(f"{DATA}__items")) == Counter(every * 2)
    assert sorted(row["n"] for row in house.rows(DATA)) == [2] * 7 + [3] + [4] * 7
    assert [row for table in house.tables() for row in house.rows(table) if row.get("_deleted") is not None] == []


def test_fields_that_are_called_like_key_columns_keep_their_values_beside_the_keys(
    letters: Agent, house: Warehouse
) -> None:
    for number in range(3):
        for name in OWNED:
            value = f"{name} {number}"
            letters.add(data={"n": number, name: value, "items": [{"a": number, name: value}]})
    house.load()
    for one in house.cloud.runs():
        house.cloud.edit_run(one["id"], data=one["data"] | {"n": one["data"]["n"] + 10})
    run(house, full_scan=True)
    assert_nothing_doubled(house)
    for table in (DATA, f"{DATA}__items"):
        rows = {row["_run_id"]: row for row in house.rows(table)}
        for one in house.cloud.runs():
            (wanted,) = (value for name, value in one["data"].items() if name in OWNED)
            assert wanted in rows[one["id"]].values(), f"{wanted} is lost in {table}"
            assert rows[one["id"]].get("_deleted") is None


def test_metadata_and_config_that_name_a_contracts_column_take_no_rows_away(letters: Agent, house: Warehouse) -> None:
    odd = {"_deleted": True, "_run_id": "r", "_dlt_id": "d", "_dlt_parent_id": "p", "_dlt_list_idx": 77}
    leaf = {"confidence": 0.5, "citation": [{"page": 1, "bounding_boxes": [{"x": 1.0, **odd}], **odd}], **odd}
    leaf |= {"field_path": "f", "field_name": "f", "data_row_id": "f"}
    ids = letters.add(
        2,
        config=CONFIG | odd,
        extraction_metadata={"field_metadata": {"n": leaf}},
        file={"id": str(uuid.uuid4()), "name": "f", **odd},
    )
    for _ in range(2):
        house.load(full_scan=True)
        assert_nothing_doubled(house)
        for child in ("config", "file", "data", "field_metadata", "field_metadata__citation"):
            rows = house.rows(f"extraction_runs__{child}")
            assert Counter(row["_run_id"] for row in rows) == Counter(ids), child
            assert [row for row in rows if row.get("_deleted") is not None] == []
        boxes = house.rows("extraction_runs__field_metadata__citation__bounding_boxes")
        assert Counter(row["_run_id"] for row in boxes) == Counter(ids)
        assert {row["field_path"] for row in house.rows("extraction_runs__field_metadata")} == {"n"}
        for run_id in ids:
            letters.edit(run_id)


def test_a_run_whose_own_fields_are_called_like_the_sources_columns_stays_what_it_is(
    letters: Agent, house: Warehouse
) -> None:
    odd = {
        "_deleted_at": "2020-01-01T00:00:00Z",
        "_content_hash": "none",
        "_child_rows": 77,
        "_dlt_load_id": "1.2",
        "data_schema_hash": "h",
        "_deleted": True,
    }
    ids = letters.add(3, **odd)
    house.load()
    counts = house.load(full_scan=True)
    assert counts["runs"]["unchanged"] == 3
    letters.edit(ids[0])
    house.load(full_scan=True)
    assert_nothing_doubled(house)
    assert deleted(house) == set()
    rows = house.rows("extraction_runs")
    assert {row["id"] for row in rows} == set(ids)
    assert {row["_run_id"] for row in house.rows(DATA)} == set(ids)
    assert all(row.get("_deleted") is None and row["_content_hash"] != "none" for row in rows)
    assert all(row["_dlt_load_id"] != "1.2" and row["_child_rows"] == 1 for row in rows)
