"""How much a load asks for, and what it has missed."""

from typing import Any

import pytest
from dlt.pipeline.exceptions import PipelineStepFailed

from llama_cloud_emulator import Emulator
from support.agents import RUNS, Act, Agent
from support.warehouse import DATA, Warehouse

Found = dict[str, tuple[str, int | None]]


def there(cloud: Emulator) -> Found:
    """The runs of the service: status and data of each."""
    return {run["id"]: (run["status"], run["data"] and run["data"]["n"]) for run in cloud.runs()}


def found(house: Warehouse) -> Found:
    """The same from the warehouse; runs that are flagged as deleted are left out."""
    data = {row["_run_id"]: row["n"] for row in house.rows(DATA)}
    rows = [row for row in house.rows("extraction_runs") if row.get("_deleted_at") is None]
    assert len({row["id"] for row in rows}) == len(rows)
    return {row["id"]: (row["status"], data.get(row["id"])) for row in rows}


def missed(house: Warehouse) -> dict[str, list[str]]:
    """What the warehouse has not, or not as it is at the service, by agent."""
    agents = {agent["id"]: agent["name"] for agent in house.cloud.agents()}
    names = {run["id"]: agents[run["extraction_agent_id"]] for run in house.cloud.runs()}
    loaded, wrong = found(house), dict[str, list[str]]()
    for run_id, run in there(house.cloud).items():
        if loaded.get(run_id) != run:
            wrong.setdefault(names[run_id], []).append(f"{run_id}: {loaded.get(run_id)} instead of {run}")
    return wrong


def asked_by_id(cloud: Emulator) -> set[str]:
    """The runs that were asked for one by one."""
    return {request.path.removeprefix(f"{RUNS}/") for request in cloud.requests if request.path.startswith(f"{RUNS}/")}


def requests_of(house: Warehouse, **arguments: Any) -> dict[str, int]:
    """How many requests a load makes for each agent, by its own count, with which the emulator's agrees."""
    house.cloud.reset_requests()
    counts = house.load(**arguments)
    paths = [request.path for request in house.cloud.requests]
    assert paths.count("/api/v1/extraction/extraction-agents") == 1
    by_agent = {agent["name"]: agent["requests"] for agent in counts["agents"].values()}
    assert counts["requests"] == len(paths) == 1 + sum(by_agent.values())
    return by_agent


def pages(runs: int, size: int) -> int:
    """How many requests a whole run list takes; a page begins with the last item of the one before.

    A list that ends on a full page takes one more: nothing but an answer tells that it ends there.
    """
    full = runs >= size and (runs - size) % (size - 1) == 0
    return 1 + max(0, -(-(runs - size) // (size - 1))) + full


def load_in_part(house: Warehouse, pages: int, **arguments: Any) -> None:
    """A load of one agent, the letters if not told otherwise, that fails after so many pages of five."""
    house.cloud.fail(times=None, path=RUNS, status=401, skip=pages)
    with pytest.raises(PipelineStepFailed):
        house.load(max_concurrency=1, page_size=5, **({"agents": ["Letters"]} | arguments))
    house.cloud.heal()
    house.cloud.reset_requests()


def load_disturbed(house: Warehouse, acts: dict[Agent, tuple[int, Act]], **arguments: Any) -> dict[str, Any]:
    """A load; before the page of that number (0 is the first) of an agent is answered, something happens to it."""
    left = {agent.id: page for agent, (page, _) in acts.items()}

    def on_request(method: str, path: str, query: dict[str, list[str]]) -> None:
        for agent, (_, act) in acts.items():
            if path == RUNS and query["extraction_agent_id"] == [agent.id]:
                left[agent.id] -= 1
                if left[agent.id] == -1:
                    act(agent)

    house.cloud.on_request = on_request
    counts = house.load(**arguments)
    house.cloud.on_request = None
    assert all(number < 0 for number in left.values()), "some page was never asked for"
    return counts
