"""One sync of the source: what its resources share, and how asynchronous reading feeds them."""

from __future__ import annotations

import asyncio
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping
from concurrent.futures import Future, wait
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any, NamedTuple, TypeVar

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from .changes import ChangeReader, read_agents, read_ahead, select_agents
from .chunks import Agent, Chunk, Selection
from .client import LlamaCloudClient, RequestBudget
from .holdings import Holdings
from .parsing import Parser, give_back_memory
from .planning import AgentPlan, plan
from .reading import ReadRuns, read_runs
from .tables import LoadTable, RunTables, agent_table, without_nul

_T = TypeVar("_T")

UNFINISHED: ContextVar[list[Sync] | None] = ContextVar("unfinished", default=None)
"""Where syncs enter themselves that somebody will close if no more of them is wanted."""


class Batch(NamedTuple):
    """What the runs resource is fed with: what was found, and its runs parsed."""

    sync: Sync
    chunk: Chunk
    read: ReadRuns

    def tables(self, schema: dlt.Schema, state: dict[str, Any]) -> Iterator[LoadTable]:
        """The tables to load; `state` (the resource's) then says what will be in the warehouse with them."""
        sync, chunk, load_id = self.sync, self.chunk, current_load_id()
        tables = sync.tables(schema)
        if sync.selection.data_tables == "per_agent":
            tables.data_table = sync.data_table(state.setdefault("data_tables", {}), schema)
        flag = sync.selection.deleted_runs == "flag"
        known = state.setdefault("agent_tables", {})
        removed = [*(() if flag else chunk.deleted), *((run_id, None) for run_id in chunk.orphans)]
        made = tables.build(self.read, chunk.rejected, known, load_id, removed)
        sync.count(chunk)
        agents = state.setdefault("agents", {})
        for agent_id, left in chunk.states.items():
            if left is None:
                agents.pop(agent_id, None)
            else:
                agents[agent_id] = left
        gone = sync.holdings.rows([run_id for run_id, _ in chunk.deleted]) if flag else ()
        for table in chain(made, tables.flagged(gone, load_id, sync.now)):
            if sync.no_nul:
                table.data = without_nul(table.data)
            sync.count_rows(table)
            yield table


class Sync:
    """From the list of agents to the last run that has changed; it may be loaded in several packages.

    Args:
        connect: makes a client; the resources that run in loops of their own have one each.
        budget: the requests of all of them.
        wanted: ids or names of agents; the whole project if there are none and nothing else is selected.
    """

    def __init__(
        self,
        connect: Callable[[RequestBudget], LlamaCloudClient],
        budget: RequestBudget,
        selection: Selection,
        wanted: list[str],
    ) -> None:
        self.now = datetime.now(UTC)
        self.selection = selection
        self.complete = False
        """Whether all that was to be read has been given."""
        self._connect = connect
        self._budget = budget
        self._wanted = wanted
        self.no_nul = False
        """Whether the destination's texts cannot have the character NUL."""
        self.holdings = Holdings(None, None)
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rejected = 0
        self._missing: list[str] = []
        self._unreadable: dict[str, str] = {}
        self._parser = Parser()
        self._names: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self._tables: RunTables | None = None
        self._agents: Future[list[Agent]] | None = None
        self._lock = threading.Lock()
        self._batches: Generator[Batch, None, None] | None = None

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────

    def agents(self) -> Generator[list[Agent], None, None]:
        """The agents that are wanted, once."""

        async def feed() -> AsyncGenerator[list[Agent], None]:
            async with self._connect(self._budget) as client:
                found = await self._all_agents(client)
                yield select_agents(found, self._wanted) if self._wanted else found

        yield from in_own_loop(feed())

    def plan(self, states: Mapping[str, Any]) -> Generator[AgentPlan, None, None]:
        """What the sync would read of each agent, `states` being theirs."""

        async def feed() -> AsyncGenerator[AgentPlan, None]:
            async with self._connect(self._budget) as client:
                selection = await self._selected(client)
                async for agent_plan in plan(client, selection, states, self.now):
                    yield agent_plan

        yield from in_own_loop(feed())

    def batches(self, states: Mapping[str, Any], schema: dlt.Schema) -> Generator[Batch, None, None]:
        """What is found, as much as is to be committed together; asked for again, it goes on from there.

        `states` are those of the agents, and `schema` has the tables that there are, when the sync begins.
        """
        if self._batches is None:
            pipeline = _pipeline()
            if pipeline is not None:
                self.no_nul = pipeline.destination.destination_type.endswith(("postgres", "redshift"))
            self.holdings = Holdings(pipeline.destination_client() if pipeline else None, schema)
            self._batches = in_own_loop(self._feed(states))
            if (unfinished := UNFINISHED.get()) is not None:
                unfinished.append(self)
        commit = False
        try:
            while not commit and (batch := self._next()) is not None:
                commit = batch.chunk.commit
                self.complete |= batch.chunk.last
                yield batch
                del batch
        except BaseException:
            self.close()
            raise

    def _next(self) -> Batch | None:
        """What is read next; what the batch before needed, memory that the allocators keep, goes back to the system."""
        assert self._batches is not None
        batch = next(self._batches, None)
        give_back_memory()
        return batch

    def close(self) -> None:
        """Reads nothing more: what failed is begun anew, by another sync."""
        if self._batches is not None:
            self._batches.close()
        self.complete = True

    async def _feed(self, states: Mapping[str, Any]) -> AsyncGenerator[Batch, None]:
        async with self._connect(self._budget) as client:
            selection = await self._selected(client)
            batches = ChangeReader(client, selection, states, self.holdings, self.now).batches()
            async with aclosing(batches), aclosing(read_ahead(batches, self._read)) as ahead:
                async for chunk, read in ahead:
                    yield Batch(self, chunk, read)

    async def _selected(self, client: LlamaCloudClient) -> Selection:
        """What is to be read, with its agents."""
        if self._wanted:
            return replace(self.selection, agents=select_agents(await self._all_agents(client), self._wanted))
        if not self.selection.run_ids and not self.selection.job_ids:
            return replace(self.selection, agents=await self._all_agents(client), whole_project=True)
        if self.selection.data_tables == "per_agent":
            await self._all_agents(client)  # for their names
        return self.selection

    async def _all_agents(self, client: LlamaCloudClient) -> list[Agent]:
        """The project's agents; whichever resource needs them first asks for them, the other waits."""
        with self._lock:
            mine = self._agents is None
            answer = self._agents = self._agents or Future()
        if mine:
            try:
                answer.set_result(await read_agents(client))
            except BaseException as error:
                answer.set_exception(error)
                raise
        found = await asyncio.wrap_future(answer)
        self._names = {agent.id: agent.name for agent in found}
        return found

    def _read(self, chunk: Chunk) -> ReadRuns:
        return read_runs(chunk.runs, self._parser)

    # ── making tables ─────────────────────────────────────────────────────────────────────────────────────────

    def tables(self, schema: dlt.Schema) -> RunTables:
        """What makes the tables, for all that is extracted."""
        if self._tables is None:
            self._tables = RunTables(schema)
        return self._tables

    def data_table(self, given: dict[str, str], schema: dlt.Schema) -> Callable[[str], str]:
        """What names an agent's data table; `given` are the names so far, by agent id."""

        def name(agent_id: str) -> str:
            return agent_table(given, agent_id, self._names.get(agent_id, ""), schema.naming)

        return name

    # ── counting ──────────────────────────────────────────────────────────────────────────────────────────────

    def count(self, chunk: Chunk) -> None:
        """Counts what was found."""
        self._counts += chunk.counts
        self._rejected += len(chunk.rejected)
        self._missing += chunk.missing
        self._unreadable |= chunk.unreadable

    def count_rows(self, table: LoadTable) -> None:
        """Counts the rows of a table that goes into the load."""
        if table.rows:
            self._rows[table.name] += table.rows

    def metrics(self) -> dict[str, Any]:
        """The counts so far, as the resources' custom metrics in dlt's trace."""
        kinds = ("new", "updated", "unchanged", "deleted")
        agents: dict[str, dict[str, Any]] = {}
        for (agent_id, kind), count in self._counts.items():
            name = self._names.get(agent_id, "")
            counts = agents.setdefault(agent_id, {"name": name, **dict.fromkeys((*kinds, "requests"), 0)})
            counts[kind] += count
        return {
            "complete": self.complete,
            "runs": {kind: sum(counts[kind] for counts in agents.values()) for kind in kinds}
            | {"rejected": self._rejected, "missing": list(self._missing)},
            "agents": agents,
            "unreadable": dict(self._unreadable),
            "requests": self._budget.requests,
            "tables": dict(self._rows),
        }


def current_load_id() -> str:
    """The id of the load package that is being extracted; empty if somebody looks at a resource without a pipeline."""
    try:
        return dlt.current.load_package_state()["load_id"]
    except CurrentLoadPackageStateNotAvailable:
        return ""


def _pipeline() -> dlt.Pipeline | None:
    """The pipeline that is running, if it has a destination; None when there is none."""
    context = Container()[PipelineContext]
    pipeline: Any = context.pipeline() if context.is_active() else None
    return pipeline if pipeline is not None and pipeline.destination else None


def in_own_loop(items: AsyncGenerator[_T, None]) -> Generator[_T, None, None]:
    """The items of an asynchronous generator that runs in an event loop and a thread of its own.

    dlt would run it, too, but when a load fails it stops its loop with the requests under way, and logs that for
    every one of them. Here everything is closed in order, whatever happens.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="llama-extract", daemon=True)
    thread.start()
    under_way: set[asyncio.Task[Any]] = set()

    async def advance() -> _T:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        task.add_done_callback(under_way.discard)
        return await anext(items)

    async def close() -> None:
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        await items.aclose()
        # Generators within it that were not exhausted, and the requests that those had sent ahead.
        await loop.shutdown_asyncgens()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    try:
        while True:
            answer = asyncio.run_coroutine_threadsafe(advance(), loop)
            while not wait([answer], timeout=0.5).done:
                pass  # now and then awake: a thread that only waits may never see the signal to stop
            try:
                item = answer.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        if not sys.is_finalizing():  # else the thread is no more
            asyncio.run_coroutine_threadsafe(close(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
