"""Airflow 3: what a task calls to list the agents, and to load them. Connections in, tables and a report out.

    @task
    def load():
        sync(agents=["Invoices"])

What takes time to import is imported in the task: Airflow reads DAG files again and again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NoReturn
from urllib.parse import quote, urlencode

from .settings import CHUNK_SIZE

if TYPE_CHECKING:
    import dlt

    from .load.report import Progress, Report

_logger = logging.getLogger(__name__)

REPORT = "report"
"""The key of the report among a task's XComs."""

PROGRESS_EVERY = 30.0
"""Seconds between two lines of progress in the task's log."""

_SHOWN = 5
"""Missing and unreadable things that an error names; the report has all."""


def list_agents(*, service: str | None = None, **arguments: Any) -> list[dict[str, str]]:
    """The agents that `sync` would load with the same arguments, as `id` and `name`: for mapped tasks. One request.

    Args:
        service: as for `sync`.
        arguments: those of `llama_extract`.

    Raises AirflowFailException or AirflowException, as `sync` does.
    """
    with _in_task():
        from .session import list_agents as names_by_id

        found, _ = names_by_id(**_account(service, arguments))
        return [{"id": agent_id, "name": name} for agent_id, name in found.items()]


def sync(
    *,
    service: str | None = None,
    warehouse: str | None = None,
    dataset: str = "llama_extract",
    refresh: bool = False,
    **arguments: Any,
) -> dict[str, Any]:
    """Load as `llama_extract_dlt.sync` does; return the report, which is also the task's XCom `report`.

    It is there before anything is raised. It is that of `Report.as_dict`, with `open_rejects`: rows of
    `extraction_runs__rejected` of what was loaded, from whichever load. As long as there are any, nothing is complete.

    Args:
        service: the connection that has the key as its password, and the service's address as its host. When not set,
            it is `llama_cloud`, and may be missing: then the key is looked for as everywhere else.
        warehouse: the connection of the type postgres to load into. When not set, it is `warehouse`, and may be
            missing: then dlt's settings say where to, and without any it is a DuckDB file in AIRFLOW_HOME.
        dataset: the dataset's name.
        refresh: drop all tables and all that is known, and load anew.
        arguments: those of `llama_extract`, and `loader_file_format` and `schema_contract`. `chunk_size` is 5000 where
            nothing else is said.

    Raises:
        AirflowFailException: a setting, the key or what was asked for is wrong, or the load was not complete. Trying
            again would not help.
        AirflowException: the service, the network, the warehouse or another load was in the way: tried again.
    """
    with _in_task(), _ended_by_sigterm(), ExitStack() as stack:
        from airflow.sdk import get_current_context
        from airflow.sdk.exceptions import AirflowFailException

        from . import config, session
        from .load.warehouse.rejects import count_rejected

        arguments = _account(service, arguments)
        settings = config.read(arguments)
        if settings["chunk_size"] is None:
            arguments["chunk_size"] = CHUNK_SIZE
        name = session.pipeline_name("llama_extract", settings)
        pipeline = _pipeline(name, warehouse, dataset, stack)
        on_progress = _progress_log(settings["requests_per_minute"])
        report = session.sync(pipeline, refresh=refresh, on_progress=on_progress, **arguments)
        _logger.info("%s", _said(report))
        task = get_current_context()["ti"]
        found = report.as_dict() | {"open_rejects": report.rejected}
        task.xcom_push(key=REPORT, value=found)
        whole_project = all(settings[name] is None for name in ("agents", "run_ids", "job_ids"))
        rejects = max(report.rejected, count_rejected(pipeline, None if whole_project else list(report.agents)))
        if rejects > report.rejected:
            found |= {"open_rejects": rejects, "complete": False}
            task.xcom_push(key=REPORT, value=found)
        if not found["complete"]:
            raise AirflowFailException(f"loaded, but not complete: {_lacks(report, rejects)}")
        return found


def _said(report: Report) -> str:
    """What a load did, in one line."""
    from .load.report import KINDS

    counts = {kind: getattr(report, kind) for kind in KINDS}
    runs = ", ".join(f"{count:,} {kind}" for kind, count in counts.items() if count)
    new = "" if report.tables else "nothing new, "
    return f"{new}runs: {runs or 'none'}, in {report.seconds:.1f} s with {report.requests:,} requests"


def _lacks(report: Report, rejects: int) -> str:
    """What a load lacks, in one line."""
    parts = []
    if rejects:
        items = f"{rejects:,} items were" if rejects > 1 else "1 item was"
        parts.append(f"{items} no run, see the table extraction_runs__rejected, and delete rows that are seen to")
    if report.missing:
        parts.append(f"not found: {_some(list(report.missing))}")
    unreadable = []
    for agent_id, reason in report.unreadable.items():
        known = report.agents.get(agent_id)
        unreadable.append(f"agent {known.name if known else agent_id} ({reason})")
    if unreadable:
        parts.append(f"could not be read: {_some(unreadable)}")
    return "; ".join(parts)


def _some(texts: list[str]) -> str:
    more = [f"and {len(texts) - _SHOWN} more"] if len(texts) > _SHOWN else []
    return ", ".join(texts[:_SHOWN] + more)


# ── connections ───────────────────────────────────────────────────────────────────────────────────────────────────


def _connection(named: str | None, default: str) -> Any:
    """A connection of Airflow's; None if none was named and there is no such default one."""
    from airflow.sdk import Connection
    from airflow.sdk.exceptions import AirflowNotFoundException

    try:
        return Connection.get(named or default)
    except AirflowNotFoundException:
        if named:
            raise
        return None


def _account(service: str | None, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments, with the key and the address of the connection where they have none; the key is masked."""
    from airflow.sdk.log import mask_secret

    from . import config
    from .errors import ConfigurationError

    connection = _connection(service, "llama_cloud")
    if connection is not None:
        if not connection.password:
            raise ConfigurationError(f"the connection {connection.conn_id!r} has no password, which is to be the key")
        address = connection.host or None
        if address and "://" not in address:
            port = f":{connection.port}" if connection.port else ""
            address = f"{connection.schema or 'https'}://{address}{port}"
        arguments = {"api_key": connection.password, "base_url": address} | arguments
    if key := config.read(arguments)["api_key"]:
        mask_secret(key)
    return arguments


def _pipeline(name: str, warehouse: str | None, dataset: str, stack: ExitStack) -> dlt.Pipeline:
    """A pipeline in a folder of its own, which is gone afterwards: what is known comes back from the warehouse."""
    import dlt

    from .load.dlt_inside import name_duckdb_file

    folder = stack.enter_context(TemporaryDirectory(prefix="llama_extract_", ignore_cleanup_errors=True))
    given: dict[str, Any] = {"pipelines_dir": folder, "dataset_name": dataset}
    pipeline: dlt.Pipeline = dlt.pipeline(name, destination=_destination(warehouse), **given)
    if not pipeline.destination:
        pipeline = dlt.pipeline(name, destination="duckdb", **given)
    stack.callback(pipeline.deactivate)
    if pipeline.destination.destination_type == "dlt.destinations.duckdb":
        name_duckdb_file(pipeline, "llamacloud")
    return pipeline


def _destination(warehouse: str | None) -> Any:
    """The destination that the connection leads to; None where there is none."""
    import dlt

    from .errors import ConfigurationError

    connection = _connection(warehouse, "warehouse")
    if connection is None:
        return None
    if connection.conn_type not in ("postgres", "postgresql"):
        raise ConfigurationError(
            f"the connection {connection.conn_id!r} is of the type {connection.conn_type}, and must be postgres: "
            "other destinations are set by dlt's variables"
        )
    user = ":".join(quote(text, safe="") for text in (connection.login or "", connection.password or ""))
    place = f"{connection.host or 'localhost'}:{connection.port or 5432}/{quote(connection.schema or '', safe='')}"
    options = {name: value for name, value in connection.extra_dejson.items() if isinstance(value, str | int)}
    return dlt.destinations.postgres(f"postgresql://{user}@{place}{'?' if options else ''}{urlencode(options)}")


# ── the task ──────────────────────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _in_task() -> Iterator[None]:
    """Sets what dlt has to know in a task; makes Airflow's of other errors, each in one line."""
    from airflow.sdk.exceptions import AirflowException

    home = os.environ.get("AIRFLOW_HOME") or os.path.expanduser("~/airflow")
    wanted = {
        "RUNTIME__INTERCEPT_SIGNALS": "false",  # a task ends with SIGTERM, see below
        "PROVIDERS__ENABLE_AIRFLOW_SECRETS": "false",  # to ask Airflow's variables for every setting takes seconds
        "DLT_LOCAL_DIR": home,  # a task may begin in any folder
    }
    added = wanted.keys() - os.environ.keys()
    os.environ.update({name: wanted[name] for name in added})
    try:
        yield
    except AirflowException:
        raise
    except Exception as error:
        _logger.debug("where it went wrong", exc_info=True)
        raise _as_airflow(error) from None
    finally:
        for name in added:
            os.environ.pop(name, None)


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Has SIGTERM end the task, which Airflow tries again, with its folder and its lock given back.

    Airflow tells a task to stop by it, calls what has nothing to stop here, and kills what still runs after seconds.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)

    def end(number: int, frame: Any) -> NoReturn:
        if callable(before):
            before(number, frame)
        raise SystemExit("terminated: the next try goes on, nothing will be in the warehouse twice")

    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before if before is not None else signal.SIG_DFL)


def _as_airflow(error: Exception) -> Exception:
    """An error that fails the task where trying again would not help, else one that Airflow tries again after."""
    from airflow.sdk.exceptions import AirflowException, AirflowFailException

    from . import errors
    from .explain import needs_settings, one_line, telling_cause

    for_good = (
        errors.AuthenticationError,
        errors.PermissionDeniedError,
        errors.NotFoundError,
        errors.InvalidRequestError,
        errors.AnswerTooLargeError,
    )
    cause = telling_cause(error)
    line = one_line(cause, os.environ.get("DESTINATION_TYPE", "duckdb"))
    failed = isinstance(cause, for_good) or needs_settings(cause)
    made: Exception = AirflowFailException(line) if failed else AirflowException(line)
    return made


def _progress_log(rate: float | None) -> Callable[[Progress], None]:
    """Logs now and then how far a load has come; `rate` is that of the requests, a minute."""
    from .cli.console import describe

    due = time.monotonic() + PROGRESS_EVERY

    def say_when_due(progress: Progress) -> None:
        nonlocal due
        if time.monotonic() >= due:
            due += PROGRESS_EVERY
            _logger.info("%s", describe(progress, rate))

    return say_when_due
