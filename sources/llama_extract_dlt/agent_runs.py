"""One agent's part of a sync: a look at its newest runs, or a scan of all of them, and the runs in flight."""

from __future__ import annotations

import asyncio
import hashlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import datetime, timedelta
from typing import TypeVar

from . import settings
from .chunks import Agent, Chunk, Given, Selection
from .client import LlamaCloudClient, RunPage
from .exceptions import NotFoundError, PermissionDeniedError
from .holdings import Holdings
from .paging import Item, Listing, Page, item_key
from .runs import Rejected, Run, read_run
from .watermarks import AgentState, Rest, Verdict, horizon_of

_T = TypeVar("_T")
_R = TypeVar("_R")


class AgentRuns:
    """Reads what is new or has changed of one agent's runs.

    Attributes:
        state: what is known of the agent's runs; what it is in the end is what to remember.
        reading: what is being read: `the newest` runs, `the rest` of an unfinished load, or `all`.
        scanned: whether the whole list was read.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        selection: Selection,
        holdings: Holdings,
        given: Given,
        now: datetime,
        agent: Agent,
        state: AgentState,
    ) -> None:
        self.state = state
        self.reading = "the newest"
        self.scanned = False
        self._client = client
        self._selection = selection
        self._holdings = holdings
        self._given = given
        self._now = now
        self._agent = agent
        self._where = f"agent {agent.name!r}"
        self._trusted = True

    async def read(self, first: RunPage) -> AsyncGenerator[Chunk, None]:
        """What is found; `first` is the first page of the agent's run list.

        An agent whose runs the service refuses to show is reported as such. Its state stays as it was.
        """
        yield self._count(Counter(requests=1))
        try:
            async for chunk in self._read(first):
                yield chunk
        except (PermissionDeniedError, NotFoundError) as error:
            yield Chunk(unreadable={self._agent.id: str(error)})

    async def _read(self, first: RunPage) -> AsyncIterator[Chunk]:
        if self._selection.windowed:
            self.reading = "all"
            async for chunk in self._window(first):
                yield chunk
            return
        if self.state.rest is not None and not self._selection.full_scan and not self._moves:
            self.reading, whole = "the rest", self.state.rest.until is None
            async for chunk in self._scan(None, self.state.rest) if whole else self._look(None, self.state.rest):
                yield chunk
            if self.state.rest is not None and self._trusted:
                return  # the list changes too much to be read; what was read is not lost
        if self._trusted and not self._scan_is_due():
            self.reading = "the newest"
            async for chunk in self._look(first, None):
                yield chunk
            if self._trusted:
                return
        self.reading = "all"
        async for chunk in self._scan(first, None):
            yield chunk

    @property
    def _moves(self) -> bool:
        """Whether the runs are in the warehouse in other tables than they should be."""
        return self.state != AgentState() and self.state.data_tables != self._selection.data_tables

    def _scan_is_due(self) -> bool:
        last, days = self.state.full_scan_at, self._selection.full_scan_every
        due = last is None or bool(days and self._now - last >= timedelta(days=days))
        return self._selection.full_scan or self._moves or due

    # ── the newest runs ───────────────────────────────────────────────────────────────────────────────────────

    async def _look(self, first: RunPage | None, rest: Rest | None) -> AsyncIterator[Chunk]:
        """Reads from the newest run, or from where an earlier look stopped, down to what is known.

        That relies on the list being in newest-first order, and on its length. `_trusted` is False afterwards if the
        pages do not bear that out; then everything must be read.
        """
        old = self.state
        new = old.copy()
        until = rest.until if rest else old.watermark
        horizon = horizon_of(until)
        fetched_ahead = self._selection.concurrency if horizon is None else 0
        listing, order, waiting = self._listing(first, fetched_ahead), _Order(), dict.fromkeys(old.in_flight)
        pages = self._pages(listing, rest)
        found = unchanged = 0
        async for page, items in pages:
            chunk, looked_for = Chunk(), 0
            if rest is None and page.skip == 0:
                new.begin(page.items, page.total, self._now)
            runs = [item for item in items if isinstance(item, Run)]
            if runs and order.first is None and rest is None and old.newest is not None:
                created = runs[0].time("created_at")
                order.kept &= created is not None and created >= old.newest
            for run in runs:
                order.see(run)
            for item in items if order.kept else ():
                if isinstance(item, Rejected):
                    found += self._reject(item, new, chunk)
                    continue
                if item.id in waiting:
                    del waiting[item.id]
                    looked_for += 1
                verdict = old.judge(item, horizon)
                found += verdict == "new"
                unchanged += self._take(item, verdict, new, chunk)
            end = page.end >= page.total
            done = end or (horizon is not None and order.last is not None and order.last <= horizon)
            self._trusted = order.kept
            if rest is None and done:
                # More runs than are accounted for must be somewhere below. Fewer: some were deleted, and which
                # ones can be told at no cost when they all stand on the first page.
                more, fewer = page.total > old.total + found, page.total < old.total + found
                self._trusted &= not more and not (fewer and end and page.skip == 0)
            if self._trusted and not done:
                chunk.states[self._agent.id] = _unfinished(new, page, order, until).dump()
            yield self._requests(listing, chunk)
            # Runs in flight cost a request each: another page is cheaper as long as it has two of them.
            if not self._trusted or (done and (end or looked_for < 2 or len(waiting) < 2)):
                break
        await pages.aclose()
        self._trusted &= listing.complete
        if not self._trusted:
            return
        new.rest = None
        if rest is None:
            async for chunk in self._by_id(list(waiting), new, lambda run: old.judge(run, None)):
                yield chunk
        yield self._count(Counter(unchanged=unchanged))
        yield self._remember(new)

    async def _by_id(
        self, ids: Sequence[str], new: AgentState, judge: Callable[[Run], Verdict]
    ) -> AsyncIterator[Chunk]:
        """Reads runs by their IDs. Those that are gone are deleted, if the service still shows the agent's runs."""

        async def fetch(run_id: str) -> tuple[str, Item | None]:
            try:
                return run_id, read_run(await self._client.get_run(run_id), f"run {run_id}")
            except NotFoundError:
                return run_id, None

        gone = []
        async with AsyncExitStack() as stack:
            async for run_id, item in ahead(fetch, ids, self._selection.concurrency, stack):
                chunk = self._count(Counter(requests=1))
                if isinstance(item, Run):
                    chunk.counts[self._agent.id, "unchanged"] += self._take(item, judge(item), new, chunk)
                elif item is None:
                    gone.append(run_id)
                else:
                    self._reject(item, new, chunk)
                yield chunk
        if gone:
            await self._client.list_runs(self._agent.id, skip=0, limit=1)
            yield self._count(Counter(requests=1))
            yield self._delete(gone, new)

    # ── all runs ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _scan(self, first: RunPage | None, rest: Rest | None) -> AsyncIterator[Chunk]:
        """Reads all runs, or all from where an earlier scan stopped, and compares them with the warehouse."""
        old = self.state
        new = old.copy() if rest else AgentState(rejected=list(old.rejected), data_tables=self._selection.data_tables)
        known = await asyncio.to_thread(self._holdings.runs_of_agent, self._agent.id)
        if self._moves:
            known.outdate()
        listing, order = self._listing(first, self._selection.concurrency), _Order()
        pages, waiting = self._pages(listing, rest), dict.fromkeys(old.in_flight)
        begun = rest is not None
        async for page, items in pages:
            chunk = Chunk()
            if not begun:
                new.begin(page.items, page.total, self._now)
                begun = True
            for item in items:
                if isinstance(item, Rejected):
                    self._reject(item, new, chunk)
                else:
                    order.see(item)
                    waiting.pop(item.id, None)
                    chunk.counts[self._agent.id, "unchanged"] += self._take(item, known.judge(item), new, chunk)
            if (rest is not None or old.full_scan_at is None) and page.end < page.total:
                chunk.states[self._agent.id] = _unfinished(new, page, order, None).dump()
            yield self._requests(listing, chunk)
        if not listing.complete:
            yield Chunk(unreadable={self._agent.id: "its list of runs changed too much to be read whole: run again"})
            return
        self.scanned = True
        if rest is None:
            gone = dict.fromkeys([*known.unseen(), *waiting])
            if listing.moved:  # what moved while it was read could have been overlooked
                async for chunk in self._by_id(list(gone), new, known.judge):
                    yield chunk
            elif gone:
                yield self._delete(gone, new)
        new.rest, new.full_scan_at = None, self._now
        yield self._remember(new)

    async def _window(self, first: RunPage) -> AsyncIterator[Chunk]:
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

    # ── pages and runs ────────────────────────────────────────────────────────────────────────────────────────

    def _listing(self, first: RunPage | None, ahead: int = 0) -> Listing:
        size = self._selection.page_size
        wanted = self._given.room
        return Listing(self._client, self._agent.id, self._where, size, first=first, ahead=ahead, wanted=wanted)

    async def _pages(self, listing: Listing, rest: Rest | None) -> AsyncGenerator[tuple[Page, list[Item]], None]:
        """Pages, each with those of its items that were on none before."""
        seen: set[int] = set()
        boundary = rest.boundary if rest else None

        def above(item: Item) -> bool:
            created = item.time("created_at") if isinstance(item, Run) else None
            return boundary is not None and created is not None and created > boundary

        start = max(0, rest.offset - settings.PAGE_OVERLAP) if rest else 0
        async for page in listing.pages(start, rest.keys if rest else (), above):
            keys = [hash(item_key(item)) for item in page.items]
            fresh = [item for key, item in zip(keys, page.items, strict=True) if key not in seen]
            seen.update(keys)
            yield page, fresh

    def _take(self, run: Run, verdict: Verdict, new: AgentState, chunk: Chunk) -> bool:
        """Remembers the run, and loads and counts it unless it is unchanged: whether to count it as that."""
        again = run.id in self._given
        outdated = verdict != "unchanged" and not self._given.give(run, chunk)
        if verdict != "unchanged" and not again:
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

    def _remember(self, new: AgentState) -> Chunk:
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


def _unfinished(new: AgentState, page: Page, order: _Order, until: datetime | None) -> AgentState:
    """The state as it is when the pages up to this one are loaded."""
    state = new.copy()
    state.rest = Rest(page.end, [item_key(item) for item in page.items], order.last if order.kept else None, until)
    return state


async def first_pages(
    client: LlamaCloudClient, selection: Selection, stack: AsyncExitStack
) -> AsyncIterator[tuple[Agent, RunPage | str]]:
    """The agents, each with the first page of its runs, or with what the service says if it does not show them."""

    async def fetch(agent: Agent) -> tuple[Agent, RunPage | str]:
        try:
            return agent, await client.list_runs(agent.id, skip=0, limit=selection.page_size)
        except (PermissionDeniedError, NotFoundError) as error:
            return agent, str(error)

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
