"""LlamaCloud extraction runs as typed, joinable tables: a dlt source.

import dlt
from llama_extract_dlt import llama_extract

pipeline = dlt.pipeline("extractions", destination="duckdb", dataset_name="llama_extract")
pipeline.run(llama_extract(agents=["Invoices"]))
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

import dlt
from dlt.common.configuration.specs import BaseConfiguration
from dlt.extract import DltResource

from . import config
from .errors import ConfigurationError, LlamaExtractError
from .load.dlt_inside import made_by
from .load.extraction import Extraction
from .load.habits import check_contract, check_source
from .load.items import as_items
from .load.running_sync import COMPANY, Company, Extractions
from .service.budget import RequestBudget
from .service.client import LlamaCloudClient
from .tables.contract import AGENTS, RUNS
from .tracking.events import Selection

__all__ = ["ConfigurationError", "LlamaExtractError", "llama_extract"]

_NOT_GIVEN: Any = None
"""None, where the hint is to name the choices alone."""


@dlt.source(name="llama_extract", section="llama_extract", spec=BaseConfiguration)  # dlt injects no argument
def llama_extract(
    agents: Sequence[str] | str | None = None,
    run_ids: Sequence[str] | str | None = None,
    job_ids: Sequence[str] | str | None = None,
    since: str | datetime | None = None,
    until: str | datetime | None = None,
    full_scan: bool | None = None,
    rewrite: bool | None = None,
    full_scan_every: float | None = None,
    deleted_runs: Literal["flag", "remove", "ignore"] = _NOT_GIVEN,
    api_key: str | None = None,
    base_url: str | None = None,
    project_id: str | None = None,
    organization_id: str | None = None,
    requests_per_minute: float | None = None,
    max_concurrency: int | None = None,
    timeout: float | None = None,
    max_tries: int | None = None,
    max_wait: float | None = None,
    max_answer_bytes: int | None = None,
    page_size: int | None = None,
    chunk_size: int | None = None,
    lookup_files: bool | None = None,
    wait_for_lock: float | None = None,
    parallel: bool | None = None,
    table_format: Literal["delta"] | None = None,
    data_tables: Literal["shared", "per_agent"] = _NOT_GIVEN,
) -> Sequence[DltResource]:
    """Extraction runs of LlamaCloud, with their configs, files, data, confidences and citations in child tables.

    Which runs: those with `run_ids`, those of `job_ids` and those of `agents` together; those of every agent of the
    project when none of the three is given. An empty list is given, and names none: when all that are given are empty,
    nothing is loaded, and no request is sent. Of agents, the first load reads all runs and later ones what is new or
    has changed since, runs in flight included; docs/how-sync-works.md says how. Runs are merged on their id.

    An argument that is None comes from dlt's configuration, from `[sources.llama_extract]` and from nowhere else, and
    has its default when it is not there either. `config.DEFAULT` is the default, whatever is configured. Texts are
    converted, as from the environment: "20" is a number, "true" a flag.

    Args:
        agents: ids or names of extraction agents, a list or one; all when not set.
        run_ids: UUIDs of runs, a list or one.
        job_ids: UUIDs of extraction jobs, a list or one.
        since: of the agents, only runs with an `updated_at` from then on (ISO 8601, UTC if it does not say). Every page
            is read for that, and what later loads have to read stays as it was. All when not set.
        until: only runs with an `updated_at` before then; see `since`.
        full_scan: read all runs of the agents, load those that differ, and find those that were deleted. False when
            not set; cannot go with `since` and `until`.
        rewrite: write every run that is read again, changed or not; of agents, all that lie in the window if there is
            one. Nothing is dropped, and deleted runs stay as they are. False when not set.
        full_scan_every: days after which a load is a full scan by itself, up to a million; 0 for never. 7 when not set.
        deleted_runs: what becomes of runs that were deleted at the service: `flag`, the default, sets `_deleted_at`,
            `remove` takes their rows out of all tables, `ignore` does nothing.
        api_key: the LlamaCloud key; `LLAMA_CLOUD_API_KEY` is read when dlt's secrets have none.
        base_url: the service's address, https (http for localhost only); `LLAMA_CLOUD_BASE_URL`, then North America,
            https://api.cloud.llamaindex.ai, when it is not set.
        project_id: passed to the API where it takes one, as is `organization_id`; the key's own when not set.
        organization_id: see `project_id`.
        requests_per_minute: the organisation's rate limit, for example 20 for a free account; no limit when not set.
        max_concurrency: requests under way at once, 1 or more; 8 when not set.
        timeout: seconds without a byte before a request is tried again, above 0; 60 when not set.
        max_tries: tries that a request gets before the load fails, 1 or more; 8 when not set.
        max_wait: seconds that a request spends waiting between its tries before the load fails, 0 or more; 600 when
            not set.
        max_answer_bytes: bytes of an answer, unpacked, above which it is refused, 1 or more; 128 MB when not set. Only
            a single run can be as large: pages of large runs are asked for in parts.
        page_size: runs to ask for a page at most, 1 or more; 100 when not set. Fewer where runs are large.
        chunk_size: runs that `load` commits at a time, 1 or more. When not set, and by `pipeline.run` in any case, all
            are committed at once.
        lookup_files: ask for the records of files that runs name without describing them (the API is giving up the
            `file` of a run in favour of `file_id`); one more request for up to 100 such runs. True when not set.
        wait_for_lock: seconds to wait for another load into the same dataset before the load fails, 0 or more; 0 when
            not set.
        parallel: let other workers load other agents into the dataset at the same time: `sync` then locks it only
            while it loads a package. For PostgreSQL; docs/scaling.md says how. False when not set.
        table_format: `delta` for Delta tables in the filesystem destination, plain Parquet files when not set.
        data_tables: `shared`, the default, puts the data of all agents into `extraction_runs__data` and its child
            tables; `per_agent` gives each agent tables of its own, named after it (`invoices`, `invoices__line_items`).
            A table keeps its name when the agent is renamed.

    Returns:
        Two resources: `extraction_runs`, which fills the tables of runs and their children, and `extraction_agents`.

    Raises:
        ConfigurationError: a setting is missing, misspelt or cannot be used; nothing was sent.
        DatasetBusyError: while loading: another load into the dataset is at work.
        LlamaExtractError: while loading; its subclasses say what went wrong.
    """
    begin = extraction_of(locals())  # which are the arguments, here
    extractions = Extractions(begin)

    @dlt.resource(name=AGENTS, write_disposition="merge", primary_key="id")
    def extraction_agents() -> Iterator[Any]:
        check_source(dlt.current.source())
        extraction = extractions.current()
        extraction.prepare(dlt.current.source_schema(), dlt.current.resource_state(RUNS))
        check_contract(dlt.current.source(), dlt.current.source_schema())
        for table in extraction.agent_tables(dlt.current.resource_state()):
            yield from as_items(table)
        dlt.current.resource_metrics().update(extraction.metrics())

    @dlt.resource(name=RUNS, write_disposition="merge", primary_key="id")
    def extraction_runs() -> Iterator[Any]:
        check_source(dlt.current.source())
        extraction, state = extractions.current(), dlt.current.resource_state()
        extraction.prepare(dlt.current.source_schema(), state)
        check_contract(dlt.current.source(), dlt.current.source_schema())
        for tables in extraction.batches(state):
            for table in tables:
                yield from as_items(table)
            dlt.current.resource_metrics().update(extraction.metrics())
        dlt.current.resource_metrics().update(extraction.metrics())

    resources = (extraction_runs, extraction_agents)
    COMPANY.update({made_by(resource): begin().company for resource in resources})
    return resources


def extraction_of(arguments: Mapping[str, Any]) -> Callable[[], Extraction]:
    """Return what begins an extraction, of the arguments of `llama_extract` and the configuration.

    Raises ConfigurationError if a setting is missing, misspelt or cannot be used.
    """
    chosen = config.read(arguments)
    selection = Selection(
        run_ids=chosen["run_ids"],
        job_ids=chosen["job_ids"],
        since=chosen["since"],
        until=chosen["until"],
        full_scan=chosen["full_scan"],
        rewrite=chosen["rewrite"],
        full_scan_every=chosen["full_scan_every"],
        deleted_runs=chosen["deleted_runs"],
        data_tables=chosen["data_tables"],
        table_format=chosen["table_format"],
        page_size=chosen["page_size"],
        chunk_size=chosen["chunk_size"],
        lookup_files=chosen["lookup_files"],
    )
    if selection.since and selection.until and selection.since >= selection.until:
        raise ConfigurationError("since must be before until")
    if selection.windowed and selection.full_scan:
        raise ConfigurationError("full_scan reads all runs: leave out since and until")
    if not chosen["api_key"]:
        raise ConfigurationError(
            "no API key: set LLAMA_CLOUD_API_KEY, or api_key under [sources.llama_extract] in .dlt/secrets.toml"
        )

    def connect(budget: RequestBudget) -> LlamaCloudClient:
        return LlamaCloudClient(
            chosen["api_key"],
            chosen["base_url"],
            project_id=chosen["project_id"],
            organization_id=chosen["organization_id"],
            max_concurrency=chosen["max_concurrency"],
            timeout=chosen["timeout"],
            max_tries=chosen["max_tries"],
            max_wait=chosen["max_wait"],
            max_answer_bytes=chosen["max_answer_bytes"],
            budget=budget,
        )

    def new_budget() -> RequestBudget:
        return RequestBudget(chosen["requests_per_minute"])

    connect(new_budget())  # so that a setting that cannot be used is reported before a run starts
    company = Company(chosen["wait_for_lock"], chosen["parallel"])
    return lambda: Extraction(connect, new_budget(), selection, chosen["agents"], company)
