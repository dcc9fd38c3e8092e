"""One agent's part of a sync: a look at its newest runs, a scan of all, or a window of time; and its runs in flight."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from datetime import datetime
from functools import partial

import msgspec

from .. import settings
from ..errors import InvalidRequestError, LlamaExtractError, is_fatal, refuses
from ..service.client import RunPage
from ..service.pages import Item, Page, PageRequests
from ..service.records import Rejected, Run
from ..service.run_list import RunList, item_key
from .agent_state import AgentState, ResumePoint, changes_tables, horizon_of, reading_mode
from .events import Agent, Checkpoint, Context, Event, Found, Gone
from .look import Look, Order
from .lookups import Confirmed, describe_failures, fetch_run, read_item
from .verdict import Verdict, by_index, by_state
from .warehouse_index import RunIndex


class AgentSync:
    """Reads what is new or has changed of one agent's runs.

    Attributes:
        state: what is known of the agent's runs; what it is in the end is what to remember.
        requests: those for the agent's run list.
        scanned: whether the whole list was read.
        gone: runs that the list left out: `confirm_deletions` finds out whether they are deleted.
    """

    def __init__(self, context: Context, agent: Agent, state: AgentState) -> None:
        self.agent = agent
        self.state = state
        self.scanned = False
        self.gone: list[str] = []
        self._context = context
        self._index = self._strangers = RunIndex()
        self._changed: list[str] = []  # runs that changed while the list was read
        self._trusted = True
        self._gave_up = False
        self.requests = PageRequests(
            context.client,
            agent.id,
            f"agent {agent.name!r}",
            context.selection.page_size,
            read=self._item,
            await_page=context.await_page,
            on_request=lambda: context.tally.count(agent.id, "requests"),
            whole=reading_mode(state, context.selection, context.now) in ("scan", "window"),
        )

    def read(self) -> Iterator[Event]:
        """Yield what is found.

        An agent whose runs the service refuses to show is reported as such. Its state stays as it was.
        """
        try:
            first = self.requests.first()
            if isinstance(first, LlamaExtractError) and (refuses(first) or isinstance(first, InvalidRequestError)):
                raise first
            yield from self._read(first)
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            self._context.tally.set_aside(self.agent.id, str(error))

    def _read(self, first: RunPage | LlamaExtractError) -> Iterator[Event]:
        reading = reading_mode(self.state, self._context.selection, self._context.now)
        if reading == "window":
            yield from self._window()
            return
        if changes_tables(self.state, self._context.selection):
            # Part of the runs will be in other tables: until all are, whatever is set then counts as another setting.
            yield self._checkpoint(msgspec.structs.replace(self.state, data_tables=""))
        if (resume := self.state.rest) is not None and reading == "rest":
            yield from self._newest(first)
            self.requests.reuse(None)
            yield from self._scan(resume) if resume.until is None else self._look(resume)
            if self._gave_up:
                return
            reading = reading_mode(self.state, self._context.selection, self._context.now)
            self.requests.reuse(first)
        if self._trusted and reading == "look":
            yield from self._look(None)
            if self._trusted:
                return
        # An empty list of an agent that had runs is asked for anew.
        emptied = isinstance(first, RunPage) and not first.items
        self.requests.reuse(None if emptied and self.state.total else first)
        yield from self._scan(None)

    def _newest(self, first: RunPage | LlamaExtractError) -> Iterator[Event]:
        """Emit what is new on the first page: whatever becomes of an unfinished reading, that is not to wait for it.

        It is not remembered: the look that follows sees it again.
        """
        for place, raw in enumerate(first.items if isinstance(first, RunPage) else ()):
            item = self._item(raw, f"agent {self.agent.name!r}, run list at offset {place}")
            if isinstance(item, Run):
                item.verdict = by_state(self.state, item, horizon_of(self.state.watermark))
                if item.verdict != "unchanged" and self._context.emitted.add(item):
                    self._context.tally.count(self.agent.id, item.verdict)
                    yield Found(item)

    # ── the newest runs ───────────────────────────────────────────────────────────────────────────────────────

    def _look(self, resume: ResumePoint | None) -> Iterator[Event]:
        """Read from the newest run, or from where an earlier look stopped, down to what is known.

        `_trusted` is False afterwards if the pages do not bear out what a look relies on; then all must be read.
        """
        look = Look(self.state, resume, self._context.now)
        new = look.new
        self.requests.whole = look.horizon is None
        run_list, page = RunList(self.requests), None
        pages = self._pages(run_list, resume)
        for page, items in pages:
            for item, verdict in look.observe(page, items):
                if isinstance(item, Rejected):
                    yield item
                else:
                    look.unchanged += verdict == "unchanged" and item.id not in self._context.emitted
                    yield from self._take(item, verdict, new)
            look.conclude(page, went_back=run_list.went_back, problems=bool(run_list.problems))
            if look.trusted and not look.done:
                yield self._unfinished(new, page, look.order, look.until)
            if look.enough:
                break
        pages.close()
        self._trusted = look.trusted and not run_list.problems
        if not self._trusted:
            return
        new.rest = None
        if resume is None:
            new.total = new.total if page is None or page.total is None else page.total
            yield from self._in_flight(list(look.waiting), new)
        self._context.tally.count(self.agent.id, "unchanged", look.unchanged)
        yield self._remember(new)

    def _in_flight(self, ids: Sequence[str], new: AgentState) -> Iterator[Event]:
        """Read runs in flight by their IDs. Those that are gone are deleted, if the service still shows the others.

        One that cannot be read stays in flight and is reported.
        """
        missing, failed = list[str](), dict[str, LlamaExtractError]()
        fetch = partial(fetch_run, self._context.client, self._item)
        for run_id, item in self._context.client.ahead(fetch, ids):
            self._context.tally.count(self.agent.id, "requests")
            if isinstance(item, Run):
                verdict = by_state(self.state, item, None)
                if verdict == "unchanged" and item.id not in self._context.emitted:
                    self._context.tally.count(self.agent.id, verdict)
                yield from self._take(item, verdict, new)
            elif isinstance(item, Rejected):
                if new.reject(item):
                    yield item
            elif item is None:
                missing.append(run_id)
            else:
                failed[run_id] = item
        if failed:
            self._context.tally.set_aside(self.agent.id, describe_failures(failed, "in flight"))
        if missing:
            self._check_list()
            # Asked twice: one wrong answer is not to delete a run.
            again = list(self._context.client.ahead(fetch, missing))
            self._context.tally.count(self.agent.id, "requests", len(again))
            yield from self._delete([run_id for run_id, item in again if item is None], new)

    def _check_list(self) -> None:
        """Raise if the service does not show the agent's runs: then it does not show the single ones either."""
        self._context.tally.count(self.agent.id, "requests")
        self._context.client.list_runs(self.agent.id, skip=0, limit=1)

    # ── all runs ──────────────────────────────────────────────────────────────────────────────────────────────

    def _scan(self, resume: ResumePoint | None) -> Iterator[Event]:
        """Read all runs, or all from where an earlier scan stopped, and compare them with the warehouse."""
        old, selection = self.state, self._context.selection
        new = old.copy() if resume else AgentState(rejected=list(old.rejected), data_tables=selection.data_tables)
        self._context.warehouse.inspect()
        self._index = self._context.warehouse.runs_of_agent(self.agent.id)
        self.requests.whole = True
        run_list, order, waiting = RunList(self.requests), Order(), dict.fromkeys(old.in_flight)
        resumable = resume is not None or old.full_scan_at is None or changes_tables(old, selection)
        begun = resume is not None
        for page, items in self._pages(run_list, resume):
            if not begun:
                new.begin(page.items, page.total or 0, self._context.now)
                begun = True
            for item in items:
                if isinstance(item, Rejected):
                    if new.reject(item):
                        yield item
                else:
                    order.see(item)
                    waiting.pop(item.id, None)
                    yield from self._compare(item, new)
            if resumable and not page.last and not run_list.problems:
                yield self._unfinished(new, page, order, None)
        if run_list.problems:
            yield self._incomplete(run_list.problems, new)
            return
        self.scanned = True
        if (run_list.doubtful or run_list.shrunk) and resume is None:
            new.total = min(new.total, run_list.found)
        unseen = self._index.unseen(found_deleted=selection.deleted_runs == "remove")
        self.gone = [] if resume else list(dict.fromkeys([*unseen, *waiting]))
        # What the list left out is asked for when all agents have been read; until then the scan is not done.
        new.rest, new.full_scan_at = None, old.full_scan_at if self.gone else self._context.now
        for run_id in self.gone:
            if run_id in old.in_flight:
                new.in_flight[run_id] = old.in_flight[run_id]
        yield self._remember(new)

    def confirm_deletions(self) -> Iterator[Event]:
        """Delete what the list left out, as far as it is gone when it is asked for by its ID.

        It belongs to the end of a sync, when the runs that have moved to other agents have been read.
        """
        new, confirmed = self.state.copy(), Confirmed()
        new.full_scan_at = self._context.now
        try:
            candidates = [run_id for run_id in self.gone if run_id not in self._context.emitted]
            for item in confirmed.ask(self._context.client, self._item, self.agent.id, candidates):
                self._context.tally.count(self.agent.id, "requests")
                if item is not None and item.agent_id != self.agent.id:
                    yield from self._take(item, "updated", new)
                elif item is not None:  # it was read anyhow
                    yield from self._compare(item, new, count=False)
            if confirmed.gone:
                self._check_list()
        except LlamaExtractError as error:
            if is_fatal(error):
                raise
            self._context.tally.set_aside(self.agent.id, str(error))
            return
        if confirmed.alive:
            yield self._incomplete([confirmed.doubt()], new)
            return
        if confirmed.failed:
            reason = describe_failures(confirmed.failed, "that its list leaves out")
            self._context.tally.set_aside(self.agent.id, reason)
        yield from self._delete(confirmed.gone, new)
        yield self._remember(new)

    def _window(self) -> Iterator[Event]:
        """Read all runs, and take those that changed within the window. Nothing is remembered."""
        since, until = self._context.selection.since, self._context.selection.until
        self._index, run_list = self._context.warehouse.runs_of_agent(self.agent.id), RunList(self.requests)
        for _, items in self._pages(run_list, None):
            forgotten = AgentState()
            for item in items:
                changed = item.time("updated_at") or item.time("created_at") if isinstance(item, Run) else None
                if isinstance(item, Rejected):
                    yield item
                elif changed and (since is None or changed >= since) and (until is None or changed < until):
                    yield from self._compare(item, forgotten)
        if run_list.problems:
            self._context.tally.set_aside(self.agent.id, "; ".join(run_list.problems))

    # ── pages and runs ────────────────────────────────────────────────────────────────────────────────────────

    def _item(self, raw: bytes, position: str) -> Item:
        return read_item(raw, position, self._context.selection, self.agent.id)

    def _pages(self, run_list: RunList, resume: ResumePoint | None) -> Generator[tuple[Page, list[Item]], None, None]:
        """Yield pages, each with those of its items that were on none before.

        Runs that were, and have changed since, are noted: what was taken of them is out of date.
        """
        seen, boundary = dict[int, int](), resume.boundary if resume else None

        def above(item: Item) -> bool:
            created = item.time("created_at") if isinstance(item, Run) else None
            return boundary is not None and created is not None and created > boundary

        start = max(0, resume.offset - settings.PAGE_OVERLAP) if resume else 0
        for page in run_list.pages(start, resume.keys if resume else (), above):
            fresh = []
            for item in page.items:
                key, digest = hash(item_key(item)), hash(item.content_hash) if isinstance(item, Run) else 0
                if key not in seen:
                    fresh.append(item)
                elif seen[key] != digest and isinstance(item, Run):
                    self._changed.append(item.id)
                seen[key] = digest
            self._context.tally.read[self.agent.id] = page.end
            # In the warehouse they are the runs of the agent that they say.
            if others := [item.id for item in fresh if isinstance(item, Run) and item.agent_id != self.agent.id]:
                self._strangers = self._context.warehouse.runs(others)
            yield page, fresh

    def _compare(self, run: Run, new: AgentState, *, count: bool = True) -> Iterator[Event]:
        """Take the run as the warehouse lacks it; `count` says whether it counts where it is unchanged."""
        self._index.see(run.id)
        index = self._index if run.id in self._index else self._strangers
        verdict = by_index(index, run, self._context.selection)
        if count and verdict == "unchanged" and run.id not in self._context.emitted:
            self._context.tally.count(self.agent.id, verdict)
            if run.agent_id != self.agent.id:
                self._context.emitted.see(run)  # else it would be looked for as a run of the agent that it says
        yield from self._take(run, verdict, new)

    def _take(self, run: Run, verdict: Verdict, new: AgentState) -> Iterator[Event]:
        """Emit and count the run unless it is unchanged or was emitted before, and remember it."""
        run.verdict, outdated = verdict, False
        if verdict != "unchanged":
            if self._context.emitted.add(run):
                if verdict != "incomplete":  # which is counted when its file has been looked up
                    self._context.tally.count(self.agent.id, verdict)
                yield Found(run, only_with_file=verdict == "incomplete")
            else:
                outdated = self._context.emitted.is_outdated(run)
        new.remember(run, self._context.now, outdated=outdated)

    def _delete(self, gone: Iterable[str], new: AgentState) -> Iterator[Event]:
        for run_id in gone:
            new.forget(run_id)
            if self._context.selection.deleted_runs != "ignore":
                self._context.tally.count(self.agent.id, "deleted")
                yield Gone(run_id, self.agent.id)

    # ── states ────────────────────────────────────────────────────────────────────────────────────────────────

    def _checkpoint(self, state: AgentState) -> Checkpoint:
        return Checkpoint(self.agent.id, state.dump())

    def _unfinished(self, new: AgentState, page: Page, order: Order, until: datetime | None) -> Checkpoint:
        """Return the state as it is when the pages up to this one are loaded."""
        new.read_again(self._changed)
        state, keys = new.copy(), [item_key(item) for item in page.items]
        state.rest = ResumePoint(page.end, keys, order.last if order.kept else None, until)
        return self._checkpoint(state)

    def _incomplete(self, problems: Sequence[str], new: AgentState) -> Checkpoint:
        """Report why not all could be read. The next sync reads everything again, and runs in flight until then."""
        self._gave_up = True
        self._context.tally.set_aside(self.agent.id, "; ".join(problems))
        return self._remember(self.state.given_up(new))

    def _remember(self, new: AgentState) -> Checkpoint:
        new.read_again(self._changed)
        new.prune()
        self.state = new
        return self._checkpoint(new)
