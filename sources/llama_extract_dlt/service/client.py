"""The LlamaCloud extraction API over HTTP: authentication, pages, retries and the rate limit."""

from __future__ import annotations

import asyncio
import ipaddress
import itertools
import logging
import math
import random
import re
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Generic, Self, TypeVar
from urllib.parse import quote

import httpx
import msgspec

from .. import errors, settings
from .json_text import is_deeper, is_utf8, mend, split_list, split_object, split_page
from .records import NULL, Checked

_V1 = "/api/v1/extraction"
_FILES = "/api/v1/beta/files"
# What these mean and what to do; the first three and 422 will not pass when tried again.
_STATUSES: dict[int, tuple[type[errors.LlamaExtractError], str]] = {
    401: (errors.AuthenticationError, "check api_key, and that base_url is the key's region"),
    403: (errors.PermissionDeniedError, "check that api_key may read this, project_id and organization_id"),
    404: (errors.NotFoundError, "check the ID or name, project_id and base_url"),
    408: (errors.ServiceError, "run again later"),
    409: (errors.ServiceError, "run again later"),
    422: (errors.InvalidRequestError, "check the settings"),
    429: (errors.RateLimitedError, "set requests_per_minute to the organisation's limit"),
}

# Failures of one answer. The others mean that no connection stood, or (PoolTimeout) that none was free for the request.
_BROKEN = (
    httpx.ReadError,
    httpx.ReadTimeout,
    httpx.WriteError,
    httpx.WriteTimeout,
    httpx.CloseError,
    httpx.RemoteProtocolError,
    httpx.DecodingError,
)

_Body = TypeVar("_Body")
_Param = str | int | bool | list[str] | None
_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RunPage:
    """One page of an agent's runs.

    `items` has each list item's text exactly as sent, line breaks included, whatever it is: mostly JSON, and
    `Checked` where it is sound. `total`, `skip` and `limit` are the service's; `limit` may be lower than the one
    asked for. What the service does not tell is -1 for `total`, and what was asked for for the others.
    """

    items: list[bytes]
    total: int
    skip: int
    limit: int


class _RunsBody(msgspec.Struct):
    items: list[msgspec.Raw]
    total: msgspec.Raw = NULL
    skip: msgspec.Raw = NULL
    limit: msgspec.Raw = NULL


class _FilesBody(msgspec.Struct):
    items: list[msgspec.Raw]
    next_page_token: str | None = None


@dataclass(frozen=True, slots=True)
class _Form(Generic[_Body]):
    """What an answer should be: how to decode it, and how to take it apart where a part of it cannot be decoded."""

    decoder: msgspec.json.Decoder[_Body]
    split: Callable[[bytes], _Body]


def _split_runs(text: bytes) -> _RunsBody:
    items, rest = split_page(text)
    return _RunsBody(items, *(msgspec.Raw(rest.get(b'"%b"' % name, b"null")) for name in (b"total", b"skip", b"limit")))


def _split_files(text: bytes) -> _FilesBody:
    items, rest = split_page(text)
    return _FilesBody(items, msgspec.json.decode(rest.get(b'"next_page_token"', b"null"), type=str | None))


def _split_one(text: bytes) -> msgspec.Raw:
    split_object(text)
    return msgspec.Raw(text.strip())


_RUNS = _Form(msgspec.json.Decoder(_RunsBody), _split_runs)
_FILE_LIST = _Form(msgspec.json.Decoder(_FilesBody), _split_files)
_AGENTS = _Form(msgspec.json.Decoder(list[msgspec.Raw]), lambda text: [*map(msgspec.Raw, split_list(text))])
_ONE = _Form(msgspec.json.Decoder(msgspec.Raw), _split_one)
_NUMBER = msgspec.json.Decoder(int)


class RequestBudget:
    """The pace that all clients of one sync keep together, across threads and event loops.

    With a limit, requests (retries too) start evenly spaced, with no burst at the start and no credit for
    idle time. So no 60 seconds hold more than the limit, be the service's windows fixed or sliding, and even
    when one sync follows right on another. Without a limit it only counts, and holds back after `pause`.

    `requests` is the number of requests started so far; `clock` gives seconds on a monotonic clock.
    """

    def __init__(
        self, requests_per_minute: float | None = None, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        if requests_per_minute is not None and not 0 < requests_per_minute < math.inf:
            raise errors.ConfigurationError(f"requests_per_minute must be above 0, not {requests_per_minute}")
        self.requests = 0
        self._spacing = settings.RATE_WINDOW / requests_per_minute if requests_per_minute else 0.0
        self._free_at = -math.inf
        self._clock = clock
        self._lock = threading.Lock()

    def take(self) -> float:
        """Count one request and return 0.0 if it may start now, else the seconds until to ask again."""
        with self._lock:
            now = self._clock()
            if now < self._free_at:
                return self._free_at - now
            self._free_at = now + self._spacing
            self.requests += 1
            return 0.0

    def pause(self, seconds: float) -> None:
        """Let no request start for the next `seconds`, those that wait already included."""
        with self._lock:
            self._free_at = max(self._free_at, self._clock() + seconds)


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why a try failed, and how many tries in all such a failure is worth."""

    kind: type[errors.LlamaExtractError]
    message: str
    status: int | None = None
    tries: int = 1
    asked: float | None = None  # seconds that the server asked to wait


class LlamaCloudClient:
    """Reads agents, runs and files; use it as `async with LlamaCloudClient(key) as client`.

    Answers are raw JSON. Those that are `Checked` are sound; others may be nested too deep, in broken JSON or,
    runs only, not in UTF-8, so that one bad record keeps no other back: `read_run` tells. Every method raises the
    `LlamaExtractError` that fits when its request fails for good, or its answer is not the API's at all. Such an
    error has no cause and no context: the frames of their tracebacks would hold the request, and with it the key.

    Args:
        api_key: sent in the `Authorization` header, to the host of `base_url` only.
        base_url: `https://host[:port][/prefix]`, `http` for loopback hosts only. A trailing `/api`, `/api/v1`
            or `/api/v2` is dropped.
        project_id: passed on where the API takes it, as is `organization_id`.
        max_concurrency: requests in flight, and connections, at most.
        requests_per_minute: the organisation's rate limit; not looked at when there is a `budget`.
        timeout: seconds without a byte before a try fails; `connect_timeout` to connect.
        max_tries: tries that a request gets.
        max_wait: seconds that a request spends waiting between its tries, at most.
        budget: the pace to share with other clients.
        sleep: how to wait; a test passes its own, which must move the clock of its `budget`.

    Raises:
        ConfigurationError: a setting cannot be used; the message never has the key.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = settings.BASE_URL,
        *,
        project_id: str | None = None,
        organization_id: str | None = None,
        max_concurrency: int = settings.MAX_CONCURRENCY,
        requests_per_minute: float | None = None,
        timeout: float = settings.TIMEOUT,
        connect_timeout: float = settings.CONNECT_TIMEOUT,
        max_tries: int = settings.MAX_TRIES,
        max_wait: float = settings.MAX_WAIT,
        budget: RequestBudget | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._base = _checked_base_url(base_url)
        # httpx.Headers masks this header in its repr, so no dump of this object shows the key.
        self._headers = httpx.Headers(
            {
                "Authorization": f"Bearer {_checked_key(api_key)}",
                "Accept": "application/json",
                "Accept-Encoding": "gzip",
                "User-Agent": "dlt-source-llama-extract",
            }
        )
        if max_concurrency < 1 or max_tries < 1:
            raise errors.ConfigurationError("max_concurrency and max_tries must be at least 1")
        self._scope: dict[str, _Param] = {"project_id": project_id, "organization_id": organization_id}
        self._max_concurrency = max_concurrency
        self._timeout = httpx.Timeout(timeout, connect=connect_timeout)
        self._max_tries = max_tries
        self._max_wait = max_wait
        self._sleep = sleep
        self.budget = budget or RequestBudget(requests_per_minute)
        self._reached = False  # whether a connection to the host ever stood
        self._http: httpx.AsyncClient | None = None
        self._slots = asyncio.Semaphore(max_concurrency)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(base_url={str(self._base)!r})"

    async def __aenter__(self) -> Self:
        size = self._max_concurrency
        limits = httpx.Limits(max_connections=size, max_keepalive_connections=size, keepalive_expiry=30.0)
        try:
            self._http = httpx.AsyncClient(
                headers=self._headers,
                timeout=self._timeout,
                limits=limits,
                follow_redirects=False,
                # Plain HTTP (loopback only) must not take the key to a proxy named in the environment.
                trust_env=self._base.scheme == "https",
            )
        except (ImportError, OSError, ValueError, httpx.InvalidURL) as exc:
            reason = type(exc).__name__
        else:
            # It belongs to the event loop that first waits on it, and each `async with` may run in another.
            self._slots = asyncio.Semaphore(size)
            return self
        raise errors.ConfigurationError(
            f"the environment's proxy or certificate settings cannot be used ({reason}): check HTTPS_PROXY, "
            "ALL_PROXY, NO_PROXY, SSL_CERT_FILE and SSL_CERT_DIR"
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.aclose()
            self._http = None

    async def list_agents(self, include_default: bool = False) -> list[bytes]:
        """Return all agents, each as raw JSON; the service makes no pages here."""
        path = f"{_V1}/extraction-agents"
        response = await self._get(path, include_default=include_default, **self._scope)
        agents, kind = self._decoded(_AGENTS, path, response)
        return _copied(agents, kind)

    async def get_agent(self, agent_id: str) -> bytes:
        """Return the agent with this ID as raw JSON."""
        return await self._get_one(f"{_V1}/extraction-agents/{_segment(agent_id)}", scoped=False)

    async def get_agent_by_name(self, name: str) -> bytes:
        """Return the agent with this name, any characters allowed, as raw JSON."""
        return await self._get_one(f"{_V1}/extraction-agents/by-name/{_segment(name)}")

    async def get_default_agent(self) -> bytes:
        """Return the project's default agent as raw JSON."""
        return await self._get_one(f"{_V1}/extraction-agents/default")

    async def list_runs(
        self, agent_id: str, *, skip: int = 0, limit: int = 100, status: str | None = None, tries: int | None = None
    ) -> RunPage:
        """Return a page of the agent's runs, or of those with `status`, from offset `skip` on.

        `tries` lowers the number of tries for this request.
        """
        path = f"{_V1}/runs"
        response = await self._get(path, tries, extraction_agent_id=agent_id, skip=skip, limit=limit, status=status)
        page, kind = self._decoded(_RUNS, path, response, as_sent=True)
        total, at, most = _number(page.total, -1), _number(page.skip, skip), _number(page.limit, limit)
        return RunPage(_copied(page.items, kind), total, at, most)

    async def get_run(self, run_id: str, *, tries: int | None = None) -> bytes:
        """Return the run with this ID as raw JSON; `tries` lowers the number of tries for this request."""
        return await self._get_one(f"{_V1}/runs/{_segment(run_id)}", tries, as_sent=True)

    async def get_run_by_job(self, job_id: str) -> bytes:
        """Return the run that the job made as raw JSON."""
        return await self._get_one(f"{_V1}/runs/by-job/{_segment(job_id)}", as_sent=True)

    async def list_files(self, file_ids: Iterable[str]) -> list[bytes]:
        """Return the records of those of the files that exist, each as raw JSON, in the service's order."""
        records: list[bytes] = []
        for ids in _batches(dict.fromkeys(file_ids), settings.FILES_PER_REQUEST):
            token: str | None = None
            while True:
                response = await self._get(_FILES, file_ids=ids, page_size=len(ids), page_token=token, **self._scope)
                page, kind = self._decoded(_FILE_LIST, _FILES, response)
                records += _copied(page.items, kind)
                if not page.next_page_token:
                    break
                if page.next_page_token == token:
                    raise self._unexpected(_FILES, response, "next_page_token does not move on")
                token = page.next_page_token
        return records

    async def get_file(self, file_id: str) -> bytes:
        """Return the record of the file with this ID as raw JSON."""
        return await self._get_one(f"{_FILES}/{_segment(file_id)}")

    async def _get_one(
        self, path: str, tries: int | None = None, *, scoped: bool = True, as_sent: bool = False
    ) -> bytes:
        response = await self._get(path, tries, **(self._scope if scoped else {}))
        answer, kind = self._decoded(_ONE, path, response, as_sent=as_sent)
        return kind(answer)

    async def _get(self, path: str, most_tries: int | None = None, /, **params: _Param) -> httpx.Response:
        """Return a successful answer, after as many tries as the limits allow, and `most_tries` at most."""
        given = {name: value for name, value in params.items() if value is not None}
        url = httpx.URL(f"{self._base}{path}", params=given or None)
        waited = 0.0
        for tries in itertools.count(1):
            failure = await self._try(path, url)
            if isinstance(failure, httpx.Response):
                return failure
            left = self._max_wait - waited
            most = failure.tries if most_tries is None else min(failure.tries, most_tries)
            if tries >= most or left <= 0:
                after = f"; gave up after {tries} tries and {waited:.0f} s of waiting" if tries > 1 else ""
                raise self._error(path, failure, after)
            if failure.asked and failure.asked > left:
                rest = f"{left:.0f} s left of max_wait ({self._max_wait:.0f} s)"
                raise self._error(path, failure, f"; it asked to wait {failure.asked:.0f} s, more than the {rest}")
            highest = min(settings.BACKOFF_MAX, settings.BACKOFF_FIRST * 2.0 ** min(tries - 1, 32))
            # The tries of a request that meets the rate limit must together outlast the minute that the
            # service counts by, so there chance takes no more than half.
            lowest = highest / 2 if failure.status == 429 else 0.0
            wait = min(max(failure.asked or 0.0, random.uniform(lowest, highest)), left)
            waited += wait
            level = logging.WARNING if wait >= settings.LONG_WAIT else logging.INFO
            _logger.log(level, "%s; try %d of %d in %.1f s", failure.message, tries + 1, most, wait)
            if failure.status == 429 or failure.asked:
                # The limit is the organisation's: whoever else asked now would only use up its tries.
                self.budget.pause(wait)
            else:
                await self._sleep(wait)
        raise AssertionError("unreachable")

    async def _try(self, path: str, url: httpx.URL) -> httpx.Response | _Failure:
        """Send the request once, following redirects within the host."""
        if self._http is None:
            raise RuntimeError("use the client inside `async with`")
        async with self._slots:
            for _ in range(settings.MAX_REDIRECTS + 1):
                while (wait := self.budget.take()) > 0:
                    await self._sleep(wait)
                try:
                    response = await self._http.get(url)
                except httpx.RequestError as exc:
                    return self._transport_failure(path, exc)
                except httpx.InvalidURL as exc:  # httpx reads the target of a redirect, followed or not
                    message = f"GET {path} was redirected to an unreadable address ({exc}): check base_url"
                    return _Failure(errors.UnexpectedResponseError, message)
                self._reached = True
                if response.next_request is None:
                    return response if response.is_success else self._status_failure(path, response)
                target = response.next_request.url
                if (target.scheme, target.host, target.port) != (url.scheme, url.host, url.port):
                    message = (
                        f"GET {path} was redirected from {url.host} to {target.scheme}://{target.host}; not "
                        "followed, and the API key was not sent there: check base_url"
                    )
                    return _Failure(errors.UnexpectedResponseError, message, response.status_code)
                # Only path and query are taken over: userinfo in the target would replace our header.
                url = url.copy_with(raw_path=target.raw_path)
        message = f"GET {path} was redirected more than {settings.MAX_REDIRECTS} times: check base_url"
        return _Failure(errors.UnexpectedResponseError, message, response.status_code)

    def _transport_failure(self, path: str, exc: httpx.RequestError) -> _Failure:
        default = "" if self._base.port else {"http": ":80", "https": ":443"}[self._base.scheme]
        where = self._base.netloc.decode() + default
        reason = type(exc).__name__ + (f": {self._clean(str(exc))}" if str(exc) else "")
        kind: type[errors.LlamaExtractError] = errors.ConnectionFailedError
        tries = self._max_tries
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(exc)):
            hint = "trying again would not help: check base_url, or name your network's CA in SSL_CERT_FILE"
            return _Failure(kind, f"GET {path}: the certificate of {where} is not trusted ({reason}); {hint}")
        if isinstance(exc, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
            if not self._reached:
                tries = min(tries, settings.TRIES_TO_FIRST_CONTACT)
            hint = "check base_url, the network and its proxy"
            return _Failure(kind, f"GET {path}: cannot connect to {where} ({reason}); {hint}", tries=tries)
        self._reached = True
        if isinstance(exc, _BROKEN):
            kind = errors.ConnectionBrokenError
        return _Failure(kind, f"GET {path}: the connection to {where} failed ({reason})", tries=tries)

    def _status_failure(self, path: str, response: httpx.Response) -> _Failure:
        status = response.status_code
        default = errors.UnexpectedResponseError if status < 400 else errors.InvalidRequestError
        kind, hint = _STATUSES.get(status, (default, "check base_url and the settings"))
        if status >= 500:
            kind, hint = errors.ServiceError, "run again later"
        again = {"true": True, "false": False}.get(
            response.headers.get("x-should-retry", ""), kind in (errors.ServiceError, errors.RateLimitedError)
        )
        final = status < 400 or status in (401, 403, 404, 422)
        return _Failure(
            kind,
            f"GET {path} answered {status}: {self._detail(response)}; {hint}",
            status,
            tries=self._max_tries if again and not final else 1,
            asked=_asked_wait(response.headers),
        )

    def _detail(self, response: httpx.Response) -> str:
        """Return what the API says was wrong, or the beginning of a body that is not the API's."""
        try:
            detail = msgspec.json.decode(response.content)["detail"]
            if isinstance(detail, list):
                detail = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in detail)
        except (ValueError, LookupError, TypeError, RecursionError):
            return f"{self._clean(response.text, settings.EXCERPT)} ({_content_type(response)})"
        return self._clean(str(detail), 4 * settings.EXCERPT)

    def _decoded(
        self, form: _Form[_Body], path: str, response: httpx.Response, *, as_sent: bool = False
    ) -> tuple[_Body, type[bytes]]:
        """Return an answer's parts, and what to copy them as: `Checked` if all of them are sound.

        Bytes that are not UTF-8 become U+FFFD, unless the parts are wanted `as_sent`.
        """
        text = response.content
        utf8 = is_utf8(text)
        if not utf8 and not as_sent:
            text, utf8 = text.decode(errors="replace").encode(), True
        try:
            body = _tried(form.decoder, text)
            if body is None:
                text = mend(text)
                body = _tried(form.decoder, text)
            if body is None:
                return form.split(text), bytes
        except ValueError as exc:
            reason = str(exc)
        else:
            return body, Checked if utf8 and not is_deeper(text, settings.MAX_DEPTH) else bytes
        raise self._unexpected(path, response, reason)

    def _unexpected(self, path: str, response: httpx.Response, reason: str) -> errors.LlamaExtractError:
        message = (
            f"GET {path} answered {response.status_code} ({_content_type(response)}) with what is not the "
            f"API's ({reason}); is base_url right, is a proxy in between? The body begins: "
            f"{self._clean(response.text, settings.EXCERPT)}"
        )
        return self._error(path, _Failure(errors.UnexpectedResponseError, message, response.status_code))

    def _error(self, path: str, failure: _Failure, after: str = "") -> errors.LlamaExtractError:
        message = self._clean(failure.message + after)
        return failure.kind(message, status=failure.status, method="GET", path=path)

    def _clean(self, text: str, length: int | None = None) -> str:
        """Make foreign text fit for a message: one printable line of at most `length`, without the key."""
        key = self._headers["authorization"].removeprefix("Bearer ")
        if len(key) >= 8:  # a shorter one is no real key, and would only garble the message
            text = text.replace(key, "***")
        printable = "".join(char if char.isprintable() else " " for char in text[: length and 8 * length])
        return " ".join(printable.split())[:length]


def _checked_key(api_key: str) -> str:
    if not isinstance(api_key, str) or not api_key:
        raise errors.ConfigurationError("no API key: set LLAMA_CLOUD_API_KEY, or api_key in .dlt/secrets.toml")
    if not re.fullmatch(r"[\x21-\x7e]+", api_key):
        raise errors.ConfigurationError(
            "the API key has white space, a line break or a character beyond ASCII in it: copy it again"
        )
    return api_key


def _checked_base_url(text: str) -> httpx.URL:
    """Parse the base URL with the parser that will also connect, so that both see the same host."""
    try:
        url = httpx.URL(re.sub(r"(/api(/v[12])?)?/*$", "", text.strip()))
        host = url.raw_host.decode("ascii") if url.host else ""
        port = 1 if url.port is None else url.port
    except (httpx.InvalidURL, TypeError, AttributeError, UnicodeError):
        url, host, port = httpx.URL(""), "", 0
    # A name's parts are 1 to 63 characters, as a resolver wants them.
    labels = () if ":" in host else host.removesuffix(".").split(".")
    fits = host and 0 < port < 65536 and all(re.fullmatch(r"[\w-]{1,63}", label) for label in labels)
    if url.scheme not in ("http", "https") or not fits:
        raise errors.ConfigurationError(f"base_url must look like {settings.BASE_URL}")
    if url.userinfo or url.query or url.fragment:
        # Not shown: whoever writes such a URL may have put a secret into it.
        raise errors.ConfigurationError("base_url must have no user name, password, query or fragment in it")
    if url.scheme == "http" and not _is_loopback(url.host):
        raise errors.ConfigurationError(
            f"base_url {url.scheme}://{url.host} would send the API key unencrypted: use https (http is for "
            "localhost only)"
        )
    return url


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _segment(value: str) -> str:
    """Quote an ID or name as one segment of a path, slashes and dots included."""
    if not value:
        raise errors.InvalidRequestError("an empty ID or name was asked for: give the one to read")
    # Unquoted, "." and ".." would be resolved away.
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _batches(values: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(values)
    while batch := list(itertools.islice(rest, size)):
        yield batch


def _copied(items: list[msgspec.Raw], kind: type[bytes]) -> list[bytes]:
    """Turn slices of a body into bytes of their own: 0.07 ms a megabyte, and no item keeps its page alive."""
    return [kind(item) for item in items]


def _number(raw: msgspec.Raw, otherwise: int) -> int:
    """Return the number that is written there, `otherwise` if it is none that counts: below 0, or of 16 digits."""
    try:
        number = _NUMBER.decode(raw)
    except (msgspec.DecodeError, RecursionError):
        return otherwise
    return number if 0 <= number < 10**15 else otherwise


def _tried(decoder: msgspec.json.Decoder[_Body], text: bytes) -> _Body | None:
    """Return the decoded text, None if a part of it cannot be decoded. Raises ValueError if it is something else."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        return None


def _asked_wait(headers: httpx.Headers) -> float | None:
    """Return the seconds that the server asked to wait, None if it did not or is not to be understood."""
    for name, unit in (("retry-after-ms", 0.001), ("retry-after", 1.0)):
        try:
            seconds = float(headers[name]) * unit
        except (LookupError, ValueError):
            continue
        if math.isfinite(seconds):
            return seconds if seconds > 0 else None
    until = _timestamp(headers.get("retry-after"))
    if until is None:
        return None
    # The server's own clock, where it tells: ours may be off.
    now = _timestamp(headers.get("date"))
    seconds = until - (time.time() if now is None else now)
    return seconds if seconds > 0 else None


def _timestamp(date: str | None) -> float | None:
    try:
        return parsedate_to_datetime(date or "").timestamp()
    except (ValueError, OverflowError):
        return None


def _causes(exc: BaseException | None) -> Iterator[BaseException]:
    while exc is not None:
        yield exc
        exc = exc.__cause__ or exc.__context__


def _content_type(response: httpx.Response) -> str:
    return response.headers.get("content-type") or "no content type"
