"""What a sync would read, told from one page of each agent: the dry run."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any, NamedTuple

from .. import settings
from ..errors import LlamaExtractError, is_fatal
from ..service.client import LlamaCloudClient, RunPage
from ..service.pages import Page
from ..service.records import Run
from .agent_state import AgentState, reading_mode
from .events import Agent, Selection
from .look import Look
from .lookups import file_to_look_up, read_item


class AgentPlan(NamedTuple):
    """What a sync would do for an agent.

    `runs` are those it would read: what is new or has changed, or all. `requests` is what that takes, the page of the
    dry run and the look-ups of files included. With `at_least` there may be more, which only reading on would tell.
    """

    agent: str
    reading: str
    runs: int
    requests: int
    at_least: bool


def plan(
    client: LlamaCloudClient, selection: Selection, states: Mapping[str, Any], now: datetime
) -> Iterator[AgentPlan]:
    """Yield the agents' parts of a sync, each told from the first page of its runs."""

    def first(agent: Agent) -> tuple[Agent, RunPage | LlamaExtractError]:
        try:
            return agent, client.list_runs(agent.id, limit=selection.page_size, most_bytes=settings.MAX_PAGE_BYTES)
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            return agent, error

    for agent, page in client.ahead(first, selection.agents):
        if isinstance(page, LlamaExtractError):
            yield AgentPlan(agent.name, f"cannot be read: {page}", 0, 1, False)
        else:
            yield _of_agent(agent, AgentState.load(states.get(agent.id, {})), selection, now, page)


def _of_agent(agent: Agent, state: AgentState, selection: Selection, now: datetime, first: RunPage) -> AgentPlan:
    items = [read_item(raw, "the first page", selection) for raw in first.items]
    total = max(first.total, len(items))
    step = max(1, len(items) - settings.PAGE_OVERLAP)
    pages = math.ceil(max(0, total - len(items)) / step)
    files = {file_id for item in items if isinstance(item, Run) and (file_id := file_to_look_up(item))}
    reading = reading_mode(state, selection, now)
    if reading == "look":
        look = Look(state, None, now)
        page = Page(items, 0, total if first.total >= 0 else None, selection.page_size, last=total <= len(items))
        judged = list(look.observe(page, items))
        found = [item for item, verdict in judged if isinstance(item, Run) and verdict != "unchanged"]
        look.conclude(page, went_back=False, problems=False)
        if look.trusted:
            files = {file_id for run in found if (file_id := file_to_look_up(run))}
            requests = 1 + len(look.waiting) + _look_ups(len(files), selection)
            return AgentPlan(
                agent.name, "what is new or changed", len(found) + len(look.waiting), requests, not look.enough
            )
    if reading == "rest" and state.rest is not None:
        left = max(0, total - state.rest.offset)
        return AgentPlan(agent.name, "the rest of an unfinished load", left, 1 + math.ceil(left / step), True)
    requests = 1 + pages + _look_ups(math.ceil(len(files) * total / max(1, len(items))), selection)
    return AgentPlan(agent.name, "all runs", total, requests, selection.windowed)


def _look_ups(files: int, selection: Selection) -> int:
    """Return the requests for the records of so many files."""
    return math.ceil(files / settings.FILES_PER_REQUEST) if selection.lookup_files else 0
