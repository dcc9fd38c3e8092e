"""A Dagster deployment under test: an instance, loads in this process, and what came of them."""

from pathlib import Path
from typing import Any

import dagster as dg

from llama_cloud_emulator import Emulator
from llama_extract_dlt.dagster import LlamaExtractResource, llama_extract_assets
from support.warehouse import Warehouse

KEY = "llx-a-key-that-must-stay-secret"
AT_ONCE = dg.RetryPolicy(max_retries=2, delay=0)


class Result:
    """What a run of Dagster has said."""

    def __init__(self, result: dg.ExecuteInProcessResult) -> None:
        self.success = result.success
        self.events = result.all_events
        self.materialized = [event.asset_key.path[-1] for event in result.get_asset_materialization_events()]  # type: ignore[union-attr]
        self.checks = {check.check_name: check for check in result.get_asset_check_evaluations()}
        self.retries = sum(event.is_step_up_for_retry for event in self.events)
        for text in (repr(self.events), repr(result.dagster_run)):
            assert KEY not in text

    @property
    def failed(self) -> set[str]:
        """The checks that failed, those that look at the clock left out."""
        return {name for name, check in self.checks.items() if not check.passed} - {"fresh", "in_flight"}

    @property
    def failure(self) -> str:
        """Why it failed."""
        (event, *_) = [event for event in self.events if event.is_step_failure]
        data = event.step_failure_data.user_failure_data
        assert data is not None
        assert data.description is not None
        assert "\n" not in data.description
        return data.description

    def metadata(self, table: str) -> dict[str, Any]:
        """What Dagster shows of a table."""
        return {key: one.value for key, one in self._materialization(table).metadata.items()}

    def data_version(self, table: str) -> str:
        """By which Dagster tells whether the table has changed."""
        return (self._materialization(table).tags or {})["dagster/data_version"]

    def _materialization(self, table: str) -> dg.AssetMaterialization:
        for event in self.events:
            if event.is_step_materialization and event.asset_key.path[-1] == table:  # type: ignore[union-attr]
                return event.materialization
        raise AssertionError(f"{table} was not materialized")


class Project:
    """A deployment with an instance of its own, that loads in this process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.instance = dg.DagsterInstance.ephemeral()
        self.resource: dict[str, Any] = {}
        self.assets = llama_extract_assets(retry_policy=AT_ONCE)
        self.others: list[dg.AssetsDefinition] = []

    def load(self, partition_key: str | None = None, config: dict[str, Any] | None = None, **resource: Any) -> Result:
        """Materializes everything."""
        done = dg.materialize(
            [self.assets, *self.others],
            resources={"llama_extract": LlamaExtractResource(**self.resource | resource)},
            instance=self.instance,
            partition_key=partition_key,
            run_config={"ops": {"llama_extract": {"config": config}}} if config else None,
            raise_on_error=False,
        )
        return Result(done)

    def warehouse(self, cloud: Emulator) -> Warehouse:
        """What was loaded into DuckDB, for reading only."""
        house = Warehouse(cloud, self.folder / "llamacloud.duckdb")
        house.close()
        return house


def add_receipts(cloud: Emulator) -> str:
    """Adds an agent with two runs, the last in the list of agents; its id."""
    schema = {"type": "object", "properties": {"shop": {"type": "string"}, "total": {"type": "number"}}}
    agent_id: str = cloud.add_agent("Receipts", schema)["id"]
    for _ in range(2):
        cloud.add_run(agent_id)
    return agent_id
