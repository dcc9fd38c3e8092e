"""LlamaCloud extraction runs as typed, joinable tables: a dlt source.

import dlt
from llama_extract_dlt import llama_extract

pipeline = dlt.pipeline("extractions", destination="duckdb", dataset_name="llama_extract")
pipeline.run(llama_extract(agents=["Invoices"]))
"""

import os
from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal

import dlt
from dlt.common.configuration.specs.base_configuration import NotResolved
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from . import settings
from .changes import checked_ids, checked_time
from .chunks import Selection
from .client import LlamaCloudClient, RequestBudget
from .exceptions import ConfigurationError, LlamaExtractError
from .loading import as_items
from .planning import AgentPlan
from .running import load
from .settings import own_setting
from .sync import Sync, current_load_id
from .tables import AGENTS, RUNS

__all__ = ["ConfigurationError", "LlamaExtractError", "llama_extract", "load"]


@dlt.source(name="llama_extract", section="llama_extract")
def llama_extract(
    agents: Sequence[str] | None = None,
    run_ids: Sequence[str] | None = None,
    job_ids: Sequence[str] | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    full_scan: bool = False,
    full_scan_every: float = settings.FULL_SCAN_EVERY,
    deleted_runs: Literal["flag", "remove", "ignore"] = "flag",
    api_key: Annotated[TSecretStrValue | None, NotResolved()] = dlt.secrets.value,
    base_url: Annotated[str | None, NotResolved()] = dlt.config.value,
    project_id: Annotated[str | None, NotResolved()] = dlt.config.value,
    organization_id: Annotated[str | None, NotResolved()] = dlt.config.value,
    requests_per_minute: float | None = None,
    max_concurrency: int = settings.MAX_CONCURRENCY,
    timeout: float = settings.TIMEOUT,
    max_tries: int = settings.MAX_TRIES,
    max_wait: float = settings.MAX_WAIT,
    page_size: int = settings.PAGE_SIZE,
    chunk_size: int | None = None,
    lookup_files: bool = True,
    data_tables: Literal["shared", "per_agent"] = "shared",
) -> Sequence[DltResource]:
    """Extraction runs of LlamaCloud, with their configs, files, data, confidences and citations in child tables.

    Which runs: those with `run_ids`, those of `job_ids` and those of `agents` together; those of every agent of the
    project when none of the three is given. Of agents, the first load reads all runs and later ones what is new or
    has changed since, runs in flight included; docs/how-sync-works.md says how. Runs are merged on their id.

    Every argument can come from dlt's configuration instead, under `[sources.llama_extract]`.

    Args:
        agents: ids or names of extraction agents.
        run_ids: UUIDs of runs.
        job_ids: UUIDs of extraction jobs.
        since: of the agents, only runs with an `updated_at` from then on (ISO 8601, UTC if it does not say). Every page
            is read for that, and what later loads have to read stays as it was.
        until: only runs with an `updated_at` before then; see `since`.
        full_scan: read all runs of the agents, load those that differ, and find those that were deleted.
        full_scan_every: days after which a load is a full scan by itself; 0 for never.
        deleted_runs: what becomes of runs that were deleted at the service: `flag` sets `_deleted_at`, `remove` takes
            their rows out of all tables, `ignore` does nothing.
        api_key: the LlamaCloud key; `LLAMA_CLOUD_API_KEY` is read when dlt's secrets have none.
        base_url: the service's address; `LLAMA_CLOUD_BASE_URL`, then North America, when it is not set.
        project_id: passed to the API where it takes one, as is `organization_id`.
        organization_id: see `project_id`.
        requests_per_minute: the organisation's rate limit, for example 20 for a free account; no limit when not set.
        max_concurrency: requests under way at once.
        timeout: seconds without a byte before a request is tried again.
        max_tries: tries that a request gets before the load fails.
        max_wait: seconds that a request spends waiting between its tries before the load fails.
        page_size: runs to ask for a page.
        chunk_size: end the load after so many runs; the next one goes on from there. `load` does that until all is
            loaded. When not set, one load has all.
        lookup_files: ask for the records of files that runs name without describing them (the API is giving up the
            `file` of a run in favour of `file_id`); one more request for up to 100 such runs.
        data_tables: `shared` puts the data of all agents into `extraction_runs__data` and its child tables;
            `per_agent` gives each agent tables of its own, named after it (`invoices`, `invoices__line_items`). A table
            keeps its name when the agent is renamed.

    Returns:
        Two resources: `extraction_runs`, which fills the tables of runs and their children, and `extraction_agents`.
        Two more are not loaded unless they are selected: iterating over `sync_plan` is a dry run, a row an agent;
        `forget` loads nothing but lets the next load begin anew.

    Raises:
        ConfigurationError: a setting is missing or cannot be used; nothing was sent.
        LlamaExtractError: while loading; its subclasses say what went wrong.
    """
    # One name is as good as a list of one; `None` and the empty list both mean "not asked for".
    wanted = [agents] if isinstance(agents, str) else list(agents or [])
    runs = checked_ids([run_ids] if isinstance(run_ids, str) else run_ids or [], "run ID")
    jobs = checked_ids([job_ids] if isinstance(job_ids, str) else job_ids or [], "job ID")
    if page_size < 1 or (chunk_size is not None and chunk_size < 1):
        raise ConfigurationError("chunk_size and page_size must be at least 1")
    if data_tables not in ("shared", "per_agent"):
        raise ConfigurationError(f"data_tables must be 'shared' or 'per_agent', not {data_tables!r}")
    if deleted_runs not in ("flag", "remove", "ignore"):
        raise ConfigurationError(f"deleted_runs must be 'flag', 'remove' or 'ignore', not {deleted_runs!r}")
    if full_scan_every < 0:
        raise ConfigurationError(f"full_scan_every must be 0 (never) or more days, not {full_scan_every}")
    selection = Selection(
        run_ids=runs,
        job_ids=jobs,
        since=checked_time(since, "since"),
        until=checked_time(until, "until"),
        full_scan=full_scan,
        full_scan_every=full_scan_every,
        deleted_runs=deleted_runs,
        data_tables=data_tables,
        page_size=page_size,
        chunk_size=chunk_size,
        concurrency=max_concurrency,
        lookup_files=lookup_files,
    )
    if selection.since and selection.until and selection.since >= selection.until:
        raise ConfigurationError("since must be before until")
    if selection.windowed and full_scan:
        raise ConfigurationError("full_scan reads all runs: leave out since and until")
    key = api_key or own_setting("api_key") or os.environ.get("LLAMA_CLOUD_API_KEY")
    if not key:
        raise ConfigurationError(
            "no API key: set LLAMA_CLOUD_API_KEY, or api_key under [sources.llama_extract] in .dlt/secrets.toml"
        )
    url = base_url or own_setting("base_url") or os.environ.get("LLAMA_CLOUD_BASE_URL") or settings.BASE_URL
    project = project_id or own_setting("project_id")
    organization = organization_id or own_setting("organization_id")

    def connect(budget: RequestBudget) -> LlamaCloudClient:
        return LlamaCloudClient(
            key,
            url,
            project_id=project,
            organization_id=organization,
            max_concurrency=max_concurrency,
            timeout=timeout,
            max_tries=max_tries,
            max_wait=max_wait,
            budget=budget,
        )

    connect(RequestBudget(requests_per_minute))  # so that a setting that cannot be used is reported before a run starts
    syncs: dict[str, Sync] = {}

    def sync() -> Sync:
        """What the resources share: one sync for a load package, and for the next ones until it is complete."""
        load_id = current_load_id()
        if load_id not in syncs or not load_id:
            under_way = [sync for sync in syncs.values() if not sync.complete]
            syncs.clear()
            budget = RequestBudget(requests_per_minute)
            syncs[load_id] = under_way[0] if under_way else Sync(connect, budget, selection, wanted)
        return syncs[load_id]

    @dlt.resource(name=AGENTS, write_disposition="merge", primary_key="id")
    def extraction_agents() -> Iterator[Any]:
        shared, loaded = sync(), dlt.current.resource_state().setdefault("loaded", {})
        for agents in shared.agents():
            changed = [agent for agent in agents if loaded.get(agent.id) != agent.content_hash]
            for table in shared.tables(dlt.current.source_schema()).agent_rows([agent.raw for agent in changed]):
                shared.count_rows(table)
                yield from as_items(table)
            loaded.update({agent.id: agent.content_hash for agent in changed})
            dlt.current.resource_metrics().update(shared.metrics())

    @dlt.resource(name=RUNS, write_disposition="merge", primary_key="id")
    def extraction_runs() -> Iterator[Any]:
        shared, schema, state = sync(), dlt.current.source_schema(), dlt.current.resource_state()
        for batch in shared.batches(state.get("agents", {}), schema):
            for table in batch.tables(schema, state):
                yield from as_items(table)
            dlt.current.resource_metrics().update(shared.metrics())
            del batch  # before the next one is there

    @dlt.resource(selected=False)
    def sync_plan() -> Iterator[AgentPlan]:
        yield from sync().plan(dlt.current.resource_state(RUNS).get("agents", {}))

    @dlt.resource(selected=False)
    def forget() -> Iterator[Any]:
        for name in (RUNS, AGENTS):
            dlt.current.resource_state(name).clear()
        yield from ()

    return extraction_runs, extraction_agents, sync_plan, forget
