"""HTTP to LlamaCloud: the pace of requests, their tries, redirects and limits, and an end at once."""

from __future__ import annotations

import itertools
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, Self, TypedDict, TypeVar

import httpx

from .. import errors, settings
from .address import checked_base_url, checked_key
from .budget import RequestBudget
from .failures import UNCONNECTED, Answer, Failure, Failures

_CONNECTED = ("connection.connect_tcp.complete", "connection.start_tls.complete")

Param = str | int | bool | list[str] | None
_T = TypeVar("_T")
_R = TypeVar("_R")
_P = ParamSpec("_P")
_logger = logging.getLogger(__name__)


class TransportOptions(TypedDict, total=False):
    """How a `Transport` sends; docs/configuration.md describes those that are settings of the source."""

    max_concurrency: int
    timeout: float
    connect_timeout: float
    deadline: float | None
    max_tries: int
    max_wait: float
    max_answer_bytes: int
    budget: RequestBudget | None
    sleep: Callable[[float], object] | None


class Transport:
    """Sends GET requests from any thread; use it as `with Transport(key) as transport`.

    Leaving the `with` ends what is under way at once: requests, waits between tries, threads.

    Args:
        api_key: sent in the `Authorization` header, to the host of `base_url` only.
        base_url: `https://host[:port][/prefix]`, `http` for loopback hosts only. A trailing `/api`, `/api/v1`
            or `/api/v2` is dropped.
        max_concurrency: threads that `start` and `ahead` use, and connections, at most.
        timeout: seconds without a byte before a try fails; `connect_timeout` to connect.
        deadline: seconds for a whole answer before a try fails; ten times `timeout` when not given.
        max_tries: tries that a request gets.
        max_wait: seconds that a request spends waiting between its tries, at most.
        max_answer_bytes: size of an answer, unpacked, above which it is refused.
        budget: the pace to share with other transports; unlimited when not given.
        sleep: how to wait; a test passes its own, which must move the clock of its `budget`.

    Raises:
        ConfigurationError: a setting cannot be used; the message never has the key.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = settings.BASE_URL,
        *,
        max_concurrency: int = settings.MAX_CONCURRENCY,
        timeout: float = settings.TIMEOUT,
        connect_timeout: float = settings.CONNECT_TIMEOUT,
        deadline: float | None = None,
        max_tries: int = settings.MAX_TRIES,
        max_wait: float = settings.MAX_WAIT,
        max_answer_bytes: int = settings.MAX_ANSWER_BYTES,
        budget: RequestBudget | None = None,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        self._base = checked_base_url(base_url)
        # httpx.Headers masks this header in its repr, so no dump of this object shows the key.
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {checked_key(api_key)}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "dlt-source-llama-extract",
            }
        )
        if max_concurrency < 1 or max_tries < 1:
            raise errors.ConfigurationError("max_concurrency and max_tries must be at least 1")
        self.failures = Failures(self._base, self._headers, max_tries)
        self.max_concurrency = max_concurrency
        self._timeout = httpx.Timeout(timeout, connect=connect_timeout, pool=None)
        self._deadline = deadline or settings.DEADLINE_TIMEOUTS * timeout
        self._max_tries = max_tries
        self._max_wait = max_wait
        self._max_answer_bytes = max_answer_bytes
        self._sleep = sleep or self._wait
        self.budget = budget or RequestBudget()
        self._reached = False  # whether a connection to the host ever stood
        self._http: httpx.Client | None = None
        self._threads: ThreadPoolExecutor | None = None
        self._closing = threading.Event()
        self._lock = threading.Lock()
        self._sockets: list[socket.socket] = []

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={str(self._base)!r})"

    # ── opening, closing, threads ─────────────────────────────────────────────────────────────────────────────────

    def __enter__(self) -> Self:
        size = self.max_concurrency
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size, keepalive_expiry=30.0)
        try:
            self._http = httpx.Client(
                headers=self._headers,
                timeout=self._timeout,
                limits=limits,
                follow_redirects=False,
                # Plain HTTP (loopback only) must not take the key to a proxy named in the environment.
                trust_env=self._base.scheme == "https",
                verify=self._base.scheme == "https",  # certificates take a while to read
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as exc:
            reason = type(exc).__name__
        else:
            self._closing.clear()
            self._threads = ThreadPoolExecutor(size, "llama-extract-request")
            return self
        raise errors.ConfigurationError(
            f"the environment's proxy or certificate settings cannot be used ({reason}): check HTTPS_PROXY, "
            "ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        )

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what is under way at once: requests fail, waits end, threads are gone when this returns."""
        if self._http is None or self._threads is None:
            return
        self._closing.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for connection in self._sockets:
                with suppress(OSError):  # wakes the thread that reads from it, which closing it would not
                    connection.shutdown(socket.SHUT_RDWR)
        self._threads.shutdown()
        self._http.close()
        self._http = self._threads = None
        self._sockets.clear()

    def start(self, function: Callable[_P, _R], *args: _P.args, **kwargs: _P.kwargs) -> Future[_R]:
        """Call a function that sends requests in a thread."""
        if self._threads is None:
            raise RuntimeError("use the client inside `with`")
        return self._threads.submit(function, *args, **kwargs)

    def ahead(self, function: Callable[[_T], _R], arguments: Iterable[_T]) -> Iterator[_R]:
        """Yield results in the order of the arguments, with up to `max_concurrency` calls ahead."""
        rest = iter(arguments)
        calls: deque[Future[_R]] = deque()
        try:
            while True:
                calls.extend(
                    self.start(function, one) for one in itertools.islice(rest, self.max_concurrency - len(calls))
                )
                if not calls:
                    return
                yield calls.popleft().result()
        finally:
            for call in calls:
                call.cancel()

    # ── requests ──────────────────────────────────────────────────────────────────────────────────────────────────

    def get(
        self, path: str, params: Mapping[str, Param], *, most_tries: int | None = None, most_bytes: int | None = None
    ) -> Answer:
        """Return a successful answer, after as many tries as the limits allow.

        `most_tries` and `most_bytes` lower the limits for this request. Raises the `LlamaExtractError` that fits when
        it fails for good. Such an error has no cause and no context: the frames of their tracebacks would hold the
        request, and with it the key.
        """
        given = {name: value for name, value in params.items() if value is not None}
        url = httpx.URL(f"{self._base}{path}", params=given or None)
        size = min(self._max_answer_bytes, most_bytes or self._max_answer_bytes)
        waited = 0.0
        for tries in itertools.count(1):
            outcome = self._send_once(path, url, size)
            if isinstance(outcome, Answer):
                return outcome
            most = outcome.tries if most_tries is None else min(outcome.tries, most_tries)
            waited += self._wait_to_retry(path, outcome, tries, most, waited)
        raise AssertionError("unreachable")

    def _wait_to_retry(self, path: str, failure: Failure, tries: int, most: int, waited: float) -> float:
        """Wait before another try, and return the seconds; raise the failure's error if there is to be none."""
        left = self._max_wait - waited
        if tries >= most or left <= 0:
            after = f"; gave up after {tries} tries and {waited:.0f} s of waiting" if tries > 1 else ""
            raise self.failures.error(path, failure, after)
        if failure.asked and failure.asked > left:
            rest = f"{left:.0f} s left of max_wait ({self._max_wait:.0f} s)"
            after = f"; it asked to wait {failure.asked:.0f} s, more than the {rest}"
            raise self.failures.error(path, failure, after)
        highest = min(settings.BACKOFF_MAX, settings.BACKOFF_FIRST * 2.0 ** min(tries - 1, 32))
        # The tries of a request that meets the rate limit must together outlast the minute that the
        # service counts by, so there chance takes no more than half.
        lowest = highest / 2 if failure.status == 429 else 0.0
        wait = min(max(failure.asked or 0.0, random.uniform(lowest, highest)), left)
        level = logging.WARNING if wait >= settings.LONG_WAIT else logging.INFO
        _logger.log(level, "%s; try %d of %d in %.1f s", failure.message, tries + 1, most, wait)
        if failure.status == 429 or failure.asked:
            # The limit is the organisation's: whoever else asked now would only use up its tries.
            self.budget.pause(wait)
        else:
            self._sleep(wait)
        return wait

    def _send_once(self, path: str, url: httpx.URL, size: int) -> Answer | Failure:
        """Send the request once, following redirects within the host."""
        status = None
        for _ in range(settings.MAX_REDIRECTS + 1):
            while (wait := self.budget.take()) > 0:
                self._sleep(wait)
            try:
                answer = self._send(path, url, size)
            except httpx.RequestError as exc:
                if self._closing.is_set():
                    raise _closed() from None
                failure = self.failures.of_exception(path, exc, reached=self._reached)
                self._reached |= not isinstance(exc, UNCONNECTED)
                return failure
            except httpx.InvalidURL as exc:  # httpx reads the target of a redirect, followed or not
                message = f"GET {path} was redirected to an unreadable address ({exc}): check base_url"
                return Failure(errors.UnexpectedResponseError, message)
            if isinstance(answer, Failure):
                return answer
            status, target = answer.status, answer.target
            if target is None:
                return answer if 200 <= status < 300 else self.failures.of_status(path, answer)
            if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                message = (
                    f"GET {path} was redirected from {url.host} to {target.scheme}://{target.host}; not "
                    "followed, and the API key was not sent there: check base_url"
                )
                return Failure(errors.UnexpectedResponseError, message, status)
            # Only path and query are taken over: userinfo in the target would replace our header.
            url = url.copy_with(raw_path=target.raw_path)
        message = f"GET {path} was redirected more than {settings.MAX_REDIRECTS} times: check base_url"
        return Failure(errors.UnexpectedResponseError, message, status)

    def _send(self, path: str, url: httpx.URL, size: int) -> Answer | Failure:
        """Send one request and read the whole answer, as long as it keeps to its limits."""
        if self._http is None:
            raise RuntimeError("use the client inside `with`")
        ends = time.monotonic() + self._deadline
        parts, received = [], 0
        with self._http.stream("GET", url, extensions={"trace": self._note_connection}) as response:
            self._reached = True
            for part in response.iter_bytes():
                received += len(part)
                if received > size:
                    return Failure(
                        errors.AnswerTooLargeError,
                        f"GET {path} answered with more than {size / 2**20:,.0f} MB; raise max_answer_bytes to load it",
                        response.status_code,
                    )
                if time.monotonic() > ends:
                    message = f"GET {path}: the answer was not complete after {self._deadline:.0f} s"
                    return Failure(errors.ConnectionBrokenError, message, tries=self._max_tries)
                parts.append(part)
            target = response.next_request.url if response.next_request else None
            return Answer(response.status_code, response.headers, b"".join(parts), target)

    def _wait(self, seconds: float) -> None:
        if self._closing.wait(seconds):
            raise _closed()

    def _note_connection(self, event: str, info: dict[str, Any]) -> None:
        """Note the sockets that httpx opens, so that `close` can end what waits on them."""
        if event in _CONNECTED:
            connection = info["return_value"]
            with self._lock:
                self._sockets = [known for known in self._sockets if known.fileno() >= 0]
                self._sockets.append(connection.get_extra_info("socket"))
            if self._closing.is_set():
                connection.close()
                raise _closed()


def _closed() -> errors.ConnectionFailedError:
    return errors.ConnectionFailedError("the client was closed")
