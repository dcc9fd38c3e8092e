"""An agent's run list, page by page by offset, so that no run is left out although the list changes meanwhile."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from dataclasses import dataclass

from . import settings
from .client import LlamaCloudClient, RunPage
from .runs import Rejected, Run, read_run

_logger = logging.getLogger(__name__)

Item = Run | Rejected
_NO_RUN = "\0"


@dataclass(frozen=True, slots=True)
class Page:
    """The items of one request, those that overlap with pages before included."""

    items: list[Item]
    skip: int
    total: int

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
    another order than before, everything is read again from the start.

    Args:
        first: the page at offset 0, where it has been fetched already.
        ahead: pages to fetch at the same time; 0 fetches a page when it is asked for.
        wanted: tells how many items are; no page beyond those is fetched before it is asked for.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        agent_id: str,
        where: str,
        page_size: int,
        *,
        first: RunPage | None,
        ahead: int,
        wanted: Callable[[], float],
    ) -> None:
        self.requests = 0
        self.complete = True
        """Whether the pages given so far leave nothing out. False after too many vain attempts."""
        self.moved = False
        """Whether the list changed while it was read."""
        self._client = client
        self._agent_id = agent_id
        self._where = where
        self._page_size = page_size
        self._first = first
        self._ahead = ahead
        self._wanted = wanted
        self._fetching: dict[int, asyncio.Task[RunPage]] = {}

    async def pages(
        self, start: int = 0, known: Sequence[str] = (), above: Callable[[Item], bool] | None = None
    ) -> AsyncGenerator[Page, None]:
        """The pages from offset `start` on.

        A reading that goes on where an earlier one stopped gives the keys of the last page of that one, in their
        order, and what tells whether an item stands above that page.
        """
        order = {key: number for number, key in enumerate(known)}  # in which order the items were first seen
        skip, back, repairs, restarts = start, 0, 0, 0
        total: int | None = None
        try:
            while True:
                page = await self._page(skip)
                shrunk = bool(order) if total is None else page.total < total
                self.moved |= total is not None and page.total != total
                place = _place(page, order, shrunk=shrunk) if skip else "after"
                if place != "after" and above is not None and page.items and above(page.items[0]):
                    order, place = {}, "after"
                if place != "after":
                    self.moved = True
                    await self._drop()
                    repairs += 1
                    if place == "unordered" or repairs > settings.MAX_REPAIRS:
                        restarts += 1
                        if restarts > settings.MAX_RESTARTS:
                            self.complete = False
                            _logger.warning("%s: the list of runs changes too much to be read whole", self._where)
                            return
                        order, skip, back, repairs = {}, 0, 0, 0
                    else:
                        back = max(2 * back, self._page_size)
                        skip = max(0, skip - back)
                    continue
                if skip == 0:
                    order = {}
                back, above, total = 0, None, page.total
                number = next(reversed(order.values()), -1)
                for key in map(item_key, page.items):
                    if key not in order:
                        order[key] = number = number + 1
                for key in list(order)[: -settings.REMEMBERED_ITEMS]:
                    del order[key]
                yield page
                if page.end >= page.total or not page.items:
                    self.complete &= page.end >= page.total
                    return
                skip = max(skip + 1, page.end - settings.PAGE_OVERLAP)
                self._fetch_ahead(skip, len(page.items), page.total)
        finally:
            await self._drop()

    async def _page(self, skip: int) -> Page:
        if skip == 0 and self._first is not None:
            answer, self._first = self._first, None
        else:
            task = self._fetching.pop(skip, None)
            if task is None:
                await self._drop()
                answer = await self._fetch(skip)
            else:
                answer = await task
        where = f"{self._where}, run list at offset"
        items = [read_run(item, f"{where} {skip + place}") for place, item in enumerate(answer.items)]
        return Page(items, skip, answer.total)

    def _fetch(self, skip: int) -> asyncio.Future[RunPage]:
        self.requests += 1
        return asyncio.ensure_future(self._client.list_runs(self._agent_id, skip=skip, limit=self._page_size))

    def _fetch_ahead(self, skip: int, step: int, total: int) -> None:
        """Starts requests for the pages that come next, if every page is as long as the last one."""
        overlap = settings.PAGE_OVERLAP if step > settings.PAGE_OVERLAP else 0
        step = max(1, step - settings.PAGE_OVERLAP)
        count = min(self._ahead, self._wanted() / step)
        while len(self._fetching) < count and skip + overlap < total:
            if skip not in self._fetching:
                self._fetching[skip] = self._fetch(skip)  # type: ignore[assignment]
            skip += step

    async def _drop(self) -> None:
        tasks, self._fetching = list(self._fetching.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _place(page: Page, order: Mapping[str, int], *, shrunk: bool) -> str:
    """Where a page stands: right `after` what was read, `beyond` it with a gap perhaps, or in an order of its own."""
    if len(page.items) <= settings.PAGE_OVERLAP and not any(item_key(item) in order for item in page.items):
        # Too short to overlap: without deletions it stands where it was asked for.
        return "beyond" if shrunk else "after"
    numbers = [order.get(item.id) for item in page.items if isinstance(item, Run)]
    if all(number is None for number in numbers):  # what is no run may stand in a list more than once
        return "after" if any(item_key(item) in order for item in page.items) else "beyond"
    seen = [number for number in numbers if number is not None]
    if numbers[: len(seen)] != seen or sorted(seen) != seen:
        return "unordered"
    if len(seen) == len(numbers):
        return "after"
    # What came last must be there, unless it has been deleted.
    last = next(number for key, number in reversed(list(order.items())) if not key.startswith(_NO_RUN))
    return "after" if seen[-1] == last or shrunk else "unordered"
