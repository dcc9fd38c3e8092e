"""The assets: one load that fills them all, what each of them says of itself, and which of them it has changed."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any

import dagster as dg
import dlt

from ..config import DEFAULT
from ..load.report import KINDS, Report
from ..load.warehouse.health import ask_health, loads_since
from ..tables.contract import AGENTS, REJECTED, RUNS, SCHEMAS
from .checks import DAY, WEEK, check_results, check_specs
from .resource import LlamaExtractResource

METADATA = f"{RUNS}__field_metadata"
CITATION = f"{METADATA}__citation"
BOXES = f"{CITATION}__bounding_boxes"
DATA = f"{RUNS}__data"

LLAMA_CLOUD = dg.AssetSpec(
    "llama_cloud",
    description="The service: agents, and the runs in which they extract data from documents.",
    group_name="llama_cloud",
    kinds={"api"},
)
"""Where it all comes from. Dagster does not make it: it stands at the beginning of the lineage."""

TABLES: dict[str, tuple[str, str]] = {
    AGENTS: ("", "An extraction agent a row: its name, its settings, its data schema."),
    SCHEMAS: (AGENTS, "A distinct data schema a row; agents and runs point here."),
    RUNS: ("", "A run a row: its agent and file, status, error, times and usage."),
    f"{RUNS}__config": (RUNS, "The configuration of each run."),
    f"{RUNS}__file": (RUNS, "The file that each run read."),
    DATA: (RUNS, "What was extracted, an object a row; its lists are in tables below it."),
    METADATA: (RUNS, "A field of the data a row: its value, confidence and reasoning."),
    CITATION: (METADATA, "A place in the document a row that says so."),
    BOXES: (CITATION, "A rectangle a row, around a place in the document."),
    REJECTED: ("", "What was among the runs and is none, as text, with the reason."),
}
"""The tables of the contract: above which of them they hang, if not under the service, and what they have."""


class SyncConfig(dg.Config):
    """For one load, in the launchpad; docs/configuration.md says what these do."""

    full_scan: bool = False
    rewrite: bool = False
    since: str | None = None
    until: str | None = None


def llama_extract_assets(
    *,
    name: str = "llama_extract",
    key_prefix: Sequence[str] = ("llama_extract",),
    group_name: str = "llama_cloud",
    partitions_def: dg.PartitionsDefinition[str] | None = None,
    loads_within: timedelta = 2 * DAY,
    fresh_within: timedelta = WEEK,
    in_flight_within: timedelta = DAY,
    retry_policy: dg.RetryPolicy | None = None,
    pool: str | None = "llama_cloud",
) -> dg.AssetsDefinition:
    """Returns the tables as assets that one load materializes; it needs the resource `llama_extract`.

    Args:
        name: of the operation, other than that of other assets.
        key_prefix: of the assets' keys; the last part is the table's name.
        group_name: in the UI.
        partitions_def: `agent_partitions()`, where each agent is to be loaded by itself; its id is the partition's key.
        loads_within: how old the last load may be; Dagster itself watches over that.
        fresh_within: how old the latest change of a run may be before the check `fresh` warns.
        in_flight_within: how old a run that is not final may be before the check `in_flight` warns.
        retry_policy: for trouble that may pass; two more tries, after one and two minutes, when not set.
        pool: Dagster's, by which one limits how many loads are at work at once.
    """
    prefix = list(key_prefix)
    retries = retry_policy or dg.RetryPolicy(max_retries=2, delay=60, backoff=dg.Backoff.EXPONENTIAL)
    policy = dg.FreshnessPolicy.time_window(fail_window=loads_within)
    specs = [
        dg.AssetSpec(
            [*prefix, table],
            deps=[[*prefix, above] if above else LLAMA_CLOUD.key],
            description=description,
            group_name=group_name,
            kinds={"dlt", "table"},
            skippable=table != RUNS,
            freshness_policy=policy if table == RUNS else None,
        )
        for table, (above, description) in TABLES.items()
    ]

    @dg.multi_asset(
        name=name,
        specs=specs,
        check_specs=check_specs(dg.AssetKey([*prefix, RUNS]), partitions_def),
        partitions_def=partitions_def,
        backfill_policy=dg.BackfillPolicy.multi_run(1) if partitions_def else None,
        retry_policy=retries,
        pool=pool,
    )
    def load(
        context: dg.AssetExecutionContext, config: SyncConfig, llama_extract: LlamaExtractResource
    ) -> Iterator[dg.MaterializeResult[Any]]:
        agent_id = context.partition_key if context.has_partition_key else None
        key = dg.AssetKey([*prefix, RUNS])
        with llama_extract.pipeline(agent_id) as pipeline:
            with llama_extract.synced(pipeline, context.log, **_selection(config, agent_id)) as report:
                health = ask_health(pipeline, None if agent_id is None else [agent_id])
                seen = _told(context.instance, key, agent_id)
                loads = loads_since(pipeline, seen.get(LAST_LOAD, ""))
            changed = set(TABLES) if not seen or set(loads) - set(report.load_ids) else _changed(report)
            last = {LAST_LOAD: max([*loads, *report.load_ids], default=seen.get(LAST_LOAD, ""))}
            last[LAST_CHANGE] = last[LAST_LOAD] if RUNS in changed else seen[LAST_CHANGE]
            checks = check_results(report, health, fresh_within, in_flight_within)
            for table in TABLES:
                if table == RUNS:
                    yield dg.MaterializeResult(
                        asset_key=key,
                        metadata=_metadata(pipeline, table, report) | _metadata_of_load(report) | last,
                        check_results=checks,
                        # With nothing new the tables below are as new as this one.
                        data_version=dg.DataVersion(last[LAST_CHANGE]),
                    )
                elif table in changed:  # what has not changed is skipped, and starts nothing downstream
                    yield dg.MaterializeResult(asset_key=[*prefix, table], metadata=_metadata(pipeline, table, report))

    return load


LAST_LOAD, LAST_CHANGE = "last_load", "last_change"
"""The dlt load that the assets are as new as, and the last that changed them: Dagster has heard of none since."""


def _selection(given: SyncConfig, agent_id: str | None) -> dict[str, Any]:
    """The source's arguments of one load."""
    chosen = {name: value for name, value in given.model_dump().items() if value}
    if agent_id is not None:
        chosen |= {"agents": [agent_id], "run_ids": DEFAULT, "job_ids": DEFAULT}
    return chosen


def _told(instance: dg.DagsterInstance, key: dg.AssetKey, partition: str | None) -> dict[str, str]:
    """The last load and the last change that Dagster has been told of; empty if it has not been.

    A load that failed or was killed may have committed something since: what it has changed is told with the next.
    """
    wanted = dg.AssetRecordsFilter(asset_key=key, asset_partitions=[partition] if partition else None)
    for record in instance.fetch_materializations(wanted, limit=1).records:
        told = record.asset_materialization.metadata if record.asset_materialization else {}
        if LAST_LOAD in told and LAST_CHANGE in told:
            return {name: str(told[name].value) for name in (LAST_LOAD, LAST_CHANGE)}
    return {}


def _changed(report: Report) -> set[str]:
    """The tables that the load has changed: those of runs together, since a run may have lost rows in any of them."""
    changed = {table for table in (AGENTS, SCHEMAS, REJECTED) if report.tables.get(table)}
    if AGENTS in changed:
        changed.add(SCHEMAS)
    if report.new or report.updated or report.deleted or report.tables.keys() - {AGENTS, SCHEMAS, REJECTED}:
        changed |= TABLES.keys() - {AGENTS, SCHEMAS, REJECTED}
    return changed


def _rows(table: str, report: Report) -> int:
    return sum(_tables_of(table, report).values())


def _tables_of(table: str, report: Report) -> Mapping[str, int]:
    """The rows of the load by table: those that the asset stands for, which for the data are all that no other has."""
    if table != DATA:
        return {table: report.tables.get(table, 0)}
    return {name: rows for name, rows in report.tables.items() if name == DATA or name not in TABLES}


def _metadata(pipeline: dlt.Pipeline, table: str, report: Report) -> dict[str, Any]:
    """What Dagster shows of a table: its name, its columns, and the rows that the load has written."""
    columns = pipeline.default_schema.tables.get(table, {}).get("columns", {})
    found: dict[str, Any] = {
        "dagster/table_name": f"{pipeline.dataset_name}.{table}",
        "rows_loaded": _rows(table, report),
    }
    if columns:
        found["dagster/column_schema"] = dg.TableSchema(
            columns=[
                dg.TableColumn(column, str(hints["data_type"]), hints.get("description"))
                for column, hints in columns.items()
                if "data_type" in hints
            ]
        )
    if table == DATA:
        found["tables"] = dg.MetadataValue.json(dict(_tables_of(table, report)))
    return found


def _metadata_of_load(report: Report) -> dict[str, Any]:
    """What Dagster shows of the load, numbers as a curve over time, agents as a table."""
    found: dict[str, Any] = {f"runs_{kind}": getattr(report, kind) for kind in KINDS}
    found |= {"requests": report.requests, "seconds": round(report.seconds, 1)}
    watermarks = [agent.watermark for agent in report.agents.values() if agent.watermark]
    if watermarks:
        found["watermark"] = dg.MetadataValue.timestamp(max(watermarks))
    if report.agents:
        rows = [{"id": agent_id, **agent.as_dict()} for agent_id, agent in report.agents.items()]
        records = [
            dg.TableRecord({name: "" if value is None else value for name, value in row.items()}) for row in rows
        ]
        found["agents"] = dg.MetadataValue.table(records)
    return found
