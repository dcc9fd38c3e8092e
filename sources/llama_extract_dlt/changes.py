"""Which runs a sync reads, and in what order: by ID, by job, then agent after agent what is new or has changed."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import Any, TypeVar

import msgspec

from . import settings
from .agent_runs import AgentRuns, ahead, first_pages
from .chunks import Agent, Chunk, Given, Selection
from .client import LlamaCloudClient
from .exceptions import ConfigurationError, InvalidRequestError, NotFoundError, PermissionDeniedError
from .holdings import Holdings
from .runs import Rejected, Run, read_run
from .watermarks import AgentState

_logger = logging.getLogger(__name__)
_R = TypeVar("_R")
_ASKED_TOGETHER = 200  # runs read by ID that are looked up in the warehouse at once


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


def checked_time(given: object, what: str) -> datetime | None:
    """An instant, in UTC if it does not say where; None if nothing is given. Raises ConfigurationError."""
    if given is None or given == "":
        return None
    try:
        moment = given if isinstance(given, datetime) else datetime.fromisoformat(str(given).strip())
    except ValueError:
        message = f"{what} is {given!r}, which is no time: write 2026-01-31 or 2026-01-31T08:00:00Z"
        raise ConfigurationError(message) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


async def read_agents(client: LlamaCloudClient) -> list[Agent]:
    """All agents of the project, the default ones included."""
    agents = []
    for raw in await client.list_agents(include_default=True):
        item = read_run(raw, "the list of agents")
        if isinstance(item, Run):
            name, project = item.text("name") or "", item.text("project_id") or ""
            agents.append(Agent(item.id, name, project, raw, item.content_hash))
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


class ChangeReader:
    """Finds the runs that the warehouse does not have as they are at the service.

    Args:
        states: what the last sync left about each agent, by agent id.
        holdings: what the warehouse has.
        now: the time by this machine's clock.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        selection: Selection,
        states: Mapping[str, Any],
        holdings: Holdings,
        now: datetime,
    ) -> None:
        self._client = client
        self._selection = selection
        self._states = states
        self._holdings = holdings
        self._now = now
        self._given = Given(selection.chunk_size)
        self._scanned = False

    async def batches(self) -> AsyncGenerator[Chunk, None]:
        """All that is found, up to `BATCH_RUNS` runs or `BATCH_BYTES` at a time.

        Requests run ahead of what is consumed, but not beyond the page in which the runs to commit together end; the
        order does not depend on which is answered first.
        """
        chunk_size = self._selection.chunk_size
        batch, given = Chunk(), 0
        try:
            async with AsyncExitStack() as stack:
                async for found in self._found(stack):
                    for run in found.runs:
                        # Only when there is another one, so that the last batch has runs, too.
                        if batch.commit or len(batch.runs) >= settings.BATCH_RUNS or batch.size >= settings.BATCH_BYTES:
                            yield await self._described(batch)
                            batch = Chunk()
                        batch.runs.append(run)
                        batch.size += run.size
                        given += 1
                        batch.commit = chunk_size is not None and given % chunk_size == 0
                    batch.add(found)  # with the last of its runs, since its states speak of all of them
        except Exception:
            if batch.commit:  # what is there is loaded before the failure is told
                yield await self._described(batch)
            raise
        batch.last, batch.commit = True, False
        yield await self._described(batch)

    async def _found(self, stack: AsyncExitStack) -> AsyncIterator[Chunk]:
        selection = self._selection
        for get, ids, what in (
            (self._client.get_run, selection.run_ids, "run"),
            (self._client.get_run_by_job, selection.job_ids, "job"),
        ):
            async for chunk in self._by_id(get, ids, what, stack):
                yield chunk
        async for agent, first in first_pages(self._client, selection, stack):
            if isinstance(first, str):
                yield Chunk(unreadable={agent.id: first}, counts=Counter({(agent.id, "requests"): 1}))
                continue
            state = AgentState.load(self._states.get(agent.id, {}))
            runs = AgentRuns(self._client, selection, self._holdings, self._given, self._now, agent, state)
            async for chunk in runs.read(first):
                yield chunk
            self._scanned |= runs.scanned
        if selection.whole_project and self._scanned and selection.deleted_runs != "ignore":
            async for chunk in self._vanished():
                yield chunk
        if self._scanned:
            orphans = await asyncio.to_thread(self._holdings.orphans)
            # What this sync has given may be on its way there.
            yield Chunk(orphans=[run_id for run_id in orphans if run_id not in self._given])

    async def _by_id(
        self, get: Callable[[str], Awaitable[bytes]], ids: Sequence[str], what: str, stack: AsyncExitStack
    ) -> AsyncIterator[Chunk]:
        """The runs with these ids (run or job ids, as `get` takes them). No state is kept of them."""

        async def fetch(wanted: str) -> Run | Rejected | str:
            try:
                return read_run(await get(wanted), f"{what} {wanted}")
            except NotFoundError:
                return wanted

        chunk, runs = Chunk(), list[Run]()

        async def judged() -> Chunk:
            known = await asyncio.to_thread(self._holdings.runs, [run.id for run in runs])
            for run in runs:
                verdict = known.judge(run)
                if run.id not in self._given:
                    chunk.counts[run.agent_id, verdict] += 1
                    if verdict != "unchanged":
                        self._given.give(run, chunk)
            runs.clear()
            return chunk

        async for found in ahead(fetch, ids, self._selection.concurrency, stack):
            if isinstance(found, Run):
                chunk.counts[found.agent_id, "requests"] += 1
                runs.append(found)
            elif isinstance(found, Rejected):
                chunk.rejected.append(found)
            else:
                chunk.missing.append(found)
            if len(runs) >= _ASKED_TOGETHER:
                yield await judged()
                chunk = Chunk()
        yield await judged()

    async def _vanished(self) -> AsyncIterator[Chunk]:
        """Deletes the runs of agents that are no more.

        That an agent is not in the list is no proof: the key may have another project. So it must be one of this
        project's agents, and unknown when it is asked for.
        """
        listed = {agent.id for agent in self._selection.agents}
        projects = {agent.project_id for agent in self._selection.agents}
        held = await asyncio.to_thread(self._holdings.agents)
        for agent_id, project in held.items():
            if agent_id in listed or project not in projects:
                continue
            chunk = Chunk(counts=Counter({(agent_id, "requests"): 1}))
            try:
                await self._client.get_agent(agent_id)
            except NotFoundError:
                known = await asyncio.to_thread(self._holdings.runs_of_agent, agent_id)
                chunk.deleted = [(run_id, agent_id) for run_id in known.unseen()]
                chunk.counts[agent_id, "deleted"] = len(chunk.deleted)
                chunk.states[agent_id] = None
            except (PermissionDeniedError, InvalidRequestError):
                pass
            yield chunk

    async def _described(self, batch: Chunk) -> Chunk:
        """The batch, whose runs that have a `file_id` but no `file` (which is deprecated) get that file's record."""
        nameless: dict[str, list[Run]] = {}
        for run in batch.runs if self._selection.lookup_files else ():
            file_id = run.text("file_id")
            if file_id and bytes(run.fields.get("file", b"null")) == b"null":
                nameless.setdefault(file_id, []).append(run)
        if not nameless:
            return batch
        try:
            records = await self._client.list_files(nameless)
        except (PermissionDeniedError, NotFoundError, InvalidRequestError) as error:
            # The endpoint is a beta. Without it the runs are still worth loading; their `file_id` stays.
            _logger.warning("%d runs are loaded without their file's record: %s", len(nameless), error)
            return batch
        for record in records:
            item = read_run(record, "the list of files")
            if isinstance(item, Run):
                for run in nameless.get(item.id, nameless.get(item.id.removeprefix("dfl-"), [])):
                    run.fields["file"] = msgspec.Raw(record)
        return batch


async def read_ahead(
    batches: AsyncIterator[Chunk], read: Callable[[Chunk], _R]
) -> AsyncGenerator[tuple[Chunk, _R], None]:
    """Batches with what `read` makes of them in a thread, while one is written and the next but one is fetched.

    After a batch that is to be committed nothing is fetched before somebody asks for the next.
    """
    loop = asyncio.get_running_loop()
    ready: asyncio.Queue[tuple[Chunk, asyncio.Future[_R]] | Exception | None] = asyncio.Queue()
    room = asyncio.Semaphore(1)  # for what is read and not yet taken
    go_on = asyncio.Event()

    async def fill(reader: ThreadPoolExecutor) -> None:
        try:
            async for batch in batches:
                await room.acquire()
                ready.put_nowait((batch, loop.run_in_executor(reader, read, batch)))
                if batch.commit:
                    await go_on.wait()
                    go_on.clear()
        except Exception as error:
            ready.put_nowait(error)
        else:
            ready.put_nowait(None)

    with ThreadPoolExecutor(1, "llama-extract-read") as reader:
        task = asyncio.ensure_future(fill(reader))
        try:
            while (item := await ready.get()) is not None:
                if isinstance(item, Exception):
                    raise item
                batch, result = item
                done = await result
                room.release()
                yield batch, done
                if batch.commit:
                    go_on.set()
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
