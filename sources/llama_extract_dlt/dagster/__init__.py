"""Dagster assets of the tables that this source loads; docs/dagster.md shows how to use them.

import dagster as dg
from llama_extract_dlt.dagster import LLAMA_CLOUD, LlamaExtractResource, llama_extract_assets

defs = dg.Definitions(
    assets=[LLAMA_CLOUD, llama_extract_assets()],
    resources={"llama_extract": LlamaExtractResource()},
)
"""

from .assets import LLAMA_CLOUD, SyncConfig, llama_extract_assets
from .component import LlamaExtractComponent
from .partitions import agent_partitions, agents_sensor
from .resource import LlamaExtractResource

__all__ = [
    "LLAMA_CLOUD",
    "LlamaExtractComponent",
    "LlamaExtractResource",
    "SyncConfig",
    "agent_partitions",
    "agents_sensor",
    "llama_extract_assets",
]
