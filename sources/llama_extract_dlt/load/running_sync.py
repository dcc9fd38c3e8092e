"""How a pipeline is being loaded: package after package by `sync`, or at once by a plain `pipeline.run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import dlt

from .dlt_inside import current_load_id

if TYPE_CHECKING:
    from .extraction import Extraction


@dataclass(slots=True)
class RunningSync:
    """A pipeline that `sync` is loading, package after package; `extractions` are those that the packages began."""

    extractions: list[Extraction] = field(default_factory=list)


RUNNING_SYNCS: WeakKeyDictionary[dlt.Pipeline, RunningSync] = WeakKeyDictionary()
"""By their pipelines. One that a plain `pipeline.run` loads has none."""


WAITS: WeakKeyDictionary[dlt.Schema, float] = WeakKeyDictionary()
"""Seconds to wait for another load into the dataset, by the schema of the source that was told them."""


class Extractions:
    """Gives the resources of a source the extraction that they share in a load package.

    It is one for a package, and for the next ones until it is complete.
    """

    def __init__(self, begin: Callable[[], Extraction]) -> None:
        self._begin = begin
        self._load_id = ""
        self._current: Extraction | None = None

    def current(self) -> Extraction:
        """Return the extraction of the package that is being extracted."""
        load_id = current_load_id()
        if self._current is None or not load_id or (load_id != self._load_id and not self._current.goes_on):
            self._current = self._begin()
        self._load_id = load_id
        return self._current
