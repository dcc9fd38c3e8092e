"""The runs that the warehouse holds, as far as a sync must know them."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa


class RunIndex:
    """Ids and content hashes of runs that the warehouse holds, with a mark for those that were seen: 60 bytes each."""

    def __init__(
        self, rows: Iterable[Sequence[tuple[str, str | None, bool]]] = (), suspects: Collection[str] = ()
    ) -> None:
        """Index runs.

        Args:
            rows: in portions, ids with content hashes and whether the run was found deleted. The hash is None where it
                cannot be relied on: the load that wrote it may not have come to its end.
            suspects: runs whose hashes cannot be relied on either.
        """
        ids = [pa.array([], pa.string())]
        keys, digests, deleted = [_int64s([])], [_int64s([])], [np.array([], dtype=bool)]
        for portion in rows:
            ids.append(pa.array([run_id for run_id, _, _ in portion], pa.string()))
            keys.append(_int64s([hash(run_id) for run_id, _, _ in portion]))
            known = [None if gone or run_id in suspects else digest for run_id, digest, gone in portion]
            digests.append(_int64s([hash(digest) for digest in known]))
            deleted.append(np.array([gone for _, _, gone in portion], dtype=bool))
        all_keys = np.concatenate(keys)
        order = np.argsort(all_keys, kind="stable")
        self._keys = all_keys[order]
        self._digests = np.concatenate(digests)[order]
        self._deleted = np.concatenate(deleted)[order]
        self._ids = pa.concat_arrays(ids).take(pa.array(order))
        self._seen = np.zeros(len(order), dtype=bool)
        twice = np.flatnonzero(self._keys[1:] == self._keys[:-1])
        self._digests[twice] = hash(None)  # a run that is there twice is not there as it should be

    def __contains__(self, run_id: str) -> bool:
        place = self._place(run_id)
        return place < len(self._keys) and bool(self._keys[place] == hash(run_id))

    def has_hash(self, run_id: str, content_hash: str) -> bool:
        """Return whether the run, which is there, has this content hash."""
        return bool(self._digests[self._place(run_id)] == hash(content_hash))

    def see(self, run_id: str) -> None:
        """Mark the run as seen at the service."""
        self._seen[self._place(run_id) : int(np.searchsorted(self._keys, hash(run_id), side="right"))] = True

    def unseen(self, *, found_deleted: bool = False) -> list[str]:
        """Return the ids of runs that were not seen; those that were found deleted before only if asked for."""
        unseen = ~self._seen if found_deleted else ~(self._seen | self._deleted)
        return list(dict.fromkeys(self._ids.filter(pa.array(unseen)).to_pylist()))

    def _place(self, run_id: str) -> int:
        return int(np.searchsorted(self._keys, hash(run_id)))


def _int64s(values: list[int]) -> npt.NDArray[np.int64]:
    return np.array(values, dtype=np.int64)


class Warehouse(Protocol):
    """What a sync asks the warehouse.

    Attributes:
        orphans: after `inspect`, ids that child tables have rows of, but not the table of the runs.
    """

    orphans: list[str]

    def inspect(self) -> None:
        """Find, once, the runs whose rows are not those that were written for them."""

    def runs_of_agent(self, agent_id: str) -> RunIndex:
        """Return the agent's runs."""

    def runs(self, ids: Sequence[str]) -> RunIndex:
        """Return those of these runs that are there."""

    def agents_of(self, ids: Sequence[str]) -> dict[str, str]:
        """Return the agents that these runs belonged to when they were loaded, by the run's id."""

    def updated_at(self, ids: Sequence[str]) -> dict[str, datetime]:
        """Return when these runs last changed as they are there, by the run's id, as far as they say."""

    def agents(self, *, found_deleted: bool = False) -> dict[str, str]:
        """Return the agents that have runs there, with their projects."""
