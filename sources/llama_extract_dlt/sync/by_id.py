"""Runs that are asked for by their ID: also to prove that they are gone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from .. import settings
from ..errors import LlamaExtractError, NotFoundError, UnexpectedResponseError, is_fatal
from ..service.client import LlamaCloudClient
from ..service.pages import Item
from ..service.records import Run, read_run
from .events import Selection
from .verdict import written_hash


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

        def fetch(run_id: str) -> tuple[str, Item | LlamaExtractError | None]:
            return run_id, fetch_run(client, run_id, read)

        missing, unsure = list[str](), False
        for run_id, item in client.ahead(fetch, asked):
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
    client: LlamaCloudClient, run_id: str, read: Callable[[bytes, str], Item]
) -> Item | LlamaExtractError | None:
    """The run with this ID; None if there is none, the error if it cannot be read but others may be."""
    try:
        return asked_for(read(client.get_run(run_id), f"run {run_id}"), "id", run_id)
    except NotFoundError:
        return None
    except LlamaExtractError as error:
        if is_fatal(error):
            raise
        return error


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


def read_item(raw: bytes, position: str, selection: Selection) -> Item:
    """An item as a run whose `content_hash` says how it will be written, too."""
    item = read_run(raw, position)
    if isinstance(item, Run):
        item.content_hash = written_hash(item.content_hash, selection.data_table(item.agent_id))
    return item
