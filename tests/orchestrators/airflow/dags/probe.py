"""A DAG of one task, which calls what it is told with the arguments that it is told, and keeps what was raised."""

from datetime import datetime, timedelta

from airflow.sdk import dag, task

from llama_extract_dlt import airflow

RAISED = []


@dag(
    schedule=None,
    start_date=datetime(2026, 1, 1),
    default_args={"retries": 1, "retry_delay": timedelta(0)},
    params={"call": "sync", "arguments": {}},
)
def probe():
    @task
    def call(params=None):
        try:
            return getattr(airflow, params["call"])(**params["arguments"])
        except Exception as error:
            RAISED.append(error)
            raise

    call()


probe()
