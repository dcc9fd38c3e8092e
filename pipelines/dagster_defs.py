"""A Dagster deployment that the environment configures: `dagster dev -f pipelines/dagster_defs.py`."""

import dagster as dg

from llama_extract_dlt.dagster import LLAMA_CLOUD, LlamaExtractResource, llama_extract_assets

tables = llama_extract_assets()

defs = dg.Definitions(
    assets=[LLAMA_CLOUD, tables],
    schedules=[dg.ScheduleDefinition("llama_extract_hourly", target=tables, cron_schedule="17 * * * *")],
    resources={"llama_extract": LlamaExtractResource()},
)
