"""Keeping `agent_name` of the runs in the warehouse current: an agent may be renamed."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from ...tables.build import TableBuilder
from ...tables.contract import LoadTable
from ...tracking.events import Agent, Emitted
from .sql import SqlWarehouse


class AgentNames:
    """Finds the runs that the warehouse has under a former name of their agent.

    Args:
        seen: what agents were called when their names were last seen to be those in the warehouse, by their ids.
    """

    def __init__(self, warehouse: SqlWarehouse, seen: Mapping[str, str]) -> None:
        self._warehouse = warehouse
        self._seen = seen

    def renamed(
        self, agents: Iterable[Agent], written: Emitted, gone: Container[str]
    ) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Return the agents' names, and the ids of the runs that have a former name, both by the agent's id.

        A run that this sync has `written`, or found `gone`, is left as it is; where there is one, the name is looked at
        again by the next sync.
        """
        names, renamed = {}, {}
        for agent in agents:
            former: list[str] | None = []
            if self._seen.get(agent.id) != agent.name:
                former = self._warehouse.runs_named_otherwise(agent.id, agent.name)
            if former is None:
                continue
            rest = [run_id for run_id in former if run_id not in gone and run_id not in written]
            if len(rest) == len(former):
                names[agent.id] = agent.name
            if rest:
                renamed[agent.id] = rest
        return names, renamed

    def tables(
        self, builder: TableBuilder, agents: Iterable[Agent], renamed: Mapping[str, Sequence[str]]
    ) -> Iterator[LoadTable]:
        """Yield the runs that have a former name of their agent, with its name."""
        names = {agent.id: agent.name for agent in agents}
        for agent_id, run_ids in renamed.items():
            yield from builder.renamed(self._warehouse.rows(run_ids), names[agent_id])
