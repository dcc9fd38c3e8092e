"""A look at the newest runs of an agent, page by page, down to what is known. It sends no requests."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ..service.pages import Item, Page
from ..service.records import Rejected, Run
from ..service.run_list import item_key
from .agent_state import AgentState, ResumePoint, horizon_of
from .verdict import Verdict, by_state


class Order:
    """Whether runs come newest first."""

    def __init__(self) -> None:
        self.kept = True
        self.first: datetime | None = None
        self.last: datetime | None = None

    def see(self, run: Run) -> None:
        """Note the next run of the list."""
        created = run.time("created_at")
        self.kept &= created is not None and (self.last is None or created <= self.last)
        self.last = created or self.last
        self.first = self.first or created


class Look:
    """Judges the runs of pages from the newest run, or from where an earlier look stopped.

    That relies on the list being in newest-first order, and on its length. `trusted` turns False if the pages do not
    bear that out; then everything must be read.

    Attributes:
        new: the state as the pages so far leave it, the runs themselves apart.
        waiting: the runs in flight that were on no page yet.
        done: whether the pages reach down to what is known.
        enough: whether no further page is worth its request.
    """

    def __init__(self, old: AgentState, resume: ResumePoint | None, now: datetime) -> None:
        self.new = old.copy()
        self.order = Order()
        self.waiting = dict.fromkeys(old.in_flight)
        self.until = resume.until if resume else old.watermark
        self.horizon = horizon_of(self.until)
        self.trusted = True
        self.done = self.enough = False
        self.unchanged = 0
        self._old = old
        self._resume = resume
        self._committed = frozenset(resume.keys) if resume else frozenset[str]()
        self._now = now
        self._found = 0
        self._looked_for = 0

    def observe(self, page: Page, items: list[Item]) -> Iterator[tuple[Item, Verdict]]:
        """Judge those items of a page that were on none before; items that are no runs are given once, as new."""
        if self._resume is None and page.skip == 0:
            self.new.begin(page.items, page.total or 0, self._now)
        runs = [item for item in items if isinstance(item, Run)]
        if runs and self.order.first is None and self._resume is None and self._old.newest is not None:
            created = runs[0].time("created_at")
            self.order.kept &= created is not None and created >= self._old.newest
        for run in runs:
            self.order.see(run)
        self._looked_for = 0
        for item in items if self.order.kept else ():
            before = item_key(item) in self._committed
            if isinstance(item, Rejected):
                if self.new.reject(item):
                    self._found += not before
                    yield item, "new"
                continue
            if item.id in self.waiting:
                del self.waiting[item.id]
                self._looked_for += 1
            verdict = by_state(self._old, item, self.horizon)
            self._found += verdict == "new" and not before
            yield item, verdict

    def conclude(self, page: Page, *, went_back: bool, problems: bool) -> None:
        """Decide what the page, all of whose items were taken, means for the reading."""
        order = self.order
        self.done = page.last or (self.horizon is not None and order.last is not None and order.last <= self.horizon)
        self.trusted = order.kept and not (went_back and self._resume is not None) and not problems
        accounted = self._old.total + self._found
        if self._resume is None and self.done and page.total is not None:
            # More runs than are accounted for must be somewhere below. Fewer: some were deleted, and which
            # ones can be told at no cost when they all stand on the first page.
            more, fewer = page.total > accounted, page.total < accounted
            self.trusted &= not more and not (fewer and page.last and page.skip == 0)
        # What is accounted for, not what the list says it has: until all is read, nobody has compared the two.
        self.new.total = accounted
        # Runs in flight cost a request each: another page is cheaper as long as it has two of them.
        few = self._looked_for < 2 or len(self.waiting) < 2
        self.enough = not self.trusted or (self.done and (page.last or few))
