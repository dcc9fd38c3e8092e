"""The errors that a user of the source can meet, each one line that says what, where and what to do."""

from __future__ import annotations

from typing import Any


class LlamaExtractError(Exception):
    """Base of all errors of this source; `str()` is one line.

    `status` (HTTP status), `method` and `path` (without host and query) are set where an HTTP request was
    involved, else None. Instances survive pickling, which orchestrators do to them.
    """

    def __init__(
        self, message: str, *, status: int | None = None, method: str | None = None, path: str | None = None
    ) -> None:
        super().__init__(" ".join(message.split()))
        self.status = status
        self.method = method
        self.path = path


class ConfigurationError(LlamaExtractError):
    """A setting is missing or cannot be used; nothing was sent."""


class DatasetBusyError(LlamaExtractError):
    """Another load into the same dataset is at work, and did not end while this one waited; nothing was read.

    `holder` says who that is and since when, as far as that is known, else it is empty.
    """

    def __init__(self, message: str, *, holder: str = "", **request: Any) -> None:
        super().__init__(message, **request)
        self.holder = holder


class AuthenticationError(LlamaExtractError):
    """The service does not know the API key (401)."""


class PermissionDeniedError(LlamaExtractError):
    """The API key is known but may not do this (403)."""


class NotFoundError(LlamaExtractError):
    """There is no such agent, run, job or file (404)."""


class InvalidRequestError(LlamaExtractError):
    """The service refused the request as it stands (422 and the other 4xx)."""


class RateLimitedError(LlamaExtractError):
    """The rate limit (429) outlasted the retries."""


class ServiceError(LlamaExtractError):
    """The service's own trouble (5xx, 408, 409) outlasted the retries."""


class ConnectionFailedError(LlamaExtractError):
    """No usable connection: name resolution, refusal, TLS, a proxy; or one answer did not come, as below."""


class ConnectionBrokenError(ConnectionFailedError):
    """An answer that broke off or did not come in time, from a host that was reached."""


class UnexpectedResponseError(LlamaExtractError):
    """An answer that is not the API's: HTML, broken JSON, other fields, a redirect to somewhere else."""


class AnswerTooLargeError(UnexpectedResponseError):
    """An answer that is larger than `max_answer_bytes`, unpacked."""


def is_fatal(error: LlamaExtractError) -> bool:
    """Whether nothing can be read any more: a wrong key or setting, a host that is not there, a rate limit for good."""
    if isinstance(error, ConnectionBrokenError):
        return False
    return isinstance(error, AuthenticationError | ConfigurationError | RateLimitedError | ConnectionFailedError)


def refuses(error: LlamaExtractError) -> bool:
    """Whether the service does not show what was asked for, however it is asked."""
    return isinstance(error, PermissionDeniedError | NotFoundError)
