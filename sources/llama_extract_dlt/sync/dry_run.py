"""What a sync would read, told from one page of each agent: the dry run."""

from __future__ import annotations

import math
from collections.abc import AsyncGenerator, Mapping
from contextlib import AsyncExitStack, aclosing
from datetime import datetime
from typing import Any, NamedTuple

from .. import settings
from ..errors import LlamaExtractError, NotFoundError
from ..service.client import LlamaCloudClient, RunPage
from .agent_state import AgentState
from .agent_sync import AgentRuns, first_pages
from .events import Agent, Given, Selection
from .warehouse_index import EmptyWarehouse


class AgentPlan(NamedTuple):
    """What a sync would do for an agent.

    `runs` are those it would read: what is new or has changed, or all. `requests` is what that takes, the page of the
    dry run included. With `at_least` there may be more, which only reading on would tell.
    """

    agent: str
    reading: str
    runs: int
    requests: int
    at_least: bool


async def plan(
    client: LlamaCloudClient, selection: Selection, states: Mapping[str, Any], now: datetime
) -> AsyncGenerator[AgentPlan, None]:
    """The agents' parts of a sync, each told from the first page of its runs."""
    async with AsyncExitStack() as stack:
        async for agent, first in first_pages(client, selection, stack):
            if isinstance(first, LlamaExtractError):
                yield AgentPlan(agent.name, f"cannot be read: {first}", 0, 1, False)
            else:
                yield await _of_agent(agent, AgentState.load(states.get(agent.id, {})), selection, now, first)


async def _of_agent(agent: Agent, state: AgentState, selection: Selection, now: datetime, first: RunPage) -> AgentPlan:
    """Lets the sync's own code read the first page, and sees what else it asks for."""
    service = _FirstPageOnly("dry-run")
    runs = AgentRuns(service, selection, EmptyWarehouse(), Given(), now, agent, state)
    found, finished = 0, False
    try:
        async with aclosing(runs.read(first)) as chunks:
            async for chunk in chunks:
                found += len(chunk.runs)
        finished = True
    except _EnoughError:
        pass
    step = max(1, len(first.items) - settings.PAGE_OVERLAP)
    if runs.reading == "the rest":
        left = max(0, first.total - (state.rest.offset if state.rest else 0))
        return AgentPlan(agent.name, "the rest of an unfinished load", left, 1 + math.ceil(left / step), True)
    if runs.reading == "all":
        pages = math.ceil((first.total - len(first.items)) / step)
        return AgentPlan(agent.name, "all runs", first.total, 1 + pages, False)
    finished |= service.runs > 0
    return AgentPlan(agent.name, "what is new or changed", found + service.runs, 1 + service.runs, not finished)


class _EnoughError(Exception):
    """The sync would read another page."""


class _FirstPageOnly(LlamaCloudClient):
    """Stands for the service after the first page: counts the runs that are asked for by ID."""

    runs = 0

    async def list_runs(self, agent_id: str, **_: Any) -> RunPage:
        raise _EnoughError

    async def get_run(self, run_id: str, **_: Any) -> bytes:
        self.runs += 1
        raise NotFoundError(run_id)
