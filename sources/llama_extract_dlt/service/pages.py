"""Requests for the pages of an agent's run list: their size, those sent ahead, and those asked for again in parts."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import NamedTuple

from .. import settings
from ..errors import LlamaExtractError, UnexpectedResponseError, is_fatal, refuses
from .client import LlamaCloudClient, RunPage
from .records import Rejected, Run

Item = Run | Rejected


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


class Request(NamedTuple):
    """A page that was asked for; the answer is to come."""

    skip: int
    limit: int
    answer: Future[RunPage]


class PageRequests:
    """Asks for the pages of one agent's run list.

    The number of items to ask for follows the bytes of those that were seen. A page that fails for good, or is too
    large, is asked for again in smaller parts, down to the one item that cannot be read.

    Args:
        where: how messages name the agent.
        read: makes an item of its raw JSON and its position.
        on_request: called for each request.
        await_page: waits for an answer; the moment to ask for others ahead.

    Attributes:
        whole: whether the list will be read to its end, so that pages are worth asking for ahead.
        any_order: whether half of every page overlaps with the one before.
        total: how many items there are, as the service said last; None as long as it did not.
        ahead: the pages that were asked for and not yet read.
    """

    def __init__(
        self,
        client: LlamaCloudClient,
        agent_id: str,
        where: str,
        page_size: int,
        *,
        read: Callable[[bytes, str], Item],
        on_request: Callable[[], object],
        await_page: Callable[[Future[RunPage]], object],
        whole: bool,
    ) -> None:
        self.page_size = page_size
        self.whole = whole
        self.any_order = False
        self.total: int | None = None
        self.ahead: deque[Request] = deque()
        self._client = client
        self._agent_id = agent_id
        self._where = where
        self._read = read
        self._on_request = on_request
        self._await_page = await_page
        self._size = page_size  # items to ask for, by their bytes
        self._served = page_size  # items that the service gives at most
        self._next: int | None = None  # the offset to go on from after what was asked for
        self._narrow: list[tuple[int, int]] = []  # offsets up to which fewer items are asked for, and how many
        self._first: RunPage | LlamaExtractError | None = None
        self._awaiting = False  # the page that was asked for first is taken by the one who waits for it
        self.begun = False

    def overlap(self, size: int) -> int:
        """Return how many items a page has in common with one of `size` items before it."""
        return max(settings.PAGE_OVERLAP, size // 2) if self.any_order else settings.PAGE_OVERLAP

    def first(self) -> RunPage | LlamaExtractError:
        """Return the page at offset 0, or what went wrong with it; the next `page(0)` does not ask for it again."""
        if self._first is None:
            if not self.ahead:
                self._ask(0, self.page_size)
            if not self.ahead[0].answer.done():
                self._await()
            try:
                self._first = self.ahead.popleft().answer.result()
                self._learn(0, self.page_size, self._first)
            except LlamaExtractError as error:
                if is_fatal(error):
                    raise
                self._first = error
        return self._first

    def runs_ahead(self, *, first: bool) -> int:
        """Return about how many runs the pages have that were asked for; `first` says whether the first one counts."""
        return sum(min(request.limit, self._served) for request in self.ahead if request.skip or first)

    @property
    def first_to_come(self) -> bool:
        """Whether the page at offset 0 is on its way, which tells what other pages there are."""
        return self.whole and self.total is None and bool(self.ahead) and self.ahead[0].skip == 0

    def reuse(self, first: RunPage | LlamaExtractError | None) -> None:
        """Let the next `page(0)` take this answer; with None, ask anew."""
        self._first = first

    def ask_ahead(self) -> bool:
        """Ask for the next page that will be read; return whether there is one that is known to be."""
        if not self.begun:
            self._ask(0, self.page_size)
            return True
        if self.first_to_come and not self._awaiting and self.ahead[0].answer.done():
            self.first()
        skip = self._next
        if skip is None or self._narrow or not self.whole:
            return False
        overlap = self.overlap(self._size) if self._size > self.overlap(self._size) else 0
        if skip + overlap >= (self.total or 0):
            return False
        self._ask(skip, self._size)
        self._next = skip + self._advance(self._size)
        return True

    def drop(self) -> None:
        """Let go of the pages that were asked for ahead."""
        for request in self.ahead:
            request.answer.cancel()
        self.ahead.clear()
        self._next = None

    def page(self, skip: int) -> Page | LlamaExtractError:
        """Return the page at an offset; the error if not even its first item can be read.

        Raises a LlamaExtractError if nothing of the list can be read.
        """
        tries = None
        while True:
            try:
                limit, answer = self._answer(skip, tries)
                if answer.skip != skip:
                    message = f"the service answered with the items from offset {answer.skip} on, not {skip}"
                    raise UnexpectedResponseError(message)
            except LlamaExtractError as error:
                if is_fatal(error) or refuses(error):
                    raise
                limit = self._limit(skip)
                self.drop()
                if limit == 1:
                    return error
                self._narrow.append((skip + limit, max(1, limit // settings.NARROWING)))
                tries = settings.NARROW_TRIES
                continue
            self._learn(skip, limit, answer)
            where = f"{self._where}, run list at offset"
            items = [self._read(item, f"{where} {skip + place}") for place, item in enumerate(answer.items)]
            total = answer.total if answer.total >= 0 else None
            return Page(items, skip, total, min(limit, answer.limit) if answer.limit > 0 else limit)

    def _answer(self, skip: int, tries: int | None) -> tuple[int, RunPage]:
        """Return the answer for an offset, with how many items were asked for."""
        if skip == 0 and self._first is not None:
            first, self._first = self._first, None
            if isinstance(first, LlamaExtractError):
                raise first
            return self.page_size, first
        if tries is not None or not self.ahead or self.ahead[0].skip != skip:
            # Only after a page in its place is it worth asking for those that come next.
            follows = self._next == skip and tries is None
            self.drop()
            self._ask(skip, self._limit(skip), tries)
            if follows:
                self._next = skip + self._advance(self._limit(skip))
        self._await()
        request = self.ahead.popleft()
        return request.limit, request.answer.result()

    def _await(self) -> None:
        """Wait for the page that was asked for first; `ask_ahead`, which is called meanwhile, leaves it where it is."""
        self._awaiting = True
        try:
            self._await_page(self.ahead[0].answer)
        finally:
            self._awaiting = False

    def _ask(self, skip: int, limit: int, tries: int | None = None) -> None:
        self.begun = True
        self._on_request()
        size = settings.MAX_PAGE_BYTES if limit > 1 else None
        answer = self._client.start(
            self._client.list_runs, self._agent_id, skip=skip, limit=limit, most_tries=tries, most_bytes=size
        )
        self.ahead.append(Request(skip, limit, answer))

    def _learn(self, skip: int, limit: int, page: RunPage) -> None:
        """Note what the page says of the pages that follow."""
        count = len(page.items)
        if page.total >= 0:
            self.total = page.total
        if not count:
            return
        fitting = max(1, settings.PAGE_BYTES * count // max(1, sum(map(len, page.items))))
        self._size = min(self.page_size, fitting, max(limit, self._size) * 2)
        if count < limit:
            self._served = count
        elif count > self._served:
            self._served = self.page_size
        if self._next is None:
            self._next = skip + max(1, count - self.overlap(count))

    def _advance(self, limit: int) -> int:
        """Return how far a page of so many items reaches, up to where the next one begins."""
        size = min(limit, self._served)
        return max(1, size - self.overlap(size))

    def _limit(self, skip: int) -> int:
        """Return how many items to ask for at an offset."""
        while self._narrow and skip >= self._narrow[-1][0]:
            self._narrow.pop()
        return min(self._size, self._narrow[-1][1]) if self._narrow else self._size
