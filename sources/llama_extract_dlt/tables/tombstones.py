"""Tombstones: rows that remove those which a run had before, where it has none now."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from ..service.records import Run
from .columns import Segment
from .contract import RUNS
from .row_keys import Int64s


class RowsBefore:
    """Where the warehouse may have rows of runs that a sync writes or removes.

    Args:
        agent_tables: the child tables in which each agent's runs had rows when the sync began; under no agent's id
            those of which that is not known.
        children: all child tables.
        suspects: runs that may have rows in any of them.
        is_new: whether a table has no rows that could be removed; it is given the tables it is asked about next, too.
    """

    def __init__(
        self,
        agent_tables: Mapping[str, Sequence[str]],
        children: Sequence[str],
        suspects: Container[str],
        is_new: Callable[[str, Iterable[str]], bool],
    ) -> None:
        self._agent_tables = {agent: list(names) for agent, names in agent_tables.items()}
        self._children = children
        self._suspects = suspects
        self._is_new = is_new

    def of_runs(self, runs: Sequence[Run], moved: Mapping[str, str]) -> Iterator[tuple[str, Int64s]]:
        """Child tables, with the places of the runs that may have rows there.

        Only tables of the run's agent can have any, or of the one that it belonged to, which `moved` says.
        """
        groups: dict[tuple[str, ...], list[int]] = {}
        for place, run in enumerate(runs):
            agents: tuple[str, ...] = ()
            if run.id not in self._suspects:
                agents = (run.agent_id, moved.get(run.id, run.agent_id))
            groups.setdefault(agents, []).append(place)
        for owners, places in groups.items():
            for name in self._not_new(self._tables(owners) if owners else self._children):
                yield name, np.array(places)

    def of_removed(self, removed: Sequence[tuple[str, str | None]]) -> Iterator[tuple[str, pa.Array]]:
        """Tables, with the ids of the removed runs that may have rows there; without its agent, a run may in any."""
        for agent in dict.fromkeys(agent for _, agent in removed):
            ids = pa.array([run_id for run_id, its_agent in removed if its_agent == agent], pa.string())
            for name in self._not_new(self._children if agent is None else [RUNS, *self._tables([agent])]):
                yield name, ids

    def _tables(self, agents: Iterable[str]) -> list[str]:
        names = (name for agent in agents for key in (agent, "") for name in self._agent_tables.get(key, ()))
        return list(dict.fromkeys(names))

    def _not_new(self, names: Sequence[str]) -> list[str]:
        return [name for name in names if not self._is_new(name, names)]


def tombstones(runs: Int64s, run_ids: pa.Array, key: str = "_run_id") -> Segment:
    """The tombstones of runs: a segment with all key columns of its table, since dlt counts on those named after it."""
    others: dict[str, pa.DataType] = dict.fromkeys(("_dlt_id", "_dlt_parent_id", "_dlt_load_id"), pa.string())
    others |= {"_dlt_list_idx": pa.int64()}
    if key == "id":
        others = dict.fromkeys(("_content_hash", "_dlt_load_id", "data_schema_hash"), pa.string())
        others["_child_rows"] = pa.int64()
    nulls = {name: pa.nulls(len(run_ids), arrow_type) for name, arrow_type in others.items()}
    return Segment(runs, {key: run_ids, **nulls, "_deleted": pa.repeat(True, len(run_ids))})
