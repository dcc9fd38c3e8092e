"""Which table the data of each agent's runs go to, where each agent has one of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache

from dlt.common.normalizers.naming import NamingConvention

from ..tables.contract import agent_table


class DataTables:
    """Gives agents their tables, which they keep.

    Args:
        given: the tables by the ids of the agents, to be kept between loads.
        there: says which agents' data the warehouse has in a table of their own; another pipeline may have named it.
        name_of: gives the name of an agent by its id.
        naming: how names are normalized.
        parallel: whether others may make tables meanwhile.
    """

    def __init__(
        self,
        given: dict[str, str],
        there: Callable[[], Mapping[str, str]],
        name_of: Callable[[str], str],
        naming: NamingConvention,
        *,
        parallel: bool,
    ) -> None:
        self._given = given
        self._there = cache(there)
        self._name_of = name_of
        self._naming = naming
        self._parallel = parallel

    def table(self, agent_id: str) -> str:
        """Return the agent's table."""
        if self._parallel and agent_id not in self._there() and self._given.get(agent_id) in self._there().values():
            del self._given[agent_id]  # another worker has loaded another agent into it meanwhile
        if agent_id not in self._given:
            for agent, name in self._there().items():
                self._given.setdefault(agent, name)
        return agent_table(self._given, agent_id, self._name_of(agent_id), self._naming)
