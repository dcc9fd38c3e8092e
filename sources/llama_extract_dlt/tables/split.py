"""A chunk of runs, read: taken apart and parsed into columns. It knows nothing of tables, so it can be done ahead."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from ..service.records import NULL, Fields, Run, read_fields, without_download_url
from .parse import Batch, Parser
from .row_keys import Int64s


@dataclass(slots=True)
class Documents:
    """JSON texts of one kind: the places of their runs in the chunk, and the values as columns.

    The texts are there, too, if they may have to be read again for all digits of their numbers.
    """

    runs: Int64s
    batches: list[Batch]
    texts: list[bytes]


@dataclass(slots=True)
class Alike:
    """Runs of one agent that have the same data schema: their data, each a list, and their field metadata."""

    agent_id: str
    data_schema: bytes
    data: Documents | None
    metadata: list[Documents]


@dataclass(slots=True)
class ReadRuns:
    """The runs of a chunk, the parts of each, and the documents among the parts in groups that are alike."""

    runs: Sequence[Run]
    parts: list[Parts]
    alike: list[Alike]
    fields: list[Fields]
    """The members of each run as they came, to read it again if the runs cannot be made into tables together."""


def read_runs(runs: Sequence[Run], parser: Parser) -> ReadRuns:
    """Takes runs apart and parses what was extracted."""
    fields = [dict(run.fields) for run in runs]
    parts = [take_apart(run) for run in runs]
    schemas: dict[bytes, bytes] = {}
    for part in parts:
        part.data_schema = schemas.setdefault(part.data_schema, part.data_schema)  # mostly the same text: keep it once
    groups: dict[tuple[str, bytes], list[int]] = {}
    for place, run in enumerate(runs):
        groups.setdefault((run.agent_id, parts[place].data_schema), []).append(place)
    alike = []
    for (agent_id, data_schema), places in groups.items():
        data: list[tuple[int, bytes]] = []
        metadata: dict[bytes, list[tuple[int, bytes]]] = {}
        for place in places:
            part = parts[place]
            # One object is read as a list of one, so that all data have one form.
            data.append((place, _as_list(part.data)))
            metadata.setdefault(part.field_metadata[:1], []).append((place, part.field_metadata))
            part.data = part.field_metadata = b""  # most of the run, and not needed as text any more
        alike.append(
            Alike(
                agent_id,
                data_schema,
                _parse(data, parser, ("data", agent_id, data_schema), all_digits=True),
                # Confidences and coordinates are measurements: a double holds what they mean.
                [
                    documents
                    for form, pairs in metadata.items()
                    if (documents := _parse(pairs, parser, (form, agent_id, data_schema), all_digits=False))
                ],
            )
        )
    return ReadRuns(runs, parts, alike, fields)


def _as_list(text: bytes) -> bytes:
    return text if text.startswith(b"[") or text == b"null" else b"[" + text + b"]"


def _parse(pairs: list[tuple[int, bytes]], parser: Parser, shape: object, *, all_digits: bool) -> Documents | None:
    """The documents that are there, parsed, by the place of their run; None if there is none."""
    there = [(place, text) for place, text in pairs if text != b"null"]
    if not there:
        return None
    texts = [text for _, text in there]
    places = np.array([place for place, _ in there], dtype=np.int64)
    return Documents(places, parser.parse(shape, texts, all_digits=all_digits), texts if all_digits else [])


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
    if "file" in rest:  # it may have been looked up
        rest["file"] = msgspec.Raw(without_download_url(bytes(rest["file"])))
    data_schema = bytes(rest.pop("data_schema", NULL))
    data = bytes(rest.pop("data", NULL))
    objects: dict[str, Fields | None] = {}
    for name in ("config", "file", "extraction_metadata"):
        objects[name] = read_fields(bytes(rest[name])) if name in rest else None
        if objects[name] is not None:
            del rest[name]
    if objects["file"] is not None:
        objects["file"].pop("download_url", None)  # however it was written
    metadata = objects["extraction_metadata"] or {}
    field_metadata = bytes(metadata.pop("field_metadata", NULL))
    usage = read_fields(bytes(metadata["usage"])) if "usage" in metadata else None
    if usage is not None:
        del metadata["usage"]
    metadata = {name: raw.copy() for name, raw in metadata.items()}
    rest = {name: raw.copy() for name, raw in rest.items()}
    return Parts(rest, objects["config"], objects["file"], metadata, usage, data_schema, data, field_metadata)
