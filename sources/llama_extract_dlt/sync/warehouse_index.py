"""The runs that the warehouse holds, as far as a sync must know them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from ..service.records import Run
from .agent_state import Verdict, without_file


class Known:
    """Runs of the warehouse, 60 bytes each."""

    def __init__(
        self,
        rows: Iterable[Sequence[tuple[str, str | None, bool]]] = (),
        suspects: Collection[str] = (),
        *,
        files: bool = True,
    ) -> None:
        """`rows`, in portions, are ids with content hashes and whether the run was found deleted.

        The hash is None where it cannot be relied on: the load that wrote it may not have come to its end. Nor can it
        be for `suspects`. `files` says whether records of files are looked up.
        """
        ids: list[pa.Array] = [pa.array([], pa.string())]
        keys: list[Any] = [np.array([], dtype=np.int64)]
        digests: list[Any] = [np.array([], dtype=np.int64)]
        deleted: list[Any] = [np.array([], dtype=bool)]
        for portion in rows:
            ids.append(pa.array([run_id for run_id, _, _ in portion], pa.string()))
            keys.append(np.array([hash(run_id) for run_id, _, _ in portion], dtype=np.int64))
            known = [None if gone or run_id in suspects else digest for run_id, digest, gone in portion]
            digests.append(np.array([hash(digest) for digest in known], dtype=np.int64))
            deleted.append(np.array([gone for _, _, gone in portion], dtype=bool))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys)
        self._keys = all_keys[order]
        self._digests = np.concatenate(digests)[order]
        self._ids = pa.concat_arrays(ids).take(pa.array(order))
        self._deleted = np.concatenate(deleted)[order]
        self._seen = np.zeros(len(order), dtype=bool)
        self._files = files
        twice = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        self._digests[twice] = hash(None)  # a run that is there twice is not there as it should be

    def judge(self, run: Run) -> Verdict:
        """Whether the warehouse has the run as it is. From then on the run counts as seen."""
        key = hash(run.id)
        place = int(np.searchsorted(self._keys, key))
        if place >= len(self._keys) or self._keys[place] != key:
            return "new"
        self._seen[place : int(np.searchsorted(self._keys, key, side="right"))] = True
        digest = int(self._digests[place])
        if digest == hash(run.content_hash):
            return "unchanged"
        if digest == hash(without_file(run.content_hash)):
            return "incomplete" if self._files else "unchanged"
        return "updated"

    def unseen(self, *, found_deleted: bool = False) -> list[str]:
        """The ids of runs that were not seen; those that were found deleted before only if they are asked for."""
        unseen = ~self._seen if found_deleted else ~(self._seen | self._deleted)
        ids: list[str] = self._ids.filter(pa.array(unseen)).to_pylist()
        return list(dict.fromkeys(ids))


class Warehouse(Protocol):
    """What a sync asks the warehouse."""

    orphans: list[str]
    """After `inspect`, ids that child tables have rows of, but not the table of the runs."""

    def inspect(self) -> None:
        """Find, once, the runs whose rows are not those that were written for them."""

    def runs_of_agent(self, agent_id: str) -> Known:
        """Return the agent's runs."""

    def runs(self, ids: Sequence[str]) -> Known:
        """Return those of these runs that are there."""

    def agents_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the agents that these runs belonged to when they were loaded, by the run's id."""

    def agents(self, *, found_deleted: bool = False) -> dict[str, str]:
        """Return the agents that have runs there, with their projects."""


class EmptyWarehouse:
    """A warehouse without any runs, or none that can be asked."""

    def __init__(self) -> None:
        self.orphans: list[str] = []

    def inspect(self) -> None:
        """Find nothing."""

    def runs_of_agent(self, agent_id: str) -> Known:
        """Return no runs."""
        return Known()

    def runs(self, ids: Sequence[str]) -> Known:
        """Return no runs."""
        return Known()

    def agents_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return no agents."""
        return {}

    def agents(self, *, found_deleted: bool = False) -> dict[str, str]:
        """Return no agents."""
        return {}
