"""What somebody who knows dlt tries on this source: what docs/dlt.md says of it, line by line."""

# ruff: noqa: F811, the names of fixtures

from __future__ import annotations

import inspect
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from typing import Any

import dlt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDBDBApiCursorImpl
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_extract_dlt import ConfigurationError, LlamaExtractError, plan_sync, sync
from support.agents import Agent, fill
from support.doors import account_of, pipeline_of, source_of
from support.fixtures import cloud, house, letters  # noqa: F401
from support.places import ROOT
from support.truth import assert_true, deleted
from support.warehouse import DATA, Warehouse

RUNS, AGENTS = "extraction_runs", "extraction_agents"

# ── reading what was loaded ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def loaded(house: Warehouse, letters: Agent) -> dlt.Pipeline:
    """The pipeline that has loaded five runs, which is the active one."""
    fill(letters, 5)
    pipeline = pipeline_of(house)
    pipeline.run(source_of(house))
    return pipeline


FORMS = {
    "arrow": lambda relation: relation.arrow().num_rows,
    "df": lambda relation: len(relation.df()),
    "iter_arrow": lambda relation: sum(table.num_rows for table in relation.iter_arrow(chunk_size=2)),
    "iter_df": lambda relation: sum(len(frame) for frame in relation.iter_df(chunk_size=2)),
    "fetchall": lambda relation: len(relation.fetchall()),
    "fetchmany": lambda relation: len(relation.fetchmany(10)),
    "iter_fetch": lambda relation: sum(len(rows) for rows in relation.iter_fetch(chunk_size=2)),
}


@pytest.mark.parametrize("attached", [False, True])
def test_the_dataset_can_be_read_in_every_form(loaded: dlt.Pipeline, attached: bool) -> None:
    again = dlt.attach(loaded.pipeline_name, destination=loaded.destination) if attached else loaded
    dataset = again.dataset()
    assert {"extraction_runs", "extraction_runs__data__items"} <= set(dataset.tables)
    for form, count in FORMS.items():
        assert count(dataset.extraction_runs) == 5, form
        assert count(dataset[RUNS].select("id", "status").where("status", "eq", "SUCCESS")) == 5, form
        assert count(dataset("select _run_id from extraction_runs__data__items")) == 10, form


def test_the_dataset_has_the_types_of_the_tables(loaded: dlt.Pipeline) -> None:
    dataset = loaded.dataset()
    assert isinstance(dataset.extraction_runs.df(), pd.DataFrame)
    schema = dataset.extraction_runs.arrow().schema
    assert schema.field("created_at").type == pa.timestamp("us", tz="UTC")
    assert schema.field("_child_rows").type == pa.int64()
    assert dataset.extraction_runs.columns_schema["created_at"]["data_type"] == "timestamp"
    assert dict(dataset.row_counts().fetchall())["extraction_runs__data__items"] == 10
    assert dataset.extraction_runs.select("created_at").max().fetchscalar() is not None


def test_duckdb_is_held_back_only_as_long_as_dlt_needs_it() -> None:
    """Fails with the dlt that no longer calls what DuckDB 2 has dropped: then the upper bound can go."""
    (duckdb,) = [
        one
        for one in tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        if one.startswith("duckdb")
    ]
    needed = "fetch_arrow_table" in inspect.getsource(DuckDBDBApiCursorImpl.iter_arrow)
    assert ("<2" in duckdb) == needed


# ── resources ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_source_shows_what_it_loads_and_nothing_else(house: Warehouse, letters: Agent) -> None:
    source = source_of(house)
    assert set(source.resources) == set(source.selected_resources) == {RUNS, AGENTS}
    fill(letters, 2)
    plans = plan_sync(house.pipeline, **account_of(house))
    assert [plan.runs for plan in plans if plan.agent == "Letters"] == [2]
    assert not house.path.exists()
    house.load()
    assert {table["resource"] for table in house.pipeline.default_schema.data_tables()} == {RUNS, AGENTS}


def test_resources_can_be_chosen(house: Warehouse, letters: Agent) -> None:
    fill(letters, 2)
    house.pipeline.run(source_of(house).with_resources(AGENTS))
    assert set(house.tables()) == {AGENTS, "extraction_schemas"}
    house.pipeline.run(source_of(house).with_resources(RUNS))
    assert_true(house)


# ── the tables of docs/dlt.md, line by line ───────────────────────────────────────────────────────────────────────


def lines(heading: str) -> list[tuple[str, str]]:
    """The code and the text of each row under a heading."""
    page = (ROOT / "docs/dlt.md").read_text()
    part = page.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    found = re.findall(r"^\| `(.+?)` \| (.+) \|$", part, re.MULTILINE)
    assert len(found) > 10
    return found


def do(code: str, pipeline: dlt.Pipeline, source: Any) -> None:
    """What the code says, and where it has not run the source, that too."""
    exec(compile(code, code, "exec"), {"dlt": dlt, "pipeline": pipeline, "source": source})
    if not code.startswith("pipeline."):
        pipeline.run(source)


@pytest.mark.parametrize("code", [code for code, _ in lines("What works")])
def test_what_works_leaves_true_tables(house: Warehouse, letters: Agent, code: str) -> None:
    fill(letters, 4)
    do(code, pipeline_of(house), source_of(house))
    if "limit" in code:  # what that leaves, the next load makes whole
        assert set(house.tables()) == {DATA, "extraction_runs__config", "extraction_schemas"}
        house.pipeline.run(source_of(house))
    if AGENTS in code:
        assert RUNS not in house.tables()
        house.pipeline.run(source_of(house))
    assert_true(house)
    again = fill(letters, 2)
    do(code, pipeline_of(house), source_of(house))
    if "limit" in code or AGENTS in code:
        house.pipeline.run(source_of(house))
    assert_true(house)
    assert set(again) <= {row["id"] for row in house.rows(RUNS)}


@pytest.mark.parametrize(("code", "said"), lines("What is refused"))
def test_what_is_refused_says_so_before_anything_is_sent(
    house: Warehouse,
    letters: Agent,
    code: str,
    said: str,
) -> None:
    fill(letters, 2)
    house.cloud.reset_requests()
    with pytest.raises(PipelineStepFailed) as raised:
        do(code, pipeline_of(house), source_of(house))
    (error,) = [one for one in causes(raised.value) if isinstance(one, ConfigurationError)]
    assert said in str(error)
    assert house.cloud.requests == [] or "add_map" in code
    assert not house.path.exists() or house.tables() == []
    pipeline_of(house).drop()
    house.load()
    assert_true(house)


def causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# ── limits and maps ───────────────────────────────────────────────────────────────────────────────────────────────


def test_a_limit_warns(house: Warehouse, letters: Agent, caplog: pytest.LogCaptureFixture) -> None:
    fill(letters, 2)
    pipeline_of(house).run(source_of(house).add_limit(1))
    assert "add_limit: parts of runs are loaded" in caplog.text
    with pytest.raises(LlamaExtractError, match="run again without it"):
        sync(house.pipeline, source_of(house).add_limit(1))


def test_a_map_changes_columns_of_every_table_in_every_package(house: Warehouse, letters: Agent) -> None:
    seen = set()

    def mask(table: pa.Table, meta: Any) -> pa.Table:
        seen.add(meta.hints["table_name"])
        if meta.hints["table_name"] == "extraction_runs__data__items":
            return table.set_column(table.column_names.index("a"), "a", pc.add(table["a"], 1000))
        return table.drop_columns(["matching_text"]) if "matching_text" in table.column_names else table

    fill(letters, 5)
    source = source_of(house, chunk_size=2)
    source.extraction_runs.add_map(mask)
    assert len(sync(house.pipeline, source).load_ids) > 1
    assert seen - {"extraction_schemas"} == set(house.tables()) - {AGENTS, "extraction_schemas"}
    assert all(row["a"] >= 1000 for row in house.rows("extraction_runs__data__items"))
    assert "matching_text" not in house.rows("extraction_runs__field_metadata__citation")[0]
    assert house.load(full_scan=True)["runs"]["unchanged"] == 5  # the map does not make runs look damaged


@pytest.mark.parametrize(
    "wrong",
    [
        lambda table: None,
        lambda table: table.to_pandas(),
        lambda table: table.slice(1),
        lambda table: pa.concat_tables([table, table]),
        lambda table: table.drop_columns(["_dlt_id"]) if "_dlt_id" in table.column_names else table,
        lambda table: table.take(list(reversed(range(table.num_rows)))),
        lambda table: (
            table.set_column(0, "id", pa.array(map(str, range(table.num_rows))))
            if table.column_names[0] == "id"
            else table
        ),
    ],
    ids=["nothing", "pandas", "fewer rows", "more rows", "no row id", "another order", "other ids"],
)
def test_a_map_that_changes_rows_or_keys_is_an_error(house: Warehouse, letters: Agent, wrong: Any) -> None:
    fill(letters, 3)
    source = source_of(house)
    source.extraction_runs.add_map(wrong)
    with pytest.raises(PipelineStepFailed, match="must return an Arrow table with the same rows"):
        house.pipeline.run(source)


# ── contracts ─────────────────────────────────────────────────────────────────────────────────────────────────────

NEW: dict[str, Any] = {
    "a new table": {"data": {"n": 1, "others": [{"b": 1}]}},
    "a new column of the data": {"data": {"n": 1, "extra": "q"}},
    "a new column below": {"data": {"n": 1, "items": [{"a": 1, "extra": "q"}]}},
    "another type": {"data": {"n": "none"}},
    "a new column of the runs": {"new_at_the_service": "yes"},
}
FROZEN: tuple[tuple[Any, str], ...] = (
    ({"tables": "freeze"}, "a new table"),
    ({"columns": "freeze"}, "a new column of the data"),
    ({"columns": "freeze"}, "a new column below"),
    ({"columns": "freeze", "data_type": "freeze"}, "another type"),
    ({"columns": "freeze"}, "a new column of the runs"),
    ("freeze", "another type"),
)


@pytest.mark.parametrize(("contract", "what"), FROZEN, ids=str)
def test_a_contract_that_freezes_ends_the_load_and_loses_nothing(
    house: Warehouse,
    letters: Agent,
    contract: Any,
    what: str,
) -> None:
    fill(letters, 3)
    house.load()
    before = house.content()
    pipeline_of(house).run(source_of(house), schema_contract=contract)  # nothing new, nothing to freeze
    fill(letters, 2, **NEW[what])
    with pytest.raises(PipelineStepFailed, match=r"freeze.* is violated"):
        pipeline_of(house).run(source_of(house), schema_contract=contract)
    house.forget()
    assert house.content() == before
    pipeline_of(house).drop()
    pipeline_of(house).run(source_of(house), schema_contract="evolve")
    assert_true(house)


def test_a_first_load_meets_no_contract_of_columns(house: Warehouse, letters: Agent) -> None:
    """JSON is text first and then JSON, which is no change of a type to anybody else."""
    fill(letters, 2, data_schema={"type": "object", "properties": {"n": {"type": "number"}}})
    pipeline_of(house).run(source_of(house), schema_contract={"columns": "freeze", "data_type": "freeze"})
    assert len(house.rows(RUNS)) == 2


@pytest.mark.parametrize("what", [what for what in NEW if what != "a new table"])
def test_values_without_a_column_are_left_out(house: Warehouse, letters: Agent, what: str) -> None:
    contract = {"columns": "discard_value", "data_type": "discard_value"}
    fill(letters, 3)
    house.load()
    house.rows(RUNS)
    columns = {table: set(rows[0]) for table in house.tables() if (rows := house.rows(table))}
    fill(letters, 2, **NEW[what])
    sync(house.pipeline, source_of(house), schema_contract=contract)
    house.forget()
    assert len(house.rows(RUNS)) == len(house.rows(DATA)) == 5
    own = {"_deleted", "_deleted_at"}
    assert {table: set(house.rows(table)[0]) - own for table in columns} == {k: v - own for k, v in columns.items()}
    assert house.load(full_scan=True)["runs"]["unchanged"] == 5


@pytest.mark.parametrize("mode", ["freeze", "discard_value"])
@pytest.mark.parametrize("removed", ["flag", "remove"])
def test_no_contract_keeps_deletions_out(house: Warehouse, letters: Agent, mode: str, removed: Any) -> None:
    ids = fill(letters, 6)
    house.load()
    letters.delete(3)
    letters.cloud.edit_run(ids[-1], False, updated_at=letters.tick(), data={"n": 3})  # which has no items any more
    arguments = {"full_scan": True, "deleted_runs": removed}
    sync(house.pipeline, source_of(house, **arguments), schema_contract={"columns": mode})
    house.forget()
    assert len(deleted(house)) == (removed == "flag")
    assert len(house.rows(RUNS)) == (6 if removed == "flag" else 5)
    assert_true(house)


# ── datasets, and dlt's command ───────────────────────────────────────────────────────────────────────────────────


def test_another_dataset_gets_everything(house: Warehouse, letters: Agent) -> None:
    fill(letters, 3)
    counts = []
    for dataset, dev_mode in (("llama_extract", False), ("elsewhere", False), ("trial", True)):
        destination = dlt.destinations.duckdb(str(house.path))
        pipeline = dlt.pipeline("llama_extract", destination=destination, dataset_name=dataset, dev_mode=dev_mode)
        sync(pipeline, source_of(house))
        counts.append((pipeline.dataset_name, len(pipeline.dataset().extraction_runs.fetchall())))
    assert [count for _, count in counts] == [3, 3, 3]
    assert len(dict(counts)) == 3


def test_dlts_command_shows_the_pipeline(loaded: dlt.Pipeline) -> None:
    for command, shown in (("info", "extraction_runs"), ("trace", "load"), ("schema", "extraction_runs__data__items")):
        line = [sys.executable, "-m", "dlt", "pipeline", loaded.pipeline_name, command]
        done = subprocess.run(line, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        assert shown in done.stdout
        assert "llx-" not in done.stdout
        assert "forget" not in done.stdout
