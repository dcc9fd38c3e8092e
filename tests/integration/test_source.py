"""What the source loads: which runs, what happens when they change, what happens to what is no run."""

import json
import uuid
from collections import Counter
from collections.abc import Callable
from typing import Any

import dlt
import duckdb
import httpx
import pyarrow as pa
import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from llama_extract_dlt import ConfigurationError, LlamaExtractError, llama_extract
from support.warehouse import Warehouse, differences, expected_data, reassembled_data

Make = Callable[[Emulator], Warehouse]


def cause(error: BaseException) -> BaseException:
    """The source's own error within what dlt raises."""
    while not isinstance(error, LlamaExtractError):
        assert error.__cause__ is not None
        error = error.__cause__
    return error


def agent_named(cloud: Emulator, name: str) -> dict[str, Any]:
    return next(agent for agent in cloud.agents() if agent["name"] == name)


def loaded_ids(house: Warehouse) -> set[str]:
    return {row["id"] for row in house.rows("extraction_runs")}


def assert_same_data(house: Warehouse, run: dict[str, Any]) -> None:
    actual = reassembled_data(house).get(run["id"], [])
    assert list(differences(expected_data(run["data"]), actual, run["id"])) == []


# ── which runs ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_everything_is_loaded_when_nothing_is_asked_for(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    counts = house.load()
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}
    assert counts["runs"]["new"] == len(cloud.runs())
    assert counts["runs"]["missing"] == []
    named = {row["name"] for row in house.rows("extraction_agents")}
    assert named == {"Default"} | {agent["name"] for agent in cloud.agents()}


def test_pages_smaller_than_asked_for_are_followed_to_the_end(cloud: Emulator, warehouse: Make) -> None:
    cloud.page_limit = 3
    house = warehouse(cloud)
    house.load()
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}


def test_pages_that_shrink_midway_are_followed_to_the_end(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")["id"]
    cloud.page_limit = 5

    def shrink(method: str, path: str, query: dict[str, list[str]]) -> None:
        if query.get("skip", ["0"])[0] != "0":
            cloud.page_limit = 2

    cloud.on_request = shrink
    house = warehouse(cloud)
    house.load(agents=[invoices])
    assert loaded_ids(house) == {run["id"] for run in cloud.runs(invoices)}


def test_a_chunk_size_of_one_loads_the_same(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    agents = [agent_named(cloud, name)["id"] for name in ("Contracts (legal)", "Bank statements")]
    for agent in agents:
        for run in cloud.runs(agent)[3:]:
            cloud.delete_run(run["id"])
    house.load(chunk_size=1, agents=agents)
    wanted = [run for agent in agents for run in cloud.runs(agent)]
    assert loaded_ids(house) == {run["id"] for run in wanted}
    for run in wanted:
        assert_same_data(house, run)


def test_agents_by_id_and_by_name_load_only_their_runs(cloud: Emulator, warehouse: Make) -> None:
    invoices, forms = agent_named(cloud, "Invoices"), agent_named(cloud, "Claim forms")
    house = warehouse(cloud)
    house.load(agents=[invoices["id"], "Claim forms", "Invoices"])
    assert loaded_ids(house) == {run["id"] for agent in (invoices, forms) for run in cloud.runs(agent["id"])}
    assert {row["name"] for row in house.rows("extraction_agents")} == {"Invoices", "Claim forms"}
    asked = {request.query["extraction_agent_id"][0] for request in cloud.requests if request.path.endswith("/runs")}
    assert asked == {invoices["id"], forms["id"]}


def test_run_ids_are_fetched_once_each_and_nothing_else(cloud: Emulator, warehouse: Make) -> None:
    first, second = (run["id"] for run in cloud.runs()[:2])
    house = warehouse(cloud)
    counts = house.load(run_ids=[first, second, first.upper()], lookup_files=False)
    assert loaded_ids(house) == {first, second}
    assert counts["runs"]["new"] == 2
    paths = [request.path.removeprefix("/api/v1/extraction/") for request in cloud.requests]
    assert sorted(paths) == sorted(["extraction-agents", f"runs/{first}", f"runs/{second}"])


def test_a_run_asked_for_by_id_by_job_and_by_agent_is_loaded_once(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")["id"]
    run = next(run for run in cloud.runs(invoices) if run["job_id"] and run["data"])
    house = warehouse(cloud)
    counts = house.load(run_ids=[run["id"]], job_ids=[run["job_id"]], agents=["Invoices"])
    assert counts["runs"]["new"] == len(cloud.runs(invoices))
    assert_same_data(house, run)


def test_unknown_run_and_job_ids_are_named_and_the_rest_loads(cloud: Emulator, warehouse: Make) -> None:
    known, unknown_run, unknown_job = cloud.runs()[0]["id"], str(uuid.uuid4()), str(uuid.uuid4())
    house = warehouse(cloud)
    counts = house.load(run_ids=[unknown_run, known], job_ids=[unknown_job])
    assert counts["runs"]["missing"] == [unknown_run, unknown_job]
    assert loaded_ids(house) == {known}


def test_a_malformed_id_is_refused_before_anything_is_sent(cloud: Emulator) -> None:
    for arguments in ({"run_ids": ["run-7"]}, {"job_ids": ["run-7"]}):
        with pytest.raises(ConfigurationError, match=r"'run-7' is not a (run|job) ID"):
            llama_extract(api_key=cloud.api_key, base_url=cloud.base_url, **arguments)
    assert cloud.requests == []


def test_an_unknown_agent_is_answered_with_the_names_there_are(cloud: Emulator, warehouse: Make) -> None:
    with pytest.raises(PipelineStepFailed) as caught:
        warehouse(cloud).load(agents=["Invoice"])
    assert "there is no agent 'Invoice'" in str(cause(caught.value))
    for agent in cloud.agents():
        assert repr(agent["name"]) in str(cause(caught.value))


def test_only_the_agents_can_be_loaded(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    source = llama_extract(api_key=cloud.api_key, base_url=cloud.base_url)
    house.pipeline.run(source.with_resources("extraction_agents"))
    assert house.tables() == ["extraction_agents", "extraction_schemas"]
    assert len(cloud.requests) == 1


def test_a_resource_can_be_looked_at_without_a_pipeline(cloud: Emulator) -> None:
    source = llama_extract(api_key=cloud.api_key, base_url=cloud.base_url, agents="Invoices")
    tables = [table for table in source.extraction_agents if isinstance(table, pa.Table)]
    assert [table["name"].to_pylist() for table in tables if "name" in table.column_names] == [["Invoices"]]
    *_, runs = source.extraction_runs
    assert set(runs.column("id").to_pylist()) == {run["id"] for run in cloud.runs(agent_named(cloud, "Invoices")["id"])}


def test_a_source_can_be_run_twice(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    source = llama_extract(api_key=cloud.api_key, base_url=cloud.base_url)
    house.pipeline.run(source)
    added = cloud.add_run()
    house.pipeline.run(source)
    assert added["id"] in loaded_ids(house)
    assert source.resources["extraction_runs"].custom_metrics["runs"]["new"] == 1


def test_a_free_account_gets_its_pace_from_configuration(
    cloud: Emulator, warehouse: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__REQUESTS_PER_MINUTE", "0")
    with pytest.raises(ConfigurationError, match="requests_per_minute"):
        warehouse(cloud).load()


def test_nothing_new_costs_one_request_for_the_agents_and_one_a_page(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    counts = house.load(lookup_files=False)
    assert counts["requests"] == len(cloud.requests) == 1 + len(house.rows("extraction_agents"))


# ── runs that change ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_run_loaded_in_flight_has_its_data_after_it_finished(cloud: Emulator, warehouse: Make) -> None:
    run = cloud.add_run(status="PENDING")
    house = warehouse(cloud)
    house.load()
    assert house.sql(f"select status from extraction_runs where id = '{run['id']}'") == [("PENDING",)]
    assert run["id"] not in reassembled_data(house)
    finished = cloud.finish_run(run["id"])
    house.load()
    assert house.sql(f"select status from extraction_runs where id = '{run['id']}'") == [("SUCCESS",)]
    assert reassembled_data(house)[run["id"]]
    assert_same_data(house, finished)


def test_lists_that_became_empty_leave_no_stale_rows(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")["id"]
    run = next(run for run in cloud.runs(invoices) if run["data"] and len(run["data"]["line_items"]) > 1)
    house = warehouse(cloud)
    house.load()
    others = {row["_dlt_id"] for row in house.rows("extraction_runs__data__line_items") if row["_run_id"] != run["id"]}
    edited = cloud.edit_run(run["id"], data=run["data"] | {"line_items": []})
    house.load()
    assert_same_data(house, edited)
    rows = house.rows("extraction_runs__data__line_items")
    assert {row["_dlt_id"] for row in rows} == others
    assert all(row["_deleted"] is None for row in rows)


def test_a_run_that_lost_everything_has_no_rows_in_any_child_table(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")["id"]
    run = next(run for run in cloud.runs(invoices) if run["data"] and run["file"])
    house = warehouse(cloud)
    house.load()
    cloud.edit_run(run["id"], data=None, extraction_metadata=None, file=None, file_id=None, status="ERROR", error="no")
    house.load()
    remaining = {table for table in house.tables() for row in house.rows(table) if row.get("_run_id") == run["id"]}
    assert remaining == {"extraction_runs__config"}
    assert house.sql(f"select status, error from extraction_runs where id = '{run['id']}'") == [("ERROR", "no")]


def test_shorter_lists_and_changed_values_replace_the_old_ones(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")["id"]
    run = next(run for run in cloud.runs(invoices) if run["data"] and len(run["data"]["line_items"]) > 2)
    house = warehouse(cloud)
    house.load()
    items = run["data"]["line_items"]
    edited = cloud.edit_run(run["id"], data=run["data"] | {"line_items": [*items[2:], items[0]], "notes": "corrected"})
    house.load(run_ids=[run["id"]])
    assert_same_data(house, edited)
    for other in cloud.runs():
        assert_same_data(house, other)


def test_ids_are_the_same_in_every_load_and_every_warehouse(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load(chunk_size=7)
    before = house.content()
    house.pipeline.drop()
    house.path.unlink()
    house.load()
    assert house.content() == before


# ── values that a schema did not foresee ──────────────────────────────────────────────────────────────────────────


def test_a_value_that_does_not_fit_stands_beside_its_column(cloud: Emulator, warehouse: Make) -> None:
    schema = {
        "type": "object",
        "properties": {"total": {"type": "number"}, "due": {"type": "string", "format": "date"}},
    }
    agent = cloud.add_agent("Odd", schema)
    rows = [
        {"total": 7, "due": "2026-01-28"},
        {"total": "7.50 EUR", "due": "end of month"},
        {"total": True, "due": "2026-02-31"},
        {"total": {"net": 5}, "due": ["2026-01-28"]},
        {"total": 12345678901234567890, "due": None},
    ]
    runs = [cloud.add_run(agent["id"], data=data, data_schema=schema) for data in rows]
    house = warehouse(cloud)
    house.load(agents=["Odd"])
    found = {row["_run_id"]: row for row in house.rows("extraction_runs__data")}
    values = [
        {k: v for k, v in found[run["id"]].items() if k.startswith(("total", "due")) and v is not None} for run in runs
    ]
    assert [{k: str(v) for k, v in row.items()} for row in values] == [
        {"total": "7.0", "due": "2026-01-28"},
        {"total__v_text": "7.50 EUR", "due__v_text": "end of month"},
        {"total__v_bool": "True", "due__v_text": "2026-02-31"},
        {"total__net": "5"},
        {"total__v_text": "12345678901234567890"},
    ]
    assert house.sql("select value from extraction_runs__data__due") == [("2026-01-28",)]


def test_a_field_that_changes_its_type_between_loads_loses_nothing(cloud: Emulator, warehouse: Make) -> None:
    agent = cloud.add_agent("Drifting", {})
    house = warehouse(cloud)
    runs = []
    for value in (3, 1.5, "x", {"a": 1}, [1, 2], False, None):
        runs.append(cloud.add_run(agent["id"], data={"field": value}, data_schema={}))
        house.load(agents=["Drifting"])
    for run in runs:
        assert_same_data(house, run)


def test_keys_that_collide_or_are_reserved_keep_their_values(cloud: Emulator, warehouse: Make) -> None:
    agent = cloud.add_agent("Keys", {})
    data = {"Total": 1, "total": 2, "_run_id": "mine", "_dlt_id": "also mine", "value": 3, "id": 4, "select": 5, "": 6}
    cloud.add_run(agent["id"], data=data, data_schema={})
    house = warehouse(cloud)
    house.load(agents=["Keys"])
    (row,) = house.rows("extraction_runs__data")
    expected = {"total": 1, "total__also": 2, "data_run_id": "mine", "data_dlt_id": "also mine", "value": 3, "id": 4}
    assert expected | {"select": 5, "_empty": 6} == {
        k: v for k, v in row.items() if v is not None and (k in expected or k in ("select", "_empty"))
    }


LEAF = {"confidence": 0.5}
CITED = {"confidence": 0.5, "citation": [{"page": 1, "matching_text": "t"}]}


def test_metadata_of_a_field_called_citation_are_complete_whatever_others_stand_beside_them(
    cloud: Emulator, warehouse: Make
) -> None:
    """A field of that name looks like the citations of another one: an object, a list, one within a list."""
    agent = cloud.add_agent("Papers", {})["id"]
    expected: dict[str, dict[str, int]] = {}
    for data, metadata, places in (
        ({"a": {"citation": "s"}}, {"a": {"citation": CITED}}, {"a.citation": 1}),
        ({"a": None}, {"a": CITED}, {"a": 1}),
        ({"a": None}, {"a": {"citation": [{"page": 3}]}}, {"a": 1}),
        ({"a": {"citation": ["s", "t"]}}, {"a": {"citation": [LEAF, CITED]}}, {"a.citation.0": 0, "a.citation.1": 1}),
        ({"a": None}, {"a": {"confidence": 0.1, "citation": []}}, {"a": 0}),
        ({"citation": "s"}, {"citation": LEAF}, {"citation": 0}),
        ({"b": ["s"]}, {"b": [{"confidence": 0.1, "citation": [{"page_dimensions": {"width": 1.5}}]}]}, {"b.0": 1}),
        ({"b": [{"citation": "s"}, "t"]}, {"b": [{"citation": LEAF}, CITED]}, {"b.0.citation": 0, "b.1": 1}),
    ):
        found = cloud.add_run(agent, data=data, extraction_metadata={"field_metadata": metadata})
        expected[found["id"]] = places
    house = warehouse(cloud)
    for arguments in ({}, {"full_scan": True, "chunk_size": 1}):
        house.load(**arguments)
        cited = Counter(row["_dlt_parent_id"] for row in house.rows("extraction_runs__field_metadata__citation"))
        actual: dict[str, dict[str, int]] = {run_id: {} for run_id in expected}
        for row in house.rows("extraction_runs__field_metadata"):
            if row["_run_id"] in expected:
                actual[row["_run_id"]][row["field_path"]] = cited.pop(row["_dlt_id"], 0)
        assert actual == expected
        for run_id in expected:
            cloud.edit_run(run_id, error="so that it is loaded again")


def test_an_object_where_the_api_has_a_text_or_a_time_changes_no_columns_type(cloud: Emulator, warehouse: Make) -> None:
    """It comes in the first load, and once."""
    odd = cloud.add_run(
        cloud.agents()[0]["id"], status={"code": 1}, created_at={"when": 2}, config={"extraction_mode": {"a": 1}}
    )
    cloud.add_run(cloud.agents()[0]["id"])
    house = warehouse(cloud)
    house.load()
    types = dict(
        house.sql("select column_name, data_type from information_schema.columns where table_name = 'extraction_runs'")
    )
    assert (types["status"], types["created_at"]) == ("VARCHAR", "TIMESTAMP WITH TIME ZONE")
    successes = sum(run["status"] == "SUCCESS" for run in cloud.runs())
    assert house.sql("select count(*) from extraction_runs where status = 'SUCCESS'") == [(successes,)]
    row = next(row for row in house.rows("extraction_runs") if row["id"] == odd["id"])
    assert (row["status"], row["created_at"], row["created_at__v_json"]) == ('{"code":1}', None, '{"when":2}')
    assert [row["extraction_mode"] for row in house.rows("extraction_runs__config")].count('{"a":1}') == 1


def test_new_members_of_a_run_become_columns(cloud: Emulator, warehouse: Make) -> None:
    run = cloud.add_run(priority_score=0.5, labels=["a", "b"], routing={"queue": "fast"})
    house = warehouse(cloud)
    house.load(run_ids=[run["id"]])
    (row,) = house.rows("extraction_runs")
    assert row["priority_score"] == 0.5
    assert json.loads(row["labels"]) == ["a", "b"]
    assert json.loads(row["routing"]) == {"queue": "fast"}


def test_a_file_that_the_run_only_names_is_looked_up(cloud: Emulator, warehouse: Make) -> None:
    named = [run for run in cloud.runs() if run["file"] is None and run["file_id"]]
    assert named
    house = warehouse(cloud)
    house.load()
    found = {row["_run_id"]: row for row in house.rows("extraction_runs__file")}
    for run in named:
        answer = httpx.get(
            f"{cloud.base_url}/api/v1/beta/files/{run['file_id']}", headers={"Authorization": f"Bearer {cloud.api_key}"}
        )
        if answer.status_code == 200:
            assert found[run["id"]]["name"] == answer.json()["name"]
    files = [request for request in cloud.requests if request.path.endswith("/beta/files")]
    assert len(files) == 1


def test_runs_load_without_their_files_where_files_may_not_be_read(cloud: Emulator, warehouse: Make) -> None:
    cloud.fail(times=None, path="/beta/files", status=403)
    house = warehouse(cloud)
    house.load()
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}


# ── tables of each agent's own ────────────────────────────────────────────────────────────────────────────────────


def test_each_agent_can_have_tables_of_its_own(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load(data_tables="per_agent")
    assert not [table for table in house.tables() if table.startswith("extraction_runs__data")]
    for agent, table in (
        ("Invoices", "invoices"),
        ("Bank statements", "bank_statements"),
        ("Claim forms", "claim_forms"),
    ):
        runs = {run["id"]: run for run in cloud.runs(agent_named(cloud, agent)["id"]) if run["data"]}
        actual = reassembled_data(house, table)
        assert runs
        assert [x for run in runs.values() for x in differences(expected_data(run["data"]), actual[run["id"]])] == []
        assert set(actual) == set(runs)
    pointed = house.sql(
        "select count(*) from extraction_runs__field_metadata m "
        "join invoices__line_items i on i._dlt_id = m.data_row_id where m.field_name = 'line_items.amount'"
    )
    assert pointed[0][0] > 0


def test_a_renamed_agent_keeps_its_tables_and_its_old_name_is_not_given_away(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load(data_tables="per_agent", agents=["Invoices"])
    invoices = agent_named(cloud, "Invoices")["id"]
    before = house.content()["invoices"]
    cloud.rename_agent(invoices, "Bills")
    usurper = cloud.add_agent("Invoices", {})
    run = cloud.add_run(usurper["id"], data={"a": 1}, data_schema={})
    reserved = cloud.add_agent("Extraction runs", {})
    cloud.add_run(reserved["id"], data={"b": 1}, data_schema={})
    house.load(data_tables="per_agent")
    assert house.content()["invoices"] == before
    assert [row["_run_id"] for row in house.rows("invoices_2")] == [run["id"]]
    assert [row["b"] for row in house.rows("extraction_runs_2")] == [1]
    assert "bills" not in house.tables()


def test_runs_that_move_to_tables_of_their_own_leave_the_shared_ones(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load()
    house.load(data_tables="per_agent")
    assert house.rows("extraction_runs__data") == []
    assert house.rows("extraction_runs__data__line_items") == []
    assert house.rows("invoices__line_items")


def test_what_the_schema_says_of_a_field_describes_its_column(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load()
    columns = house.pipeline.default_schema.tables["extraction_runs__data"]["columns"]
    invoice = next(run for run in cloud.runs(agent_named(cloud, "Invoices")["id"]) if run["data"])
    said = {
        name: part["description"]
        for name, part in invoice["data_schema"]["properties"].items()
        if part.get("description") and name in columns
    }
    assert said
    assert {name: columns[name].get("description") for name in said} == said


# ── what is no run, and services that fail ────────────────────────────────────────────────────────────────────────


def test_what_is_no_run_is_set_aside_and_the_rest_loads(cloud: Emulator, warehouse: Make) -> None:
    invoices = agent_named(cloud, "Invoices")
    broken = [b'{"status": "SUCCESS", "data": {"a": 1}}', b'"a run?"', b"null", b'{"id": 17}', b'{"id": ""}']
    for raw in broken:
        cloud.add_raw_item(invoices["id"], raw)
    house = warehouse(cloud)
    counts = house.load()
    assert counts["runs"]["rejected"] == len(broken)
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}
    rows = house.rows("extraction_runs__rejected")
    assert {row["raw"].encode() for row in rows} == set(broken)
    assert all(row["reason"] and "agent 'Invoices', run list at offset" in row["position"] for row in rows)
    assert {row["extraction_agent_id"] for row in rows} == {invoices["id"]}
    house.load()
    assert len(house.rows("extraction_runs__rejected")) == len(broken)


@pytest.mark.parametrize(
    ("failure", "message"),
    [
        ({"status": 401}, "check api_key"),
        ({"status": 403}, "may read this"),
        ({"kind": "not_json"}, "what is not the API's"),
        ({"kind": "html", "status": 200}, "what is not the API's"),
        ({"status": 401, "path": "/runs"}, "check api_key"),
    ],
)
def test_a_service_that_refuses_ends_the_load_with_one_line(
    cloud: Emulator, warehouse: Make, failure: dict[str, Any], message: str
) -> None:
    cloud.fail(times=None, **failure)
    with pytest.raises(PipelineStepFailed) as caught:
        warehouse(cloud).load()
    text = str(cause(caught.value))
    assert message in text
    assert "\n" not in text
    assert cloud.api_key not in str(caught.value)


def test_a_failed_load_leaves_the_warehouse_as_it_was(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load()
    before = house.content()
    cloud.add_run()
    cloud.fail(times=None, path="/runs", skip=2, status=401)
    with pytest.raises(PipelineStepFailed):
        house.load()
    assert house.content() == before
    cloud.heal()
    house.load()
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}


def test_the_key_is_found_where_the_vendors_clients_find_it(
    cloud: Emulator, warehouse: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", cloud.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", cloud.base_url)
    house = warehouse(cloud)
    house.load(api_key=None, base_url=None)
    assert loaded_ids(house)


def test_dlts_own_configuration_goes_before_the_vendors_variables(
    cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", "llx-someone-elses")
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__API_KEY", cloud.api_key)
    monkeypatch.setenv("SOURCES__LLAMA_EXTRACT__BASE_URL", cloud.base_url)
    pipeline = dlt.pipeline("configured", destination=dlt.destinations.duckdb("configured.duckdb"))
    pipeline.run(llama_extract())
    assert {request.status for request in cloud.requests} == {200}


def test_other_programs_variables_are_neither_the_key_nor_the_host(
    cloud: Emulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("API_KEY", "somebody-elses-secret")
    monkeypatch.setenv("BASE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("PROJECT_ID", "a-cloud-project")
    with pytest.raises(ConfigurationError, match="no API key"):
        llama_extract()
    monkeypatch.setenv("LLAMA_CLOUD_API_KEY", cloud.api_key)
    monkeypatch.setenv("LLAMA_CLOUD_BASE_URL", cloud.base_url)
    pipeline = dlt.pipeline("foreign", destination=dlt.destinations.duckdb("foreign.duckdb"))
    pipeline.run(llama_extract())
    assert {request.status for request in cloud.requests} == {200}


def test_without_a_key_nothing_starts() -> None:
    with pytest.raises(ConfigurationError, match="LLAMA_CLOUD_API_KEY"):
        llama_extract()


def test_a_normal_load_warns_of_nothing(cloud: Emulator, warehouse: Make, caplog: pytest.LogCaptureFixture) -> None:
    import logging

    logging.getLogger("dlt").propagate = True
    house = warehouse(cloud)
    with caplog.at_level(logging.WARNING):
        house.load()
        house.load()
    assert [record.getMessage() for record in caplog.records] == []


def test_what_a_cut_off_load_left_of_a_run_that_is_gone_is_taken_away(cloud: Emulator, warehouse: Make) -> None:
    house = warehouse(cloud)
    house.load()
    run = next(run for run in cloud.runs() if run["data"] and run["extraction_metadata"])
    with duckdb.connect(str(house.path)) as connection:  # as if only some tables had been written
        connection.execute("delete from llama_extract.extraction_runs where id = ?", [run["id"]])
    cloud.delete_run(run["id"])
    cloud.add_run(run["extraction_agent_id"], data={"never_seen": [1, 2]})  # which makes a table of its own
    house.load(full_scan=True, chunk_size=1)
    for table in house.tables():
        assert [row for row in house.rows(table) if run["id"] in (row.get("_run_id"), row.get("id"))] == [], table
    assert loaded_ids(house) == {run["id"] for run in cloud.runs()}
