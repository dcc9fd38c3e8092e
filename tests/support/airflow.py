"""An Airflow with a database of its own, whose tasks run in the tests' process."""

import os
import signal
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HOME = Path(tempfile.mkdtemp(prefix="airflow"))
# Before anything imports Airflow, which reads it once; and before dlt asks for its first setting.
os.environ |= {
    "AIRFLOW_HOME": str(HOME),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "PROVIDERS__ENABLE_AIRFLOW_SECRETS": "false",
}
COMMAND = Path(sys.executable).with_name("airflow")


@dataclass
class Outcome:
    """How a run of a DAG ended.

    Attributes:
        state: of the run.
        tasks: the states of its tasks, by their ids and map indexes.
        tries: how often the last one was tried.
        labels: what the mapped ones are called.
        error: what the probe raised last.
        reports: the reports in XCom, by map index.
        results: what tasks returned, by their ids.
    """

    state: str
    tasks: dict[tuple[str, int], str]
    tries: int
    labels: list[str]
    error: Exception | None
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    results: dict[str, Any] = field(default_factory=dict)

    @property
    def report(self) -> dict[str, Any]:
        (report,) = self.reports.values()
        return report


Run = Callable[..., Outcome]


def run_dag(file: str = "probe", **params: Any) -> Outcome:
    """Runs the DAG of a file in the DAGs folder, with its params."""
    from airflow.dag_processing.dagbag import BundleDagBag
    from airflow.models.xcom import XComModel
    from airflow.utils.session import create_session

    (dag,) = BundleDagBag(HOME / f"dags/{file}.py", bundle_path=HOME / "dags", bundle_name="dags-folder").dags.values()
    before = signal.getsignal(signal.SIGTERM)
    ended = dag.test(run_conf=params)
    signal.signal(signal.SIGTERM, before)  # Airflow leaves one that does nothing
    with create_session() as session:
        tasks = sorted(ended.get_task_instances(session=session), key=lambda task: (task.queued_dttm, task.map_index))
        xcoms = session.query(XComModel).filter(XComModel.run_id == ended.run_id).all()
        raised = dag.tasks[-1].python_callable.__globals__.get("RAISED")
        return Outcome(
            str(ended.state),
            {(task.task_id, task.map_index): str(task.state) for task in tasks},
            tasks[-1].try_number,
            [task.rendered_map_index for task in tasks if task.map_index >= 0],
            raised[-1] if raised else None,
            {one.map_index: XComModel.deserialize_value(one) for one in xcoms if one.key == "report"},
            {one.task_id: XComModel.deserialize_value(one) for one in xcoms if one.key == "return_value"},
        )
