"""The door of the room: runs in, tables out, and what a failed build leaves behind (nothing)."""

import copy
import json

import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention

from llama_extract_dlt.service.records import Rejected, read_run
from llama_extract_dlt.tables import memory as memory_module
from llama_extract_dlt.tables.build import TableBuilder, rejected_table

DATA = "extraction_runs__data"


def run(number, data, agent="a", schema=None, **members):
    text = {"id": f"run{number}", "extraction_agent_id": agent, "data": data, "data_schema": schema, **members}
    return read_run(json.dumps(text).encode(), "here")


def builder(known=None, **options):
    return TableBuilder(NamingConvention(), known or {}, **options)


def rows(built, table):
    return next((one.data.to_pylist() for one in built.tables if one.name == table), [])


def learned(tables):
    memory = tables._memory
    return copy.deepcopy((memory.types, memory.described, set(memory.schemas), tables.agent_tables))


TOO_LONG = {"x" * 300: [1]}


def test_unfit_runs_are_left_out_and_named():
    tables = builder()
    runs = [run(number, TOO_LONG if number in (3, 7) else {"n": number}) for number in range(10)]
    fields = [dict(one.fields) for one in runs]
    built = tables.build(runs, [Rejected(b"junk", "why", "where")], load_id="1", removed=[("gone", "a")])
    assert list(built.unfit) == ["run3", "run7"]
    assert built.unfit["run3"].position == "run run3"
    assert "it cannot be made into tables: the name of a table" in built.unfit["run3"].reason
    assert b"xxx" in built.unfit["run3"].raw
    assert [row["n"] for row in rows(built, DATA)] == [0, 1, 2, 4, 5, 6, 8, 9]
    assert built.tables[-1].name == "extraction_runs"
    assert len(rows(built, "extraction_runs__rejected")) == 1
    assert [dict(one.fields) for one in runs] == fields


def test_an_unfit_run_leaves_nothing_behind():
    tables, other = builder(), builder()
    schema = {"properties": {"n": {"type": "string", "description": "about n"}}}
    bad = run(1, {"n": "x", **TOO_LONG}, "b", schema, config={"chunk_mode": "PAGE"})
    built = tables.build([bad], load_id="1")
    assert (list(built.unfit), built.tables) == (["run1"], [])
    assert learned(tables) == learned(other)
    good = [run(2, {"n": 5}, "b"), run(3, {"n": "x"}, "b", schema)]
    built = tables.build([*good, bad], load_id="2")
    expected = other.build(good, load_id="2")
    assert learned(tables) == learned(other)
    assert [(one.name, one.data, one.descriptions) for one in built.tables] == [
        (one.name, one.data, one.descriptions) for one in expected.tables
    ]
    assert [one.descriptions for one in built.tables if one.name == DATA] == [{"n": "about n"}]


def test_a_build_that_fails_at_its_last_table_leaves_nothing_behind():
    def is_new(name, names):
        if name == "extraction_runs":
            raise RuntimeError("no answer")
        return False

    known = {DATA: {"_run_id": {"data_type": "text"}, "m": {"data_type": "text", "description": "m"}}}
    tables = builder(known, agent_tables={"a": [DATA]}, is_new=is_new)
    before = learned(tables)
    schema = {"properties": {"n": {"type": "string", "description": "about n"}}}
    with pytest.raises(RuntimeError, match="no answer"):  # which is no fault of the run
        tables.build([run(1, {"n": "x", "list": [1]}, schema=schema)], load_id="1")
    assert learned(tables) == before


def test_an_error_of_who_names_the_tables_is_no_fault_of_a_run():
    def data_table(agent_id):
        raise RuntimeError("no answer")

    with pytest.raises(RuntimeError, match="no answer"):
        builder(data_table=data_table).build([run(1, {"n": "x"})], load_id="1")
    built = builder(data_table=lambda agent_id: f"of_{agent_id}").build([run(1, {"n": [1]})], load_id="1")
    assert [table.name for table in built.tables] == ["of_a", "of_a__n", "extraction_runs"]


def test_rows_of_the_same_sync_need_no_tombstones():
    tables = builder(agent_tables={"a": [DATA]})
    tables.build([run(1, {"list": [1]})], load_id="1")
    built = tables.build([run(2, {"n": 1})], load_id="1")
    assert [table.name for table in built.tables] == [DATA, "extraction_runs"]
    assert tables.agent_tables == {"a": [DATA, f"{DATA}__list"]}


def test_an_error_that_no_run_alone_causes_is_raised(monkeypatch):
    def fail(*_):
        raise RuntimeError("no room")

    tables = builder(agent_tables={"a": [DATA]})
    before = learned(tables)
    monkeypatch.setattr(memory_module.Memory, "tables_of_removed", fail)
    with pytest.raises(RuntimeError, match="no room"):
        tables.build([], load_id="1", removed=[("gone", "a")])
    assert learned(tables) == before


def test_numbers_bound_for_text_keep_their_digits():
    """A double among the numbers makes Arrow read all of them as doubles."""
    known = {DATA: {"_run_id": {"data_type": "text"}, "n": {"data_type": "text"}}}
    tables = builder(known)
    built = tables.build([run(1, {"n": 1}), run(2, {"n": 2.5}), run(3, {"inner": [{"m": 1}, {"m": 0.5}]})], load_id="1")
    assert [row["n"] for row in rows(built, DATA)] == ["1", "2.5", None]
    schema = {"properties": {"inner": {"items": {"properties": {"m": {"type": "string"}}}}}}
    built = tables.build([run(3, {"inner": [{"m": 1}, {"m": 0.5}]}, schema=schema)], load_id="1")
    # The column is double since the first build, whatever a later schema says.
    assert [row["m"] for row in rows(built, f"{DATA}__inner")] == [1.0, 0.5]
    built = builder().build([run(3, {"inner": [{"m": 1}, {"m": 0.5}]}, schema=schema)], load_id="1")
    assert [row["m"] for row in rows(built, f"{DATA}__inner")] == ["1", "0.5"]


def test_a_run_without_rows_gets_a_tombstone_where_its_agent_had_some():
    known = {name: {"_run_id": {"data_type": "text"}} for name in (DATA, f"{DATA}__a", f"{DATA}__b", f"{DATA}__c")}
    before = {"a": [DATA, f"{DATA}__a"], "b": [f"{DATA}__b"]}
    tables = builder(known, agent_tables=before, suspects={"run3"}, is_new=lambda name, _: name == f"{DATA}__b")
    assert tables.agent_tables == {**before, "": [f"{DATA}__c"]}
    runs = [run(1, {"n": 1}), run(2, None), run(3, None, "c"), run(4, None, "c")]
    built = tables.build(runs, load_id="1", removed=[("x", "a"), ("y", None)])
    dead = {one.name: [row.get("_run_id") or row["id"] for row in one.data.to_pylist() if row.get("_deleted")]
            for one in built.tables}  # fmt: skip
    assert dead == {
        DATA: ["run2", "run3", "x", "y"],
        f"{DATA}__a": ["run1", "run2", "run3", "x", "y"],
        f"{DATA}__c": ["run1", "run2", "run3", "run4", "x", "y"],
        "extraction_runs": ["x"],
    }
    assert tables.agent_tables["c"] == [DATA, f"{DATA}__a", f"{DATA}__c"]
    assert before == {"a": [DATA, f"{DATA}__a"], "b": [f"{DATA}__b"]}


def test_metadata_points_to_the_row_that_has_the_value():
    meta = {
        "n": {"confidence": 0.5},
        "list": [{"m": {"confidence": 1, "citation": [{"page": 2}]}}],
        "gone": [{"reasoning": "r"}],
    }
    built = builder().build(
        [run(1, {"n": 1, "list": [{"m": 2}]}, extraction_metadata={"field_metadata": meta})], load_id="1"
    )
    found = {row["field_path"]: row for row in rows(built, "extraction_runs__field_metadata")}
    assert found["n"]["data_row_id"] == rows(built, DATA)[0]["_dlt_id"]
    assert found["list.0.m"]["data_row_id"] == rows(built, f"{DATA}__list")[0]["_dlt_id"]
    assert found["gone.0"]["data_row_id"] is None
    [citation] = rows(built, "extraction_runs__field_metadata__citation")
    assert (citation["page"], citation["_dlt_parent_id"]) == (2, found["list.0.m"]["_dlt_id"])
    assert rows(built, "extraction_runs")[0]["_child_rows"] == 6


def test_a_schema_is_given_once_and_after_a_failure_again():
    tables = builder()
    schema = {"type": "object"}
    tables.build([run(1, TOO_LONG, schema=schema)], load_id="1")
    assert len(rows(tables.build([run(2, {}, schema=schema)], load_id="1"), "extraction_schemas")) == 1
    assert rows(tables.build([run(3, {}, schema=schema)], load_id="1"), "extraction_schemas") == []
    agent = json.dumps({"id": "a", "name": "A", "data_schema": schema, "config": {"x": 1}}).encode()
    [table] = tables.agent_rows({"digest": agent})
    assert (table.name, table.key, table.json_columns) == ("extraction_agents", "id", ["config"])


def test_a_reject_is_one_row_a_text():
    assert rejected_table([]).rows == 0
    table = rejected_table([Rejected(b"x", "first", "1"), Rejected(b"x", "second", "2"), Rejected(b"\xff", "odd", "3")])
    assert [(row["raw"], row["reason"]) for row in table.data.to_pylist()] == [("x", "second"), ("\ufffd", "odd")]
