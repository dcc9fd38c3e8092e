"""From agents to batches: which runs a sync reads, in what order, how far ahead, and where a chunk ends.

The commit barrier is here and nowhere else. A chunk is `chunk_size` runs, or `CHUNK_BYTES`, that are committed
together: `Emitted.room` says how much of it is left, `read_ahead` asks for no page beyond that, `batches` ends a batch
where the chunk ends, and `one_ahead` does not ask for what comes after before the one who loads does.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, TypeVar

import msgspec

from .. import settings
from ..errors import LlamaExtractError, NotFoundError, is_fatal
from ..service.client import LlamaCloudClient, RunPage
from ..service.records import Rejected, Run
from .agent_state import AgentState
from .agent_sync import AgentSync
from .events import Checkpoint, Context, Emitted, Event, Found, Gone, Orphan, ReadingProgress, Selection, Tally
from .lookups import Confirmed, asked_for, describe_failures, file_records, file_to_look_up, read_item
from .verdict import by_warehouse, without_file
from .warehouse_index import Warehouse


@dataclass(slots=True)
class Batch:
    """What is turned into tables together: runs, and what was found beside them."""

    runs: list[Run] = field(default_factory=list)
    only_with_file: set[str] = field(default_factory=set)
    """Ids of runs that are worth loading only if the record of their file is found."""
    rejected: list[Rejected] = field(default_factory=list)
    gone: list[Gone] = field(default_factory=list)
    orphans: list[str] = field(default_factory=list)
    moved: dict[str, str] = field(default_factory=dict)
    """Ids of runs that belonged to another agent when they were loaded last, with that agent's id."""
    states: dict[str, Any] = field(default_factory=dict)
    """What to remember of agents once all batches up to this one are loaded; None for an agent that is no more."""
    size: int = 0
    """Bytes of JSON."""
    commit: bool = False
    """Whether what was found so far is to be loaded before more is read."""
    last: bool = False
    """Whether nothing comes after it."""


class Feed:
    """Finds the runs that the warehouse does not have as they are at the service.

    Args:
        states: what the last sync left about each agent, by agent id.
        now: the time by this machine's clock.

    `emitted` are the runs that were found to be new or updated.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        selection: Selection,
        states: Mapping[str, Any],
        warehouse: Warehouse,
        tally: Tally,
        now: datetime,
    ) -> None:
        self._client = client
        self._selection = selection
        self._warehouse = warehouse
        self._tally = tally
        self.emitted = Emitted(selection.chunk_size)
        self._scanned = False
        context = Context(client, selection, warehouse, self.emitted, tally, now, self.await_page)
        self._agents = deque(
            AgentSync(context, agent, AgentState.load(states.get(agent.id, {}))) for agent in selection.agents
        )

    def batches(self) -> Iterator[Batch]:
        """Yield all that is found, up to `BATCH_RUNS` runs or `BATCH_BYTES` at a time; a chunk ends with its batch."""
        batch = Batch()
        try:
            for event in self._events():
                match event:
                    case Found(run, only_with_file):
                        # Only when there is another run, so that a checkpoint comes with the last of its runs.
                        if batch.commit or len(batch.runs) >= settings.BATCH_RUNS or batch.size >= settings.BATCH_BYTES:
                            yield self._described(batch)
                            batch = Batch()
                        batch.runs.append(run)
                        batch.size += run.size
                        if only_with_file:
                            batch.only_with_file.add(run.id)
                        batch.commit = self.emitted.chunk_is_full
                    case Rejected():
                        batch.rejected.append(event)
                        batch.size += len(event.raw)
                    case Gone():
                        batch.gone.append(event)
                    case Orphan(run_id):
                        batch.orphans.append(run_id)
                    case Checkpoint(agent_id, state):
                        batch.states[agent_id] = state
        except Exception:
            if batch.commit:  # what is there is loaded before the failure is told
                yield self._described(batch)
            raise
        batch.last, batch.commit = True, False
        yield self._described(batch)

    def read_ahead(self) -> None:
        """Ask for pages that will be read next, of the agent that is being read and of those after it.

        This is the one place that says how far ahead: as many requests as keep all connections busy while one page is
        read, as few bytes as fit into memory, and no run beyond the chunk.
        """
        most = min(2 * self._client.max_concurrency, max(1, settings.AHEAD_BYTES // settings.PAGE_BYTES))
        room = self.emitted.room()
        lists = [agent.requests for agent in self._agents]
        count = sum(len(one.ahead) for one in lists)
        in_order = True  # whether it is known what is left of all agents that are read before
        for one in lists[: self._client.max_concurrency]:
            # The first pages of the agents to come are asked for in any case: they tell what else there is to read.
            while count < most and (not one.begun or (in_order and self._runs_ahead() < room)) and one.ask_ahead():
                count += 1
            in_order &= not one.first_to_come

    def _runs_ahead(self) -> int:
        return sum(agent.requests.runs_ahead(first=agent is self._agents[0]) for agent in self._agents)

    def await_page(self, page: Future[RunPage]) -> None:
        """Wait for a page, and ask for others ahead: before, and when another agent's first page has come."""
        self.read_ahead()
        while not page.done():
            firsts = [agent.requests.ahead[0].answer for agent in self._agents if agent.requests.first_to_come]
            wait([page, *(first for first in firsts if not first.done())], return_when=FIRST_COMPLETED)
            if not page.done():
                self.read_ahead()

    def progress(self) -> ReadingProgress:
        """Return how far the reading has come; from any thread."""
        left, read = list(self._agents), self._tally.read
        done, total, requests = sum(read.values()), sum(read.values()), 0
        known = True
        for agent in left:
            rest = max(0, (agent.requests.total or 0) - read[agent.agent.id]) if agent.requests.whole else 0
            known &= agent.requests.total is not None or not agent.requests.whole
            total += rest
            step = max(1, agent.requests.page_size - settings.PAGE_OVERLAP)
            requests += math.ceil(rest / step) if agent.requests.begun else 1
        if not left:
            return ReadingProgress("", 0, None, done, done, 0)
        first = left[0]
        agent_total = first.requests.total if first.requests.whole else None
        return ReadingProgress(
            first.agent.name, read[first.agent.id], agent_total, done, total if known else None, requests
        )

    # ── what is found ─────────────────────────────────────────────────────────────────────────────────────────────

    def _events(self) -> Iterator[Event]:
        selection = self._selection
        yield from self._by_id(self._client.get_run, selection.run_ids or (), "run")
        yield from self._by_id(self._client.get_run_by_job, selection.job_ids or (), "job")
        unconfirmed = []
        while self._agents:
            agent = self._agents[0]
            yield from agent.read()
            self._agents.popleft()
            self._scanned |= agent.scanned
            if agent.gone:
                unconfirmed.append(agent)
        for agent in unconfirmed:
            yield from agent.confirm_deletions()
        if selection.whole_project and self._scanned and selection.deleted_runs != "ignore":
            yield from self._vanished()
        if self._scanned:
            # What this sync has emitted is on its way there.
            yield from (Orphan(run_id) for run_id in self._warehouse.orphans if run_id not in self.emitted)

    def _by_id(self, get: Callable[[str], bytes], ids: Sequence[str], what: str) -> Iterator[Event]:
        """Yield the runs with these ids (run or job ids, as `get` takes them). No state is kept of them."""

        def fetch(wanted: str) -> Run | Rejected | tuple[str, LlamaExtractError]:
            try:
                item = read_item(get(wanted), f"{what} {wanted}", self._selection)
                return asked_for(item, "id" if what == "run" else "job_id", wanted)
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                return wanted, error

        runs: list[Run] = []
        for found in self._client.ahead(fetch, ids):
            if isinstance(found, Run):
                self._tally.count(found.agent_id, "requests")
                runs.append(found)
            elif isinstance(found, Rejected):
                yield found
            elif isinstance(found[1], NotFoundError):
                self._tally.miss(found[0])
            else:
                self._tally.set_aside(found[0], f"{what} {found[0]}: {found[1]}")
            if len(runs) >= settings.ASKED_TOGETHER:
                yield from self._compared(runs)
                runs.clear()
        yield from self._compared(runs)

    def _compared(self, runs: Sequence[Run]) -> Iterator[Found]:
        """Yield those of the runs that the warehouse has not as they are."""
        for run, verdict in by_warehouse(self._warehouse, runs, self._selection):
            run.verdict = verdict
            if run.id in self.emitted:
                continue
            if verdict != "incomplete":
                self._tally.count(run.agent_id, verdict)
            if verdict != "unchanged":
                self.emitted.add(run)
                yield Found(run, only_with_file=verdict == "incomplete")

    def _vanished(self) -> Iterator[Event]:
        """Delete the runs of agents that are no more.

        That an agent is not in the list is no proof: the key may have another project. So it must be one of this
        project's agents, and unknown when it is asked for, as must be its runs.
        """
        listed = {agent.id for agent in self._selection.agents}
        projects = {agent.project_id for agent in self._selection.agents}
        removes = self._selection.deleted_runs == "remove"
        for agent_id, project in self._warehouse.agents(found_deleted=removes).items():
            if agent_id in listed or project not in projects:
                continue
            try:
                self._tally.count(agent_id, "requests")
                self._client.get_agent(agent_id)
                continue
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                if not isinstance(error, NotFoundError):
                    continue
            try:
                yield from self._vanished_runs(agent_id, removes)
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                self._tally.set_aside(agent_id, str(error))

    def _vanished_runs(self, agent_id: str, removes: bool) -> Iterator[Event]:
        """Delete the runs of an agent that is unknown, as far as they are gone when they are asked for by their ID."""
        unseen, confirmed = self._warehouse.runs_of_agent(agent_id).unseen(found_deleted=removes), Confirmed()
        candidates = [run_id for run_id in unseen if run_id not in self.emitted]

        def read(raw: bytes, position: str) -> Run | Rejected:
            return read_item(raw, position, self._selection, agent_id)

        for item in confirmed.ask(self._client, read, agent_id, candidates):
            self._tally.count(agent_id, "requests")
            if item is not None and item.agent_id != agent_id and self.emitted.add(item):
                item.verdict = "updated"
                self._tally.count(item.agent_id, item.verdict)
                yield Found(item)
        if confirmed.alive:
            reason = f"the agent is not there, but its run {confirmed.alive[0]} is: nothing was taken for deleted"
            self._tally.set_aside(agent_id, reason)
            return
        if confirmed.failed:
            self._tally.set_aside(agent_id, describe_failures(confirmed.failed, "whose agent is not there"))
        self._tally.count(agent_id, "deleted", len(confirmed.gone))
        yield from (Gone(run_id, agent_id) for run_id in confirmed.gone)
        if len(confirmed.gone) == len(candidates):
            yield Checkpoint(agent_id, None)

    # ── what else must be known to write runs ─────────────────────────────────────────────────────────────────────

    def _described(self, batch: Batch) -> Batch:
        """Return the batch with its runs' former agents, and the records of their files.

        Runs that have a `file_id` but no `file` (which is deprecated) get that file's record. Where there is none, the
        hash says so; a run that is only there for its file is left out then.
        """
        nameless: dict[str, list[Run]] = {}
        for run in batch.runs:
            if file_id := file_to_look_up(run):
                nameless.setdefault(file_id, []).append(run)
        records = file_records(self._client, list(nameless)) if self._selection.lookup_files and nameless else {}
        for file_id, runs in nameless.items():
            record = records.get(file_id)
            for run in runs:
                if record is None:
                    run.content_hash = without_file(run.content_hash)
                else:
                    run.fields["file"] = msgspec.Raw(record)
        kept = []
        for run in batch.runs:
            found = run.id not in batch.only_with_file or (run.text("file_id") or "") in records
            if run.id in batch.only_with_file:
                self._tally.count(run.agent_id, "updated" if found else "unchanged")
            if found:
                kept.append(run)
        batch.runs = kept
        agents = self._warehouse.agents_of([run.id for run in kept]) if kept else {}
        batch.moved = {run.id: agents[run.id] for run in kept if agents.get(run.id, run.agent_id) != run.agent_id}
        for item in batch.rejected:
            self._tally.reject(item)
        return batch


class _CommitPoint(Protocol):
    @property
    def commit(self) -> bool: ...


_C = TypeVar("_C", bound=_CommitPoint)


def one_ahead(batches: Iterator[_C], end: Callable[[], object]) -> Generator[_C, None, None]:
    """Yield batches, each made in a thread while the one before is used; after one to commit, only when asked for more.

    `end` is called before the thread is waited for: it must make a batch that is under way fail.
    """
    with ThreadPoolExecutor(1, "llama-extract-read") as reader:
        try:
            ahead = reader.submit(next, batches, None)
            while (batch := _result(ahead)) is not None:
                commit = batch.commit
                if not commit:
                    ahead = reader.submit(next, batches, None)
                yield batch
                del batch
                if commit:
                    ahead = reader.submit(next, batches, None)
        finally:
            end()


def _result(answer: Future[_C | None]) -> _C | None:
    while not wait([answer], timeout=0.5).done:  # now and then awake: who only waits may never see the signal to stop
        pass
    return answer.result()
