"""Which runs a sync reads, and in what order: by ID, by job, then agent after agent what is new or has changed."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any, TypeVar

import msgspec

from .. import settings
from ..errors import ConfigurationError, LlamaExtractError, NotFoundError, is_fatal
from ..service.client import LlamaCloudClient
from ..service.records import Rejected, Run, read_run
from .agent_state import AgentState, without_file
from .agent_sync import AgentRuns, Confirmed, ahead, asked_for, describe_failures, first_pages, read_item
from .events import Agent, Chunk, Given, Selection
from .warehouse_index import Warehouse

_logger = logging.getLogger(__name__)
_R = TypeVar("_R")
_ASKED_TOGETHER = 200  # runs read by ID that are looked up in the warehouse at once


async def read_agents(client: LlamaCloudClient) -> tuple[list[Agent], list[Rejected]]:
    """All agents of the project, the default ones included, and what was none."""
    agents, rejected = list[Agent](), list[Rejected]()
    for raw in await client.list_agents(include_default=True):
        item = read_run(raw, "the list of agents")
        if isinstance(item, Run):
            name, project = item.text("name") or "", item.text("project_id") or ""
            agents.append(Agent(item.id, name, project, raw, item.content_hash))
        else:
            rejected.append(item)
    return agents, rejected


def select_agents(agents: Sequence[Agent], wanted: Sequence[str]) -> list[Agent]:
    """The agents with these ids or names. Raises ConfigurationError that lists the names there are."""
    selected: dict[str, Agent] = {}
    for text in wanted:
        found = [agent for agent in agents if text in (agent.id, agent.name)]
        if not found:
            names = ", ".join(sorted(repr(agent.name) for agent in agents)) or "none"
            shown = f"{text[:4]}…" if text.startswith("llx-") else text  # a key that came to the wrong place
            raise ConfigurationError(f"there is no agent {shown!r}; the agents of this project are: {names}")
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
        holdings: Warehouse,
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
            (self._client.get_run, selection.run_ids or (), "run"),
            (self._client.get_run_by_job, selection.job_ids or (), "job"),
        ):
            async for chunk in self._by_id(get, ids, what, stack):
                yield chunk
        unsettled = []
        async for agent, first in first_pages(self._client, selection, stack):
            state = AgentState.load(self._states.get(agent.id, {}))
            runs = AgentRuns(self._client, selection, self._holdings, self._given, self._now, agent, state)
            async for chunk in runs.read(first):
                yield chunk
            self._scanned |= runs.scanned
            if runs.gone:
                unsettled.append(runs)
        for runs in unsettled:
            async for chunk in runs.settle():
                yield chunk
        if selection.whole_project and self._scanned and selection.deleted_runs != "ignore":
            async for chunk in self._vanished(stack):
                yield chunk
        if self._scanned:
            # What this sync has given is on its way there.
            yield Chunk(orphans=[run_id for run_id in self._holdings.orphans if run_id not in self._given])

    async def _by_id(
        self, get: Callable[[str], Awaitable[bytes]], ids: Sequence[str], what: str, stack: AsyncExitStack
    ) -> AsyncIterator[Chunk]:
        """The runs with these ids (run or job ids, as `get` takes them). No state is kept of them."""

        async def fetch(wanted: str) -> Run | Rejected | tuple[str, LlamaExtractError]:
            try:
                item = read_item(await get(wanted), f"{what} {wanted}", self._selection)
                return asked_for(item, "id" if what == "run" else "job_id", wanted)
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                return wanted, error

        chunk, runs = Chunk(), list[Run]()

        async def judged() -> Chunk:
            known = await asyncio.to_thread(self._holdings.runs, [run.id for run in runs])
            for run in runs:
                verdict = run.verdict = known.judge(run)
                if run.id not in self._given:
                    if verdict == "incomplete":
                        chunk.only_with_file.add(run.id)
                    else:
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
            elif isinstance(found[1], NotFoundError):
                chunk.missing.append(found[0])
            else:
                chunk.unreadable[found[0]] = f"{what} {found[0]}: {found[1]}"
            if len(runs) >= _ASKED_TOGETHER:
                yield await judged()
                chunk = Chunk()
        yield await judged()

    async def _vanished(self, stack: AsyncExitStack) -> AsyncIterator[Chunk]:
        """Deletes the runs of agents that are no more.

        That an agent is not in the list is no proof: the key may have another project. So it must be one of this
        project's agents, and unknown when it is asked for, as must be its runs.
        """
        listed = {agent.id for agent in self._selection.agents}
        projects = {agent.project_id for agent in self._selection.agents}
        removes = self._selection.deleted_runs == "remove"
        held = await asyncio.to_thread(self._holdings.agents, found_deleted=removes)
        for agent_id, project in held.items():
            if agent_id in listed or project not in projects:
                continue
            yield Chunk(counts=Counter({(agent_id, "requests"): 1}))
            try:
                await self._client.get_agent(agent_id)
                continue
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                if not isinstance(error, NotFoundError):
                    continue
            known = await asyncio.to_thread(self._holdings.runs_of_agent, agent_id)
            unseen, confirmed = known.unseen(found_deleted=removes), Confirmed()
            candidates = [run_id for run_id in unseen if run_id not in self._given]

            def read(raw: bytes, position: str) -> Run | Rejected:
                return read_item(raw, position, self._selection)

            try:
                async for item in confirmed.ask(self._client, read, agent_id, candidates, self._selection, stack):
                    chunk = Chunk(counts=Counter({(agent_id, "requests"): 1}))
                    if item is not None and item.agent_id != agent_id and self._given.give(item, chunk):
                        chunk.counts[item.agent_id, "updated"] += 1
                    yield chunk
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                yield Chunk(unreadable={agent_id: str(error)})
                continue
            if confirmed.alive:
                reason = f"the agent is not there, but its run {confirmed.alive[0]} is: nothing was taken for deleted"
                yield Chunk(unreadable={agent_id: reason})
                continue
            chunk = Chunk(deleted=[(run_id, agent_id) for run_id in confirmed.gone])
            if confirmed.failed:
                chunk.unreadable[agent_id] = describe_failures(confirmed.failed, "whose agent is not there")
            chunk.counts[agent_id, "deleted"] = len(chunk.deleted)
            if len(confirmed.gone) == len(candidates):
                chunk.states[agent_id] = None
            yield chunk

    async def _described(self, batch: Chunk) -> Chunk:
        """The batch with what else must be known to write it: its runs' former agents, and the records of their files.

        Runs that have a `file_id` but no `file` (which is deprecated) get that file's record. Where there is none, the
        hash says so; a run that is only there for its file is left out then.
        """
        nameless: dict[str, list[Run]] = {}
        for run in batch.runs:
            file_id = run.text("file_id")
            if file_id and bytes(run.fields.get("file", b"null")) == b"null":
                nameless.setdefault(file_id, []).append(run)
        records = await self._file_records(list(nameless)) if self._selection.lookup_files and nameless else {}
        for file_id, runs in nameless.items():
            record = records.get(file_id)
            for run in runs:
                if record is None:
                    run.content_hash = without_file(run.content_hash)
                else:
                    run.fields["file"] = msgspec.Raw(record)
        kept = []
        for run in batch.runs:
            if run.id in batch.only_with_file:
                found = records.get(run.text("file_id") or "") is not None
                batch.counts[run.agent_id, "updated" if found else "unchanged"] += 1
                if not found:
                    continue
            kept.append(run)
        batch.runs = kept
        if kept:
            agents = await asyncio.to_thread(self._holdings.agents_of, [run.id for run in kept])
            batch.moved = {run.id: agents[run.id] for run in kept if agents.get(run.id, run.agent_id) != run.agent_id}
        return batch

    async def _file_records(self, file_ids: Sequence[str]) -> dict[str, bytes]:
        """The records of files by their id, as far as they can be had: without them runs are still worth loading."""
        found: dict[str, bytes] = {}
        for start in range(0, len(file_ids), settings.FILES_PER_REQUEST):
            asked = file_ids[start : start + settings.FILES_PER_REQUEST]
            try:
                records = await self._client.list_files(asked)
            except LlamaExtractError as error:  # the endpoint is a beta
                if is_fatal(error):
                    raise
                _logger.warning("the runs of %d files are loaded without the files' records: %s", len(asked), error)
                continue
            for record in records:
                item = read_run(record, "the list of files")
                if isinstance(item, Run):
                    for file_id in (item.id, item.id.removeprefix("dfl-")):
                        if file_id in asked:
                            found[file_id] = record
        return found


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
