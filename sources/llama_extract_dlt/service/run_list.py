"""An agent's run list, page by page by offset: no run is left out, whatever the list does or says meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

from .. import settings
from ..errors import LlamaExtractError, UnexpectedResponseError, is_fatal, refuses
from .client import LlamaCloudClient, RunPage
from .records import Rejected, Run

Item = Run | Rejected
_NO_RUN = "\0"


@dataclass(frozen=True, slots=True)
class Page:
    """The items of one request, those that overlap with pages before included.

    `total` is how many items the service says there are, None if it does not; `size` how many a full page has. `last`
    says that the list ends here.
    """

    items: list[Item]
    skip: int
    total: int | None
    size: int
    last: bool = False

    @property
    def end(self) -> int:
        """The offset after the last item."""
        return self.skip + len(self.items)


def item_key(item: Item) -> str:
    """What makes an item known again: a run's id, or the text of what is no run."""
    return item.id if isinstance(item, Run) else _NO_RUN + hashlib.sha256(item.raw).hexdigest()


class Listing:
    """Reads an agent's run list from an offset to its end.

    Each page begins with the last item of the page before. When runs are deleted meanwhile, that item is not there,
    or further up: then the pages before are read again, as far back as is needed to find the place. When runs are
    created, the page begins with more items that are known already, which does no harm. When the items come in
    another order than before, everything is read again from the start; when that happens again and again, half of
    every page is read twice and the order does not matter any more.

    A list ends with a page that is not full, if `total` agrees; else with a page that has nothing beyond the overlap.
    An answer to another offset than the one asked for is no page. A page that fails for good is asked for in smaller
    parts, so that only the item that cannot be read is left out.

    Args:
        read: makes an item of its raw JSON and its position.
        first: the page at offset 0, where it has been asked for already, or the error that was the answer.
        ahead: pages to fetch at the same time; 0 fetches a page when it is asked for.
        wanted: tells how many items are; no page beyond those is fetched before it is asked for.

    Attributes:
        problems: why what was read may not be all; empty when it is.
        moved: whether the list changed while it was read.
        went_back: whether a part was read more than once.
        doubtful: whether the list ended with empty answers only, though `total` says that there is more.
        found: how many different items there were.
        requests: how many were made.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        agent_id: str,
        where: str,
        page_size: int,
        *,
        read: Callable[[bytes, str], Item],
        first: RunPage | LlamaExtractError | None,
        ahead: int,
        wanted: Callable[[], float],
    ) -> None:
        self.problems: list[str] = []
        self.moved = False
        self.went_back = False
        self.doubtful = False
        self.found = 0
        self.requests = 0
        self._client = client
        self._agent_id = agent_id
        self._where = where
        self._page_size = page_size
        self._read = read
        self._first = first
        self._ahead = ahead
        self._wanted = wanted
        self._any_order = False
        self._narrow: list[tuple[int, int]] = []  # offsets up to which fewer items are asked for, and how many
        self._fetching: dict[int, asyncio.Task[RunPage]] = {}

    async def pages(
        self, start: int = 0, known: Sequence[str] = (), above: Callable[[Item], bool] | None = None
    ) -> AsyncGenerator[Page, None]:
        """The pages from offset `start` on.

        A reading that goes on where an earlier one stopped gives the keys of the last page of that one, in their
        order, and what tells whether an item stands above that page.
        """
        order = {key: number for number, key in enumerate(known)}  # in which order the items were first seen
        seen, empty = set[int](), set[int]()
        skip, back, repairs, restarts, passes, repeats, unreadable, farthest = start, 0, 0, 0, 0, 0, 0, 0
        again = False  # whether runs came a second time where others should have been
        total: int | None = None
        least: int | None = None  # the lowest total: what was created meanwhile makes it more
        end = -1  # the offset after the page before
        try:
            while True:
                page = await self._page(skip)
                if page is None:
                    unreadable += 1
                    if unreadable >= settings.MAX_UNREADABLE_ITEMS:
                        self.problems[-unreadable:] = [f"from {self.problems[-unreadable]}"]
                        return
                    order, skip = {}, skip + 1  # what stands after the gap follows on nothing
                    if total is not None and skip >= total:
                        return
                    continue
                unreadable = 0
                fewer = total is not None and page.total is not None and page.total < total
                shrunk = bool(order) if total is None else fewer
                self.moved |= total is not None and page.total != total
                place = "after"
                if skip and order:
                    place = _place(page, order, shrunk=shrunk, any_order=self._any_order)
                    if place == "beyond" and skip == end and not shrunk:
                        place = "after"  # it was asked for without an overlap
                if place != "after" and above is not None and page.items and above(page.items[0]):
                    order, place = {}, "after"
                if place != "after":
                    self.moved = self.went_back = True
                    await self._drop()
                    repairs += 1
                    if place == "unordered" or repairs > settings.MAX_REPAIRS:
                        restarts += 1
                        if restarts > settings.MAX_RESTARTS:
                            passes, self._any_order = passes + 1, True
                        if passes > settings.MAX_PASSES:
                            self._give_up()
                            return
                        order, skip, back, repairs = {}, 0, 0, 0
                    else:
                        back = max(2 * back, self._page_size)
                        skip = max(0, skip - back)
                    continue
                if skip == 0:
                    order = {}
                back, above = 0, None
                total = page.total if page.total is not None else total
                if total is not None:
                    least = total if least is None else min(least, total)
                number = next(reversed(order.values()), -1)
                keys = [item_key(item) for item in page.items]
                fresh = sum(hash(key) not in seen for key in keys)
                known_runs = sum(hash(item.id) in seen for item in page.items if isinstance(item, Run))
                again |= known_runs > max(0, farthest - page.skip)
                seen.update(map(hash, keys))
                self.found = len(seen)
                for key in keys:
                    if key not in order:
                        order[key] = number = number + 1
                for key in list(order)[: -settings.REMEMBERED_ITEMS]:
                    del order[key]
                accounted = page.end if start or self.problems else min(page.end, len(seen))
                short, agreed = len(keys) < page.size, total is None or accounted >= total
                if not keys and not agreed:
                    if skip not in empty:  # once is not enough: the last item read should have come again
                        empty.add(skip)
                        skip = max(0, skip - self._page_size)
                        continue
                    self.doubtful = True
                only_overlap = not fresh and len(keys) <= self._overlap(page.size)
                # Beyond the farthest offset so far there should be something new.
                repeats = 0 if fresh or only_overlap or page.end <= farthest else repeats + 1
                farthest = max(farthest, page.end)
                if repeats > settings.MAX_REPEATS:
                    self.problems.append("its list of runs gives the same items at every offset")
                    return
                last = not keys or (short and (agreed or only_overlap))
                missed = again and not start and least is not None and len(seen) < least
                if last and (self._any_order or missed) and not agreed:  # only the number tells whether all were seen
                    passes, self._any_order = passes + 1, True
                    if passes > settings.MAX_PASSES:
                        self._give_up()
                        return
                    yield Page(page.items, page.skip, page.total, page.size)
                    order, skip = {}, 0
                    continue
                yield Page(page.items, page.skip, page.total, page.size, last)
                if last:
                    return
                end, skip = page.end, max(skip + 1, page.end - self._overlap(len(keys)))
                self._fetch_ahead(skip, len(keys), total or 0)
        finally:
            await self._drop()

    def _overlap(self, size: int) -> int:
        """How many items a page has in common with one of `size` items before it."""
        return max(settings.PAGE_OVERLAP, size // 2) if self._any_order else settings.PAGE_OVERLAP

    def _give_up(self) -> None:
        self.problems.append("its list of runs comes in another order each time and could not be read whole: run again")

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────────

    async def _page(self, skip: int) -> Page | None:
        """The page at an offset; None if not even the first item of it can be read."""
        tries = None
        while True:
            limit = self._limit(skip)
            try:
                answer = await self._answer(skip, limit, tries)
                if answer.skip != skip:
                    message = f"the service answered with the items from offset {answer.skip} on, not {skip}"
                    raise UnexpectedResponseError(message)
            except LlamaExtractError as error:
                if is_fatal(error) or refuses(error):
                    raise
                await self._drop()
                if limit == 1:
                    self.problems.append(f"item {skip} of its list of runs: {error}")
                    return None
                self._narrow.append((skip + limit, max(1, limit // settings.NARROWING)))
                tries = settings.NARROW_TRIES
                continue
            items = [
                self._read(item, f"{self._where}, run list at offset {skip + place}")
                for place, item in enumerate(answer.items)
            ]
            total = answer.total if answer.total >= 0 else None
            return Page(items, skip, total, min(limit, answer.limit) if answer.limit > 0 else limit)

    def _limit(self, skip: int) -> int:
        """How many items to ask for at an offset."""
        while self._narrow and skip >= self._narrow[-1][0]:
            self._narrow.pop()
        return self._narrow[-1][1] if self._narrow else self._page_size

    async def _answer(self, skip: int, limit: int, tries: int | None) -> RunPage:
        if skip == 0 and self._first is not None:
            first, self._first = self._first, None
            if isinstance(first, LlamaExtractError):
                raise first
            return first
        task = self._fetching.pop(skip, None) if tries is None and limit == self._page_size else None
        if task is not None:
            return await task
        await self._drop()
        self.requests += 1
        return await self._client.list_runs(self._agent_id, skip=skip, limit=limit, tries=tries)

    def _fetch_ahead(self, skip: int, step: int, total: int) -> None:
        """Starts requests for the pages that come next, if every page is as long as the last one."""
        if self._narrow:
            return
        overlap = self._overlap(step) if step > self._overlap(step) else 0
        step = max(1, step - self._overlap(step))
        count = min(self._ahead, self._wanted() / step)
        while len(self._fetching) < count and skip + overlap < total:
            if skip not in self._fetching:
                self.requests += 1
                request = self._client.list_runs(self._agent_id, skip=skip, limit=self._page_size)
                self._fetching[skip] = asyncio.ensure_future(request)
            skip += step

    async def _drop(self) -> None:
        tasks, self._fetching = list(self._fetching.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _place(page: Page, order: Mapping[str, int], *, shrunk: bool, any_order: bool) -> str:
    """Where a page stands: right `after` what was read, `beyond` it with a gap perhaps, or in an order of its own."""
    if len(page.items) <= settings.PAGE_OVERLAP and not any(item_key(item) in order for item in page.items):
        # Too short to overlap: without deletions it stands where it was asked for.
        return "beyond" if shrunk else "after"
    numbers = [order.get(item.id) for item in page.items if isinstance(item, Run)]
    if all(number is None for number in numbers):  # what is no run may stand in a list more than once
        return "after" if any(item_key(item) in order for item in page.items) else "beyond"
    if any_order:
        return "after"
    seen = [number for number in numbers if number is not None]
    if numbers[: len(seen)] != seen or sorted(seen) != seen:
        return "unordered"
    if len(seen) == len(numbers):
        return "after"
    # What came last must be there, unless it has been deleted.
    last = next(number for key, number in reversed(list(order.items())) if not key.startswith(_NO_RUN))
    return "after" if seen[-1] == last or shrunk else "unordered"
