"""What somebody who knows dlt tries on this source: what docs/dlt.md says of it, line by line."""

from __future__ import annotations

import inspect
import tomllib

import dlt
import pandas as pd
import pyarrow as pa
import pytest
from dlt.destinations.impl.duckdb.sql_client import DuckDBDBApiCursorImpl

from llama_extract_dlt import plan_sync
from support.agents import Agent, fill
from support.doors import account_of, pipeline_of, source_of
from support.fixtures import cloud, house, letters  # noqa: F401
from support.places import ROOT
from support.warehouse import Warehouse

RUNS, AGENTS = "extraction_runs", "extraction_agents"

# ── reading what was loaded ───────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def loaded(house: Warehouse, letters: Agent) -> dlt.Pipeline:  # noqa: F811
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


def test_a_source_shows_what_it_loads_and_nothing_else(house: Warehouse, letters: Agent) -> None:  # noqa: F811
    source = source_of(house)
    assert set(source.resources) == set(source.selected_resources) == {RUNS, AGENTS}
    fill(letters, 2)
    plans = plan_sync(house.pipeline, **account_of(house))
    assert [plan.runs for plan in plans if plan.agent == "Letters"] == [2]
    assert not house.path.exists()
    house.load()
    assert {table["resource"] for table in house.pipeline.default_schema.data_tables()} == {RUNS, AGENTS}
