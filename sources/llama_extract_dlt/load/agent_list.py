"""The project's agents, listed once for all resources of a source, and those of them that are to be loaded."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace

from ..service.budget import RequestBudget
from ..service.client import LlamaCloudClient
from ..tracking.events import Agent, Selection, Tally
from ..tracking.lookups import read_agents, select_agents


class AgentList:
    """Lists the project's agents when they are first needed.

    Args:
        connect: makes a client.
        budget: the requests of all clients.
        wanted: ids or names of the agents to load; None if agents were not asked for.
    """

    def __init__(
        self,
        connect: Callable[[RequestBudget], LlamaCloudClient],
        budget: RequestBudget,
        tally: Tally,
        wanted: list[str] | None,
    ) -> None:
        self._connect = connect
        self._budget = budget
        self._tally = tally
        self._wanted = wanted
        self._lock = threading.Lock()
        self._agents: list[Agent] | None = None

    @property
    def known(self) -> Sequence[Agent]:
        """All agents of the project, as far as they were listed."""
        return self._agents or ()

    def none_asked(self, selection: Selection) -> bool:
        """Return whether only empty lists were given: a queue that is empty today."""
        asked = (self._wanted, selection.run_ids, selection.job_ids)
        return any(ids is not None for ids in asked) and not any(asked)

    def selection(self, selection: Selection, client: LlamaCloudClient) -> Selection:
        """Return what is to be read, with its agents."""
        if self.none_asked(selection):
            return selection
        by_id = selection.run_ids is not None or selection.job_ids is not None
        if self._wanted:
            return replace(selection, agents=select_agents(self.all(client), self._wanted))
        if self._wanted is None and not by_id:
            return replace(selection, agents=self.all(client), whole_project=True)
        if selection.data_tables == "per_agent":
            self.all(client)  # for their names
        return selection

    def wanted(self) -> Sequence[Agent]:
        """Return the agents to load, all where none was asked for."""
        return self.all() if self._wanted is None else select_agents(self.all(), self._wanted)

    def all(self, client: LlamaCloudClient | None = None) -> list[Agent]:
        """Return the project's agents; whoever needs them first asks for them, others wait."""
        with self._lock:
            if self._agents is None:
                if client is None:
                    with self._connect(self._budget) as client:
                        agents, rejected = read_agents(client)
                else:
                    agents, rejected = read_agents(client)
                for number, item in enumerate(rejected, 1):
                    self._tally.set_aside(f"{item.position}, broken item {number}", item.reason)
                self._tally.names.update({agent.id: agent.name for agent in agents})
                self._agents = agents
            return self._agents
