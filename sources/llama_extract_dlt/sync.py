"""What the resources share while they are extracted together, and how asynchronous reading feeds them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable, Iterator
from concurrent.futures import Future, wait
from typing import Any, TypeVar

import dlt

from .changes import Agent, Chunk, read_agents
from .client import LlamaCloudClient, RequestBudget
from .parsing import Parser
from .reading import ReadRuns, read_runs
from .tables import LoadTable, RunTables, agent_table

_T = TypeVar("_T")


def in_own_loop(items: AsyncGenerator[_T, None]) -> Iterator[_T]:
    """The items of an asynchronous generator that runs in an event loop and a thread of its own.

    dlt would run it, too, but when a load fails it stops its loop with the requests under way, and logs that for
    every one of them. Here everything is closed in order, whatever happens.
    """
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="llama-extract", daemon=True)
    thread.start()
    try:
        while True:
            answer = asyncio.run_coroutine_threadsafe(anext(items), loop)
            while not wait([answer], timeout=0.5).done:
                pass  # now and then awake: a thread that only waits may never see the signal to stop
            try:
                item = answer.result()
            except StopAsyncIteration:
                return
            yield item
    finally:
        asyncio.run_coroutine_threadsafe(items.aclose(), loop).result()
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()


class Sync:
    """The request budget, the agents (asked for once), the tables and the counts of one extraction."""

    def __init__(self, budget: RequestBudget) -> None:
        self.budget = budget
        self.loaded = 0
        self.rejected = 0
        self.missing: list[str] = []
        self._parser = Parser()
        self._names: dict[str, str] = {}
        self._rows: dict[str, int] = {}
        self._tables: RunTables | None = None
        self._agents: Future[list[Agent]] | None = None
        self._lock = threading.Lock()

    async def agents(self, client: LlamaCloudClient) -> list[Agent]:
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

    def read(self, chunk: Chunk) -> ReadRuns:
        """Parses a chunk's runs, which needs no knowledge of the tables there are."""
        return read_runs(chunk.runs, self._parser)

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

    def count(self, table: LoadTable) -> None:
        """Counts the rows of a table that goes into the load."""
        if table.rows:
            self._rows[table.name] = self._rows.get(table.name, 0) + table.rows

    def metrics(self) -> dict[str, Any]:
        """The counts so far, as the resources' custom metrics in dlt's trace."""
        return {
            "loaded": self.loaded,
            "rejected": self.rejected,
            "missing": list(self.missing),
            "requests": self.budget.requests,
            "tables": dict(self._rows),
        }
