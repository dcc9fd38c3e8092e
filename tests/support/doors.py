"""Doors to load by other than `load`, and kills on the way."""

from typing import Any

import dlt
import duckdb
from dlt.common.runtime.collector_base import Collector

from llama_extract_dlt import llama_extract, sync
from support.agents import Json
from support.warehouse import Warehouse, between_packages


class Killed(BaseException):
    """Stands for a process that is no more."""


class Executioner(Collector):
    """Ends the pipeline at one of the moments at which dlt reports progress: an item, a file, a job.

    With `only`, at one of the moments of the steps whose names begin so.
    """

    def __init__(self, moment: int, only: str = "") -> None:
        super().__init__()
        self.left = moment
        self.only = only
        self.counting = not only

    def update(self, *_: Any, **__: Any) -> None:
        if self.counting:
            self.left -= 1
            if self.left == 0:
                raise Killed

    def _start(self, step: str) -> None:
        self.counting = step.startswith(self.only)
        self.update()

    def _stop(self) -> None:
        self.counting = not self.only


class Quiet(Collector):
    """No progress, and nothing said about it."""

    def update(self, *_: Any, **__: Any) -> None:
        pass

    def _start(self, step: str) -> None:
        pass

    def _stop(self) -> None:
        pass


def account_of(house: Warehouse) -> dict[str, Any]:
    return {"api_key": house.cloud.api_key, "base_url": house.cloud.base_url}


def source_of(house: Warehouse, **arguments: Any) -> Any:
    return llama_extract(**(account_of(house) | arguments))


def pipeline_of(house: Warehouse, name: str = "llama_extract", progress: Collector | None = None) -> dlt.Pipeline:
    """A pipeline into the warehouse, as the README makes it."""
    given: dict[str, Any] = {"progress": progress} if progress else {}
    destination = dlt.destinations.duckdb(str(house.path))
    return dlt.pipeline(name, destination=destination, dataset_name="llama_extract", **given)


def run(house: Warehouse, name: str = "llama_extract", progress: Collector | None = None, **arguments: Any) -> Json:
    """A plain `pipeline.run`; the source's counts."""
    house.forget()
    source = source_of(house, **arguments)
    pipeline_of(house, name, progress).run(source)
    return source.resources["extraction_runs"].custom_metrics


def is_kill(error: BaseException | None) -> bool:
    """Whether the error comes from the executioner."""
    while error is not None:
        if isinstance(error, Killed):
            return True
        error = error.__cause__ or error.__context__
    return False


def killed_run(house: Warehouse, moment: int, name: str = "llama_extract", **arguments: Any) -> bool:
    """A plain `pipeline.run` that is killed in its load step, and loses its working folder; whether it was killed."""
    killed = False
    try:
        run(house, name, Executioner(moment, only="Load"), **arguments)
    except BaseException as error:
        if not is_kill(error):
            raise
        killed = True
    pipeline_of(house, name).drop()
    return killed


def sync_killed_after(house: Warehouse, packages: int, **arguments: Any) -> bool:
    """A `sync` that is killed when so many packages are committed; whether it came that far."""
    done = 0

    def committed() -> None:
        nonlocal done
        done += 1
        if done == packages:
            raise Killed

    try:
        sync(house.pipeline, source_of(house, **arguments), on_progress=between_packages(committed))
    except BaseException as error:
        if not is_kill(error):
            raise
    return done == packages


def query(house: Warehouse, sql: str) -> list[tuple[Any, ...]]:
    house.forget()
    with duckdb.connect(str(house.path)) as connection:
        connection.execute("set schema 'llama_extract'")
        return connection.execute(sql).fetchall()
