"""A lock in a bucket that speaks S3, which keeps out loads from any machine."""

from __future__ import annotations

import threading
import time
import uuid
from contextlib import suppress
from email.utils import parsedate_to_datetime
from typing import Any, NamedTuple

from ...errors import ConfigurationError, DatasetBusyError
from ...settings import LOCK_LEASE, LOCK_RENEWAL
from .waiting import describe_holder


class _Found(NamedTuple):
    """The object as it is: its version, its age in seconds by the service's own clock, what it says."""

    etag: str
    age: float
    owner: str
    holder: str


class ObjectLock:
    """An object whose owner writes it anew all the while; one that is not written any more keeps nobody out.

    Whether it is there, and as it was, is a condition of each write, which the service checks.

    Args:
        filesystem: an s3fs file system.
        path: bucket and key.
    """

    longest_pause = 1.0

    def __init__(self, filesystem: Any, path: str) -> None:
        self._call = filesystem.call_s3
        self._bucket, _, self._key = path.partition("/")
        self._owner = uuid.uuid4().hex
        self._holder = ""
        self._etag = ""
        self._renewed = 0.0
        self._lost = False
        self._released = threading.Event()
        self._renewing: threading.Thread | None = None

    def take(self) -> str | None:
        """Take it and return None, or return who has it."""
        found = self._find()
        if found is not None and found.age < LOCK_LEASE:
            return found.holder
        self._holder = describe_holder()
        written = self._write(IfNoneMatch="*") if found is None else self._write(IfMatch=found.etag)
        # A service that knows no conditions writes in any case: then the last one has it.
        now = self._find()
        if not written or now is None or now.owner != self._owner:
            return now.holder if now is not None else ""
        self._lost = False
        self._released.clear()
        self._renewing = threading.Thread(target=self._renew, name="llama-extract lock", daemon=True)
        self._renewing.start()
        return None

    def check(self) -> None:
        """Raise DatasetBusyError if somebody else may have it by now."""
        if self._lost or time.monotonic() - self._renewed > LOCK_LEASE:
            raise DatasetBusyError(
                f"the lock s3://{self._bucket}/{self._key} could not be kept, another load may be at work: run again"
            )

    def release(self) -> None:
        """Remove the object, if it is still this one's."""
        if self._renewing is None:
            return
        self._released.set()
        self._renewing.join()
        self._renewing = None
        with suppress(OSError):  # it ends by itself
            found = self._find()
            if found is not None and found.owner == self._owner:
                self._call("delete_object", Bucket=self._bucket, Key=self._key)

    def _renew(self) -> None:
        while not self._released.wait(LOCK_RENEWAL) and not self._lost:
            # The next time, perhaps; `check` sees how long it has not been renewed.
            with suppress(OSError, ConfigurationError):
                self._lost = not self._write(IfMatch=self._etag)

    def _write(self, **condition: str) -> bool:
        """Write the object if it is as the condition says, and return whether it was."""
        said = {"owner": self._owner, "holder": self._holder.encode("ascii", "replace").decode()}
        body = uuid.uuid4().bytes  # each version has another ETag
        before = time.monotonic()
        try:
            answer = self._call("put_object", Bucket=self._bucket, Key=self._key, Body=body, Metadata=said, **condition)
        except OSError as error:
            refusal = _answer(error)
            if refusal.get("Error", {}).get("Code") == "NoSuchBucket":
                raise ConfigurationError(f"there is no bucket {self._bucket}: check bucket_url") from error
            # 412: it is not as the condition says. 409: somebody else is writing it. 404: it is gone.
            if refusal.get("ResponseMetadata", {}).get("HTTPStatusCode") in (404, 409, 412):
                return False
            raise
        self._etag, self._renewed = answer["ETag"], before
        return True

    def _find(self) -> _Found | None:
        try:
            answer = self._call("head_object", Bucket=self._bucket, Key=self._key)
        except FileNotFoundError:
            return None
        now = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        age = (now - answer["LastModified"]).total_seconds()
        said = answer["Metadata"]
        return _Found(answer["ETag"], age, said.get("owner", ""), said.get("holder", ""))


def _answer(error: OSError) -> dict[str, Any]:
    """Return the answer behind an error of s3fs, as botocore has it; empty if there was none."""
    return getattr(error.__cause__, "response", None) or {}
