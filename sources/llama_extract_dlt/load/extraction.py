"""One sync of the source: what its resources share, and how asynchronous reading feeds them."""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import cache
from importlib.util import find_spec
from itertools import chain
from typing import Any, Literal, NamedTuple, TypeVar
from weakref import WeakKeyDictionary

import dlt
from dlt.common.configuration.container import Container
from dlt.common.pipeline import PipelineContext
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable

from .. import settings
from ..errors import ConfigurationError
from ..service.client import LlamaCloudClient, RequestBudget
from ..service.records import Rejected
from ..sync.dry_run import AgentPlan, plan
from ..sync.events import Agent, Chunk, Selection
from ..sync.feed import ChangeReader, read_agents, read_ahead, select_agents
from ..tables.build import TableBuilder, rejected_table, without_nul
from ..tables.contract import REJECTED, LoadTable, agent_table
from ..tables.parse import give_back_memory
from .warehouse import Holdings

_T = TypeVar("_T")

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Door:
    """How a pipeline is being loaded by `load`: alone, package after package. A plain `pipeline.run` has none.

    `syncs` are those that its packages have begun.
    """

    syncs: list[Sync] = field(default_factory=list)


DOORS: WeakKeyDictionary[dlt.Pipeline, Door] = WeakKeyDictionary()
"""The doors that are open, by their pipelines."""


class Batch(NamedTuple):
    """What the runs resource is fed with: what was found."""

    sync: Sync
    chunk: Chunk

    def tables(self, schema: dlt.Schema, state: dict[str, Any]) -> Iterator[LoadTable]:
        """The tables to load, the runs' own last; when all are taken, `state` says what is in the warehouse with them.

        `state` is the resource's.
        """
        sync, chunk, load_id = self.sync, self.chunk, current_load_id()
        tables = sync.tables
        flag = sync.selection.deleted_runs == "flag"
        removed = [*(() if flag else chunk.deleted), *((run_id, None) for run_id in chunk.orphans)]
        built = tables.build(chunk.runs, chunk.rejected, load_id=load_id, removed=removed, moved=chunk.moved)
        state["agent_tables"] = tables.agent_tables
        unfit = self._new_unfit(built.unfit, state)
        chunk.rejected += unfit
        made = [table for table in (rejected_table(unfit), *built.tables) if table is not None]
        sync.count(chunk)
        gone = sync.holdings.rows([run_id for run_id, _ in chunk.deleted]) if flag else ()
        for table in chain(made, tables.flagged(gone, load_id, sync.now)):
            yield sync.finish(table)
        agents: dict[str, Any] = state.setdefault("agents", {})
        if any(agents.get(agent_id) != left for agent_id, left in chunk.states.items()):
            # With which load the state came to the warehouse that it speaks of.
            state["load_id"] = load_id
        for agent_id, left in chunk.states.items():
            if left is None:
                agents.pop(agent_id, None)
            else:
                agents[agent_id] = left

    def _new_unfit(self, unfit: Mapping[str, Rejected], state: dict[str, Any]) -> list[Rejected]:
        """Counts runs of which no tables could be made, and gives those that were not reported before.

        They are remembered in `state`: each full scan finds that the warehouse lacks them.
        """
        if not unfit:
            return []
        new, told, counts = [], state.setdefault("unfit", {}), self.chunk.counts
        for run in self.chunk.runs:
            if run.id in unfit:
                counts[run.agent_id, run.verdict] -= 1
                if told.get(run.id) == run.content_hash:
                    counts[run.agent_id, "unchanged"] += 1
                else:
                    new.append(unfit[run.id])
                told[run.id] = run.content_hash
        for run_id in list(told)[: -settings.REMEMBERED_REJECTS]:
            del told[run_id]
        return new


class Sync:
    """From the list of agents to the last run that has changed; it may be loaded in several packages.

    Args:
        connect: makes a client; the resources that run in loops of their own have one each.
        budget: the requests of all of them.
        wanted: ids or names of agents; None if agents were not asked for. Where nothing is asked for, it is the whole
            project; an empty list asks for none.
    """

    def __init__(
        self,
        connect: Callable[[RequestBudget], LlamaCloudClient],
        budget: RequestBudget,
        selection: Selection,
        wanted: list[str] | None,
    ) -> None:
        self.now = datetime.now(UTC)
        self.selection = selection
        self.complete = False
        """Whether all that was to be read has been given."""
        self.closed = False
        """Whether somebody ended it before that: an error, or a limit on the resource."""
        self._connect = connect
        self._budget = budget
        self._wanted = wanted
        self.no_nul = False
        """Whether the destination's texts cannot have the character NUL."""
        self.holdings = Holdings(None, None)
        self._file_format: Literal["parquet"] | None = None
        self._door: Door | None = None
        self._prepared = False
        self._counts: Counter[tuple[str, str]] = Counter()
        self._rejected = 0
        self._missing: list[str] = []
        self._unreadable: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._rows: Counter[str] = Counter()
        self.tables: TableBuilder
        self._agents: Future[list[Agent]] | None = None
        self._lock = threading.Lock()
        self._batches: Generator[Batch, None, None] | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the next package of the same load continues it."""
        return self._door is not None and not self.complete and not self.closed

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────

    def agents(self) -> Generator[list[Agent], None, None]:
        """The agents that are wanted, once."""

        async def feed() -> AsyncGenerator[list[Agent], None]:
            async with self._connect(self._budget) as client:
                found = await self._all_agents(client)
                yield found if self._wanted is None else select_agents(found, self._wanted)

        if not self._asks_for_nothing():
            yield from in_own_loop(feed())

    def plan(self, states: Mapping[str, Any]) -> Generator[AgentPlan, None, None]:
        """What the sync would read of each agent, `states` being theirs."""

        async def feed() -> AsyncGenerator[AgentPlan, None]:
            async with self._connect(self._budget) as client:
                selection = await self._selected(client)
                async for agent_plan in plan(client, selection, states, self.now):
                    yield agent_plan

        yield from in_own_loop(feed())

    def prepare(self, schema: dlt.Schema, state: dict[str, Any]) -> None:
        """Asks the warehouse what it has, and takes that over into `schema`; `state` is that of the runs' resource.

        Raises ConfigurationError if the dataset is one that dlt would empty.
        """
        if self._prepared:
            return
        self._prepared = True
        if (pipeline := _pipeline()) is not None:
            self._ask(pipeline, schema, state)
        if self.selection.data_tables == "per_agent":
            given: dict[str, str] = state.setdefault("data_tables", {})
            there = cache(self.holdings.data_tables)  # another pipeline may have given agents their tables

            def table(agent_id: str) -> str:
                if agent_id not in given:
                    for agent, name in there().items():
                        given.setdefault(agent, name)
                return agent_table(given, agent_id, self._names.get(agent_id, ""), schema.naming)

            self.selection = replace(self.selection, data_table=table)
        self.tables = TableBuilder(
            schema.naming,
            {name: there["columns"] for name, there in schema.tables.items()},
            agent_tables=state.get("agent_tables", {}),
            data_table=self.selection.data_table if self.selection.data_tables == "per_agent" else None,
            is_new=self._is_new,
            suspects=self.holdings.suspects,
            shared=self.holdings.shared,
        )

    def _ask(self, pipeline: dlt.Pipeline, schema: dlt.Schema, state: dict[str, Any]) -> None:
        """Asks the pipeline's warehouse; forgets what `state` has of a warehouse that is another one."""
        names = [schema.name] if schema.name in pipeline.schemas else []
        client = pipeline.destination_client(*names)
        check_dataset(pipeline)
        check_row_ids()
        self._door = DOORS.get(pipeline)
        self.no_nul = pipeline.destination.destination_type.endswith(("postgres", "redshift"))
        if pipeline.destination.destination_type.endswith(".postgres") and find_spec("adbc_driver_postgresql"):
            # In CSV, dlt's choice, an empty text is the same as none. And whichever door makes a table, the column for
            # JSON must be one that Parquet can be loaded into.
            self._file_format = "parquet"
        names = [name for tables in state.get("agent_tables", {}).values() for name in tables]
        dropped, emptied = refreshed_tables()
        self.holdings = Holdings(client, schema, names, dropped=dropped, emptied=emptied)
        self.holdings.look_up_files(self.selection.lookup_files)
        if "load_id" in state and not self.holdings.has_load(state["load_id"]):
            _logger.info("what is remembered is not of this dataset, or of a later state of it: everything is read")
            state.clear()
        if self._door is not None:
            self._door.syncs.append(self)

    def batches(self, states: Mapping[str, Any]) -> Generator[Batch, None, None]:
        """What is found, as much as is to be committed together; asked for again, it goes on from there.

        `states` are those of the agents when the sync begins. Where nobody will ask again, all is committed together.
        """
        if self._batches is None:
            if self._door is None:
                self.selection = replace(self.selection, chunk_size=None)
            self._batches = in_own_loop(self._feed(states))
        commit = False
        try:
            while not commit and (batch := self._next()) is not None:
                commit = batch.chunk.commit
                last = batch.chunk.last
                yield batch
                self.complete |= last
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
        self.closed = True

    async def _feed(self, states: Mapping[str, Any]) -> AsyncGenerator[Batch, None]:
        async with self._connect(self._budget) as client:
            selection = await self._selected(client)
            batches = ChangeReader(client, selection, states, self.holdings, self.now).batches()
            async with aclosing(batches), aclosing(read_ahead(batches, lambda _: None)) as ahead:
                async for chunk, _ in ahead:
                    yield Batch(self, chunk)

    async def _selected(self, client: LlamaCloudClient) -> Selection:
        """What is to be read, with its agents."""
        if self._asks_for_nothing():
            return self.selection
        by_id = self.selection.run_ids is not None or self.selection.job_ids is not None
        if self._wanted:
            return replace(self.selection, agents=select_agents(await self._all_agents(client), self._wanted))
        if self._wanted is None and not by_id:
            return replace(self.selection, agents=await self._all_agents(client), whole_project=True)
        if self.selection.data_tables == "per_agent":
            await self._all_agents(client)  # for their names
        return self.selection

    def _asks_for_nothing(self) -> bool:
        """Whether only empty lists were given: a queue that is empty today."""
        asked = (self._wanted, self.selection.run_ids, self.selection.job_ids)
        return any(ids is not None for ids in asked) and not any(asked)

    async def _all_agents(self, client: LlamaCloudClient) -> list[Agent]:
        """The project's agents; whichever resource needs them first asks for them, the other waits."""
        with self._lock:
            mine = self._agents is None
            answer = self._agents = self._agents or Future()
        if mine:
            try:
                agents, rejected = await read_agents(client)
                for number, item in enumerate(rejected, 1):
                    self._unreadable[f"{item.position}, broken item {number}"] = item.reason
                    _logger.warning("could not be read: an item of %s: %s", item.position, item.reason)
                answer.set_result(agents)
            except BaseException as error:
                answer.set_exception(error)
                raise
        found = await asyncio.wrap_future(answer)
        self._names = {agent.id: agent.name for agent in found}
        return found

    # ── making tables ─────────────────────────────────────────────────────────────────────────────────────────

    def agent_tables(self, agents: Sequence[Agent], schema: dlt.Schema, state: dict[str, Any]) -> Iterator[LoadTable]:
        """The tables of those agents that the warehouse does not have as they are.

        Where it cannot be asked, `state`, which is the resource's, has the hashes of those that were loaded.
        """
        loaded = self.holdings.agent_hashes()
        if loaded is None:
            loaded = state.setdefault("loaded", {})
        changed = {agent.id: agent for agent in agents if loaded.get(agent.id) != agent.content_hash}
        rows = {agent.content_hash: agent.raw for agent in changed.values()}
        for table in self.tables.agent_rows(rows):
            yield self.finish(table)
        loaded.update({agent.id: agent.content_hash for agent in changed.values()})

    def _is_new(self, table: str, company: Iterable[str]) -> bool:
        """Whether rows can be appended to the table: the warehouse has no such one, and nobody else can make it."""
        return self._door is not None and self.holdings.is_absent(table, company)

    # ── counting ──────────────────────────────────────────────────────────────────────────────────────────────

    def count(self, chunk: Chunk) -> None:
        """Counts what was found."""
        self._counts.update(chunk.counts)
        self._rejected += len(chunk.rejected)
        self._missing += chunk.missing
        for item in chunk.rejected:
            _logger.warning("set aside in %s: %s: %s", REJECTED, item.position, item.reason)
        for wanted in chunk.missing:
            _logger.warning("not found: %s", wanted)
        for key, reason in chunk.unreadable.items():
            name = self._names.get(key)
            _logger.warning("could not be read: %s", reason if name is None else f"agent {name!r} ({key}): {reason}")
            self._unreadable[key] = f"{self._unreadable[key]}; {reason}" if key in self._unreadable else reason

    def finish(self, table: LoadTable) -> LoadTable:
        """The table as the destination takes it; its rows are counted."""
        if self.no_nul:
            table.data = without_nul(table.data)
        table.file_format = self._file_format
        if table.rows:
            self._rows[table.name] += table.rows
        return table

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


def refreshed_tables() -> tuple[list[str], list[str]]:
    """The tables that dlt will drop, and those that it will empty, before it loads the package (`refresh`)."""
    try:
        state: Any = dlt.current.load_package_state()["state"]
    except CurrentLoadPackageStateNotAvailable:
        return [], []
    names = ([table["name"] for table in state.get(kind, ())] for kind in ("dropped_tables", "truncated_tables"))
    dropped, emptied = names
    return dropped, emptied


def check_dataset(pipeline: dlt.Pipeline) -> None:
    """Refuses a dataset whose name is that of another one's staging dataset: dlt would empty its tables."""
    config: Any = pipeline.destination_client().config
    layout: str = getattr(config, "staging_dataset_name_layout", "")
    name: str = getattr(config, "dataset_name", None) or pipeline.dataset_name or ""
    before, mark, after = layout.partition("%s")
    if mark and name.startswith(before) and name.endswith(after) and len(name) > len(before) + len(after):
        other = name[len(before) : len(name) - len(after)]
        raise ConfigurationError(
            f"the dataset {name!r} is where dlt stages the dataset {other!r}, whose loads would empty it: "
            "take another dataset name"
        )


def check_row_ids() -> None:
    """Refuses dlt's setting that gives rows other ids than the source's own, which keys and joins rely on."""
    for name in ("normalize.parquet_normalizer.add_dlt_id", "normalize.parquet_normalizer.add_dlt_load_id"):
        if dlt.config.get(name, bool):
            raise ConfigurationError(
                f"{name} is set: leave it out, this source gives its rows ids that tables are joined by"
            )


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
