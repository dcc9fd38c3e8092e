"""The one door: a pipeline and a source in, all runs in the warehouse and a report out."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import dlt
from dlt.extract import DltSource

from . import config
from .errors import ConfigurationError, LlamaExtractError
from .load.destinations.duckdb_file import open_duckdb_once
from .load.destinations.layout import prepare_destination
from .load.dlt_inside import duckdb_file, load_tables_in_turn, one_configuration, resource_state
from .load.locks.dataset import alone
from .load.locks.turns import LONGEST_WAIT, Turns
from .load.report import AgentReport, Progress, Report
from .load.running_sync import RUNNING_SYNCS, RunningSync, company_of
from .load.warehouse.stored_schema import know_all_tables
from .load.watching import waiting, watching
from .source import extraction_of, llama_extract
from .tables.contract import AGENTS, RUNS
from .tracking.agent_state import AgentState
from .tracking.dry_run import AgentPlan

RUN_ARGUMENTS = frozenset({"loader_file_format", "schema_contract"})
"""What `sync` passes on to `pipeline.run`; the others would have no effect on a source that merges by itself."""


def sync(
    pipeline: dlt.Pipeline,
    source: DltSource | None = None,
    *,
    refresh: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
    **arguments: Any,
) -> Report:
    """Loads all that the source has, in packages of its `chunk_size` runs, each committed before the next.

    No other load of this source into the dataset runs meanwhile, unless both are `parallel`: none from this machine,
    and where the dataset is in PostgreSQL or in a bucket that speaks S3, none from anywhere. If one runs already, this
    one waits for it, for `wait_for_lock` seconds. What a killed load of this source has left behind in the pipeline is
    dropped: resumed, it could be in the warehouse twice. The state comes back from the destination, and what is missing
    is read again.

    Args:
        pipeline: with a destination and a dataset.
        source: `llama_extract(...)`; without it, one is made of the arguments.
        refresh: drop all tables and all that is known, and load anew.
        on_progress: called at each step, and about twice a second in a thread of its own, one call at a time, amid
            dlt's work: it must not load anything. An exception in it ends the load.
        arguments: those of `llama_extract`, where there is no source; and `loader_file_format` and `schema_contract`
            for `pipeline.run`.

    Raises:
        ConfigurationError: it is no source, the pipeline has no destination, an argument is none, or a setting cannot
            be used.
        DatasetBusyError: another load was at work to the end of `wait_for_lock`.
        LlamaExtractError: the pipeline has data of other sources that are not loaded yet; or
            the source was ended, by a limit say, before it was complete.
        PipelineStepFailed: dlt's, with what went wrong as its cause.
    """
    with synced(pipeline, source, refresh=refresh, on_progress=on_progress, **arguments) as report:
        return report


@contextmanager
def synced(
    pipeline: dlt.Pipeline,
    source: DltSource | None = None,
    *,
    refresh: bool = False,
    on_progress: Callable[[Progress], object] | None = None,
    **arguments: Any,
) -> Iterator[Report]:
    """Does what `sync` does, and keeps others out still while one looks at what was loaded."""
    began = time.monotonic()
    _check_pipeline(pipeline)
    source, run_arguments = _source_of(source, arguments)
    if not isinstance(refresh, bool):
        raise ConfigurationError(f"refresh must be True or False; it is {refresh!r}")
    if on_progress is not None and not callable(on_progress):
        raise ConfigurationError(f"on_progress must be a function; it is {on_progress!r}")
    company = company_of(source)
    if company.parallel and refresh:
        raise ConfigurationError("refresh drops what other workers load: leave parallel out for that load")
    wait = company.wait_for_lock or (LONGEST_WAIT if company.parallel else 0.0)
    keep_out = partial(alone, pipeline, wait, waiting(on_progress))
    start_over = partial(_start_over, pipeline, source.schema.name)
    with ExitStack() as stack:
        stack.enter_context(one_configuration(pipeline))
        _check_names(pipeline)
        prepare_destination(pipeline)
        lock = None if company.parallel else stack.enter_context(keep_out())
        start_over()
        running = stack.enter_context(_announced(pipeline, company.parallel))
        watch = stack.enter_context(watching(pipeline, running, on_progress))
        load_tables_in_turn(pipeline)
        turns = None
        if company.parallel:
            turns = Turns(pipeline, source, running, keep_out, start_over)
        if refresh:
            # First what is known, then the tables: cut off in between, the next load still finds all that is missing.
            _forget(pipeline, source)
            run_arguments["refresh"] = "drop_sources"
        load_ids: list[str] = []
        while True:
            with ExitStack() as package:
                try:
                    with open_duckdb_once(pipeline):
                        if turns is not None:
                            info = turns.run(run_arguments, package)
                        else:
                            assert lock is not None
                            lock.check()
                            info = pipeline.run(source, **run_arguments)
                except BaseException:
                    if not watch.has_failed:
                        raise
                watch.raise_failure()  # rather than what dlt makes of it, which has it as its cause
                if info is not None:
                    info.raise_on_failed_jobs()
                    load_ids += info.loads_ids
                if not _goes_on(source, running):
                    known = resource_state(pipeline, llama_extract.name, RUNS).get("agents", {})
                    yield _report(running.metrics(), known, load_ids, time.monotonic() - began)
                    return
            run_arguments.pop("refresh", None)


def plan_sync(pipeline: dlt.Pipeline, *, refresh: bool = False, **arguments: Any) -> list[AgentPlan]:
    """Say what `sync` would read with the same arguments, which takes a request for the agents and one for each.

    Nothing is loaded, and the pipeline's state comes from the destination where the working folder has none. Runs and
    jobs that are asked for by their ids are not among the plans: each takes a request.

    Raises:
        ConfigurationError: the pipeline has no destination, an argument is none of `llama_extract`, or a setting cannot
            be used.
        LlamaExtractError: the service could not be asked.
    """
    if unknown := arguments.keys() - config.SETTINGS:
        raise ConfigurationError(f"plan_sync does not take {min(unknown)}: it takes the arguments of llama_extract")
    _check_pipeline(pipeline)
    extraction = extraction_of(arguments)()
    known: dict[str, Any] = {}
    if not refresh:
        with one_configuration(pipeline):
            prepare_destination(pipeline)
            file = duckdb_file(pipeline)
            if file is None or file.exists():  # asking would make it
                pipeline.sync_destination()
                known = resource_state(pipeline, llama_extract.name, RUNS)
    return list(extraction.plan(known.get("agents", {})))


def pipeline_name(name: str, settings: Mapping[str, Any]) -> str:
    """Return what a pipeline with these settings is called: `name`, and by its agents that of one worker of several."""
    agents = settings["agents"]
    if not settings["parallel"] or not agents:
        return name
    return f"{name}_{hashlib.sha256(json.dumps(sorted(set(agents))).encode()).hexdigest()[:12]}"


def list_agents(**arguments: Any) -> tuple[dict[str, str], bool]:
    """Return the names of the agents that `sync` would load with the same arguments, by id; it takes one request.

    The second value says whether the list could be read whole: else an agent that is not in it may be there.

    Raises:
        ConfigurationError: a setting cannot be used, or there is no such agent.
        LlamaExtractError: the service could not be asked.
    """
    extraction = extraction_of(arguments)()
    names = {agent.id: agent.name for agent in extraction.wanted_agents()}
    return names, not extraction.metrics()["unreadable"]


# ── before the load ───────────────────────────────────────────────────────────────────────────────────────────────


def _check_pipeline(pipeline: dlt.Pipeline) -> None:
    """Refuses what is no pipeline, and one that loads nowhere, or has lost its folder."""
    if not isinstance(pipeline, dlt.Pipeline):
        raise ConfigurationError(f"it takes a dlt pipeline, dlt.pipeline(...), not a {type(pipeline).__name__}")
    if not Path(pipeline.working_dir).is_dir():
        raise ConfigurationError(
            f"the working folder {pipeline.working_dir} of the pipeline is gone: make the pipeline anew, "
            "by dlt.pipeline(...)"
        )
    if pipeline.destination is None:
        raise ConfigurationError(
            f"the pipeline {pipeline.pipeline_name} has no destination: "
            "give dlt.pipeline one, such as destination='duckdb'"
        )


def _source_of(given: DltSource | None, arguments: Mapping[str, Any]) -> tuple[DltSource, dict[str, Any]]:
    """The source, and the arguments for `pipeline.run`."""
    for_run = {name: value for name, value in arguments.items() if name in RUN_ARGUMENTS}
    for_source = {name: value for name, value in arguments.items() if name not in RUN_ARGUMENTS}
    if unknown := for_source.keys() - config.SETTINGS:
        names = ", ".join(sorted(RUN_ARGUMENTS))
        raise ConfigurationError(
            f"sync does not take {min(unknown)}: it takes refresh, on_progress, {names} and the arguments of "
            "llama_extract, which settles the rest itself"
        )
    if given is None:
        return llama_extract(**for_source), for_run
    if not isinstance(given, DltSource):
        raise ConfigurationError(f"sync takes the source itself, llama_extract(...), not a {type(given).__name__}")
    if for_source:
        raise ConfigurationError(f"{min(for_source)} is the source's: llama_extract({min(for_source)}=...)")
    if not given.selected_resources:
        raise ConfigurationError(
            "the source has no resource selected: select extraction_runs, extraction_agents or both"
        )
    return given, for_run


def _check_names(pipeline: dlt.Pipeline) -> None:
    """Refuses a DuckDB file that is called like the dataset: DuckDB would take each for the other."""
    file = duckdb_file(pipeline)
    if file is not None and file.name.split(".")[0] == pipeline.dataset_name:
        raise ConfigurationError(
            f"the DuckDB file {file} is called like its dataset, and DuckDB cannot tell the two apart: "
            "rename the file, or take another dataset"
        )


def _start_over(pipeline: dlt.Pipeline, ours: str) -> None:
    """Drops what is pending of the schema `ours`; raises LlamaExtractError if other sources have anything pending."""
    pending = [*pipeline.list_extracted_load_packages(), *pipeline.list_normalized_load_packages()]
    for load_id in pending:
        package = pipeline.get_load_package_info(load_id)
        tables = {job.job_file_info.table_name for jobs in package.jobs.values() for job in jobs}
        # The pipeline's own state may be in a package of any schema, and comes back from the destination.
        if package.schema_name != ours and any(not table.startswith("_dlt") for table in tables):
            raise LlamaExtractError(
                f"the pipeline {pipeline.pipeline_name} has data of {package.schema_name} that are not loaded yet: "
                "load them with pipeline.load(), or give this source a pipeline of its own"
            )
    if pending:
        pipeline.drop()


def _forget(pipeline: dlt.Pipeline, source: DltSource) -> None:
    """Load a package of nothing, with which the destination's state no longer has anything of the resources."""

    @dlt.resource
    def forget() -> Iterator[Any]:
        for name in (RUNS, AGENTS):
            dlt.current.resource_state(name).clear()
        yield from ()

    know_all_tables(pipeline, source.schema.name)
    pipeline.run(DltSource(source.schema, source.section, [forget()]))


# ── what the extraction says ──────────────────────────────────────────────────────────────────────────────────────


@contextmanager
def _announced(pipeline: dlt.Pipeline, parallel: bool) -> Iterator[RunningSync]:
    """Lets the source know that it is loaded package after package; ends reading ahead when nothing more is loaded."""
    running = RUNNING_SYNCS[pipeline] = RunningSync(parallel)
    try:
        yield running
    finally:
        del RUNNING_SYNCS[pipeline]
        for one in running.extractions:
            one.close()


def _goes_on(source: DltSource, running: RunningSync) -> bool:
    """Whether there is more to load after a package; raises LlamaExtractError if nobody will give it."""
    if RUNS not in source.selected_resources:
        return False  # the agents come in one package
    if not running.extractions:
        raise LlamaExtractError("the source did not say whether the load is complete: run again")
    if running.extractions[-1].closed and not running.extractions[-1].complete:
        message = "the load is not complete: a limit, such as add_limit, ended the source before its end"
        raise LlamaExtractError(f"{message}; run again without it")
    return not running.extractions[-1].complete


def _report(counts: dict[str, Any], known: Mapping[str, Any], load_ids: list[str], seconds: float) -> Report:
    """What the whole load did; `known` are the agents' states after it."""
    runs, unreadable = counts["runs"], counts["unreadable"]
    states = {agent_id: AgentState.load(known.get(agent_id, {})) for agent_id in counts["agents"]}
    return Report(
        **runs | {"missing": tuple(runs["missing"])},
        complete=not (runs["rejected"] or runs["missing"] or unreadable),
        agents={
            agent_id: AgentReport(**agent, watermark=state.watermark, in_flight=len(state.in_flight))
            for (agent_id, agent), state in zip(counts["agents"].items(), states.values(), strict=True)
        },
        unreadable=unreadable,
        tables=dict(sorted(counts["tables"].items())),
        requests=counts["requests"],
        seconds=seconds,
        load_ids=tuple(load_ids),
    )
