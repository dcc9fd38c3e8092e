"""Which runs a sync reads, and in what order: by ID, by job, or page by page agent after agent."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import TypeVar

import msgspec

from . import settings
from .client import LlamaCloudClient, RunPage
from .exceptions import ConfigurationError, InvalidRequestError, NotFoundError, PermissionDeniedError
from .runs import Rejected, Run, read_run

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_R = TypeVar("_R")


@dataclass(frozen=True, slots=True)
class Agent:
    """An extraction agent: its id, its name and its raw JSON."""

    id: str
    name: str
    raw: bytes


@dataclass(slots=True)
class Chunk:
    """Runs to load together, each once in a sync, with what was rejected or not found on the way."""

    runs: list[Run] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    size: int = 0


def checked_ids(ids: Iterable[str], what: str) -> list[str]:
    """IDs in the API's spelling, each once. Raises ConfigurationError that names the first that is no UUID."""
    checked: dict[str, None] = {}
    for text in ids:
        try:
            checked[str(uuid.UUID(text.strip()))] = None
        except (ValueError, AttributeError):
            message = f"{text!r} is not a {what}: IDs look like 3fa85f64-5717-4562-b3fc-2c963f66afa6"
            raise ConfigurationError(message) from None
    return list(checked)


async def read_agents(client: LlamaCloudClient) -> list[Agent]:
    """All agents of the project, the default ones included."""
    agents = []
    for raw in await client.list_agents(include_default=True):
        item = read_run(raw, "the list of agents")
        if isinstance(item, Run):
            agents.append(Agent(item.id, item.text("name") or "", raw))
    return agents


def select_agents(agents: Sequence[Agent], wanted: Sequence[str]) -> list[Agent]:
    """The agents with these ids or names. Raises ConfigurationError that lists the names there are."""
    selected: dict[str, Agent] = {}
    for text in wanted:
        found = [agent for agent in agents if text in (agent.id, agent.name)]
        if not found:
            names = ", ".join(sorted(repr(agent.name) for agent in agents)) or "none"
            raise ConfigurationError(f"there is no agent {text!r}; the agents of this project are: {names}")
        selected |= {agent.id: agent for agent in found}
    return list(selected.values())


async def read_chunks(
    client: LlamaCloudClient,
    agents: Sequence[Agent],
    run_ids: Sequence[str],
    job_ids: Sequence[str],
    *,
    page_size: int = settings.PAGE_SIZE,
    chunk_runs: int = settings.CHUNK_RUNS,
    concurrency: int = settings.MAX_CONCURRENCY,
    lookup_files: bool = True,
) -> AsyncGenerator[Chunk, None]:
    """All runs of `agents`, those with `run_ids` and those of `job_ids`, each run once.

    Requests run ahead of what is consumed, at most `concurrency` of them; the order is always the same. The
    last chunk may be empty. With `lookup_files`, runs that name a file without describing it get its record.
    """
    seen: set[str] = set()
    chunk = Chunk()

    async def complete() -> Chunk:
        if lookup_files:
            await _describe_files(client, chunk.runs)
        return chunk

    async with AsyncExitStack() as stack:
        for source in (
            _by_id(client.get_run, run_ids, "run", concurrency, stack),
            _by_id(client.get_run_by_job, job_ids, "job", concurrency, stack),
            _by_agent(client, agents, page_size, concurrency, stack),
        ):
            async for found in source:
                if isinstance(found, str):
                    chunk.missing.append(found)
                elif isinstance(found, Rejected):
                    chunk.rejected.append(found)
                    chunk.size += len(found.raw)
                elif found.id not in seen:
                    seen.add(found.id)
                    chunk.runs.append(found)
                    chunk.size += found.size
                if len(chunk.runs) >= chunk_runs or chunk.size >= settings.CHUNK_BYTES:
                    yield await complete()
                    chunk = Chunk()
        yield await complete()


async def read_ahead(
    chunks: AsyncIterator[Chunk], read: Callable[[Chunk], _R]
) -> AsyncGenerator[tuple[Chunk, _R], None]:
    """Chunks with what `read` makes of them in a thread, while one is loaded and the next but one is fetched."""
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[tuple[Chunk, asyncio.Future[_R]] | Exception | None] = asyncio.Queue(maxsize=1)

    async def fill(reader: ThreadPoolExecutor) -> None:
        try:
            async for chunk in chunks:
                await ready.put((chunk, loop.run_in_executor(reader, read, chunk)))
        except Exception as error:
            await ready.put(error)
        else:
            await ready.put(None)

    with ThreadPoolExecutor(1, "llama-extract-read") as reader:  # one: chunks are read in their order
        task = asyncio.ensure_future(fill(reader))
        try:
            while (item := await ready.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                chunk, result = item
                yield chunk, await result
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)


async def _by_id(
    get: Callable[[str], Awaitable[bytes]], ids: Sequence[str], what: str, concurrency: int, stack: AsyncExitStack
) -> AsyncIterator[Run | Rejected | str]:
    """The runs with these ids (run or job ids, as `get` takes them); the id itself where there is none."""

    async def fetch(wanted: str) -> Run | Rejected | str:
        try:
            return read_run(await get(wanted), f"{what} {wanted}")
        except NotFoundError:
            return wanted

    async for found in _ahead(fetch, ids, concurrency, stack):
        yield found


async def _by_agent(
    client: LlamaCloudClient, agents: Sequence[Agent], page_size: int, concurrency: int, stack: AsyncExitStack
) -> AsyncIterator[Run | Rejected]:
    """All runs of these agents. Several agents' first pages, then an agent's next ones, are fetched ahead."""

    async def first_page(agent: Agent) -> RunPage:
        return await client.list_runs(agent.id, skip=0, limit=page_size)

    order = iter(agents)
    async for page in _ahead(first_page, agents, concurrency, stack):
        agent = next(order)
        for item in _read_page(page, agent):
            yield item
        step, skip = len(page.items), len(page.items)
        while step and skip < page.total:
            # The service may serve fewer than it did on the page before: go on from where a page really ended.
            offsets = range(skip, page.total, step)

            async def next_page(offset: int, agent: Agent = agent) -> RunPage:
                return await client.list_runs(agent.id, skip=offset, limit=page_size)

            async with AsyncExitStack() as pages:
                async for page in _ahead(next_page, offsets, concurrency, pages):
                    for item in _read_page(page, agent):
                        yield item
                    skip += len(page.items)
                    if len(page.items) != step:
                        step = len(page.items)
                        break


async def _describe_files(client: LlamaCloudClient, runs: Sequence[Run]) -> None:
    """Gives runs whose deprecated `file` is null though they have a `file_id` the record of that file."""
    nameless: dict[str, list[Run]] = {}
    for run in runs:
        file_id = run.text("file_id")
        if file_id and bytes(run.fields.get("file", b"null")) == b"null":
            nameless.setdefault(file_id, []).append(run)
    if not nameless:
        return
    try:
        records = await client.list_files(nameless)
    except (PermissionDeniedError, NotFoundError, InvalidRequestError) as error:
        # The endpoint is a beta. Without it the runs are still worth loading; their `file_id` stays.
        _logger.warning("%d runs are loaded without their file's record: %s", len(nameless), error)
        return
    for record in records:
        item = read_run(record, "the list of files")
        if isinstance(item, Run):
            for run in nameless.get(item.id, nameless.get(item.id.removeprefix("dfl-"), [])):
                run.fields["file"] = msgspec.Raw(record)


def _read_page(page: RunPage, agent: Agent) -> list[Run | Rejected]:
    where = f"agent {agent.name!r}, run list at offset"
    return [read_run(item, f"{where} {page.skip + place}") for place, item in enumerate(page.items)]


async def _ahead(
    fetch: Callable[[_T], Awaitable[_R]], arguments: Iterable[_T], count: int, stack: AsyncExitStack
) -> AsyncIterator[_R]:
    """Results in the order of the arguments, up to `count` fetched ahead; `stack` cancels what is left over."""
    rest = iter(arguments)
    tasks: list[asyncio.Task[_R]] = []

    async def cancel() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(cancel)
    while True:
        while len(tasks) < count:
            try:
                tasks.append(asyncio.ensure_future(fetch(next(rest))))
            except StopIteration:
                break
        if not tasks:
            return
        result = await tasks[0]
        del tasks[0]
        yield result
