"""LlamaCloud extraction runs as typed, joinable tables: a dlt source.

import dlt
from llama_extract_dlt import llama_extract

pipeline = dlt.pipeline("extractions", destination="duckdb", dataset_name="llama_extract")
pipeline.run(llama_extract(agents=["Invoices"]))
"""

import os
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Literal

import dlt
from dlt.common.configuration.specs.base_configuration import NotResolved
from dlt.common.storages.exceptions import CurrentLoadPackageStateNotAvailable
from dlt.common.typing import TSecretStrValue
from dlt.extract import DltResource

from . import settings
from .changes import Agent, Chunk, checked_ids, read_ahead, read_chunks, select_agents
from .client import LlamaCloudClient, RequestBudget
from .exceptions import ConfigurationError, LlamaExtractError
from .loading import as_items
from .parsing import give_back_memory
from .reading import ReadRuns
from .settings import own_setting
from .sync import Sync, in_own_loop
from .tables import AGENTS, RUNS

__all__ = ["ConfigurationError", "LlamaExtractError", "llama_extract"]


@dlt.source(name="llama_extract", section="llama_extract")
def llama_extract(
    agents: Sequence[str] | None = None,
    run_ids: Sequence[str] | None = None,
    job_ids: Sequence[str] | None = None,
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
    chunk_size: int = settings.CHUNK_RUNS,
    lookup_files: bool = True,
    data_tables: Literal["shared", "per_agent"] = "shared",
) -> Sequence[DltResource]:
    """Extraction runs of LlamaCloud, with their configs, files, data, confidences and citations in child tables.

    Which runs: those with `run_ids`, those of `job_ids` and those of `agents` together; every run of every agent
    of the project when none of the three is given. Each run is loaded once and merged on its id, so loading the
    same runs again changes nothing.

    Every argument can come from dlt's configuration instead, under `[sources.llama_extract]`.

    Args:
        agents: ids or names of extraction agents.
        run_ids: UUIDs of runs.
        job_ids: UUIDs of extraction jobs.
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
        chunk_size: runs turned into tables at a time; memory grows with it.
        lookup_files: ask for the records of files that runs name without describing them (the API is giving up the
            `file` of a run in favour of `file_id`); one more request for up to 100 such runs.
        data_tables: `shared` puts the data of all agents into `extraction_runs__data` and its child tables;
            `per_agent` gives each agent tables of its own, named after it (`invoices`, `invoices__line_items`). A table
            keeps its name when the agent is renamed.

    Returns:
        Two resources: `extraction_runs`, which fills the tables of runs and their children, and `extraction_agents`.

    Raises:
        ConfigurationError: a setting is missing or cannot be used; nothing was sent.
        LlamaExtractError: while loading; its subclasses say what went wrong.
    """
    # One name is as good as a list of one; `None` and the empty list both mean "not asked for".
    wanted = [agents] if isinstance(agents, str) else list(agents or [])
    runs = checked_ids([run_ids] if isinstance(run_ids, str) else run_ids or [], "run ID")
    jobs = checked_ids([job_ids] if isinstance(job_ids, str) else job_ids or [], "job ID")
    if chunk_size < 1 or page_size < 1:
        raise ConfigurationError("chunk_size and page_size must be at least 1")
    if data_tables not in ("shared", "per_agent"):
        raise ConfigurationError(f"data_tables must be 'shared' or 'per_agent', not {data_tables!r}")
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
        """What the resources share while they are extracted together, which is into one load package."""
        try:
            load_id = dlt.current.load_package_state()["load_id"]
        except CurrentLoadPackageStateNotAvailable:  # somebody looks at a resource without a pipeline
            return Sync(RequestBudget(requests_per_minute))
        if load_id not in syncs:
            syncs.clear()
            syncs[load_id] = Sync(RequestBudget(requests_per_minute))
        return syncs[load_id]

    @dlt.resource(name="_agents", selected=False)
    def agent_feed() -> Iterator[tuple[Sync, list[Agent]]]:
        shared = sync()

        async def feed() -> AsyncGenerator[tuple[Sync, list[Agent]], None]:
            async with connect(shared.budget) as client:
                found = await shared.agents(client)
                yield shared, select_agents(found, wanted) if wanted else found

        yield from in_own_loop(feed())

    @dlt.transformer(data_from=agent_feed, name=AGENTS, write_disposition="merge", primary_key="id")
    def extraction_agents(fed: tuple[Sync, list[Agent]]) -> Iterator[Any]:
        shared, found = fed
        for table in shared.tables(dlt.current.source_schema()).agent_rows([agent.raw for agent in found]):
            shared.count(table)
            yield from as_items(table)
        dlt.current.resource_metrics().update(shared.metrics())

    @dlt.resource(name="_runs", selected=False)
    def run_feed() -> Iterator[tuple[Sync, Chunk, ReadRuns]]:
        shared = sync()

        async def feed() -> AsyncGenerator[tuple[Sync, Chunk, ReadRuns], None]:
            async with connect(shared.budget) as client:
                selected: Sequence[Agent] = []
                if wanted:
                    selected = select_agents(await shared.agents(client), wanted)
                elif not runs and not jobs:
                    selected = await shared.agents(client)
                if data_tables == "per_agent":
                    await shared.agents(client)  # for their names
                chunks = read_chunks(
                    client,
                    selected,
                    runs,
                    jobs,
                    page_size=page_size,
                    chunk_runs=chunk_size,
                    concurrency=max_concurrency,
                    lookup_files=lookup_files,
                )
                async with aclosing(chunks), aclosing(read_ahead(chunks, shared.read)) as ahead:
                    async for chunk, read in ahead:
                        yield shared, chunk, read

        yield from in_own_loop(feed())

    @dlt.transformer(data_from=run_feed, name=RUNS, write_disposition="merge", primary_key="id")
    def extraction_runs(fed: tuple[Sync, Chunk, ReadRuns]) -> Iterator[Any]:
        shared, chunk, read = fed
        state = dlt.current.resource_state()
        tables = shared.tables(dlt.current.source_schema())
        if data_tables == "per_agent":
            tables.data_table = shared.data_table(state.setdefault("data_tables", {}), dlt.current.source_schema())
        for table in tables.build(read, chunk.rejected, state.setdefault("agent_tables", {})):
            shared.count(table)
            yield from as_items(table)
        shared.loaded += len(chunk.runs)
        shared.rejected += len(chunk.rejected)
        shared.missing += chunk.missing
        dlt.current.resource_metrics().update(shared.metrics())
        give_back_memory()

    return extraction_runs, extraction_agents
