"""One item of a run list in, a run out: split into the raw JSON of its parts, none of which is read yet."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

from .. import settings
from .json_text import is_deeper, is_utf8

Fields = dict[str, msgspec.Raw]
"""The members of a JSON object, each as the text it was sent as."""

_FIELDS = msgspec.json.Decoder(Fields)
_TEXT = msgspec.json.Decoder(str | None)
NULL = msgspec.Raw(b"null")


IN_FLIGHT = frozenset({"CREATED", "PENDING"})
"""Statuses of runs that will change."""
FINAL = frozenset({"SUCCESS", "ERROR", "PARTIAL_SUCCESS", "CANCELLED"})
"""Statuses of runs that will not, unless somebody edits them. The service may know others."""


@dataclass(slots=True)
class Run:
    """An extraction run: its id, its agent's id, its members as raw JSON, a digest of them, their bytes.

    `verdict` is what it was found to be, once that was asked: new, say.
    """

    id: str
    agent_id: str
    fields: Fields
    content_hash: str
    size: int
    verdict: str = ""

    def text(self, name: str) -> str | None:
        """A member that is text; None if it is anything else."""
        return text_member(self.fields, name)

    def time(self, name: str) -> datetime | None:
        """A member that is a timestamp, in UTC if it does not say where; None if it is anything else."""
        try:
            moment = datetime.fromisoformat(self.text(name) or "")
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def text_member(fields: Fields, name: str) -> str | None:
    """A member of a JSON object that is text; None if it is anything else."""
    try:
        return _TEXT.decode(fields[name]) if name in fields else None
    except msgspec.DecodeError:
        return None


def content_hash(fields: Fields) -> str:
    """Return a 72-bit digest of the run's members, independent of their order, as 12 characters."""
    text = b"\0".join([part for name in sorted(fields) for part in (name.encode("utf-8", "replace"), fields[name])])
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()[:9]).decode()


@dataclass(slots=True)
class Rejected:
    """Something that stood where a run was expected: its text, what is wrong with it, and where it stood.

    `agent_id` is the agent's whose run was expected, empty where nobody knows. Texts are kept, so any `download_url` is
    null in it: whoever reads a presigned URL may read the document.
    """

    raw: bytes
    reason: str
    position: str
    agent_id: str = ""

    def __post_init__(self) -> None:
        if b"download_url" in self.raw:
            self.raw = _DOWNLOAD_URL.sub(rb"\1null", self.raw)


def read_run(item: bytes | memoryview | msgspec.Raw, position: str) -> Run | Rejected:
    """An item of a run list, or the answer to a request for one run, as a run; Rejected when it is none.

    It takes any bytes and never raises. Bytes that are not `Checked` are looked at more closely.
    """
    text = item if isinstance(item, bytes) else bytes(item)
    try:
        fields, reason = _FIELDS.decode(text), None if isinstance(text, Checked) else _flaw(text)
    except UnicodeDecodeError:
        reason = _NOT_UTF8
    except RecursionError:
        reason = _TOO_DEEP
    except msgspec.ValidationError as error:
        reason = f"it is not an object: {error}"
    except msgspec.DecodeError as error:
        reason = f"it is not JSON: {error}"
    if reason is not None:
        return Rejected(bytes(text), reason, position)
    try:
        run_id = _TEXT.decode(fields["id"])
    except KeyError:
        return Rejected(bytes(text), "it has no `id`", position)
    except msgspec.DecodeError:
        return Rejected(bytes(text), "its `id` is not text", position)
    if not run_id or "\0" in run_id:  # which no database takes as a part of a query
        return Rejected(bytes(text), f"its `id` {'has the character NUL' if run_id else 'is empty'}", position)
    if "file" in fields and b"download_url" in (file := bytes(fields["file"])):
        fields["file"] = msgspec.Raw(without_download_url(file))
    run = Run(run_id, "", fields, content_hash(fields), len(text))
    run.agent_id = run.text("extraction_agent_id") or ""
    return run


# ── texts that others could not read ──────────────────────────────────────────────────────────────────────────────

_NOT_UTF8 = "its bytes are not UTF-8"
_TOO_DEEP = f"it is nested more than {settings.MAX_DEPTH} levels deep"


class Checked(bytes):
    """A JSON text that is known to be UTF-8 and nested no deeper than MAX_DEPTH: its whole page was.

    To look at a page of 2 MB takes 0.7 ms, to look at each of its 100 items 6 ms.
    """

    __slots__ = ()


def _flaw(text: bytes) -> str | None:
    if not is_utf8(text):
        return _NOT_UTF8
    return _TOO_DEEP if is_deeper(text, settings.MAX_DEPTH) else None


JSON_STRING = rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"'
"""A text with its quotes, in a regular expression with DOTALL."""
# In what was rejected: also where it breaks off, and in JSON that is itself a text in JSON.
_DOWNLOAD_URL = re.compile(rb'(\\*"download_url\\*"\s*:\s*)(?:%b|\\*"[^"]*"?)' % JSON_STRING, re.DOTALL)
_MEMBER = rb'"download_url"\s*:\s*(?:%b|null)' % JSON_STRING
_MEMBER_OR_STRING = re.compile(rb"(,\s*%b|%b\s*,?\s*)|%b" % (_MEMBER, _MEMBER, JSON_STRING), re.DOTALL)


def without_download_url(record: bytes) -> bytes:
    """A file's record, JSON, without its `download_url`: a secret, and another one at every request."""
    if b"download_url" not in record:
        return record
    return _MEMBER_OR_STRING.sub(lambda match: b"" if match[1] else match[0], record)


def read_fields(raw: bytes | msgspec.Raw | None) -> Fields | None:
    """The members of a raw JSON object; None for anything else."""
    if raw is None:
        return None
    try:
        return _FIELDS.decode(raw)
    except (ValueError, RecursionError):
        return None
