"""The resource: where to read and where to load, and what Dagster gets to see of it when that fails."""

# No `from __future__ import annotations` in this package: Dagster reads annotations as they are.
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import dagster as dg
import dlt
from dlt.common.exceptions import TransientException
from dlt.common.pipeline import get_dlt_pipelines_dir
from pydantic import Field

from .. import config
from ..errors import (
    ConfigurationError,
    ConnectionFailedError,
    DatasetBusyError,
    LlamaExtractError,
    RateLimitedError,
    ServiceError,
)
from ..explain import needs_settings, one_line, telling_cause
from ..load.dlt_inside import name_duckdb_file
from ..load.report import Progress, Report
from ..session import list_agents, synced
from ..settings import CHUNK_SIZE

TRANSIENT = (RateLimitedError, ServiceError, ConnectionFailedError, DatasetBusyError, TransientException)
"""Trouble of the service, of the network, of the warehouse as far as dlt knows, that may be gone with another try."""

WAIT_FOR_LOCK = 3600.0
"""Seconds to wait for another load: runs of several agents may be started at once."""

TELL_EVERY = 30.0
"""Seconds between two lines about the progress in a run's log, as where the command has no terminal."""


class LlamaExtractResource(dg.ConfigurableResource["LlamaExtractResource"]):
    """Where to read extraction runs, and where to load them.

    What is not set comes from the environment or dlt's configuration: the key from `LLAMA_CLOUD_API_KEY`, the
    destination's credentials from `DESTINATION__POSTGRES__CREDENTIALS`, say.
    """

    api_key: str | None = Field(default=None, description='The LlamaCloud key, as dg.EnvVar("...") only.')
    base_url: str | None = Field(default=None, description="The service's address.")
    destination: str | None = Field(
        default=None, description="A dlt destination; else what dlt finds as DESTINATION_TYPE, else duckdb."
    )
    dataset_name: str = Field(default="llama_extract", description="The dataset, or schema, of the tables.")
    pipeline_name: str = Field(default="llama_extract", description="The dlt pipeline, which has the state.")
    wait_for_lock: float | None = Field(
        default=None, description="Seconds to wait for another load into the dataset; 3,600 when it is set nowhere."
    )
    settings: dict[str, Any] = Field(default={}, description="Further arguments of llama_extract, by name.")

    def get_resource_definition(self) -> Any:
        """Refuses a key that is no variable: Dagster shows what resources are configured with."""
        if self.api_key is not None and not isinstance(self.api_key, dg.EnvVar):
            raise ConfigurationError(
                'Dagster would show the API key: take api_key=dg.EnvVar("LLAMA_CLOUD_API_KEY"), or leave it out'
            )
        for name in ("api_key", "base_url", "wait_for_lock"):
            if name in self.settings:
                raise ConfigurationError(f"{name} is a field of LlamaExtractResource: take it out of settings")
        return super().get_resource_definition()

    @contextmanager
    def pipeline(self, agent_id: str | None = None) -> Iterator[dlt.Pipeline]:
        """Gives the pipeline of all agents, or of one, in a folder of its own: its state is in the destination."""
        name = self.pipeline_name if agent_id is None else f"{self.pipeline_name}_{agent_id.replace('-', '')}"
        parent = Path(get_dlt_pipelines_dir())
        parent.mkdir(parents=True, exist_ok=True)
        with self.failures(), TemporaryDirectory(prefix=f"{name}_", dir=parent, ignore_cleanup_errors=True) as folder:
            pipeline = dlt.pipeline(
                name, pipelines_dir=folder, destination=self._destination(), dataset_name=self.dataset_name
            )
            if pipeline.destination.destination_type == "dlt.destinations.duckdb":
                name_duckdb_file(pipeline, "llamacloud")
            try:
                yield pipeline
            finally:
                if pipeline.is_active:
                    pipeline.deactivate()

    @contextmanager
    def synced(self, pipeline: dlt.Pipeline, log: logging.Logger, **arguments: Any) -> Iterator[Report]:
        """Loads all that there is, and keeps others out until one has looked at it.

        Args:
            pipeline: of this resource.
            log: for lines about the progress.
            arguments: those of `llama_extract`, which go before the resource's.
        """
        # dlt would hold back the signal by which Dagster ends a run until its tables are loaded.
        os.environ.setdefault("RUNTIME__INTERCEPT_SIGNALS", "false")
        with synced(pipeline, on_progress=_teller(log), **self._arguments() | arguments) as report:
            yield report

    def agents(self) -> tuple[dict[str, str], bool]:
        """Returns the names of the agents that are loaded, by id, and whether the list of them is whole."""
        with self.failures():
            return list_agents(**self._arguments())

    @contextmanager
    def failures(self) -> Iterator[None]:
        """Lets what goes wrong be a Failure in one line, tried again only where that may help."""
        try:
            yield
        except dg.Failure:
            raise
        except Exception as error:
            cause = telling_cause(error)
            transient = not needs_settings(cause) and any(map(_may_pass, _chain(error)))
            explained = isinstance(cause, LlamaExtractError) or needs_settings(cause)
            failure = dg.Failure(one_line(cause, self._destination()), allow_retries=transient)
            raise failure from None if explained else error

    def _destination(self) -> str:
        return self.destination or dlt.config.get("destination_type", str) or "duckdb"

    def _arguments(self) -> dict[str, Any]:
        """The arguments of `llama_extract` that the resource has; the rest is looked up as everywhere."""
        own = {"api_key": self.api_key, "base_url": self.base_url, "wait_for_lock": self.wait_for_lock}
        given = {name: value for name, value in (own | self.settings).items() if value is not None}
        for name, value in (("chunk_size", CHUNK_SIZE), ("wait_for_lock", WAIT_FOR_LOCK)):
            if name not in given and config.configured(name) is None:
                given[name] = value
        return given


def _teller(log: logging.Logger) -> Callable[[Progress], None]:
    """Returns what writes a line into the log now and then."""
    due = time.monotonic() + TELL_EVERY
    step = ""

    def tell(progress: Progress) -> None:
        nonlocal due, step
        begins_to_wait = progress.step == "waiting" != step
        step = progress.step
        if begins_to_wait or time.monotonic() >= due:
            due = time.monotonic() + TELL_EVERY
            count = f"{progress.read:,} of {progress.total:,}" if progress.total else f"{progress.read:,}"
            log.info(progress.waiting or f"{step}: {count} runs read, {progress.requests:,} requests sent")

    return tell


def _may_pass(error: BaseException) -> bool:
    """Whether another try may help; a warehouse's driver calls that an OperationalError, whichever it is (PEP 249)."""
    return isinstance(error, TRANSIENT) or any(kind.__name__ == "OperationalError" for kind in type(error).__mro__)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """Yields an error and what has led to it."""
    while error is not None:
        yield error
        error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
