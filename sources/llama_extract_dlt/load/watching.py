"""Telling somebody how far a load has come, while it is at work."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import dlt
from dlt.common.runtime.collector_base import Collector

from .dlt_inside import PassingCollector
from .report import Progress, Step
from .running_sync import RunningSync

_logger = logging.getLogger(__name__)

PROGRESS_EVERY = 0.5
"""Seconds between two words about the progress: a line on a terminal looks alive."""


def waiting(on_progress: Callable[[Progress], object] | None) -> Callable[[str], object]:
    """Return what is called again and again while another load is at work; the log has it once."""
    said = False

    def tell(sentence: str) -> None:
        nonlocal said
        if not said:
            _logger.info("%s: waiting for its end", sentence)
        said = True
        if on_progress is not None:
            on_progress(Progress("waiting", waiting=sentence))

    return tell


class Watch:
    """Tells somebody how far the load has come; what goes wrong in that is raised once the load has noticed."""

    def __init__(self, running: RunningSync, on_progress: Callable[[Progress], object] | None) -> None:
        self._running_sync = running
        self._on_progress = on_progress
        self._step: Step = "reading"
        self._failure: BaseException | None = None
        self._lock = threading.Lock()

    def tell(self, step: Step | None = None) -> None:
        """Tell it, with the step if that is another now."""
        with self._lock:
            self.raise_failure()
            self._step = step or self._step
            if self._on_progress is not None:
                try:
                    extractions = self._running_sync.extractions
                    self._on_progress(extractions[-1].progress(self._step) if extractions else Progress(self._step))
                except BaseException as failure:
                    self._failure = failure
                    raise

    def tell_until(self, ended: threading.Event) -> None:
        """Tell it again and again."""
        while not ended.wait(PROGRESS_EVERY) and self._failure is None:
            try:
                self.tell()
            except BaseException:
                return  # the load raises it

    @property
    def has_failed(self) -> bool:
        """Whether telling has raised."""
        return self._failure is not None

    def raise_failure(self) -> None:
        """Raise what telling has raised."""
        if self._failure is not None:
            raise self._failure


@contextmanager
def watching(
    pipeline: dlt.Pipeline, running: RunningSync, on_progress: Callable[[Progress], object] | None
) -> Iterator[Watch]:
    """Tell `on_progress` of the pipeline's steps, and about twice a second of the progress."""
    watch = Watch(running, on_progress)
    if on_progress is None:
        yield watch
        return
    given, ended = pipeline.collector, threading.Event()
    thread = threading.Thread(target=watch.tell_until, args=[ended], name="llama-extract progress", daemon=True)
    pipeline.collector = _StepCollector(given, watch)
    thread.start()
    try:
        yield watch
    finally:
        pipeline.collector = given
        ended.set()
        thread.join()


class _StepCollector(PassingCollector):
    """Tells of dlt's steps, and passes all on to the pipeline's own collector."""

    NAMES: Mapping[str, Step] = {"Extract": "reading", "Normalize": "preparing", "Load": "loading"}

    def __init__(self, given: Collector, watch: Watch) -> None:
        super().__init__(given)
        self._watch = watch

    def _start(self, step: str) -> None:
        self._watch.tell(self.NAMES[step.split()[0]])
        super()._start(step)
