"""What went wrong with a request: which error it is, and whether another try may help."""

from __future__ import annotations

import math
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx
import msgspec

from .. import errors, settings

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

UNCONNECTED = (httpx.ConnectError, httpx.ConnectTimeout, httpx.ProxyError)
"""Exceptions that mean that no connection stood."""

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


class Answer(NamedTuple):
    """A whole answer of the service; `target` is where it redirects to."""

    status: int
    headers: httpx.Headers
    content: bytes
    target: httpx.URL | None


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try failed, and how many tries in all such a failure is worth."""

    kind: type[errors.LlamaExtractError]
    message: str
    status: int | None = None
    tries: int = 1
    asked: float | None = None  # seconds that the server asked to wait


class Failures:
    """Tells what failures mean, in one line each that never has the key."""

    def __init__(self, base: httpx.URL, headers: httpx.Headers, max_tries: int) -> None:
        self._base = base
        self._headers = headers  # which mask the key in their repr
        self._max_tries = max_tries

    def of_exception(self, path: str, exc: httpx.RequestError, *, reached: bool) -> Failure:
        """Return what an exception of httpx means; `reached` says whether the host ever answered."""
        default = "" if self._base.port else {"http": ":80", "https": ":443"}[self._base.scheme]
        where = self._base.netloc.decode() + default
        reason = type(exc).__name__ + (f": {self.clean(str(exc))}" if str(exc) else "")
        kind: type[errors.LlamaExtractError] = errors.ConnectionFailedError
        tries = self._max_tries
        if any(isinstance(cause, ssl.SSLCertVerificationError) for cause in _causes(exc)):
            hint = "trying again would not help: check base_url, or name your network's CA in SSL_CERT_FILE"
            return Failure(kind, f"GET {path}: the certificate of {where} is not trusted ({reason}); {hint}")
        if isinstance(exc, UNCONNECTED):
            if not reached:
                tries = min(tries, settings.TRIES_TO_FIRST_CONTACT)
            hint = "check base_url, the network and its proxy"
            return Failure(kind, f"GET {path}: cannot connect to {where} ({reason}); {hint}", tries=tries)
        if isinstance(exc, _BROKEN):
            kind = errors.ConnectionBrokenError
        return Failure(kind, f"GET {path}: the connection to {where} failed ({reason})", tries=tries)

    def of_status(self, path: str, answer: Answer) -> Failure:
        """Return what an answer that is no success means."""
        status = answer.status
        default = errors.UnexpectedResponseError if status < 400 else errors.InvalidRequestError
        kind, hint = _STATUSES.get(status, (default, "check base_url and the settings"))
        if status >= 500:
            kind, hint = errors.ServiceError, "run again later"
        again = {"true": True, "false": False}.get(
            answer.headers.get("x-should-retry", ""), kind in (errors.ServiceError, errors.RateLimitedError)
        )
        final = status < 400 or status in (401, 403, 404, 422)
        return Failure(
            kind,
            f"GET {path} answered {status}: {self._detail(answer)}; {hint}",
            status,
            tries=self._max_tries if again and not final else 1,
            asked=_asked_wait(answer.headers),
        )

    def _detail(self, answer: Answer) -> str:
        """Return what the API says was wrong, or the beginning of a body that is not the API's."""
        try:
            detail = msgspec.json.decode(answer.content)["detail"]
            if isinstance(detail, list):
                detail = "; ".join(f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in detail)
        except (ValueError, LookupError, TypeError, RecursionError):
            return f"{self.clean(_text(answer), settings.EXCERPT)} ({_content_type(answer)})"
        return self.clean(str(detail), 4 * settings.EXCERPT)

    def error(self, path: str, failure: Failure, after: str = "") -> errors.LlamaExtractError:
        """Return the error for a failure; it has no cause, since tracebacks hold the request and with it the key."""
        message = self.clean(failure.message + after)
        return failure.kind(message, status=failure.status, method="GET", path=path)

    def clean(self, text: str, length: int | None = None) -> str:
        """Make foreign text fit for a message: one printable line of at most `length`, without the key."""
        key = self._headers["authorization"].removeprefix("Bearer ")
        if len(key) >= 8:  # a shorter one is no real key, and would only garble the message
            text = text.replace(key, "***")
        printable = "".join(char if char.isprintable() else " " for char in text[: length and 8 * length])
        return " ".join(printable.split())[:length]

    def unexpected(self, path: str, answer: Answer, reason: str) -> errors.LlamaExtractError:
        """Return the error for an answer that is not the API's."""
        message = (
            f"GET {path} answered {answer.status} ({_content_type(answer)}) with what is not the "
            f"API's ({reason}); is base_url right, is a proxy in between? The body begins: "
            f"{self.clean(_text(answer), settings.EXCERPT)}"
        )
        return self.error(path, Failure(errors.UnexpectedResponseError, message, answer.status))


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


def _text(answer: Answer) -> str:
    return answer.content[: 8 * settings.EXCERPT].decode("utf-8", "replace")


def _content_type(answer: Answer) -> str:
    return answer.headers.get("content-type") or "no content type"
