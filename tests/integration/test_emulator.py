"""The emulator answers as the service does: its vendor's own client is the judge."""

import asyncio
import json
import signal
import socket
import subprocess
import sys
from collections import Counter, defaultdict
from datetime import datetime
from itertools import pairwise
from urllib.parse import parse_qs, quote

import httpx
import llama_cloud
import pytest
from llama_cloud.types import File, PresignedURL
from llama_cloud.types.extraction import ExtractAgent, ExtractRun

from llama_cloud_emulator import Emulator

RUNS = "/api/v1/extraction/runs"
AGENTS = "/api/v1/extraction/extraction-agents"
FILES = "/api/v1/beta/files"
UNKNOWN = "11111111-2222-4333-8444-555555555555"
STRAY = {"PARTIAL_SUCCESS", "CANCELLED"}


@pytest.fixture
def cloud():
    with Emulator(runs=60) as emulator:
        yield emulator


@pytest.fixture
def http(cloud):
    headers = {"Authorization": f"Bearer {cloud.api_key}"}
    with httpx.Client(base_url=cloud.base_url, headers=headers) as client:
        yield client


@pytest.fixture
def client(cloud):
    with vendor(llama_cloud.LlamaCloud, cloud) as client:
        yield client


def vendor(kind, cloud, **options):
    options = {"api_key": cloud.api_key, "base_url": cloud.base_url, "max_retries": 0} | options
    return kind(**options, _strict_response_validation=True)


def page(http, agent_id, **query):
    answer = http.get(RUNS, params={"extraction_agent_id": agent_id, **query})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_vendors_client_reads_agents(cloud, client):
    listed = client.extraction.extraction_agents.list()
    assert [a.name for a in listed] == [a["name"] for a in cloud.agents()]
    assert client.extraction.extraction_agents.get(listed[1].id).data_schema == cloud.agents()[1]["data_schema"]
    for agent in listed:  # the names have spaces, slashes, parentheses and letters beyond ASCII
        found = client.get(f"{AGENTS}/by-name/{quote(agent.name, safe='')}", cast_to=ExtractAgent)
        assert found.id == agent.id
    default = client.get(f"{AGENTS}/default", cast_to=ExtractAgent)
    assert client.extraction.extraction_agents.list(include_default=True)[-1].id == default.id
    assert len(client.extraction.extraction_agents.list(project_id=cloud.project_id)) == len(listed)


def test_vendors_client_pages_through_all_runs_and_finds_them_valid():
    with Emulator(runs=300) as cloud, vendor(llama_cloud.LlamaCloud, cloud) as client:
        # Newer than the vendor's client, on purpose: statuses and models that it does not know.
        for run in cloud.runs():
            if run["status"] in STRAY or run["config"]["parse_model"] == "gemini-3.1-pro":
                cloud.delete_run(run["id"])
        for agent in cloud.agents():
            listed = client.extraction.runs.list(extraction_agent_id=agent["id"], limit=7)
            assert [run.id for run in listed] == [run["id"] for run in cloud.runs(agent["id"])]


def test_vendors_client_gets_single_runs(cloud, client):
    run = cloud.runs()[10]
    assert client.extraction.runs.get(run["id"], project_id=cloud.project_id).data == run["data"]
    assert client.extraction.runs.get_by_job(run["job_id"]).id == run["id"]
    found = next(run for run in cloud.runs() if run["from_ui"])
    path = f"{RUNS}/latest-from-ui?extraction_agent_id={found['extraction_agent_id']}"
    assert client.get(path, cast_to=ExtractRun).id == found["id"]
    agent = cloud.add_agent("Without runs", {})
    assert client.get(f"{RUNS}/latest-from-ui?extraction_agent_id={agent['id']}", cast_to=object) is None


def test_vendors_client_reads_jobs(cloud, client):
    agent = cloud.agents()[0]
    runs = [run for run in cloud.runs(agent["id"]) if run["job_id"] and run["status"] == "SUCCESS"]
    pending = cloud.add_run(status="CREATED")
    jobs = {job.id: job for job in client.extraction.jobs.list(extraction_agent_id=agent["id"])}
    assert {run["job_id"] for run in runs} <= set(jobs)
    assert client.extraction.jobs.get(pending["job_id"]).status == "PENDING"
    result = client.extraction.jobs.get_result(runs[0]["job_id"])
    assert (result.run_id, result.data) == (runs[0]["id"], runs[0]["data"])
    with pytest.raises(llama_cloud.NotFoundError):
        client.extraction.jobs.get_result(pending["job_id"])


def test_vendors_client_reads_files(cloud, client):
    with_id = [run for run in cloud.runs() if run["file_id"]]
    without_file = [run for run in with_id if run["file"] is None]
    assert without_file
    assert {file.id for file in client.files.list(page_size=25)} == {run["file_id"] for run in with_id}
    wanted = [run["file_id"] for run in without_file]
    assert {file.id for file in client.files.list(file_ids=wanted)} == set(wanted)
    known = next(run["file"] for run in with_id if run["file"])
    assert client.get(f"{FILES}/{known['id']}", cast_to=File).name == known["name"]


def test_vendors_async_client_reads_runs(cloud):
    async def ids():
        async with vendor(llama_cloud.AsyncLlamaCloud, cloud) as client:
            agent = (await client.extraction.extraction_agents.list())[0]
            return [run.id async for run in client.extraction.runs.list(extraction_agent_id=agent.id, limit=10)]

    assert asyncio.run(ids()) == [run["id"] for run in cloud.runs(cloud.agents()[0]["id"])]


def test_mistakes_are_the_vendors_exceptions(cloud, client):
    with pytest.raises(llama_cloud.AuthenticationError):
        client.with_options(api_key="llx-wrong").extraction.extraction_agents.list()
    with pytest.raises(llama_cloud.NotFoundError):
        client.extraction.runs.get(UNKNOWN)
    with pytest.raises(llama_cloud.NotFoundError):
        client.extraction.runs.list(extraction_agent_id=UNKNOWN)
    with pytest.raises(llama_cloud.UnprocessableEntityError):
        client.extraction.runs.get("not-a-uuid")
    with pytest.raises(llama_cloud.PermissionDeniedError):
        client.extraction.extraction_agents.list(project_id=UNKNOWN)


def test_invalid_queries_answer_422_in_fastapis_form(http):
    agent = "extraction_agent_id"
    queries = {
        "": agent,
        f"{agent}=x": agent,
        f"{agent}={UNKNOWN}&skip=-1": "skip",
        f"{agent}={UNKNOWN}&limit=NaN": "limit",
    }
    for query, field in queries.items():
        answer = http.get(f"{RUNS}?{query}")
        assert answer.status_code == 422
        (problem,) = answer.json()["detail"]
        assert problem["loc"] == ["query", field]
        assert problem.keys() >= {"msg", "type"}
    answer = http.get("/api/v1/nothing")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not Found"})


def test_pages_and_filters(cloud, http):
    agent, runs = cloud.agents()[0]["id"], cloud.runs(cloud.agents()[0]["id"])
    first = page(http, agent)
    assert (first["total"], first["skip"], first["limit"]) == (len(runs), 0, 25)
    assert page(http, agent, skip=5, limit=3)["items"] == runs[5:8]
    assert page(http, agent, skip=1000)["items"] == []
    failed = page(http, agent, status="ERROR")
    assert failed["items"] == [run for run in runs if run["status"] == "ERROR"] != []
    assert page(http, agent, run_id=runs[4]["id"])["items"] == [runs[4]]
    cloud.page_limit = 2
    short = page(http, agent, limit=100)
    assert (short["items"], short["limit"], short["total"]) == (runs[:2], 2, len(runs))


def test_order_of_lists_can_be_changed_while_serving(cloud, http):
    agent = cloud.agents()[0]["id"]
    orders = {}
    for cloud.order in ("newest", "oldest", "shuffled"):
        orders[cloud.order] = [run["id"] for run in page(http, agent)["items"]]
        assert orders[cloud.order] == [run["id"] for run in page(http, agent)["items"]]
    assert orders["newest"] == orders["oldest"][::-1]
    assert orders["shuffled"] not in (orders["newest"], orders["oldest"])
    assert sorted(orders["shuffled"]) == sorted(orders["newest"])


def test_same_seed_gives_the_same_bytes():
    def answers(seed):
        with Emulator(runs=40, seed=seed, page_limit=40) as cloud:
            cloud.add_run()
            headers = {"Authorization": f"Bearer {cloud.api_key}"}
            with httpx.Client(base_url=cloud.base_url, headers=headers) as client:
                agents = client.get(AGENTS)
                query = {"extraction_agent_id": agents.json()[0]["id"], "limit": 40}
                return agents.content, client.get(RUNS, params=query).content

    one = answers(1)
    assert answers(1) == one
    assert all(a != b for a, b in zip(one, answers(2), strict=True))


def test_corpus_has_what_a_reader_must_cope_with():
    cloud = Emulator(runs=400)
    runs = cloud.runs()
    assert set(Counter(run["status"] for run in runs)) == {"CREATED", "PENDING", "SUCCESS", "ERROR", "PARTIAL_SUCCESS"}
    assert all((run["data"] is None) == (run["status"] in ("CREATED", "PENDING", "ERROR")) for run in runs)
    assert any(run["file_id"] is None for run in runs)
    assert any(run["job_id"] is None for run in runs)
    schemas = {agent["id"]: {json.dumps(r["data_schema"]) for r in cloud.runs(agent["id"])} for agent in cloud.agents()}
    assert sorted(map(len, schemas.values())) == [1, 1, 1, 1, 2]
    roots = [type((run["extraction_metadata"] or {}).get("field_metadata")) for run in runs]
    assert {dict, list, type(None)} == set(roots)


def values(data, path=()):
    """The values of the data by their path; what is null or missing has none."""
    if isinstance(data, dict | list):
        steps = data.items() if isinstance(data, dict) else enumerate(data)
        return {place: value for step, below in steps for place, value in values(below, (*path, step)).items()}
    return {} if data is None else {path: data}


def filled(cloud, name):
    """How many runs of the agent have data, and in how many of them each field, lists aside, has a value."""
    (agent,) = [agent["id"] for agent in cloud.agents() if agent["name"] == name]
    extracted = [run["data"] for run in cloud.runs(agent) if run["data"]]
    fields = [{tuple(step for step in path if isinstance(step, str)) for path in values(data)} for data in extracted]
    return len(extracted), Counter(field for found in fields for field in found)


def test_some_files_are_extracted_twice_and_read_otherwise():
    cloud = Emulator(runs=300)
    runs_of = defaultdict(list)
    for run in sorted(cloud.runs(), key=lambda run: datetime.fromisoformat(run["created_at"])):
        if run["file_id"]:
            runs_of[run["file_id"]].append(run)
    twice = [runs for runs in runs_of.values() if len(runs) > 1]
    assert {len(runs) for runs in twice} == {2}
    assert 5 < len(twice) < 20
    assert {first["extraction_agent_id"] for first, _ in twice} == {agent["id"] for agent in cloud.agents()}
    for first, again in twice:
        assert again["extraction_agent_id"] == first["extraction_agent_id"]
        assert datetime.fromisoformat(again["created_at"]) > datetime.fromisoformat(first["created_at"])
        assert again["config"] != first["config"]
        file = first["file"] or again["file"]
        assert again["file"] in (None, file)
        assert datetime.fromisoformat(file["created_at"]) < datetime.fromisoformat(first["created_at"])
        pages = [run["extraction_metadata"]["usage"]["num_pages_extracted"] for run in (first, again)]
        assert pages[0] == pages[1]
        before, after = values(first["data"]), values(again["data"])
        both = before.keys() & after.keys()
        assert 0 < sum(before[path] != after[path] for path in both) < len(both) / 2
    assert any(first["data_schema"] != again["data_schema"] for first, again in twice)
    assert any(values(first["data"]).keys() != values(again["data"]).keys() for first, again in twice)


def test_some_fields_are_never_filled_and_some_nearly_never():
    cloud = Emulator(runs=300)
    schemas = {agent["name"]: agent["data_schema"] for agent in cloud.agents()}
    for name, never, nearly in (
        ("Invoices", ["cost_center", "delivery_address"], "late_fee"),
        ("Résumés / CVs", ["publications"], None),
        ("Contracts (legal)", [], "amends"),
        ("Bank statements", ["cheque_number"], None),
        ("Claim forms", ["witness"], "police_report"),
    ):
        count, found = filled(cloud, name)
        assert {*never, *([nearly] if nearly else [])} <= schemas[name]["properties"].keys()
        assert not {path[0] for path in found} & set(never)
        assert nearly is None or 0 < found[nearly,] < count / 6
    _, found = filled(cloud, "Invoices")
    for model, field, beside in (
        ("Vendor", ("vendor", "fax"), ("vendor", "name")),
        ("LineItem", ("line_items", "serial_number"), ("line_items", "amount")),
    ):
        assert field[-1] in schemas["Invoices"]["$defs"][model]["properties"]
        assert field not in found
        assert found[beside] > 50
    # Null in some agents' data, missing in others'.
    invoices, *_, forms = (cloud.runs(agent["id"]) for agent in cloud.agents())
    assert any("cost_center" in run["data"] for run in invoices if run["data"])
    assert not any("witness" in page for run in forms for page in run["data"] or [])


def test_an_agents_schema_was_edited_after_its_older_runs():
    cloud = Emulator(runs=300)
    (agent,) = [agent for agent in cloud.agents() if agent["name"] == "Contracts (legal)"]
    edited = datetime.fromisoformat(agent["updated_at"])
    runs = cloud.runs(agent["id"])
    older = [run for run in runs if datetime.fromisoformat(run["created_at"]) < edited]
    assert len(older) > 20
    assert len(runs) - len(older) > 10
    for run in runs:
        assert (run["data_schema"] == agent["data_schema"]) == (run not in older)
    (before,) = {json.dumps(run["data_schema"]) for run in older}
    before, now = json.loads(before)["properties"], agent["data_schema"]["properties"]
    assert now.keys() - before.keys() == {"governing_law"}
    assert before.keys() - now.keys() == {"language"}
    assert [name for name in before if name in now and before[name] != now[name]] == ["renewal_term"]
    for run in runs:
        if run["data"]:
            assert ("language" in run["data"]) == (run in older)
            assert run not in older or "governing_law" not in run["data"]
    terms = {run in older: set() for run in runs}
    for run in runs:
        terms[run in older].add(type((run["data"] or {}).get("renewal_term")))
    assert terms == {True: {str, type(None)}, False: {int, type(None)}}


def cited(cloud):
    """The leaves of the field metadata that have a confidence: confidence, run, path, value, citations."""

    def leaves(tree, data, path):
        if isinstance(tree, dict) and isinstance(tree.get("confidence"), float):
            yield path, data, tree
        elif isinstance(tree, dict | list) and isinstance(data, dict | list):
            for step, below in tree.items() if isinstance(tree, dict) else enumerate(tree):
                if isinstance(below, dict | list):
                    yield from leaves(below, data[step], (*path, step))

    for run in cloud.runs():
        tree = (run["extraction_metadata"] or {}).get("field_metadata")
        for path, value, leaf in leaves(tree, run["data"], ()):
            yield leaf["confidence"], run, path, value, leaf.get("citation")


def agrees(value, text):
    """Whether a citation says what was extracted."""
    if isinstance(value, bool):
        return text == "☐☒"[value]
    if isinstance(value, str):
        return value.startswith(text)
    try:
        return float(text.replace(",", "")) == value
    except ValueError:
        return False


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_least_confident_values_are_worth_a_review(seed):
    leaves = sorted(cited(Emulator(runs=300, seed=seed)), key=lambda leaf: leaf[0])
    queue = leaves[:20]
    assert len({run["extraction_agent_id"] for _, run, *_ in queue}) > 2
    assert len({path[-1] for _, _, path, *_ in queue}) > 5
    assert max(Counter(run["id"] for _, run, *_ in queue).values()) < 5
    assert len({confidence for confidence, *_ in queue}) > 15
    agreeing = 0
    for _, run, _, value, citations in queue:
        assert citations
        for citation in citations:
            assert 1 <= citation["page"] <= run["extraction_metadata"]["usage"]["num_pages_extracted"]
        agreeing += agrees(value, citations[0]["matching_text"])
    assert 4 < agreeing < 16
    # Most values need no review, and what their citations say is what was extracted.
    assert 20 < sum(confidence < 0.65 for confidence, *_ in leaves) < len(leaves) / 50
    for confidence, run, path, value, citations in leaves:
        assert confidence > 0.65 or citations or not run["config"]["cite_sources"]
        if confidence > 0.75:
            assert all(agrees(value, citation["matching_text"]) for citation in citations or ()), (path, value)


def test_citations_are_on_the_pages_of_the_document():
    some = 0
    for _, run, path, _, citations in cited(Emulator(runs=300)):
        pages = run["extraction_metadata"]["usage"]["num_pages_extracted"]
        for citation in citations or ():
            some += citation["page"] > 1
            assert 1 <= citation["page"] <= pages
            if run["config"]["extraction_target"] == "PER_PAGE":
                assert citation["page"] == path[0] + 1
    assert some > 1000


@pytest.mark.parametrize(
    ("corpus", "names"),
    [("only-invoices", ["Invoices"]), ("only-claim-forms", ["Claim forms"]), ("empty", [])],
)
def test_a_project_has_some_of_the_agents(corpus, names):
    whole = {agent["name"]: agent for agent in Emulator(runs=0).agents()}
    with Emulator(runs=120, corpus=corpus) as cloud, vendor(llama_cloud.LlamaCloud, cloud) as client:
        assert [agent.name for agent in client.extraction.extraction_agents.list()] == names
        assert len(cloud.runs()) == (120 if names else 0)
        for agent in cloud.agents():
            assert (agent["data_schema"], agent["config"]) == (
                whole[agent["name"]]["data_schema"],
                whole[agent["name"]]["config"],
            )
            runs = cloud.runs(agent["id"])
            assert len({run["status"] for run in runs}) > 3
            files = Counter(run["file_id"] for run in runs if run["file_id"])
            assert set(files.values()) == {1, 2}
        if not names:
            assert [agent.name for agent in client.extraction.extraction_agents.list(include_default=True)] == [
                "Default"
            ]
            with pytest.raises(KeyError):
                cloud.add_run()


@pytest.mark.parametrize(("corpus", "low", "high"), [("invoices", 7, 9.5), ("invoices-cited", 15, 21)])
def test_invoice_runs_have_the_size_of_real_ones(corpus, low, high):
    with Emulator(runs=200, corpus=corpus) as cloud, httpx.Client(base_url=cloud.base_url) as client:
        headers = {"Authorization": f"Bearer {cloud.api_key}"}
        query = {"extraction_agent_id": cloud.agents()[0]["id"], "limit": 100}
        answer = client.get(RUNS, params=query, headers=headers)
    assert low < len(answer.content) / 1000 / 100 < high


def test_mutations_are_served_and_move_the_clock(cloud, http):
    agent = cloud.agents()[2]["id"]
    new = cloud.add_run(agent, status="PENDING", surprise={"a": 1})
    assert (new["data"], new["surprise"]) == (None, {"a": 1})
    assert page(http, agent, limit=1)["items"] == [new]
    done = cloud.finish_run(new["id"])
    assert done["data"]
    assert done["updated_at"] > new["updated_at"] == new["created_at"]
    edited = cloud.edit_run(new["id"], data={"title": "x"})
    assert edited["updated_at"] > done["updated_at"]
    assert cloud.edit_run(new["id"], touch=False, error="y")["updated_at"] == edited["updated_at"]
    assert http.get(f"{RUNS}/{new['id']}").json()["data"] == {"title": "x"}
    cloud.delete_run(new["id"])
    assert http.get(f"{RUNS}/{new['id']}").status_code == 404
    failed = cloud.finish_run(cloud.add_run(status="CREATED")["id"], status="ERROR")
    assert failed["error"]
    assert failed["data"] is None


def test_agents_come_go_and_hide(cloud, http):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "tags": {"type": "array", "items": {}}}}
    agent = cloud.add_agent("New/one", schema, config={"extraction_target": "PER_PAGE"})
    run = cloud.add_run(agent["id"])
    assert {type(row["n"]) for row in run["data"]} == {int}
    assert cloud.rename_agent(agent["id"], "Über")["updated_at"] > agent["updated_at"]
    assert http.get(f"{AGENTS}/by-name/Über").json()["id"] == agent["id"]
    cloud.hide_agent(agent["id"], 403)
    assert http.get(RUNS, params={"extraction_agent_id": agent["id"]}).status_code == 403
    assert http.get(f"{RUNS}/{run['id']}").status_code == 403
    assert agent["id"] in {listed["id"] for listed in http.get(AGENTS).json()}
    cloud.delete_agent(agent["id"])
    assert http.get(f"{RUNS}/{run['id']}").status_code == 404
    assert agent["id"] not in {listed["id"] for listed in http.get(AGENTS).json()}


def test_a_renamed_agent_keeps_all_but_its_name(cloud, http):
    agent = cloud.agents()[0]
    runs = page(http, agent["id"], limit=100)
    renamed = cloud.rename_agent(agent["id"], "Bills")
    assert renamed == agent | {"name": "Bills", "updated_at": renamed["updated_at"]}
    assert renamed["updated_at"] > agent["updated_at"]
    assert http.get(AGENTS).json()[0] == http.get(f"{AGENTS}/{agent['id']}").json() == renamed
    assert http.get(f"{AGENTS}/by-name/{agent['name']}").status_code == 404
    assert page(http, agent["id"], limit=100) == runs  # no run says what its agent is called
    with pytest.raises(KeyError):
        cloud.rename_agent(UNKNOWN, "Bills")


def test_broken_item_stands_in_the_list_as_it_is(cloud, http):
    agent = cloud.agents()[0]["id"]
    cloud.add_raw_item(agent, b'{"status": "SUCCESS", "no_id": 1}')
    listed = page(http, agent)
    assert listed["items"][0] == {"status": "SUCCESS", "no_id": 1}
    assert listed["total"] == len(cloud.runs(agent)) + 1


def test_runs_can_change_between_two_pages(cloud, http):
    agent = cloud.agents()[0]["id"]
    before = [run["id"] for run in cloud.runs(agent)]
    page(http, agent, limit=5)
    cloud.on_request = lambda method, path, query: cloud.delete_run(before[0]) if query["skip"] == ["5"] else None
    assert [run["id"] for run in page(http, agent, skip=5, limit=5)["items"]] == before[6:11]


def test_runs_of_the_same_instant_change_places_at_every_request(cloud, http):
    agent = cloud.add_agent("Bulk", {})["id"]
    same = {
        cloud.add_run(agent, created_at=text)["id"] for text in ["2026-12-01T12:00:00Z", "2026-12-01T14:00:00+02:00"]
    }
    ties = {cloud.add_run(agent, created_at="2026-12-02T00:00:00Z")["id"] for _ in range(6)}
    newest, oldest = (cloud.add_run(agent, created_at=f"{year}-12-03T00:00:00Z")["id"] for year in (2030, 2020))
    cloud.order = "unstable"
    seen = []
    for _ in range(12):
        ids = [run["id"] for run in page(http, agent)["items"]]
        assert (ids[0], set(ids[1:7]), set(ids[7:9]), ids[9]) == (newest, ties, same, oldest)
        assert [run["id"] for run in cloud.runs(agent)] == ids
        seen.append(ids)
    for before, after in pairwise(seen):
        assert before[1:7] != after[1:7]
        assert before[7:9] != after[7:9]
    assert len({tuple(ids) for ids in seen}) > 6
    # Two pages of one run each may show one run twice and the other never.
    agent = cloud.add_agent("Two", {})["id"]
    for _ in range(2):
        cloud.add_run(agent, created_at="2026-12-02T00:00:00Z")
    first, second = (page(http, agent, skip=skip, limit=1)["items"] for skip in (0, 1))
    assert first == second


def test_a_run_moves_to_another_agent(cloud, http):
    old, new = (agent["id"] for agent in cloud.agents()[:2])
    run = cloud.runs(old)[3]
    totals = page(http, old)["total"], page(http, new)["total"]
    moved = cloud.move_run(run["id"], new)
    assert moved == run | {"extraction_agent_id": new}
    assert (page(http, old)["total"], page(http, new)["total"]) == (totals[0] - 1, totals[1] + 1)
    assert page(http, old, run_id=run["id"])["items"] == []
    assert page(http, new, run_id=run["id"])["items"] == [moved] == [http.get(f"{RUNS}/{run['id']}").json()]
    back = cloud.move_run(run["id"], old, touch=True)
    assert back == run | {"updated_at": back["updated_at"]}
    assert back["updated_at"] > max(other["updated_at"] for other in cloud.runs() if other != back)
    with pytest.raises(KeyError):
        cloud.move_run(run["id"], UNKNOWN)
    assert http.get(f"{RUNS}/{run['id']}").json() == back


@pytest.mark.parametrize("raw", [b'{"id": "\xff"}', b"[" * 900 + b"]" * 900, b'{"id": "half'])
def test_a_run_is_served_as_raw_bytes(cloud, http, raw):
    agent = cloud.agents()[0]["id"]
    before = cloud.runs(agent)
    run, asked = before[2], {"extraction_agent_id": agent, "limit": 100}
    cloud.set_raw(run["id"], raw)
    listed = http.get(RUNS, params=asked).content
    assert b"},%b,{" % raw in listed
    assert b'"total":%d,' % len(before) in listed
    assert http.get(RUNS, params={**asked, "run_id": run["id"]}).content.startswith(b'{"items":[%b],"total":1,' % raw)
    for path in (run["id"], f"by-job/{run['job_id']}"):
        answer = http.get(f"{RUNS}/{path}")
        assert (answer.status_code, answer.content) == (200, raw)
    assert cloud.runs(agent) == before[:2] + before[3:]
    assert run["id"] not in {other["id"] for other in cloud.runs()}
    for end in (cloud.edit_run, cloud.finish_run, lambda run_id: cloud.move_run(run_id, agent)):
        cloud.set_raw(run["id"], raw)
        whole = end(run["id"])
        assert whole == http.get(f"{RUNS}/{run['id']}").json() == cloud.runs(agent)[2]
    cloud.set_raw(run["id"], raw)
    cloud.delete_run(run["id"])
    assert raw not in http.get(RUNS, params=asked).content
    assert http.get(f"{RUNS}/{run['id']}").status_code == 404


def test_file_records_are_deleted(cloud, http):
    run = next(run for run in cloud.runs() if run["file"])
    gone = run["file_id"]
    other = next(run for run in cloud.runs() if run["file_id"] not in (None, gone))
    assert http.get(f"{FILES}/{gone}").status_code == 200
    cloud.delete_file(gone)
    for _ in range(2):
        assert http.get(f"{FILES}/{gone}").status_code == 404
        assert http.get(FILES, params={"file_ids": gone}).json()["items"] == []
        assert gone not in {file["id"] for file in http.get(FILES, params={"page_size": 1000}).json()["items"]}
        assert http.get(f"{RUNS}/{run['id']}").json()["file"] == run["file"]
        cloud.edit_run(run["id"])  # does not bring the record back
    assert http.get(f"{FILES}/{other['file_id']}").status_code == 200
    with pytest.raises(KeyError):
        cloud.delete_file(gone)


def test_file_records_carry_presigned_urls_on_request(cloud, http, client):
    file_id = next(run["file_id"] for run in cloud.runs() if run["file_id"])

    def urls():
        listed = http.get(FILES, params={"page_size": 1000}).json()["items"]
        return [*(file["download_url"] for file in listed), http.get(f"{FILES}/{file_id}").json()["download_url"]]

    assert set(urls()) == {None}
    cloud.presign = True
    signed = urls() + urls()
    assert len({url["url"] for url in signed}) == len(signed) > 20
    for url in signed:
        url = PresignedURL.model_validate(url, strict=False)
        assert url.url.startswith("https://")
        assert "X-Amz-Signature=" in url.url
    assert [file.id for file in client.files.list(file_ids=[file_id])] == [file_id]
    assert "X-Amz-Signature" not in http.get(RUNS, params={"extraction_agent_id": cloud.agents()[0]["id"]}).text
    cloud.presign = False
    assert set(urls()) == {None}


def test_answers_are_changed_before_they_are_sent(cloud, http):
    agent, run = cloud.agents()[0]["id"], cloud.runs()[0]
    file_id = next(run["file_id"] for run in cloud.runs() if run["file_id"])
    told = []

    def lie(path, query, document):
        told.append((path, query))
        return {"lie": document, "half": "\ud800", "huge": 2**70, "é": float("inf")}

    for asked in (AGENTS, f"{AGENTS}/{agent}", f"{RUNS}?extraction_agent_id={agent}&limit=3", f"{RUNS}/{run['id']}",
                  f"{RUNS}/by-job/{run['job_id']}", FILES, f"{FILES}/{file_id}"):  # fmt: skip
        cloud.on_answer = None
        truth = http.get(asked)
        cloud.on_answer = lie
        lied = http.get(asked)
        assert lied.json() == {"lie": truth.json(), "half": "\ud800", "huge": 2**70, "é": float("inf")}
        assert lied.headers["Content-Type"] == truth.headers["Content-Type"]
        path, _, query = asked.partition("?")
        assert told.pop() == (path, parse_qs(query))
    assert http.get(f"{RUNS}/{UNKNOWN}").json() == {"detail": "Extraction run not found"}
    assert http.get("/_emulator/agents").json() == cloud.agents()
    assert told == []
    cloud.on_answer = lambda path, query, document: document["items"].clear()
    asked = f"{RUNS}?extraction_agent_id={agent}"
    assert http.get(asked).json()["items"]
    cloud.on_answer = lambda path, query, document: document | {"total": cloud.delete_run(run["id"]) or 0}
    assert (http.get(asked).json()["total"], len(cloud.runs())) == (0, 59)
    cloud.set_raw(cloud.runs(agent)[0]["id"], b'"\xff"')
    assert b'"\xff"' in http.get(asked).content


def test_what_goes_wrong_in_a_callback_is_shown(cloud, http, capsys):
    def wrong(*_):
        raise RuntimeError("a mistake in the test")

    cloud.on_answer = wrong
    answer = http.get(AGENTS)
    assert (answer.status_code, cloud.requests[-1].status) == (500, 500)
    assert "a mistake in the test" in answer.json()["detail"]
    assert "a mistake in the test" in capsys.readouterr().err
    cloud.on_answer = lambda path, query, document: {1, 2}
    assert "set is not JSON serializable" in http.get(AGENTS).json()["detail"]
    cloud.on_answer, cloud.on_request = None, wrong
    assert "a mistake in the test" in http.get(AGENTS).json()["detail"]


def test_changed_answers_are_compressed_and_cut_short():
    with Emulator(runs=5, gzip=True) as cloud:
        cloud.on_answer = lambda path, query, document: document * 2
        headers = {"Authorization": f"Bearer {cloud.api_key}", "Accept-Encoding": "gzip"}
        answer = httpx.get(cloud.base_url + AGENTS, headers=headers)
        assert (answer.headers["Content-Encoding"], len(answer.json())) == ("gzip", 10)
        cloud.fail(kind="truncate")
        with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
            httpx.get(cloud.base_url + AGENTS, headers=headers)


def test_requests_are_recorded(cloud, http):
    http.get(AGENTS)
    http.get(RUNS, params=[("extraction_agent_id", "x"), ("a", "1"), ("a", "2")])
    assert [(r.method, r.path, r.status) for r in cloud.requests] == [("GET", AGENTS, 200), ("GET", RUNS, 422)]
    assert cloud.requests[1].query == {"extraction_agent_id": ["x"], "a": ["1", "2"]}
    cloud.reset_requests()
    assert cloud.requests == []


def test_requests_fail_as_told(cloud, http):
    cloud.fail(times=2, path="/runs/", status=429, headers={"Retry-After": "7"}, skip=1)
    path = f"{RUNS}/{cloud.runs()[0]['id']}"
    answers = [http.get(path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [200, 429, 429, 200]
    assert answers[1].headers["Retry-After"] == "7"
    assert "detail" in answers[1].json()
    cloud.fail(kind="html", status=502)
    assert "<html>" in http.get(AGENTS).text
    cloud.fail(kind="not_json")
    with pytest.raises(json.JSONDecodeError):
        http.get(AGENTS).json()
    cloud.fail(kind="truncate")
    with pytest.raises(httpx.RemoteProtocolError, match="peer closed connection without sending complete"):
        http.get(AGENTS)
    cloud.fail(times=None, kind="disconnect")
    for _ in range(2):
        with pytest.raises(httpx.RemoteProtocolError, match="without sending a response"):
            http.get(AGENTS)
    cloud.heal()
    assert http.get(AGENTS).status_code == 200
    assert [r.status for r in cloud.requests] == [200, 429, 429, 200, 502, 200, 200, 0, 0, 200]


def test_requests_fail_by_their_query(cloud, http):
    one, two = (agent["id"] for agent in cloud.agents()[:2])
    cloud.fail(times=None, status=429, query={"extraction_agent_id": two, "skip": "5"}, skip=1)

    def status(agent, skip):
        return http.get(RUNS, params={"extraction_agent_id": agent, "skip": skip}).status_code

    asked = [(two, 5), (two, 0), (one, 5), (two, 5), (two, 50), (two, 5), (one, 5)]
    assert [status(*each) for each in asked] == [200, 200, 200, 429, 200, 429, 200]
    assert http.get(AGENTS).status_code == 200


def test_answers_are_compressed_only_when_both_sides_want_it(http):
    assert "Content-Encoding" not in http.get(AGENTS, headers={"Accept-Encoding": "gzip"}).headers
    with Emulator(runs=5, gzip=True) as cloud:
        for asked, given in (("gzip", "gzip"), ("identity", None)):
            headers = {"Authorization": f"Bearer {cloud.api_key}", "Accept-Encoding": asked}
            answer = httpx.get(cloud.base_url + AGENTS, headers=headers)
            assert answer.headers.get("Content-Encoding") == given
            assert len(answer.json()) == 5


COMMAND = [sys.executable, "-m", "llama_cloud_emulator"]


@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_command_serves_until_it_is_stopped(stop):
    command = [*COMMAND, "--port", "0", "--runs", "12", "--warm", "--page-limit", "2"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            ready = json.loads(process.stdout.readline())
            assert (ready["agents"], ready["runs"]) == (5, 12)
            headers = {"Authorization": f"Bearer {ready['api_key']}"}
            with httpx.Client(base_url=ready["base_url"], headers=headers) as client:
                run = client.post("/_emulator/add_run", json={"status": "PENDING"}).json()
                client.post("/_emulator/fail", json={"status": 500}).raise_for_status()
                assert client.get(f"{RUNS}/{run['id']}").status_code == 500
                assert client.get(f"{RUNS}/{run['id']}").json() == run
                assert [r["status"] for r in client.get("/_emulator/requests").json()] == [500, 200]
                assert client.post("/_emulator/delete_run", json={"run_id": UNKNOWN}).status_code == 400

                def tell(name, **arguments):
                    return client.post(f"/_emulator/{name}", json=arguments).raise_for_status().json()

                one, two = (agent["id"] for agent in client.get(AGENTS).json()[:2])
                assert tell("move_run", run_id=run["id"], agent_id=two) == run | {"extraction_agent_id": two}
                tell("set_raw", run_id=run["id"], raw='"ü')
                assert client.get(f"{RUNS}/{run['id']}").text == '"ü'
                assert '{"items":["ü,{' in client.get(RUNS, params={"extraction_agent_id": two}).text
                tell("settings", order="unstable", presign=True)
                assert "X-Amz-Signature=" in client.get(f"{FILES}/{run['file_id']}").text
                tell("delete_file", file_id=run["file_id"])
                assert client.get(f"{FILES}/{run['file_id']}").status_code == 404
                same = [tell("add_run", agent_id=one, created_at="2030-01-01T00:00:00Z")["id"] for _ in range(2)]
                pages = [[item["id"] for item in page(client, one)["items"]] for _ in range(2)]
                assert pages[0] == pages[1][::-1]
                assert set(pages[0]) == set(same)
                tell("fail", status=418, query={"extraction_agent_id": two})
                assert client.get(RUNS, params={"extraction_agent_id": one}).status_code == 200
                assert client.get(RUNS, params={"extraction_agent_id": two}).status_code == 418
        finally:
            process.send_signal(stop)
        assert process.stdout.read() == ""
        assert process.wait() == 0


def test_command_says_in_one_line_what_is_wrong():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for arguments, status in ((["--port", port], 1), (["--order", "best"], 2), (["--runs", "-1"], 2)):
            ended = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True, check=False)
            assert (ended.returncode, ended.stderr.count("\n")) == (status, 1)
            assert arguments[0].lstrip("-") in ended.stderr
