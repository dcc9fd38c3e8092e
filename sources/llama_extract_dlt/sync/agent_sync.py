"""One agent's part of a sync: a look at its newest runs, or a scan of all of them, and the runs in flight."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

import msgspec

from .. import settings
from ..errors import (
    InvalidRequestError,
    LlamaExtractError,
    NotFoundError,
    UnexpectedResponseError,
    is_fatal,
    refuses,
)
from ..service.client import LlamaCloudClient, RunPage
from ..service.records import Rejected, Run, read_run
from ..service.run_list import Item, Listing, Page, item_key
from .agent_state import AgentState, Rest, Verdict, horizon_of, written_hash
from .events import Agent, Chunk, Given, Selection
from .warehouse_index import Known, Warehouse

_T = TypeVar("_T")
_R = TypeVar("_R")


class AgentRuns:
    """Reads what is new or has changed of one agent's runs.

    Attributes:
        state: what is known of the agent's runs; what it is in the end is what to remember.
        reading: what is being read: `the newest` runs, `the rest` of an unfinished load, or `all`.
        scanned: whether the whole list was read.
        gone: runs that the list left out: `settle` finds out whether they are deleted.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        selection: Selection,
        holdings: Warehouse,
        given: Given,
        now: datetime,
        agent: Agent,
        state: AgentState,
    ) -> None:
        self.state = state
        self.reading = "the newest"
        self.scanned = False
        self.gone: list[str] = []
        self._known = Known()
        self._changed: list[str] = []
        self._client = client
        self._selection = selection
        self._holdings = holdings
        self._given = given
        self._now = now
        self._agent = agent
        self._where = f"agent {agent.name!r}"
        self._trusted = True
        self._gave_up = False

    async def read(self, first: RunPage | LlamaExtractError) -> AsyncGenerator[Chunk, None]:
        """What is found; `first` is the first page of the agent's run list, or what went wrong with it.

        An agent whose runs the service refuses to show is reported as such. Its state stays as it was.
        """
        yield self._count(Counter(requests=1))
        try:
            if isinstance(first, LlamaExtractError) and (refuses(first) or isinstance(first, InvalidRequestError)):
                raise first
            async for chunk in self._read(first):
                yield chunk
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            yield Chunk(unreadable={self._agent.id: str(error)})

    async def settle(self) -> AsyncGenerator[Chunk, None]:
        """Deletes what the list left out, as far as it is gone when it is asked for by its ID.

        It belongs to the end of a sync, when the runs that have moved to other agents have been read.
        """
        new = self.state.copy()
        new.full_scan_at = self._now
        try:
            confirmed = Confirmed()
            async for chunk in self._confirm(new, confirmed):
                yield chunk
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            yield Chunk(unreadable={self._agent.id: str(error)})
            return
        if confirmed.alive:
            yield self._incomplete([confirmed.doubt()], new)
            return
        if confirmed.failed:
            yield Chunk(unreadable={self._agent.id: describe_failures(confirmed.failed, "that its list leaves out")})
        yield self._delete(confirmed.gone, new)
        yield self._remember(new)

    async def _confirm(self, new: AgentState, confirmed: Confirmed) -> AsyncIterator[Chunk]:
        async with AsyncExitStack() as stack:
            candidates = [run_id for run_id in self.gone if run_id not in self._given]
            answers = confirmed.ask(self._client, self._item, self._agent.id, candidates, self._selection, stack)
            async for item in answers:
                chunk = self._count(Counter(requests=1))
                if item is not None:  # it was read anyhow
                    moved = item.agent_id != self._agent.id
                    self._take(item, "updated" if moved else self._known.judge(item), new, chunk)
                yield chunk
        if confirmed.gone:
            # A service that does not show the agent's runs does not show the single ones either.
            await self._client.list_runs(self._agent.id, skip=0, limit=1)
            yield self._count(Counter(requests=1))

    async def _read(self, first: RunPage | LlamaExtractError) -> AsyncIterator[Chunk]:
        if self._selection.windowed:
            self.reading = "all"
            async for chunk in self._window(first):
                yield chunk
            return
        if self._moves:
            # Part of the runs will be in other tables: until all are, whatever is set then counts as another setting.
            yield Chunk(states={self._agent.id: msgspec.structs.replace(self.state, data_tables="").dump()})
        if self.state.rest is not None and not self._selection.full_scan and not self._moves:
            yield self._newest(first)
            self.reading, whole = "the rest", self.state.rest.until is None
            async for chunk in self._scan(None, self.state.rest) if whole else self._look(None, self.state.rest):
                yield chunk
            if self._gave_up:
                return
        if self._trusted and not self._scan_is_due():
            self.reading = "the newest"
            async for chunk in self._look(first, None):
                yield chunk
            if self._trusted:
                return
        self.reading = "all"
        # It had runs: an empty list is asked for once more.
        emptied = isinstance(first, RunPage) and not first.items and self.state.total > 0
        async for chunk in self._scan(None if emptied else first, None):
            yield chunk

    def _newest(self, first: RunPage | LlamaExtractError) -> Chunk:
        """What is new on the first page: whatever becomes of an unfinished reading, that is not to wait for it.

        It is not remembered: the look that follows sees it again.
        """
        chunk = Chunk()
        for place, raw in enumerate(first.items if isinstance(first, RunPage) else ()):
            item = self._item(raw, f"{self._where}, run list at offset {place}")
            verdict = self.state.judge(item, horizon_of(self.state.watermark)) if isinstance(item, Run) else "unchanged"
            if isinstance(item, Run) and verdict != "unchanged" and item.id not in self._given:
                self._given.give(item, chunk)
                chunk.counts[self._agent.id, verdict] += 1
        return chunk

    @property
    def _moves(self) -> bool:
        """Whether the runs are in the warehouse in other tables than they should be."""
        return self.state != AgentState() and self.state.data_tables != self._selection.data_tables

    def _scan_is_due(self) -> bool:
        last, days = self.state.full_scan_at, self._selection.full_scan_every
        # A time to come is that of a clock that was wrong.
        due = last is None or last > self._now or bool(days and self._now - last >= timedelta(days=days))
        return self._selection.full_scan or self._moves or due

    # ── the newest runs ───────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, first: RunPage | LlamaExtractError | None, rest: Rest | None) -> AsyncIterator[Chunk]:
        """Reads from the newest run, or from where an earlier look stopped, down to what is known.

        That relies on the list being in newest-first order, and on its length. `_trusted` is False afterwards if the
        pages do not bear that out; then everything must be read.
        """
        old = self.state
        new = old.copy()
        committed = frozenset(rest.keys) if rest else frozenset[str]()
        until = rest.until if rest else old.watermark
        horizon = horizon_of(until)
        fetched_ahead = self._selection.concurrency if horizon is None else 0
        listing, order, waiting = self._listing(first, fetched_ahead), _Order(), dict.fromkeys(old.in_flight)
        pages = self._pages(listing, rest)
        found = unchanged = 0
        async for page, items in pages:
            chunk, looked_for = Chunk(), 0
            if rest is None and page.skip == 0:
                new.begin(page.items, page.total or 0, self._now)
            runs = [item for item in items if isinstance(item, Run)]
            if runs and order.first is None and rest is None and old.newest is not None:
                created = runs[0].time("created_at")
                order.kept &= created is not None and created >= old.newest
            for run in runs:
                order.see(run)
            for item in items if order.kept else ():
                before = item_key(item) in committed
                if isinstance(item, Rejected):
                    found += self._reject(item, new, chunk) and not before
                    continue
                if item.id in waiting:
                    del waiting[item.id]
                    looked_for += 1
                verdict = old.judge(item, horizon)
                found += verdict == "new" and not before
                unchanged += self._take(item, verdict, new, chunk)
            end = page.last
            done = end or (horizon is not None and order.last is not None and order.last <= horizon)
            self._trusted = order.kept and not (listing.went_back and rest is not None) and not listing.problems
            if rest is None and done and page.total is not None:
                # More runs than are accounted for must be somewhere below. Fewer: some were deleted, and which
                # ones can be told at no cost when they all stand on the first page.
                more, fewer = page.total > old.total + found, page.total < old.total + found
                self._trusted &= not more and not (fewer and end and page.skip == 0)
            # What is accounted for, not what the list says it has: until all is read, nobody has compared the two.
            new.total = old.total + found
            if self._trusted and not done:
                chunk.states[self._agent.id] = self._unfinished(new, page, order, until).dump()
            yield self._requests(listing, chunk)
            # Runs in flight cost a request each: another page is cheaper as long as it has two of them.
            if not self._trusted or (done and (end or looked_for < 2 or len(waiting) < 2)):
                break
        await pages.aclose()
        self._trusted &= not listing.problems
        if not self._trusted:
            return
        new.rest = None
        if rest is None:
            new.total = page.total if page.total is not None else new.total
            async for chunk in self._in_flight(list(waiting), new):
                yield chunk
        yield self._count(Counter(unchanged=unchanged))
        yield self._remember(new)

    async def _in_flight(self, ids: Sequence[str], new: AgentState) -> AsyncIterator[Chunk]:
        """Reads runs in flight by their IDs. Those that are gone are deleted, if the service still shows the others.

        One that cannot be read stays in flight and is reported.
        """
        old, missing, failed = self.state, list[str](), dict[str, LlamaExtractError]()
        async with AsyncExitStack() as stack:
            async for run_id, item in ahead(self._fetch, ids, self._selection.concurrency, stack):
                chunk = self._count(Counter(requests=1))
                if isinstance(item, Run):
                    chunk.counts[self._agent.id, "unchanged"] += self._take(item, old.judge(item, None), new, chunk)
                elif isinstance(item, Rejected):
                    self._reject(item, new, chunk)
                elif item is None:
                    missing.append(run_id)
                else:
                    failed[run_id] = item
                yield chunk
            if failed:
                yield Chunk(unreadable={self._agent.id: describe_failures(failed, "in flight")})
            if missing:
                await self._client.list_runs(self._agent.id, skip=0, limit=1)
                yield self._count(Counter(requests=1))
            gone = []
            async for run_id, item in ahead(self._fetch, missing, self._selection.concurrency, stack):
                yield self._count(Counter(requests=1))  # asked twice: one wrong answer is not to delete a run
                if item is None:
                    gone.append(run_id)
            yield self._delete(gone, new)

    async def _fetch(self, run_id: str) -> tuple[str, Item | LlamaExtractError | None]:
        return run_id, await fetch_run(self._client, run_id, self._item)

    # ── all runs ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _scan(self, first: RunPage | LlamaExtractError | None, rest: Rest | None) -> AsyncIterator[Chunk]:
        """Reads all runs, or all from where an earlier scan stopped, and compares them with the warehouse."""
        old = self.state
        new = old.copy() if rest else AgentState(rejected=list(old.rejected), data_tables=self._selection.data_tables)
        await asyncio.to_thread(self._holdings.inspect)
        known = self._known = await asyncio.to_thread(self._holdings.runs_of_agent, self._agent.id)
        listing, order = self._listing(first, self._selection.concurrency), _Order()
        pages, waiting = self._pages(listing, rest), dict.fromkeys(old.in_flight)
        begun = rest is not None
        async for page, items in pages:
            chunk = Chunk()
            if not begun:
                new.begin(page.items, page.total or 0, self._now)
                begun = True
            for item in items:
                if isinstance(item, Rejected):
                    self._reject(item, new, chunk)
                else:
                    order.see(item)
                    waiting.pop(item.id, None)
                    chunk.counts[self._agent.id, "unchanged"] += self._take(item, known.judge(item), new, chunk)
            resumable = rest is not None or old.full_scan_at is None or self._moves
            if resumable and not page.last and not listing.problems:
                chunk.states[self._agent.id] = self._unfinished(new, page, order, None).dump()
            yield self._requests(listing, chunk)
        yield self._requests(listing, Chunk())
        if listing.problems:
            yield self._incomplete(listing.problems, new)
            return
        self.scanned = True
        if listing.doubtful and rest is None:
            new.total = listing.found
        unseen = known.unseen(found_deleted=self._selection.deleted_runs == "remove")
        self.gone = [] if rest else list(dict.fromkeys([*unseen, *waiting]))
        # What the list left out is asked for when all agents have been read; until then the scan is not done.
        new.rest, new.full_scan_at = None, old.full_scan_at if self.gone else self._now
        for run_id in self.gone:
            if run_id in old.in_flight:
                new.in_flight[run_id] = old.in_flight[run_id]
        yield self._remember(new)

    async def _window(self, first: RunPage | LlamaExtractError) -> AsyncIterator[Chunk]:
        """Reads all runs, and takes those that changed within the window. Nothing is remembered."""
        since, until = self._selection.since, self._selection.until
        known = await asyncio.to_thread(self._holdings.runs_of_agent, self._agent.id)
        listing = self._listing(first, self._selection.concurrency)
        async for _, items in self._pages(listing, None):
            chunk, forgotten = Chunk(), AgentState()
            for item in items:
                if isinstance(item, Rejected):
                    self._reject(item, forgotten, chunk)
                    continue
                changed = item.time("updated_at") or item.time("created_at")
                if changed and (since is None or changed >= since) and (until is None or changed < until):
                    chunk.counts[self._agent.id, "unchanged"] += self._take(item, known.judge(item), forgotten, chunk)
            yield self._requests(listing, chunk)
        chunk = self._requests(listing, Chunk())
        if listing.problems:
            chunk.unreadable[self._agent.id] = "; ".join(listing.problems)
        yield chunk

    # ── pages and runs ────────────────────────────────────────────────────────────────────────────────────────

    def _listing(self, first: RunPage | LlamaExtractError | None, ahead: int = 0) -> Listing:
        return Listing(
            self._client,
            self._agent.id,
            self._where,
            self._selection.page_size,
            read=self._item,
            first=first,
            ahead=ahead,
            wanted=self._given.room,
        )

    def _item(self, raw: bytes, position: str) -> Item:
        return read_item(raw, position, self._selection)

    async def _pages(self, listing: Listing, rest: Rest | None) -> AsyncGenerator[tuple[Page, list[Item]], None]:
        """Pages, each with those of its items that were on none before.

        Runs that were, and have changed since, are noted: what was taken of them is out of date.
        """
        seen: dict[int, int] = {}
        boundary = rest.boundary if rest else None

        def above(item: Item) -> bool:
            created = item.time("created_at") if isinstance(item, Run) else None
            return boundary is not None and created is not None and created > boundary

        start = max(0, rest.offset - settings.PAGE_OVERLAP) if rest else 0
        async for page in listing.pages(start, rest.keys if rest else (), above):
            fresh = []
            for item in page.items:
                key, digest = hash(item_key(item)), hash(item.content_hash) if isinstance(item, Run) else 0
                if key not in seen:
                    fresh.append(item)
                elif seen[key] != digest and isinstance(item, Run):
                    self._changed.append(item.id)
                seen[key] = digest
            yield page, fresh

    def _take(self, run: Run, verdict: Verdict, new: AgentState, chunk: Chunk) -> bool:
        """Remembers the run, and loads and counts it unless it is unchanged: whether to count it as that."""
        again, run.verdict = run.id in self._given, verdict
        outdated = verdict != "unchanged" and not self._given.give(run, chunk)
        if verdict == "incomplete" and not again:
            chunk.only_with_file.add(run.id)  # counted when its file has been looked up
        elif verdict != "unchanged" and not again:
            chunk.counts[self._agent.id, verdict] += 1
        new.remember(run, self._now, outdated=outdated)
        return verdict == "unchanged" and not again

    def _reject(self, item: Rejected, new: AgentState, chunk: Chunk) -> bool:
        """Reports the item unless that was done before; whether it did."""
        digest = hashlib.sha256(item.raw).hexdigest()[:16]
        if digest in new.rejected:
            return False
        new.rejected.append(digest)
        chunk.rejected.append(item)
        return True

    def _delete(self, gone: Iterable[str], new: AgentState) -> Chunk:
        chunk = Chunk()
        for run_id in gone:
            new.forget(run_id)
            if self._selection.deleted_runs != "ignore":
                chunk.deleted.append((run_id, self._agent.id))
                chunk.counts[self._agent.id, "deleted"] += 1
        return chunk

    def _incomplete(self, problems: Sequence[str], new: AgentState) -> Chunk:
        """Reports why not all could be read. The next sync reads everything again, and runs in flight until then."""
        self._gave_up = True
        kept = self.state.copy()
        kept.in_flight |= new.in_flight
        kept.rejected = new.rejected
        kept.rest = kept.full_scan_at = None
        if not kept.data_tables:
            kept.data_tables = new.data_tables
        chunk = self._remember(kept)
        chunk.unreadable[self._agent.id] = "; ".join(problems)
        return chunk

    def _read_again(self, new: AgentState) -> None:
        """Remembers the runs that changed while they were read, as it does those in flight."""
        for run_id in self._changed:
            new.forget(run_id)
            new.in_flight[run_id] = ""

    def _unfinished(self, new: AgentState, page: Page, order: _Order, until: datetime | None) -> AgentState:
        """The state as it is when the pages up to this one are loaded."""
        self._read_again(new)
        state = new.copy()
        state.rest = Rest(page.end, [item_key(item) for item in page.items], order.last if order.kept else None, until)
        return state

    def _remember(self, new: AgentState) -> Chunk:
        self._read_again(new)
        new.prune()
        self.state = new
        return Chunk(states={self._agent.id: new.dump()})

    def _requests(self, listing: Listing, chunk: Chunk) -> Chunk:
        """Adds the requests that a listing has made to the chunk's counts."""
        chunk.counts[self._agent.id, "requests"] += listing.requests
        listing.requests = 0
        return chunk

    def _count(self, counts: Counter[str]) -> Chunk:
        return Chunk(counts=Counter({(self._agent.id, name): count for name, count in counts.items()}))


class _Order:
    """Whether runs come newest first."""

    def __init__(self) -> None:
        self.kept = True
        self.first: datetime | None = None
        self.last: datetime | None = None

    def see(self, run: Run) -> None:
        created = run.time("created_at")
        self.kept &= created is not None and (self.last is None or created <= self.last)
        self.last = created or self.last
        self.first = self.first or created


@dataclass(slots=True)
class Confirmed:
    """What runs that a list leaves out are, when they are asked for by their ID."""

    gone: list[str] = field(default_factory=list)
    """Those that are deleted, the ones that were not asked for included where the asked ones leave no doubt."""
    alive: list[str] = field(default_factory=list)
    """Those that are there, and of the agent whose list leaves them out."""
    failed: dict[str, LlamaExtractError] = field(default_factory=dict)
    """Those that could not be read, with why."""

    async def ask(
        self,
        client: LlamaCloudClient,
        read: Callable[[bytes, str], Item],
        agent_id: str,
        candidates: Sequence[str],
        selection: Selection,
        stack: AsyncExitStack,
    ) -> AsyncIterator[Run | None]:
        """Asks for the candidates, all while they are few, else a sample of them; gives what each request found."""
        count = min(len(candidates), settings.CONFIRMED_DELETIONS)
        asked = [candidates[place * len(candidates) // count] for place in range(count)]

        async def fetch(run_id: str) -> tuple[str, Item | LlamaExtractError | None]:
            return run_id, await fetch_run(client, run_id, read)

        missing, unsure = list[str](), False
        async for run_id, item in ahead(fetch, asked, selection.concurrency, stack):
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


async def fetch_run(
    client: LlamaCloudClient, run_id: str, read: Callable[[bytes, str], Item]
) -> Item | LlamaExtractError | None:
    """The run with this ID; None if there is none, the error if it cannot be read but others may be."""
    try:
        return asked_for(read(await client.get_run(run_id), f"run {run_id}"), "id", run_id)
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


async def first_pages(
    client: LlamaCloudClient, selection: Selection, stack: AsyncExitStack
) -> AsyncIterator[tuple[Agent, RunPage | LlamaExtractError]]:
    """The agents, each with the first page of its runs, or with what went wrong with it."""

    async def fetch(agent: Agent) -> tuple[Agent, RunPage | LlamaExtractError]:
        try:
            return agent, await client.list_runs(agent.id, skip=0, limit=selection.page_size)
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            return agent, error

    async for fetched in ahead(fetch, selection.agents, selection.concurrency, stack):
        yield fetched


async def ahead(
    fetch: Callable[[_T], Awaitable[_R]], arguments: Iterable[_T], count: int, stack: AsyncExitStack
) -> AsyncIterator[_R]:
    """Results in the order of the arguments, up to `count` fetched ahead; `stack` cancels what is left over."""
    rest: Iterator[_T] = iter(arguments)
    tasks: list[asyncio.Task[_R]] = []

    async def cancel() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    stack.push_async_callback(cancel)
    while True:
        while len(tasks) < count:
            try:
                tasks.append(asyncio.ensure_future(fetch(next(rest))))
            except StopIteration:
                break
        if not tasks:
            return
        result = await tasks[0]
        del tasks[0]
        yield result
