"""What is asked for beside the run lists: agents, runs by their ID (also to prove them gone), records of files."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from .. import settings
from ..errors import ConfigurationError, LlamaExtractError, NotFoundError, UnexpectedResponseError, is_fatal
from ..service.client import LlamaCloudClient
from ..service.pages import Item
from ..service.records import Rejected, Run, read_run
from .events import Agent, Selection
from .verdict import written_hash

_logger = logging.getLogger(__name__)


@dataclass(slots=True)
class Confirmed:
    """What runs that a list leaves out are, when they are asked for by their ID."""

    gone: list[str] = field(default_factory=list)
    """Those that are deleted, the ones that were not asked for included where the asked ones leave no doubt."""
    alive: list[str] = field(default_factory=list)
    """Those that are there, and of the agent whose list leaves them out."""
    failed: dict[str, LlamaExtractError] = field(default_factory=dict)
    """Those that could not be read, with why."""

    def ask(
        self,
        client: LlamaCloudClient,
        read: Callable[[bytes, str], Item],
        agent_id: str,
        candidates: Sequence[str],
    ) -> Iterator[Run | None]:
        """Asks for the candidates, all while they are few, else a sample of them; gives what each request found."""
        count = min(len(candidates), settings.CONFIRMED_DELETIONS)
        asked = [candidates[place * len(candidates) // count] for place in range(count)]

        missing, unsure = list[str](), False
        for run_id, item in client.ahead(partial(fetch_run, client, read), asked):
            if item is None:
                missing.append(run_id)
            elif isinstance(item, Run) and item.agent_id != agent_id:
                unsure = True  # it has moved, so others may have, too
            elif isinstance(item, LlamaExtractError):
                self.failed[run_id], unsure = item, True
            else:
                self.alive.append(run_id)
            yield item if isinstance(item, Run) else None
        self.gone = missing if unsure or len(asked) == len(candidates) else list(candidates)

    def doubt(self) -> str:
        """Why nothing was deleted."""
        return (
            f"its list of runs leaves out runs that are there ({len(self.alive)} of those asked for, "
            f"{self.alive[0]} for one): nothing was taken for deleted"
        )


def fetch_run(
    client: LlamaCloudClient, read: Callable[[bytes, str], Item], run_id: str
) -> tuple[str, Item | LlamaExtractError | None]:
    """Return the ID with its run; with None if there is none, the error if it cannot be read but others may be."""
    try:
        return run_id, asked_for(read(client.get_run(run_id), f"run {run_id}"), "id", run_id)
    except NotFoundError:
        return run_id, None
    except LlamaExtractError as error:
        if is_fatal(error):
            raise
        return run_id, error


def asked_for(item: Item, member: str, wanted: str) -> Item:
    """The item, which is a run with this value if it says any. Raises UnexpectedResponseError."""
    if isinstance(item, Run):
        found = item.id if member == "id" else item.text(member)
        if found not in (None, wanted):
            raise UnexpectedResponseError(f"the service answered with the run whose {member} is {found}")
    return item


def describe_failures(failed: Mapping[str, LlamaExtractError], what: str) -> str:
    """Which runs could not be read, in one line; `what` says what runs they are."""
    run_id, error = next(iter(failed.items()))
    return f"{len(failed)} of its runs {what} could not be read, {run_id} for one: {error}"


def read_item(raw: bytes, position: str, selection: Selection, agent_id: str = "") -> Item:
    """An item as a run whose `content_hash` says how it will be written, too; `agent_id` is whose it should be."""
    item = read_run(raw, position)
    if isinstance(item, Run):
        item.content_hash = written_hash(item.content_hash, selection.data_table(item.agent_id))
    else:
        item.agent_id = agent_id
    return item


def read_agents(client: LlamaCloudClient) -> tuple[list[Agent], list[Rejected]]:
    """Return all agents of the project, each once, the default ones included, and what was none."""
    agents, rejected = dict[str, Agent](), list[Rejected]()
    for raw in client.list_agents(include_default=True):
        item = read_run(raw, "the list of agents")
        if isinstance(item, Run):
            name, project = item.text("name") or "", item.text("project_id") or ""
            agents.setdefault(item.id, Agent(item.id, name, project, raw, item.content_hash))
        else:
            rejected.append(item)
    return list(agents.values()), rejected


def select_agents(agents: Sequence[Agent], wanted: Sequence[str]) -> list[Agent]:
    """Return the agents with these ids or names. Raises ConfigurationError that lists the names there are."""
    selected: dict[str, Agent] = {}
    for text in wanted:
        found = [agent for agent in agents if text in (agent.id, agent.name)]
        if not found:
            names = ", ".join(sorted(repr(agent.name) for agent in agents)) or "none"
            shown = f"{text[:4]}…" if text.startswith("llx-") else text  # a key that came to the wrong place
            raise ConfigurationError(f"there is no agent {shown!r}; the agents of this project are: {names}")
        selected |= {agent.id: agent for agent in found}
    return list(selected.values())


def file_records(client: LlamaCloudClient, file_ids: Sequence[str]) -> dict[str, bytes]:
    """Return the records of files by their id, as far as they can be had: without them runs are worth loading."""
    found: dict[str, bytes] = {}
    for start in range(0, len(file_ids), settings.FILES_PER_REQUEST):
        asked = file_ids[start : start + settings.FILES_PER_REQUEST]
        try:
            records = client.list_files(asked)
        except LlamaExtractError as error:  # the endpoint is a beta
            if is_fatal(error):
                raise
            _logger.warning("the runs of %d files are loaded without the files' records: %s", len(asked), error)
            continue
        for record in records:
            item = read_run(record, "the list of files")
            if isinstance(item, Run):
                for file_id in (item.id, item.id.removeprefix("dfl-")):
                    if file_id in asked:
                        found[file_id] = record
    return found


def file_to_look_up(run: Run) -> str | None:
    """Return the id of the file whose record the run lacks; None if it has one, or names none."""
    return run.text("file_id") if bytes(run.fields.get("file", b"null")) == b"null" else None
