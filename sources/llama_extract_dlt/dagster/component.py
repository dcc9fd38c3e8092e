"""The component: the same assets, said in a `defs.yaml`."""

from typing import Any

import dagster as dg
from pydantic import Field

from .assets import LLAMA_CLOUD, llama_extract_assets
from .partitions import agent_partitions, agents_sensor
from .resource import LlamaExtractResource


class LlamaExtractComponent(dg.Component, dg.Model, dg.Resolvable):
    """LlamaCloud extraction runs as tables.

    Attributes:
        destination: a dlt destination; else `DESTINATION_TYPE` of the environment, else duckdb.
        dataset_name: the dataset of the tables.
        api_key_variable: the environment variable that has the key, if not the usual one.
        settings: further arguments of `llama_extract`.
        by_agent: whether each agent is a partition that is loaded by itself.
        cron_schedule: when to load all, as cron has it; with `by_agent` a sensor does that every hour.
    """

    destination: str | None = None
    dataset_name: str = "llama_extract"
    api_key_variable: str | None = None
    settings: dict[str, Any] = Field(default_factory=dict)
    by_agent: bool = False
    cron_schedule: str | None = None

    def build_defs(self, context: dg.ComponentLoadContext) -> dg.Definitions:
        """Returns the assets, what starts them, and their resource."""
        assets = llama_extract_assets(partitions_def=agent_partitions() if self.by_agent else None)
        schedules = []
        if self.cron_schedule and not self.by_agent:
            schedules = [dg.ScheduleDefinition("llama_extract", target=assets, cron_schedule=self.cron_schedule)]
        return dg.Definitions(
            assets=[LLAMA_CLOUD, assets],
            schedules=schedules,
            sensors=[agents_sensor(assets)] if self.by_agent else [],
            resources={
                "llama_extract": LlamaExtractResource(
                    api_key=dg.EnvVar(self.api_key_variable) if self.api_key_variable else None,
                    destination=self.destination,
                    dataset_name=self.dataset_name,
                    settings=self.settings,
                )
            },
        )
