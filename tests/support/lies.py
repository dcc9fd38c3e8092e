"""What a run list can be wrong about."""

from collections import Counter
from collections.abc import Callable

from support.agents import RUNS, Agent, Json

Lie = Callable[[Json, int], Json]


def lie_about(
    lies: dict[Agent, Lie], *, times: int | None = None, of: Callable[[int], bool] = lambda skip: True
) -> None:
    """Lets agents' lists lie, in so many answers each, or for ever: a lie has the answer and the offset asked for."""
    by_id = {agent.id: lie for agent, lie in lies.items()}
    told = Counter[str]()

    def on_answer(path: str, query: dict[str, list[str]], document: Json) -> Json:
        if path != RUNS or (agent := query["extraction_agent_id"][0]) not in by_id or not of(int(query["skip"][0])):
            return None
        told[agent] += 1
        return None if times is not None and told[agent] > times else by_id[agent](document, int(query["skip"][0]))

    next(iter(lies)).cloud.on_answer = on_answer


def capped(document: Json, skip: int) -> Json:
    return document | {"total": min(document["total"], 7)}


def one_too_many(document: Json, skip: int) -> Json:
    return document | {"total": document["total"] + 1}


def ignores_skip(agent: Agent, echo: bool) -> Lie:
    """A service that always gives the first page, and says so or not."""

    def lie(document: Json, skip: int) -> Json:
        first = agent.cloud.runs(agent.id)[: max(len(document["items"]), 5)]
        return document | {"items": first} | ({} if echo else {"skip": 0})

    return lie


def empty(document: Json, skip: int) -> Json:
    return document | {"items": [], "total": 0}


def leave_out(document: Json, run_id: str) -> Json:
    items = [item for item in document["items"] if item["id"] != run_id]
    return document | {"items": items, "total": document["total"] - len(document["items"]) + len(items)}
