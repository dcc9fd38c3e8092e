"""The pace of requests, which all clients of one sync keep together."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from .. import errors, settings


class RequestBudget:
    """The pace that all clients of one sync keep together, across threads.

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
        self.per_minute = requests_per_minute
        self._spacing = settings.RATE_WINDOW / requests_per_minute if requests_per_minute else 0.0
        self._free_at = self._paused_until = -math.inf
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
            self._paused_until = self._clock() + seconds
            self._free_at = max(self._free_at, self._paused_until)

    def paused(self) -> float:
        """Return for how many seconds more the service has asked for no requests; 0.0 if it has not."""
        return max(0.0, self._paused_until - self._clock())
