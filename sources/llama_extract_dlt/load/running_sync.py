"""How a pipeline is being loaded: package after package by `sync`, or at once by a plain `pipeline.run`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import reduce
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

import dlt
from dlt.extract import DltSource

from .dlt_inside import current_load_id, made_by
from .report import add_metrics

if TYPE_CHECKING:
    from .extraction import Extraction


@dataclass(slots=True)
class RunningSync:
    """A pipeline that `sync` is loading, package after package.

    Attributes:
        parallel: whether others may load into the dataset while this one reads.
        extractions: those that the packages began.
    """

    parallel: bool = False
    extractions: list[Extraction] = field(default_factory=list)

    def metrics(self) -> dict[str, Any]:
        """Return what was counted, of those whose packages were all loaded, and of what was loaded of the others."""
        given_up = [one.loaded for one in self.extractions[:-1] if one.loaded is not None]
        return reduce(add_metrics, [*given_up, self.extractions[-1].metrics()])


RUNNING_SYNCS: WeakKeyDictionary[dlt.Pipeline, RunningSync] = WeakKeyDictionary()
"""By their pipelines. One that a plain `pipeline.run` loads has none."""


class Company(NamedTuple):
    """How a source goes together with other loads into the dataset: its settings of these names."""

    wait_for_lock: float = 0.0
    parallel: bool = False


COMPANY: WeakKeyDictionary[Any, Company] = WeakKeyDictionary()
"""By what the resources are made of, which copies of the source have, too."""


def company_of(source: DltSource) -> Company:
    """Return how the source was told to go together with other loads."""
    made_of = (made_by(resource) for resource in source.resources.values())
    return next((COMPANY[one] for one in made_of if one in COMPANY), Company())


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
