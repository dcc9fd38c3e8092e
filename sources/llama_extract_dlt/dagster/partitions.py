"""A partition for each agent, and a sensor that keeps them up to date and has them loaded."""

import dagster as dg
from dagster import DagsterRunStatus

from .resource import LlamaExtractResource

PARTITION, AGENT, SENSOR = "dagster/partition", "llama_cloud/agent", "llama_cloud/sensor"
"""Tags of the runs: the agent's id, its name, and by which sensor they were started."""

UNFINISHED = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]


def agent_partitions(name: str = "llama_cloud_agents") -> dg.DynamicPartitionsDefinition:
    """Returns the partitions: an agent's id is the key, so that one that is renamed stays the same."""
    return dg.DynamicPartitionsDefinition(name=name)


def agents_sensor(
    assets: dg.AssetsDefinition, *, name: str = "llama_cloud_agents", every: int = 3600, running: bool = False
) -> dg.SensorDefinition:
    """Returns a sensor that asks for the agents, adds and removes partitions, and has every agent loaded.

    An agent whose load is still under way gets no second one. Agents are only removed when the list of them could be
    read whole; what was loaded of them stays in the tables.

    Args:
        assets: of `llama_extract_assets(partitions_def=agent_partitions())`.
        name: of the sensor.
        every: seconds from one look to the next, at least.
        running: whether it is switched on from the start.
    """
    partitions = assets.partitions_def
    if not isinstance(partitions, dg.DynamicPartitionsDefinition) or partitions.name is None:
        raise dg.DagsterInvalidDefinitionError("agents_sensor takes assets that have partitions: agent_partitions()")
    partitions_name = partitions.name

    @dg.sensor(
        name=name,
        target=assets,
        minimum_interval_seconds=every,
        default_status=dg.DefaultSensorStatus.RUNNING if running else dg.DefaultSensorStatus.STOPPED,
    )
    def sensor(context: dg.SensorEvaluationContext, llama_extract: LlamaExtractResource) -> dg.SensorResult:
        names, whole = llama_extract.agents()
        known = context.instance.get_dynamic_partitions(partitions_name)
        new, gone = [key for key in names if key not in known], [key for key in known if key not in names]
        unfinished = context.instance.get_runs(dg.RunsFilter(statuses=UNFINISHED, tags={SENSOR: name}))
        at_work = {run.tags.get(PARTITION) for run in unfinished}
        changes = [partitions.build_add_request(new)] if new else []
        return dg.SensorResult(
            run_requests=[
                dg.RunRequest(partition_key=key, tags={AGENT: agent, SENSOR: name})
                for key, agent in names.items()
                if key not in at_work
            ],
            dynamic_partitions_requests=[
                *changes,
                *([partitions.build_delete_request(gone)] if gone and whole else []),
            ],
        )

    return sensor
