"""LlamaCloud extraction runs into a warehouse, hourly. Copy it into the DAGs folder; docs/airflow.md says the rest."""

from datetime import datetime, timedelta
from typing import Any

from airflow.sdk import Param, dag, task

from llama_extract_dlt import airflow as extractions

TIME = {"type": ["null", "string"], "description": "As 2026-01-31, or with a time. For backfills."}


@dag(
    schedule="@hourly",
    start_date=datetime(2026, 1, 1),
    catchup=False,  # a load has all that is new, whenever the one before was
    max_active_runs=1,
    default_args={"retries": 3, "retry_delay": timedelta(minutes=2), "retry_exponential_backoff": True},
    params={
        "by_agent": Param(False, type="boolean", description="A task for each agent, not one for the project."),
        "since": Param(None, title="Only runs updated from then on", **TIME),
        "until": Param(None, title="Only runs updated before then", **TIME),
    },
)
def llama_extract() -> None:
    """The runs of all agents: what is new or has changed."""

    @task
    def shares(params: Any = None) -> list[dict[str, Any]]:
        """What the tasks load: all in one, or an agent each."""
        if not params["by_agent"]:
            return [{"name": "all agents", "agents": None}]
        return [{"name": agent["name"], "agents": [agent["id"]]} for agent in extractions.list_agents()]

    # Loads into one dataset take turns anyhow: those that would only wait need no place.
    @task(map_index_template="{{ task.op_kwargs['share']['name'] }}", max_active_tis_per_dagrun=1)
    def load(share: dict[str, Any], params: Any = None) -> None:
        """Loads a share; the report is in XCom."""
        extractions.sync(agents=share["agents"], since=params["since"], until=params["until"], wait_for_lock=600)

    load.expand(share=shares())


llama_extract()
