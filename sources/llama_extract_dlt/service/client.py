"""The endpoints of the LlamaCloud extraction API: raw JSON as it was sent."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, TypeVar, Unpack
from urllib.parse import quote

import msgspec

from .. import errors, settings
from .failures import Answer
from .json_text import is_deeper, is_utf8, replace_lenient, split_list, split_object, split_page
from .records import NULL, Checked
from .transport import Param, Transport, TransportOptions

_V1 = "/api/v1/extraction"
_FILES = "/api/v1/beta/files"

_Body = TypeVar("_Body")


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


class LlamaCloudClient(Transport):
    """Reads agents, runs and files; use it as `with LlamaCloudClient(key) as client`, from any thread.

    Answers are raw JSON. Those that are `Checked` are sound; others may be nested too deep, in broken JSON or,
    runs only, not in UTF-8, so that one bad record keeps no other back: `read_run` tells. Every method raises the
    `LlamaExtractError` that fits when its request fails for good, or its answer is not the API's at all.

    Args:
        api_key, base_url, options: see `Transport`.
        project_id: passed on where the API takes it, as is `organization_id`.
    """

    def __init__(
        self,
        api_key: str,
        base_url: str = settings.BASE_URL,
        *,
        project_id: str | None = None,
        organization_id: str | None = None,
        **options: Unpack[TransportOptions],
    ) -> None:
        super().__init__(api_key, base_url, **options)
        self._scope: dict[str, Param] = {"project_id": project_id, "organization_id": organization_id}

    def list_agents(self, include_default: bool = False) -> list[bytes]:
        """Return all agents, each as raw JSON; the service makes no pages here."""
        path = f"{_V1}/extraction-agents"
        answer = self.get(path, {"include_default": include_default, **self._scope})
        agents, kind = self._decoded(_AGENTS, path, answer)
        return _copied(agents, kind)

    def get_agent(self, agent_id: str) -> bytes:
        """Return the agent with this ID as raw JSON."""
        return self._get_one(f"{_V1}/extraction-agents/{_segment(agent_id)}", scoped=False)

    def get_agent_by_name(self, name: str) -> bytes:
        """Return the agent with this name, any characters allowed, as raw JSON."""
        return self._get_one(f"{_V1}/extraction-agents/by-name/{_segment(name)}")

    def get_default_agent(self) -> bytes:
        """Return the project's default agent as raw JSON."""
        return self._get_one(f"{_V1}/extraction-agents/default")

    def list_runs(
        self,
        agent_id: str,
        *,
        skip: int = 0,
        limit: int = 100,
        status: str | None = None,
        most_tries: int | None = None,
        most_bytes: int | None = None,
    ) -> RunPage:
        """Return a page of the agent's runs, or of those with `status`, from offset `skip` on.

        `most_tries` and `most_bytes` lower the limits for this request.
        """
        path = f"{_V1}/runs"
        params: dict[str, Param] = {"extraction_agent_id": agent_id, "skip": skip, "limit": limit, "status": status}
        answer = self.get(path, params, most_tries=most_tries, most_bytes=most_bytes)
        page, kind = self._decoded(_RUNS, path, answer, as_sent=True)
        total, at, most = _number(page.total, -1), _number(page.skip, skip), _number(page.limit, limit)
        return RunPage(_copied(page.items, kind), total, at, most)

    def get_run(self, run_id: str, *, most_tries: int | None = None) -> bytes:
        """Return the run with this ID as raw JSON; `most_tries` lowers the number of tries for this request."""
        return self._get_one(f"{_V1}/runs/{_segment(run_id)}", most_tries, as_sent=True)

    def get_run_by_job(self, job_id: str) -> bytes:
        """Return the run that the job made as raw JSON."""
        return self._get_one(f"{_V1}/runs/by-job/{_segment(job_id)}", as_sent=True)

    def list_files(self, file_ids: Iterable[str]) -> list[bytes]:
        """Return the records of those of the files that exist, each as raw JSON, in the service's order."""
        records: list[bytes] = []
        for ids in _portions(dict.fromkeys(file_ids), settings.FILES_PER_REQUEST):
            token: str | None = None
            while True:
                answer = self.get(_FILES, {"file_ids": ids, "page_size": len(ids), "page_token": token, **self._scope})
                page, kind = self._decoded(_FILE_LIST, _FILES, answer)
                records += _copied(page.items, kind)
                if not page.next_page_token:
                    break
                if page.next_page_token == token:
                    raise self.failures.unexpected(_FILES, answer, "next_page_token does not move on")
                token = page.next_page_token
        return records

    def get_file(self, file_id: str) -> bytes:
        """Return the record of the file with this ID as raw JSON."""
        return self._get_one(f"{_FILES}/{_segment(file_id)}")

    def _get_one(
        self, path: str, most_tries: int | None = None, *, scoped: bool = True, as_sent: bool = False
    ) -> bytes:
        answer = self.get(path, self._scope if scoped else {}, most_tries=most_tries)
        one, kind = self._decoded(_ONE, path, answer, as_sent=as_sent)
        return kind(one)

    def _decoded(
        self, form: _Form[_Body], path: str, answer: Answer, *, as_sent: bool = False
    ) -> tuple[_Body, type[bytes]]:
        """Return an answer's parts, and what to copy them as: `Checked` if all of them are sound.

        Bytes that are not UTF-8 become U+FFFD, unless the parts are wanted `as_sent`.
        """
        text = answer.content
        utf8 = is_utf8(text)
        if not utf8 and not as_sent:
            text, utf8 = text.decode(errors="replace").encode(), True
        try:
            body = _decoded(form.decoder, text)
            if body is None:
                text = replace_lenient(text)
                body = _decoded(form.decoder, text)
            if body is None:
                return form.split(text), bytes
        except ValueError as exc:
            reason = str(exc)
        else:
            return body, Checked if utf8 and not is_deeper(text, settings.MAX_DEPTH) else bytes
        raise self.failures.unexpected(path, answer, reason)


def _segment(value: str) -> str:
    """Quote an ID or name as one segment of a path, slashes and dots included."""
    if not value:
        raise errors.InvalidRequestError("an empty ID or name was asked for: give the one to read")
    # Unquoted, "." and ".." would be resolved away.
    return quote(value, safe="") if value.strip(".") else value.replace(".", "%2E")


def _portions(values: Iterable[str], size: int) -> Iterator[list[str]]:
    rest = iter(values)
    while portion := list(itertools.islice(rest, size)):
        yield portion


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


def _decoded(decoder: msgspec.json.Decoder[_Body], text: bytes) -> _Body | None:
    """Return the decoded text, None if a part of it cannot be decoded. Raises ValueError if it is something else."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        raise
    except (msgspec.DecodeError, RecursionError):
        return None
