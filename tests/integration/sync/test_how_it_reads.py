"""How a load reads: ahead across agents, by bytes, in chunks; and that it leaves nothing behind, however it ends."""

import asyncio
import gc
import json
import os
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_extract_dlt import llama_extract, settings, sync
from llama_extract_dlt.service.budget import RequestBudget
from llama_extract_dlt.service.client import LlamaCloudClient, RunPage
from llama_extract_dlt.service.pages import Page, PageRequests
from llama_extract_dlt.service.records import Rejected
from support.agents import Agent
from support.doors import pipeline_of, source_of
from support.http import KEY, Respond, answer, serving
from support.truth import assert_true
from support.warehouse import Warehouse

RUNS = "/api/v1/extraction/runs"


def limits(agent: Agent) -> list[int]:
    """How many runs each request for the agent's list asked for, in order."""
    lists = [request.query for request in agent.cloud.requests if request.path == RUNS]
    return [int(query["limit"][0]) for query in lists if query["extraction_agent_id"] == [agent.id]]


# ── ahead ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def two_lists(asked: list[tuple[str, int]], before: Callable[[str, int], Any], total: int = 250) -> Respond:
    """Serve two agents of 250 runs; `asked` gets what is asked for, `before` is awaited before a page is given.

    With -1 for `total` it is left out of the pages.
    """

    async def respond(head: bytes) -> bytes:
        url = urlsplit(head.split(b" ")[1].decode())
        if url.path.endswith("/extraction-agents"):
            agents = [{"id": name, "name": name, "project_id": "p"} for name in ("first", "second")]
            return answer(json.dumps(agents).encode())
        query = parse_qs(url.query)
        agent, skip = query["extraction_agent_id"][0], int(query["skip"][0])
        asked.append((agent, skip))
        await before(agent, skip)
        runs = [
            {"id": f"{agent}-{number}", "extraction_agent_id": agent, "status": "SUCCESS", "data": {"n": number},
             "created_at": f"2025-01-01T00:{59 - number // 60:02}:{59 - number % 60:02}Z"}
            for number in range(skip, min(skip + 100, 250))
        ]  # fmt: skip
        page = {"items": runs, "skip": skip, "limit": 100} | ({"total": total} if total >= 0 else {})
        return answer(json.dumps(page).encode())

    return respond


PAGES = [(name, skip) for name in ("first", "second") for skip in (0, 99, 198)]


def test_pages_of_the_next_agent_are_asked_for_while_one_agents_end_is_awaited(house: Warehouse) -> None:
    """The last page of the first agent comes only when a later page of the second was asked for."""
    asked: list[tuple[str, int]] = []
    later_page_of_second = asyncio.Event()
    waited: list[bool] = []

    async def before(agent: str, skip: int) -> None:
        if agent == "second" and skip:
            later_page_of_second.set()
        if (agent, skip) == ("first", 198):
            with suppress(TimeoutError):  # only where nothing is asked for, and the test fails
                await asyncio.wait_for(later_page_of_second.wait(), 10)
            waited.append(later_page_of_second.is_set())

    with serving(two_lists(asked, before)) as url:
        source = llama_extract(api_key=KEY, base_url=url)
        pipeline_of(house).run(source)
    assert waited == [True], "nothing of the second agent was asked for while the first one's end was awaited"
    assert source.resources["extraction_runs"].custom_metrics["runs"]["new"] == 500
    assert sorted(asked) == PAGES


def test_a_later_agent_does_not_take_the_connections_of_the_one_that_is_read(house: Warehouse) -> None:
    """Its first page may come before the other's; what follows it waits for that."""
    asked: list[tuple[str, int]] = []
    early: list[bool] = []
    later_page_of_second = asyncio.Event()

    async def before(agent: str, skip: int) -> None:
        if agent == "second" and skip:
            later_page_of_second.set()
        if (agent, skip) == ("first", 0):
            with suppress(TimeoutError):  # as long as it takes a client to ask for what it should not ask for
                await asyncio.wait_for(later_page_of_second.wait(), 0.5)
            early.append(later_page_of_second.is_set())

    with serving(two_lists(asked, before)) as url:
        pipeline_of(house).run(llama_extract(api_key=KEY, base_url=url))
    assert early == [False]
    assert sorted(asked) == PAGES


@pytest.mark.parametrize("total", [250, -1], ids=["total", "no total"])
def test_a_first_page_that_comes_while_others_are_asked_for_ahead_is_read_once(total: int) -> None:
    """Whoever waits for a page asks for others ahead: the one that is waited for may be there before that is done."""
    asked: list[tuple[str, int]] = []
    waits = threading.Event()

    async def before(agent: str, skip: int) -> None:
        await asyncio.to_thread(waits.wait, timeout=300)

    with (
        serving(two_lists(asked, before, total)) as url,
        LlamaCloudClient(KEY, url, budget=RequestBudget(None)) as client,
    ):

        def await_page(page: Future[RunPage]) -> None:
            waits.set()
            page.exception()  # it has come
            requests.ask_ahead()

        requests = PageRequests(
            client, "first", "agent 'first'", 100, whole=True,
            read=lambda raw, position: Rejected(raw, position, raw.decode()), on_request=lambda: None,
            await_page=await_page,
        )  # fmt: skip
        first = requests.first()
        assert isinstance(first, RunPage)
        assert (first.skip, len(first.items)) == (0, 100)
        requests.reuse(None)  # ask anew
        page = requests.page(0)
        assert isinstance(page, Page)
        assert [json.loads(item.raw)["id"] for item in page.items] == [f"first-{number}" for number in range(100)]
    assert [skip for _, skip in asked].count(0) == 2


def test_no_page_beyond_a_chunk_is_asked_for_before_it_is_committed(letters: Agent, house: Warehouse) -> None:
    other = Agent(letters.cloud, "Other")
    letters.add(30)
    other.add(30)
    letters.cloud.page_limit = 5
    asked: list[int] = []

    def on_progress(progress: Any) -> None:
        if progress.step == "loading" and not asked:
            asked.extend([len(letters.offsets()), len(other.offsets())])

    sync(pipeline_of(house), source_of(house, chunk_size=10), on_progress=on_progress)
    pages = 10 // 4 + 2  # a chunk's, one that reaches over its end, and the next agent's first
    assert asked
    assert asked[0] <= pages
    assert asked[1] <= 1
    assert_true(house)


# ── by bytes ──────────────────────────────────────────────────────────────────────────────────────────────────────


def test_large_runs_are_asked_for_in_small_pages(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "PAGE_BYTES", 50_000)
    letters.add(300, data={"n": 1})
    letters.add(100, data={"text": "x" * 10_000})
    house.load()
    first, second, *others = limits(letters)
    assert (first, second) == (100, 4)
    assert max(others) == 100  # larger again, once small runs were seen
    assert_true(house)
    letters.cloud.reset_requests()
    house.load()
    assert limits(letters) == [100]


def test_a_page_that_is_too_large_is_asked_for_in_parts(
    letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(settings, "MAX_PAGE_BYTES", 100_000)
    letters.add(40, data={"text": "x" * 10_000})
    counts = house.load()
    assert (counts["runs"]["new"], counts["unreadable"]) == (40, {})
    assert_true(house)


def test_one_run_that_is_too_large_is_set_aside_and_the_others_load(letters: Agent, house: Warehouse) -> None:
    letters.add(3)
    (large,) = letters.add(data={"text": "x" * 300_000})
    letters.add(3)
    counts = house.load(max_answer_bytes=200_000)
    assert counts["runs"]["new"] == 6
    assert "raise max_answer_bytes" in counts["unreadable"][letters.id]
    assert large not in {row["id"] for row in house.rows("extraction_runs")}
    house.load()
    assert_true(house)


def test_a_chunk_ends_after_so_many_bytes(letters: Agent, house: Warehouse, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "CHUNK_BYTES", 50_000)
    letters.add(20, data={"text": "x" * 10_000})
    house.load(chunk_size=1000)
    loads = {row["_dlt_load_id"] for row in house.rows("extraction_runs")}
    assert len(loads) == 4  # five runs reach 50,000 bytes
    assert_true(house)


# ── nothing is left ───────────────────────────────────────────────────────────────────────────────────────────────


def left_over(house: Warehouse) -> tuple[int, int]:
    """Threads and descriptors, without the emulator's side of connections: it closes that when it hears of the end."""
    gc.collect()
    service = urlsplit(house.cloud.base_url).port
    descriptors = [link for link in Path("/proc/self/fd").iterdir() if own_port(link) != service]
    return threading.active_count(), len(descriptors)


def own_port(link: Path) -> int | None:
    """This side's port, if it is a connection."""
    if not link.is_socket():
        return None
    with socket.socket(fileno=os.dup(int(link.name))) as connection:
        return connection.getsockname()[1] if connection.family == socket.AF_INET else None


def plain_run(house: Warehouse) -> None:
    pipeline_of(house).run(source_of(house, chunk_size=10))


def limited_run(house: Warehouse) -> None:
    pipeline_of(house).run(source_of(house, chunk_size=10).add_limit(1))


def abandoned_iteration(house: Warehouse) -> None:
    for _ in source_of(house).resources["extraction_runs"]:
        break


def failing_run(house: Warehouse) -> None:
    house.cloud.fail(times=None, skip=3, status=401)
    with pytest.raises(PipelineStepFailed):
        pipeline_of(house).run(source_of(house))
    house.cloud.heal()


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="counts descriptors as Linux lists them")
@pytest.mark.parametrize("run", [plain_run, limited_run, abandoned_iteration, failing_run])
def test_a_run_leaves_no_thread_and_no_descriptor(
    run: Callable[[Warehouse], None], letters: Agent, house: Warehouse
) -> None:
    letters.add(40)
    letters.cloud.page_limit = 5
    run(house)  # what is made once, such as pools of Arrow and DuckDB
    threads, descriptors = left_over(house)
    for _ in range(3):
        house.forget()
        run(house)
    after = left_over(house)
    assert after[0] <= threads
    assert after[1] <= descriptors
