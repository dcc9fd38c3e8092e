"""A load that finds nothing new writes nothing, and a load that is well says nothing."""

import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import sync
from support.agents import Agent, fill
from support.command import Command
from support.doors import pipeline_of, source_of
from support.tables import Typed, assert_same, date, everything, integer, listed, number, string, thing
from support.warehouse import Warehouse

SCHEMA = thing(total=number, due=date, tags=listed(string), rows=listed(thing(a=integer)))
GIVEN: list[dict[str, Any]] = [{}, {"data_tables": "per_agent"}, {"agents": ["Letters", "Forms"]}]


@pytest.fixture
def forms(letters: Agent) -> Typed:
    fill(letters, 3)
    forms = Typed(letters.cloud, "Forms", SCHEMA)
    forms.load({"total": 1, "due": "2026-01-28", "tags": ["a"]}, {"total": "a lot", "rows": [{"a": 1.5}]}, {})
    Typed(letters.cloud, "Empty", thing(total=string, n=integer))
    return forms


def jobs_of(pipeline: Any) -> set[str]:
    """The tables that the last load has job files of."""
    packages = pipeline.last_trace.last_load_info.load_packages if pipeline.last_trace else []
    jobs = [job for package in packages for kind in package.jobs.values() for job in kind]
    return {job.job_file_info.table_name for job in jobs}


@pytest.mark.parametrize("given", GIVEN, ids=str)
def test_a_second_run_has_no_files_and_no_rows(forms: Typed, house: Warehouse, given: Any) -> None:
    pipeline = pipeline_of(house)
    pipeline.run(source_of(house, **given))
    assert "extraction_runs" in jobs_of(pipeline)
    before = everything(house), loads(house)
    for _ in range(2):
        pipeline.run(source_of(house, **given))
        assert {table for table in jobs_of(pipeline) if not table.startswith("_dlt")} == set()
        assert (everything(house), loads(house)) == before


@pytest.mark.parametrize("given", [*GIVEN, {"chunk_size": 1}], ids=str)
def test_a_second_sync_writes_no_rows(forms: Typed, house: Warehouse, given: Any) -> None:
    sync(house.pipeline, source_of(house, **given))
    before = everything(house), loads(house)
    for _ in range(2):
        report = sync(house.pipeline, source_of(house, **given))
        assert (report.tables, report.load_ids) == ({}, ())
        assert {table for table in jobs_of(house.pipeline) if not table.startswith("_dlt")} == set()
        assert (everything(house), loads(house)) == before


def test_a_full_scan_of_what_is_right_writes_no_rows(forms: Typed, house: Warehouse) -> None:
    house.load()
    before = everything(house), loads(house)
    assert sync(house.pipeline, source_of(house, full_scan=True)).tables == {}
    assert (everything(house), loads(house)) == before


def test_a_second_load_by_another_name_writes_no_rows(forms: Typed, house: Warehouse) -> None:
    house.load()
    before = everything(house)
    another = pipeline_of(house, "another")
    sync(another, source_of(house))
    assert_same(before, everything(house))


def test_a_new_run_writes_rows_of_its_own_only(forms: Typed, house: Warehouse) -> None:
    house.load()
    before = loads(house)
    (run_id,) = forms.load({"total": 5})
    report = sync(house.pipeline, source_of(house))
    wanted = {"extraction_runs": 1, "extraction_runs__data": 1}
    assert {table: rows for table, rows in report.tables.items() if table != "extraction_schemas"} == wanted
    assert set(loads(house)) - set(before) == {(table, run, load) for table, run, load in loads(house) if run == run_id}


def loads(house: Warehouse) -> list[tuple[str, str, str]]:
    """Of every row of a run the load that wrote it."""
    house.forget()
    names = [name for name in house.tables() if "_dlt_load_id" in (house.rows(name) or [{}])[0]]
    rows = [(name, row) for name in names for row in house.rows(name)]
    return sorted((name, row.get("_run_id") or row.get("id"), row["_dlt_load_id"]) for name, row in rows)


# ── what dlt says ───────────────────────────────────────────────────────────────────────────────────────────────────


class Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def said() -> Iterator[Said]:
    """What any library logs as a warning."""
    handler, loggers = Said(), [logging.getLogger(), logging.getLogger("dlt")]
    for logger in loggers:
        logger.addHandler(handler)
    yield handler
    for logger in loggers:
        logger.removeHandler(handler)


@pytest.mark.parametrize("tables", ["shared", "per_agent"])
@pytest.mark.parametrize("door", ["sync", "run"])
def test_no_load_on_a_normal_path_warns(forms: Typed, house: Warehouse, door: str, tables: str, said: Said) -> None:
    pipeline = pipeline_of(house)
    logging.getLogger("dlt").warning("a warning")
    assert said.lines == ["a warning"]

    def load(**given: Any) -> None:
        source = source_of(house, data_tables=tables, **given)
        sync(pipeline, source) if door == "sync" else pipeline.run(source)
        assert said.lines == ["a warning"], given

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load()
        load()
        ids = forms.load({"total": "x", "rows": [{"a": "y"}], "more": [[1], [2.5]]}, None, [])
        load()
        forms.change(thing(**SCHEMA["properties"], iban=string))
        forms.cloud.rename_agent(forms.id, "Formulare")
        forms.cloud.edit_run(ids[0], True, data={"total": 3})
        load()
        forms.cloud.delete_run(ids[1])
        load(full_scan=True)
        load(rewrite=True)
        load(run_ids=ids[:1])
        load(since="2026-01-01")


def test_the_command_says_nothing_when_it_is_told_to(cloud: Emulator, forms: Typed, tmp_path: Path) -> None:
    command = Command(cloud, tmp_path)
    for options in ([], [], ["--full-scan"], ["--rewrite", "--chunk-size", "2"]):
        assert command("-q", *options) == (0, "", "")
    forms.load({"total": 3, "new": [1]})
    assert command("-q") == (0, "", "")
    empty = Emulator(runs=0, corpus="invoices")
    with empty:
        assert Command(empty, tmp_path)("-q", "--dataset", "other") == (0, "", "")
