"""A run taken apart into the texts that become its tables."""

from __future__ import annotations

from dataclasses import dataclass

import msgspec

from ..service.records import NULL, Fields, Run, read_fields, without_download_url


@dataclass(slots=True)
class Parts:
    """A run taken apart. What is not of the form it should have stays among the `fields` of the run itself.

    `data_schema`, `data` and `field_metadata` are `null` where there is none. All refer to the run's own text.
    """

    fields: Fields
    config: Fields | None
    file: Fields | None
    metadata: Fields
    """Members of `extraction_metadata` without `usage` and `field_metadata`."""
    usage: Fields | None
    data_schema: msgspec.Raw
    data: msgspec.Raw
    field_metadata: msgspec.Raw


def split_run(run: Run) -> Parts:
    """The parts of a run, which stays as it is."""
    fields = {name: raw for name, raw in run.fields.items() if name != "id"}
    if "file" in fields:  # it may have been looked up
        fields["file"] = msgspec.Raw(without_download_url(bytes(fields["file"])))
    data_schema, data = fields.pop("data_schema", NULL), fields.pop("data", NULL)
    config, file, metadata = (_pop_object(fields, name) for name in ("config", "file", "extraction_metadata"))
    if file is not None:
        file.pop("download_url", None)  # however it was written
    metadata = metadata or {}
    field_metadata = metadata.pop("field_metadata", NULL)
    usage = _pop_object(metadata, "usage")
    return Parts(fields, config, file, metadata, usage, data_schema, data, field_metadata)


def _pop_object(fields: Fields, name: str) -> Fields | None:
    """The members of a member that is an object, which is taken out; None if it is not one."""
    members = read_fields(fields.get(name))
    if members is not None:
        del fields[name]
    return members


def as_list(text: bytes) -> bytes:
    """One object is read as a list of one, so that all data have one form."""
    return text if text.startswith(b"[") or text == b"null" else b"[" + text + b"]"
