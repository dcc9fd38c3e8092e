"""What the client promises about HTTP: operations, retries, the rate limit, odd bodies and the secrecy of the key."""

import asyncio
import copy
import gzip
import inspect
import json
import logging
import pickle
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import suppress
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from llama_cloud_emulator import Emulator
from llama_extract_dlt import errors, settings
from llama_extract_dlt.service import client as client_module
from llama_extract_dlt.service import transport
from llama_extract_dlt.service.budget import RequestBudget
from llama_extract_dlt.service.client import LlamaCloudClient
from support.http import KEY, answer, serving

RUNS = "/api/v1/extraction/runs"


class Clock:
    """Time that passes only when somebody sleeps; `waits` has what was asked for."""

    def __init__(self):
        self.now, self.waits, self.lock = 1000.0, [], threading.Lock()

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        with self.lock:
            self.now = max(self.now, self.now + seconds)


@pytest.fixture(scope="module")
def shared_cloud():
    with Emulator(runs=60, seed=1, api_key=KEY) as cloud:
        yield cloud


@pytest.fixture
def cloud(shared_cloud):
    shared_cloud.heal()
    shared_cloud.on_request = None
    shared_cloud.reset_requests()
    return shared_cloud


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def call(cloud, clock):
    """Run one operation in a client of its own: `call("get_run", run_id)`."""

    def run(operation, *args, base_url=None, api_key=KEY, per_minute=None, settings=None, **kwargs):
        budget = RequestBudget(per_minute, clock=clock)
        given = {"budget": budget, "sleep": clock.sleep} | (settings or {})
        with LlamaCloudClient(api_key, base_url or cloud.base_url, **given) as client:
            return getattr(client, operation)(*args, **kwargs)

    return run


def ask_canned(clock, ask, *answers, **settings):
    """Return what `ask(client)` returns or raises, and the heads of its requests.

    The answers are given in turn, the last one for ever.
    """
    heads = []

    async def respond(head):
        heads.append(head)
        return answers[min(len(heads), len(answers)) - 1]

    with serving(respond, settings.pop("tls", None)) as url:
        given = {"budget": RequestBudget(clock=clock), "sleep": clock.sleep} | settings
        with LlamaCloudClient(KEY, url, **given) as client:
            try:
                return ask(client), heads
            except errors.LlamaExtractError as error:
                return error, heads


def page(items):
    return b'{"items": [' + b", ".join(items) + b'], "total": 7, "skip": 2, "limit": 3}'


# Operations


def test_every_operation_returns_what_the_service_has(cloud, call):
    agents = cloud.agents()
    listed = [json.loads(agent) for agent in call("list_agents")]
    assert {agent["id"] for agent in listed} <= {agent["id"] for agent in agents}
    agent = listed[0]
    assert json.loads(call("get_agent", agent["id"])) == agent
    assert json.loads(call("get_agent_by_name", agent["name"])) == agent
    assert json.loads(call("get_default_agent"))["id"]
    runs = cloud.runs(agent["id"])
    page = call("list_runs", agent["id"], skip=1, limit=3)
    assert [json.loads(item) for item in page.items] == runs[1:4]
    assert (page.total, page.skip, page.limit) == (len(runs), 1, 3)
    assert json.loads(call("get_run", runs[0]["id"])) == cloud.run(runs[0]["id"])
    with_job = next(run for run in runs if run.get("job_id"))
    assert json.loads(call("get_run_by_job", with_job["job_id"]))["id"] == with_job["id"]
    only = call("list_runs", agent["id"], status="SUCCESS")
    assert {json.loads(item)["status"] for item in only.items} == {"SUCCESS"}


def test_files_are_read_in_batches_and_one_by_one(cloud, call, monkeypatch):
    ids = list(dict.fromkeys(run["file_id"] for run in cloud.runs() if run.get("file_id")))[:7]
    monkeypatch.setattr(settings, "FILES_PER_REQUEST", 3)
    records = [json.loads(record) for record in call("list_files", ids + ids)]
    assert sorted(record["id"] for record in records) == sorted(ids)
    assert [len(request.query["file_ids"]) for request in cloud.requests] == [3, 3, 1]
    assert json.loads(call("get_file", ids[0]))["id"] == ids[0]
    assert call("list_files", []) == []


def test_file_pages_are_followed_to_the_last(clock):
    pages = [b'{"items": [1], "next_page_token": "t 1"}', b'{"items": [2, 3], "next_page_token": null}']
    records, heads = ask_canned(clock, lambda c: c.list_files(["a"]), *map(answer, pages))
    assert (records, b"page_token=t+1 " in heads[1]) == ([b"1", b"2", b"3"], True)
    error, heads = ask_canned(clock, lambda c: c.list_files(["a"]), answer(pages[0]))
    assert (type(error), len(heads)) == (errors.UnexpectedResponseError, 2)


def test_project_and_organisation_go_where_the_api_takes_them(cloud, call):
    scope = {"project_id": cloud.agents()[0]["project_id"], "organization_id": None}
    call("list_agents", settings=scope)
    call("list_runs", cloud.agents()[0]["id"], settings=scope)
    assert [request.query.get("project_id") for request in cloud.requests] == [[scope["project_id"]], None]


@pytest.mark.parametrize("name", ["two words", "a/b", "Überweisung 発票", "..", "50%25?#&=+"])
def test_any_agent_name_arrives_whole(clock, name):
    _, heads = ask_canned(clock, lambda c: c.get_agent_by_name(name), answer(b"{}"))
    before, segment = heads[0].split(b" ")[1].decode().rsplit("/", 1)
    assert (before, unquote(segment)) == ("/api/v1/extraction/extraction-agents/by-name", name)
    assert segment not in (".", "..")


def test_items_are_the_bytes_that_were_sent(clock):
    items = [b'{"id": 1.10,\n "x":1E5}', b"null", b'"\\u00e9 \xc3\xa9"', b"[ 1,2 ]", b'{"a":1,"a":2}']
    got, _ = ask_canned(clock, lambda c: c.list_runs("a"), answer(page(items)))
    assert got == client_module.RunPage(items, 7, 2, 3)
    got, heads = ask_canned(clock, lambda c: c.get_run("a"), answer(b' {"id": 1.10} \n'))
    assert got == b'{"id": 1.10}'
    assert b"Accept-Encoding: gzip\r\n" in heads[0]


def test_gzip_is_asked_for_and_unpacked(call):
    with Emulator(runs=5, seed=1, api_key=KEY, gzip=True) as cloud:
        agent = cloud.runs()[0]["extraction_agent_id"]
        items = call("list_runs", agent, base_url=cloud.base_url).items
        assert [json.loads(item) for item in items] == cloud.runs(agent)


# Odd bodies


def test_one_strange_value_leaves_the_rest_of_its_page_untouched(clock):
    sent = [b'{"id": 1.10}', b'{"a": "\\ud83d\\ude00 \\ud800\\\\ud800 NaN"}', b'[NaN, -Infinity, "\\"NaN"]']
    mended = [sent[0], b'{"a": "\\ud83d\\ude00 \\ufffd\\\\ud800 NaN"}', b'[null, null, "\\"NaN"]']
    for body in (page(sent), b"\xef\xbb\xbf" + page(sent)):
        got, _ = ask_canned(clock, lambda c: c.list_runs("a"), answer(body))
        assert got.items == mended


@pytest.mark.parametrize(
    ("operation", "body"),
    [
        ("list_runs", b"<html>\n<h1>Sign in</h1>\n</html>"),
        ("list_runs", b'{"items": [1, 2'),
        ("list_runs", b'{"total": 0, "skip": 0, "limit": 0}'),
        ("list_runs", b'{"items": {}, "total": 0, "skip": 0, "limit": 0}'),
        ("list_runs", b'{"items": null, "total": 0, "skip": 0, "limit": 0}'),
        ("list_runs", b'{"total": 0, "deep": ' + b"[" * 5000 + b"]" * 5000 + b"}"),
        ("list_runs", b'{"items": {"a": ' + b"[" * 5000 + b"]" * 5000 + b"}}"),
        ("list_runs", page([b'{"id": "1", "a": ' + b"[" * 5000 + b"]" * 4999 + b"}"])),
        ("list_runs", page([b"01"]) + b"]"),
        ("list_runs", page([b"01"])[:-1]),
        ("list_runs", page([b"1", b""])),
        ("list_runs", page([b'{"a": "b" "c": "d"}'])),
        # Where strings cannot be told from what is between them, good runs could be lost within a bad one.
        ("list_runs", page([b'{"a": "b"c"}', b'{"id": "1"}', b'{"a": "b"c"}'])),
        ("get_run", b""),
        ("get_run", b"{'id': 1}"),
        ("get_agent", b"Bad gateway \xff"),
    ],
)
def test_an_answer_that_is_not_the_apis_is_told_in_one_line(clock, operation, body):
    reply = answer(body, content_type="text/odd")
    error, heads = ask_canned(clock, lambda c: getattr(c, operation)("a"), reply)
    assert (type(error), error.__context__, len(heads)) == (errors.UnexpectedResponseError, None, 1)
    text = str(error)
    assert "\n" not in text
    assert f"GET {error.path} answered 200 (text/odd)" in text
    assert len(text) < 400
    assert body[:20].split(b"\n")[0].decode(errors="replace") in text


def test_an_agents_list_must_be_a_list(clock):
    error, _ = ask_canned(clock, lambda c: c.list_agents(), answer(b'{"items": []}'))
    assert isinstance(error, errors.UnexpectedResponseError)


@pytest.mark.parametrize(
    ("told", "numbers"),
    [
        (b'"total": 350, "skip": 4, "limit": 9', (350, 4, 9)),
        (b'"total": 0, "skip": 0, "limit": 0', (0, 0, 0)),
        (b'"a": 1', (-1, 5, 7)),
        (b'"total": null, "skip": null, "limit": null', (-1, 5, 7)),
        (b'"total": -2, "skip": -1, "limit": -1', (-1, 5, 7)),
        (b'"total": "350", "skip": "4", "limit": "9"', (-1, 5, 7)),
        (b'"total": 3.5, "skip": true, "limit": NaN', (-1, 5, 7)),
        (b'"total": {}, "skip": [4], "limit": ' + b"[" * 5000 + b"]" * 5000, (-1, 5, 7)),
    ],
)
def test_numbers_that_a_page_does_not_tell_cost_no_runs(clock, told, numbers):
    reply = answer(b'{"items": [{"id": "1"}, 2], %b}' % told)
    got, _ = ask_canned(clock, lambda c: c.list_runs("a", skip=5, limit=7), reply)
    assert got == client_module.RunPage([b'{"id": "1"}', b"2"], *numbers)


@pytest.mark.parametrize("kind", ["html", "not_json"])
def test_a_proxys_page_in_between_is_an_unexpected_response(cloud, call, kind):
    cloud.fail(times=None, status=200, kind=kind)
    with pytest.raises(errors.UnexpectedResponseError, match="GET /api/v1/extraction/extraction-agents"):
        call("list_agents")
    assert len(cloud.requests) == 1


# Retries


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504, 529])
def test_a_passing_trouble_is_tried_again(cloud, call, clock, status):
    cloud.fail(times=3, status=status)
    assert call("list_agents")
    assert [request.status for request in cloud.requests] == [status] * 3 + [200]
    assert all(wait <= most for wait, most in zip(clock.waits, [1, 2, 4], strict=True))


@pytest.mark.parametrize("kind", ["disconnect", "truncate"])
def test_a_connection_that_breaks_off_is_tried_again(cloud, call, clock, kind):
    cloud.fail(times=2, kind=kind)
    assert call("list_agents")
    assert (len(cloud.requests), len(clock.waits)) == (3, 2)


def fail_of(clock, *answers, **settings):
    error, heads = ask_canned(clock, lambda c: c.get_run("a"), *answers, **settings)
    return type(error), len(heads)


def test_an_answer_that_breaks_off_is_told_from_a_host_that_is_not_there(cloud, call, clock):
    whole = answer(b"{}", "200 OK", "application/json", "Content-Encoding: gzip")
    broken = errors.ConnectionBrokenError
    assert fail_of(clock, whole, max_tries=2) == (broken, 2)  # {} is no gzip
    assert fail_of(clock, b"nonsense\r\n\r\n", max_tries=2) == (broken, 2)
    assert fail_of(clock, b"", max_tries=1, timeout=0.05) == (broken, 1)
    assert fail_of(clock, whole[:-1], max_tries=1, timeout=0.05) == (broken, 1)
    for kind in ("disconnect", "truncate"):
        cloud.heal()
        cloud.fail(times=None, kind=kind)
        with pytest.raises(broken, match="connection to"):
            call("list_agents", settings={"max_tries": 2})
    assert issubclass(broken, errors.ConnectionFailedError)


def test_a_host_that_goes_away_is_not_taken_for_a_broken_answer(clock):
    async def respond(_):
        return answer(b"[]")

    with serving(respond) as url:
        client = LlamaCloudClient(KEY, url, max_tries=2, budget=RequestBudget(clock=clock), sleep=clock.sleep)
        with client:
            assert client.list_agents() == []
    with client, pytest.raises(errors.ConnectionFailedError, match="cannot connect") as caught:
        client.list_agents()
    assert type(caught.value) is errors.ConnectionFailedError


def test_a_request_that_was_never_sent_is_not_taken_for_a_broken_answer():
    asked = threading.Event()

    async def respond(_):
        asked.set()
        await asyncio.Event().wait()

    with serving(respond) as url, LlamaCloudClient(KEY, url, max_concurrency=1, max_tries=1) as client:
        client._http.timeout = httpx.Timeout(30, pool=0.05)
        client.start(client.get_run, "a")
        asked.wait()
        with pytest.raises(errors.ConnectionFailedError, match="PoolTimeout") as caught:
            client.get_run("b")  # one more than there are connections
    assert type(caught.value) is errors.ConnectionFailedError


@pytest.mark.parametrize("operation", ["list_runs", "get_run"])
def test_one_request_can_be_given_fewer_tries(cloud, call, operation):
    for tries, requests in [(None, 5), (2, 2), (1, 1), (99, 5)]:
        cloud.heal()
        cloud.reset_requests()
        cloud.fail(times=None, status=503)
        with pytest.raises(errors.ServiceError):
            call(operation, "a", most_tries=tries, settings={"max_tries": 5})
        assert len(cloud.requests) == requests


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.InvalidRequestError),
        (401, errors.AuthenticationError),
        (403, errors.PermissionDeniedError),
        (404, errors.NotFoundError),
        (422, errors.InvalidRequestError),
    ],
)
def test_what_will_not_pass_is_not_tried_again(cloud, call, status, kind):
    cloud.fail(times=None, status=status, headers={"Retry-After": "1"})
    with pytest.raises(kind) as caught:
        call("get_run", "some-run")
    assert (caught.value.status, caught.value.method, caught.value.path) == (status, "GET", f"{RUNS}/some-run")
    assert len(cloud.requests) == 1


def test_x_should_retry_has_the_last_word_except_where_it_cannot_help(cloud, call):
    for status, should, requests in [(503, "false", 1), (400, "true", 2), (401, "true", 1), (422, "true", 1)]:
        cloud.heal()
        cloud.reset_requests()
        cloud.fail(times=1, status=status, headers={"x-should-retry": should})
        with suppress(errors.LlamaExtractError):
            call("list_agents")
        assert len(cloud.requests) == requests


def test_validation_errors_show_the_apis_messages_in_one_line(clock):
    detail = [{"loc": ["query", "limit"], "msg": "too\nlarge"}, {"loc": ["body", 0], "msg": "missing"}]
    reply = answer(json.dumps({"detail": detail}).encode(), "422 Unprocessable")
    error, _ = ask_canned(clock, lambda c: c.list_runs("a"), reply)
    assert "query.limit: too large; body.0: missing" in str(error)


@pytest.mark.parametrize(
    ("headers", "wait"),
    [
        ({"Retry-After": "17"}, 17),
        ({"Retry-After": "2.5"}, 2.5),
        ({"retry-after-ms": "1500", "Retry-After": "9"}, 1.5),
        ({"Retry-After": "Sun, 06 Nov 1994 08:49:57 GMT", "Date": "Sun, 06 Nov 1994 08:49:37 GMT"}, 20),
    ],
)
@pytest.mark.parametrize("status", ["429 Too Many", "503 Unavailable"])
def test_the_wait_that_the_server_asks_for_is_kept(clock, headers, wait, status):
    refusal = answer(b"{}", status, "application/json", *(f"{k}: {v}" for k, v in headers.items()))
    agents, heads = ask_canned(clock, lambda c: c.list_agents(), refusal, answer(b"[]"))
    assert (agents, len(heads), clock.waits) == ([], 2, [wait])


@pytest.mark.parametrize("value", ["soon", "-5", "nan", "0", "Sun, 06 Nov 1994 08:49:37 GMT"])
def test_a_wait_that_makes_no_sense_is_replaced_by_our_own(cloud, call, clock, value):
    cloud.fail(times=1, status=503, headers={"Retry-After": value})
    assert call("list_agents")
    assert 0 <= clock.waits[0] <= 1


def test_tries_end(cloud, call, clock):
    cloud.fail(times=None, status=503)
    with pytest.raises(errors.ServiceError, match="gave up after 5 tries"):
        call("list_agents", settings={"max_tries": 5})
    assert (len(cloud.requests), len(clock.waits)) == (5, 4)


def test_waiting_ends(cloud, call, clock):
    cloud.fail(times=None, status=429, headers={"Retry-After": "25"})
    with pytest.raises(errors.RateLimitedError, match=r"asked to wait 25 s, more than the 10 s left"):
        call("list_agents", settings={"max_wait": 60.0})
    assert clock.waits == [25, 25]
    cloud.heal()
    cloud.reset_requests()
    cloud.fail(times=None, status=429)
    with pytest.raises(errors.RateLimitedError, match="3 s of waiting"):
        call("list_agents", settings={"max_wait": 3.0})
    assert len(cloud.requests) <= 4
    cloud.heal()
    cloud.fail(times=1, status=503, headers={"Retry-After": "86400"})
    with pytest.raises(errors.ServiceError, match="asked to wait 86400 s"):
        call("list_agents")


def test_tries_against_a_silent_rate_limit_outlast_its_minute(cloud, call, clock, monkeypatch):
    monkeypatch.setattr(transport.random, "uniform", lambda lowest, _: lowest)
    cloud.fail(times=None, status=429)
    with pytest.raises(errors.RateLimitedError):
        call("list_agents")
    assert sum(clock.waits) > 60


def test_a_host_that_never_answered_is_given_up_soon(call, clock):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: connections are refused
        port = taken.getsockname()[1]
        with pytest.raises(errors.ConnectionFailedError, match=rf"127\.0\.0\.1:{port}.*3 tries") as caught:
            call("list_agents", base_url=f"http://127.0.0.1:{port}")
    assert type(caught.value) is errors.ConnectionFailedError
    assert "base_url" in str(caught.value)
    assert len(clock.waits) == 2


def test_a_certificate_that_is_not_trusted_is_not_tried_again(clock, tmp_path):
    if not shutil.which("openssl"):
        pytest.skip("needs the openssl command")
    files = ["-keyout", tmp_path / "key", "-out", tmp_path / "cert"]
    name = ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    subprocess.run([*made, *files, *name], check=True, capture_output=True)
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(tmp_path / "cert", tmp_path / "key")

    error, heads = ask_canned(clock, lambda c: c.list_agents(), answer(b"[]"), tls=tls)
    assert type(error) is errors.ConnectionFailedError
    assert "is not trusted" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert (heads, clock.waits) == ([], [])


# Rate limit and concurrency


def test_no_minute_holds_more_requests_than_the_limit_retries_included(cloud, clock):
    starts = []

    class Watched(RequestBudget):
        def take(self):
            wait = super().take()
            if not wait:
                starts.append(clock.now)
            return wait

    cloud.fail(times=5, status=500)
    budget = Watched(20, clock=clock)

    clients = [LlamaCloudClient(KEY, cloud.base_url, budget=budget, sleep=clock.sleep) for _ in range(2)]
    with clients[0], clients[1]:
        for answer in [client.start(client.list_agents) for client in clients for _ in range(30)]:
            answer.result()
    assert len(starts) == len(cloud.requests) == budget.requests == 65
    assert max(sum(start <= other <= start + 60 for other in starts) for start in starts) <= 20
    assert clock.now - 1000 >= 64 * 3  # no burst, not even the first minute's


def test_while_one_request_is_told_to_wait_the_others_hold_back(cloud, clock):
    cloud.fail(times=1, status=429, headers={"Retry-After": "30"})

    first_asleep, all_asleep, wake = threading.Event(), threading.Event(), threading.Event()

    def sleep(seconds):
        clock.waits.append(seconds)
        first_asleep.set()
        if len(clock.waits) == 8:
            all_asleep.set()
        wake.wait()

    with LlamaCloudClient(KEY, cloud.base_url, budget=RequestBudget(clock=clock), sleep=sleep) as client:
        first = client.start(client.list_agents)
        first_asleep.wait()
        rest = [client.start(client.list_agents) for _ in range(7)]
        assert all_asleep.wait(30)
        assert (clock.waits, len(cloud.requests)) == ([30] * 8, 1)
        clock.now += 30
        wake.set()
        for answer in (first, *rest):
            answer.result()
    assert len(cloud.requests) == 9


def test_requests_in_flight_are_bounded():
    flying = peak = 0
    full = asyncio.Event()

    async def respond(head):
        nonlocal flying, peak
        flying += 1
        peak = max(peak, flying)
        if flying == 3:
            full.set()
        await full.wait()  # the first answer leaves when three requests are here
        flying -= 1
        return answer(b"[]")

    with serving(respond) as url, LlamaCloudClient(KEY, url, max_concurrency=3) as client:
        asked = [client.start(client.list_agents) for _ in range(20)]
        client.list_agents()  # from a thread of its own
        for one in asked:
            one.result()
    assert peak == 3


# The key


def test_the_key_goes_into_the_header_and_nowhere_else(clock, caplog, monkeypatch, tmp_path):
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login somebody password else\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    caplog.set_level(logging.DEBUG)
    echo = answer(f"you sent {KEY}".encode(), "503 Unavailable")

    dumped = []

    def ask(client):
        dumped.append(repr(client) + repr(vars(client)) + repr(vars(client.failures)))
        client.get_run("a")

    error, heads = ask_canned(clock, ask, echo, max_tries=2)
    assert isinstance(error, errors.ServiceError)
    assert [head.count(KEY.encode()) for head in heads] == [1, 1]
    assert all(f"Authorization: Bearer {KEY}\r\n".encode() in head for head in heads)
    assert "httpcore" in {record.name.split(".")[0] for record in caplog.records}
    assert (error.__cause__, error.__context__) == (None, None)
    for text in (*dumped, caplog.text, str(error), repr(error), repr(vars(error)), repr(pickle.dumps(error))):
        assert KEY not in text


def test_a_redirect_to_another_origin_never_carries_the_key(cloud, call):
    with Emulator(runs=1, seed=1, api_key=KEY) as other:
        port = urlsplit(cloud.base_url).port
        targets = [f"{other.base_url}/x", f"https://127.0.0.1:{port}/x", f"//localhost:{port}/x", "http://[", "data:,"]
        for target in targets:
            cloud.fail(times=1, status=307, headers={"Location": target})
            with pytest.raises(errors.UnexpectedResponseError, match=r"key was not sent|unreadable"):
                call("list_agents")
        assert other.requests == []
    assert len(cloud.requests) == len(targets)


def test_redirects_within_the_host_are_followed_a_few_times(cloud, call):
    target = cloud.base_url.replace("//", "//eve:secret@") + "/api/v1/extraction/extraction-agents?include_default=true"
    for status in (301, 302, 303, 307, 308):
        cloud.fail(times=1, status=status, headers={"Location": target})
        if status == 308:
            cloud.fail(times=None, status=308, headers={"Location": "?again=1"})
            with pytest.raises(errors.UnexpectedResponseError, match="more than 3 times"):
                call("list_agents")
        else:
            assert call("list_agents")
            assert cloud.requests[-1].query == {"include_default": ["true"]}


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.cloud.llamaindex.ai",
        "http://10.0.0.1:8000",
        "http://127.0.0.1.example.com",
        "http://localhost@example.com",
        "https://user:password@example.com",
        "https://example.com?token=password",
        "ftp://localhost",
        "api.cloud.llamaindex.ai",
        "https://",
        "",
        None,
    ],
)
def test_a_base_url_that_would_give_the_key_away_is_refused(base_url):
    with pytest.raises(errors.ConfigurationError, match="base_url") as caught:
        LlamaCloudClient(KEY, base_url)
    assert "password" not in str(caught.value).replace("password,", "")


def test_loopback_and_the_endings_people_copy_are_accepted(cloud, call):
    for ending in ("", "/", "//", "/api", "/api/v1", "/api/v1/"):
        assert call("list_agents", base_url=cloud.base_url + ending)
    assert {request.path for request in cloud.requests} == {"/api/v1/extraction/extraction-agents"}
    for url in ("http://localhost:1", "http://[::1]:1", "http://127.8.9.1", "https://example.com/prefix/"):
        assert LlamaCloudClient(KEY, url)


@pytest.mark.parametrize("key", ["", None, "se cret", "secret\n", "\tsecret", "sécret", "se\x00cret"])
def test_a_key_that_cannot_be_one_is_refused_and_not_shown(key):
    with pytest.raises(errors.ConfigurationError, match="API key") as caught:
        LlamaCloudClient(key)
    assert "cret" not in str(caught.value).replace("secrets.toml", "")


def test_errors_survive_pickling_and_copying():
    kinds = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]
    assert len(kinds) == 13
    for kind in kinds:
        error = kind("two\nlines", status=404, method="GET", path="/x")
        for twin in (pickle.loads(pickle.dumps(error)), copy.copy(error), copy.deepcopy(error)):
            assert (type(twin), str(twin), vars(twin)) == (kind, "two lines", vars(error))


def test_a_client_can_be_used_again_and_leaves_no_threads(cloud):
    client, before = LlamaCloudClient(KEY, cloud.base_url), threading.active_count()
    for _ in range(2):
        with client:
            assert len(list(client.ahead(lambda _: client.list_agents(), range(12)))) == 12
    assert (client.budget.requests, threading.active_count()) == (24, before)


@pytest.mark.parametrize("what", ["an answer that does not come", "an answer that breaks off", "a wait"])
def test_closing_ends_what_is_under_way_at_once(what):
    asked = threading.Semaphore(0)
    sent = {
        "an answer that does not come": b"",
        "an answer that breaks off": answer(b"[")[:-1] + b"",
        "a wait": answer(b"{}", "503 Busy", "application/json", "Retry-After: 300"),
    }[what]

    async def respond(_):
        asked.release()
        return sent

    before = threading.active_count()
    with serving(respond) as url:
        with LlamaCloudClient(KEY, url, max_concurrency=4) as client:
            answers = [client.start(client.list_agents) for _ in range(4)]
            asked.acquire()
        for one in answers:
            assert one.cancelled() or isinstance(one.exception(0), errors.ConnectionFailedError)
    assert threading.active_count() == before


def test_an_answer_that_is_too_large_is_not_read_to_its_end(clock):
    body = b'["' + b"x" * 300_000 + b'"]'
    error, heads = ask_canned(clock, lambda c: c.list_agents(), answer(body), max_answer_bytes=200_000)
    assert (type(error), len(heads)) == (errors.AnswerTooLargeError, 1)
    assert "raise max_answer_bytes" in str(error)
    packed = gzip.compress(body)
    zipped = answer(packed, "200 OK", "application/json", "Content-Encoding: gzip")
    error, _ = ask_canned(clock, lambda c: c.list_agents(), zipped, max_answer_bytes=200_000)
    assert type(error) is errors.AnswerTooLargeError
    got, _ = ask_canned(clock, lambda c: c.list_agents(), zipped, max_answer_bytes=len(body))
    assert got == [body[1:-1]]


def test_an_answer_that_never_ends_is_given_up(clock):
    parts = iter([answer(b"x" * 1000)[:-1000], *[b"x"] * 100_000])

    def serve(connection):
        connection.recv(65536)
        with suppress(OSError):
            for part in parts:
                connection.sendall(part)
                over.wait(0.001)
        connection.close()

    over = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=lambda: serve(server.accept()[0]))
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        given_up = pytest.raises(errors.ConnectionBrokenError, match="not complete after")
        with LlamaCloudClient(KEY, url, max_tries=1, timeout=30, deadline=0.05) as client, given_up:
            client.list_agents()
        over.set()
        thread.join()


def test_settings_out_of_range_are_refused():
    with pytest.raises(errors.ConfigurationError):
        LlamaCloudClient(KEY, max_concurrency=0)
    for number in (0, -1):
        with pytest.raises(errors.ConfigurationError):
            RequestBudget(number)
