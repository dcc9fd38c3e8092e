"""One item of a run list in, a run out: split into the raw JSON of its parts, none of which is read yet."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime

import msgspec

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
    """An extraction run: its id, its agent's id, its members as raw JSON, a digest of them, their bytes."""

    id: str
    agent_id: str
    fields: Fields
    content_hash: str
    size: int

    def text(self, name: str) -> str | None:
        """A member that is text or null, None if it is neither."""
        try:
            return _TEXT.decode(self.fields[name]) if name in self.fields else None
        except msgspec.DecodeError:
            return None

    def time(self, name: str) -> datetime | None:
        """A member that is a timestamp, in UTC if it does not say where; None if it is anything else."""
        try:
            moment = datetime.fromisoformat(self.text(name) or "")
            return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
        except (ValueError, OverflowError):
            return None


def content_hash(fields: Fields) -> str:
    """12 characters (72 bits) that are others when the run is another; the order of its members does not matter."""
    text = b"\0".join([part for name in sorted(fields) for part in (name.encode("utf-8", "replace"), fields[name])])
    return base64.urlsafe_b64encode(hashlib.sha256(text).digest()[:9]).decode()


@dataclass(slots=True)
class Rejected:
    """Something that stood where a run was expected: its text, what is wrong with it, and where it stood."""

    raw: bytes
    reason: str
    position: str


def read_run(item: bytes | memoryview | msgspec.Raw, position: str) -> Run | Rejected:
    """An item of a run list, or the answer to a request for one run, as a run; Rejected when it is none."""
    try:
        fields = _FIELDS.decode(item)
        run_id = _TEXT.decode(fields["id"])
    except KeyError:
        return Rejected(bytes(item), "it has no `id`", position)
    except msgspec.DecodeError as error:
        what = "its `id` is not text" if bytes(item).lstrip().startswith(b"{") else f"it is not an object: {error}"
        return Rejected(bytes(item), what, position)
    if not run_id:
        return Rejected(bytes(item), "its `id` is empty", position)
    run = Run(run_id, "", fields, content_hash(fields), len(memoryview(item)))
    run.agent_id = run.text("extraction_agent_id") or ""
    return run


def read_fields(raw: bytes | msgspec.Raw | None) -> Fields | None:
    """The members of a raw JSON object; None for anything else."""
    if raw is None:
        return None
    try:
        return _FIELDS.decode(raw)
    except msgspec.ValidationError:
        return None


@dataclass(slots=True)
class Parts:
    """A run taken apart: what goes into which table. A part that is not of the form it should be stays in `rest`."""

    rest: Fields
    """Members that become columns of the run itself."""
    config: Fields | None
    file: Fields | None
    metadata: Fields
    """Members of `extraction_metadata`, those below left out."""
    usage: Fields | None
    data_schema: bytes
    data: bytes
    field_metadata: bytes


def take_apart(run: Run) -> Parts:
    """A run's parts; `data_schema`, `data` and `field_metadata` are JSON texts, `null` where there is none.

    The run's members are gone afterwards, so that its text is not kept beside its parts.
    """
    rest, run.fields = run.fields, {}
    rest.pop("id", None)
    data_schema = bytes(rest.pop("data_schema", NULL))
    data = bytes(rest.pop("data", NULL))
    objects: dict[str, Fields | None] = {}
    for name in ("config", "file", "extraction_metadata"):
        objects[name] = read_fields(bytes(rest[name])) if name in rest else None
        if objects[name] is not None:
            del rest[name]
    metadata = objects["extraction_metadata"] or {}
    field_metadata = bytes(metadata.pop("field_metadata", NULL))
    usage = read_fields(bytes(metadata["usage"])) if "usage" in metadata else None
    if usage is not None:
        del metadata["usage"]
    metadata = {name: raw.copy() for name, raw in metadata.items()}
    rest = {name: raw.copy() for name, raw in rest.items()}
    return Parts(rest, objects["config"], objects["file"], metadata, usage, data_schema, data, field_metadata)
