"""An agent's run list, page by page by offset: no run is left out, whatever the list does or says meanwhile."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence

from .. import settings
from ..errors import LlamaExtractError
from .pages import Item, Page, PageRequests
from .records import Run

_NO_RUN = "\0"


def item_key(item: Item) -> str:
    """Return what makes an item known again: a run's id, or a digest of the text of what is no run."""
    return item.id if isinstance(item, Run) else _NO_RUN + hashlib.sha256(item.raw).hexdigest()


class RunList:
    """Reads an agent's run list from an offset to its end.

    Each page begins with the last item of the page before. When runs are deleted meanwhile, that item is not there,
    or further up: then the pages before are read again, as far back as is needed to find the place. When runs are
    created, the page begins with more items that are known already, which does no harm. When the items come in
    another order than before, everything is read again from the start; when that happens again and again, half of
    every page is read twice and the order does not matter any more.

    A list ends with a page that is not full, if `total` agrees; else with a page that has nothing beyond the overlap.

    Args:
        requests: those for the pages of the list.

    Attributes:
        problems: why what was read may not be all; empty when it is.
        went_back: whether a part was read more than once.
        doubtful: whether the list ended with empty answers only, though `total` says that there is more.
        shrunk: whether the list ended with a lower `total` than it had before.
        found: how many different items there were.
    """

    def __init__(self, requests: PageRequests) -> None:
        self.problems: list[str] = []
        self.went_back = False
        self.doubtful = False
        self.shrunk = False
        self.found = 0
        self._requests = requests

    def pages(
        self, start: int = 0, known: Sequence[str] = (), above: Callable[[Item], bool] | None = None
    ) -> Iterator[Page]:
        """Yield the pages from offset `start` on.

        A reading that goes on where an earlier one stopped gives the keys of the last page of that one, in their
        order, and what tells whether an item stands above that page.
        """
        order = {key: number for number, key in enumerate(known)}  # in which order the items were first seen
        seen, empty = set[int](), set[int]()
        skip, back, repairs, restarts, passes, repeats, unreadable, farthest = start, 0, 0, 0, 0, 0, 0, 0
        again = False  # whether runs came a second time where others should have been
        total: int | None = None
        least: int | None = None  # the lowest total: what was created meanwhile makes it more
        most = 0  # the highest one
        confirmed = set[int]()  # offsets at which the list was asked for its end a second time
        end = -1  # the offset after the page before
        try:
            while True:
                page = self._requests.page(skip)
                if isinstance(page, LlamaExtractError):
                    self.problems.append(f"item {skip} of its list of runs: {page}")
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
                place = "after"
                if skip and order:
                    place = _place(page, order, shrunk=shrunk, any_order=self._requests.any_order)
                    if place == "beyond" and skip == end and not shrunk:
                        place = "after"  # it was asked for without an overlap
                if place != "after" and above is not None and page.items and above(page.items[0]):
                    order, place = {}, "after"
                if place != "after":
                    self.went_back = True
                    self._requests.drop()
                    repairs += 1
                    if place == "unordered" or repairs > settings.MAX_REPAIRS:
                        restarts += 1
                        if restarts > settings.MAX_RESTARTS:
                            passes, self._requests.any_order = passes + 1, True
                        if passes > settings.MAX_PASSES:
                            self._give_up()
                            return
                        order, skip, back, repairs = {}, 0, 0, 0
                    else:
                        back = max(2 * back, self._requests.page_size)
                        skip = max(0, skip - back)
                    continue
                if skip == 0:
                    order = {}
                back, above = 0, None
                total = page.total if page.total is not None else total
                if total is not None:
                    least = total if least is None else min(least, total)
                    most = max(most, total)
                number = next(reversed(order.values()), -1)
                keys = [item_key(item) for item in page.items]
                fresh = sum(hash(key) not in seen for key in keys)
                runs = [hash(item.id) for item in page.items if isinstance(item, Run)]
                known_runs = sum(key in seen for key in runs) + len(runs) - len(set(runs))
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
                        skip = max(0, skip - self._requests.page_size)
                        continue
                    self.doubtful = True
                only_overlap = not fresh and len(keys) <= self._requests.overlap(page.size)
                # Beyond the farthest offset so far there should be something new.
                repeats = 0 if fresh or only_overlap or page.end <= farthest else repeats + 1
                farthest = max(farthest, page.end)
                if repeats > settings.MAX_REPEATS:
                    self.problems.append("its list of runs gives the same items at every offset")
                    return
                last = not keys or (short and (agreed or only_overlap))
                if last and keys and total is not None and total < most:
                    # Some may have been deleted, or this answer alone is wrong: once is not enough here either.
                    self.shrunk = True
                    if skip not in confirmed:
                        confirmed.add(skip)
                        continue
                missed = again and not start and least is not None and len(seen) < least
                if last and (self._requests.any_order or missed) and not agreed:
                    # Only the number tells whether all were seen.
                    passes, self._requests.any_order = passes + 1, True
                    if passes > settings.MAX_PASSES:
                        self._give_up()
                        return
                    yield Page(page.items, page.skip, page.total, page.size)
                    order, skip = {}, 0
                    continue
                yield Page(page.items, page.skip, page.total, page.size, last)
                if last:
                    return
                end, skip = page.end, max(skip + 1, page.end - self._requests.overlap(len(keys)))
        finally:
            self._requests.drop()

    def _give_up(self) -> None:
        self.problems.append("its list of runs comes in another order each time and could not be read whole: run again")


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
