"""What stands before the service: the key, the record of requests, and faults on request."""

import json
import traceback
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs

import msgspec
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Json = Any
Query = dict[str, list[str]]
OnRequest = Callable[[str, str, Query], Awaitable[object] | None]
OnAnswer = Callable[[str, Query, Json], Json]
FAULTS = ("status", "html", "not_json", "truncate", "disconnect")


@dataclass(frozen=True, slots=True)
class Request:
    """A request that was answered; `status` is 0 when the connection was closed instead."""

    method: str
    path: str
    query: Query
    status: int


@dataclass(slots=True)
class Fault:
    """Requests that fail: see `Emulator.fail`."""

    times: int | None
    path: str
    status: int
    headers: Mapping[str, str]
    body: Json
    kind: str
    skip: int
    query: Mapping[str, str]

    def hits(self, path: str, query: Query) -> bool:
        """Whether the fault is meant for such a request."""
        return self.path in path and all(value in query.get(name, ()) for name, value in self.query.items())


@dataclass(slots=True)
class Traffic:
    """What went over the wire, and what shall go wrong on it."""

    requests: list[Request] = field(default_factory=list)
    faults: list[Fault] = field(default_factory=list)
    on_request: OnRequest | None = None
    on_answer: OnAnswer | None = None

    def next_fault(self, path: str, query: Query) -> Fault | None:
        for fault in self.faults:
            if fault.times == 0 or not fault.hits(path, query):
                continue
            if fault.skip:
                fault.skip -= 1
                continue
            if fault.times is not None:
                fault.times -= 1
            return fault
        return None


def _path(scope: Scope) -> str:
    path: bytes = scope["raw_path"]
    return path.decode("ascii", "replace")


def _query(scope: Scope) -> Query:
    return parse_qs(scope["query_string"].decode("ascii", "replace"), keep_blank_values=True)


def json_response(document: Json, status: int = 200) -> Response:
    return Response(msgspec.json.encode(document), status, media_type="application/json")


class Gate:
    """Checks the key, tells `on_request`, lets requests fail that shall fail, and keeps the record."""

    def __init__(self, app: ASGIApp, traffic: Traffic, api_key: str, disconnect: Callable[[Scope], None]) -> None:
        self.app = app
        self.traffic = traffic
        self.authorization = f"Bearer {api_key}".encode()
        self.disconnect = disconnect

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert scope["type"] == "http"
        path = _path(scope)
        if path.startswith("/_emulator/"):
            return await self._answer(scope, receive, send)
        query = _query(scope)

        async def recording_send(message: Message) -> None:
            # Recorded before it is sent: a client that has its answer finds its request in the record.
            if message["type"] == "http.response.start":
                self.traffic.requests.append(Request(scope["method"], path, query, message["status"]))
            await send(message)

        if path.startswith("/api/") and dict(scope["headers"]).get(b"authorization") != self.authorization:
            denied = json_response({"detail": "Invalid or missing API key"}, 401)
            return await denied(scope, receive, recording_send)
        try:
            if self.traffic.on_request and (answer := self.traffic.on_request(scope["method"], path, query)):
                await answer
        except Exception:
            return await crashed()(scope, receive, recording_send)
        fault = self.traffic.next_fault(path, query)
        if fault is None:
            await self._answer(scope, receive, recording_send)
        elif fault.kind == "disconnect":
            self.traffic.requests.append(Request(scope["method"], path, query, 0))
            self.disconnect(scope)
            while (await receive())["type"] != "http.disconnect":
                pass
        elif fault.kind == "truncate":
            await self._answer(scope, receive, _Halved(recording_send))
        else:
            await _failure(fault)(scope, receive, recording_send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        with suppress(Exception):  # Starlette has answered with `crashed` by then
            await self.app(scope, receive, send)


class Answers:
    """Lets `on_answer` change the successful answers of the API; it stands behind the compression."""

    def __init__(self, app: ASGIApp, traffic: Traffic) -> None:
        self.app = app
        self.traffic = traffic

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        on_answer = self.traffic.on_answer
        if on_answer is None or not (path := _path(scope)).startswith("/api/"):
            return await self.app(scope, receive, send)
        messages: list[Message] = []

        async def keep(message: Message) -> None:
            messages.append(message)

        await self.app(scope, receive, keep)
        if messages[0]["status"] == 200:
            body = b"".join([message.get("body", b"") for message in messages[1:]])
            # What it raises, Starlette answers with `crashed`.
            if (changed := _changed(on_answer, path, _query(scope), body)) is not None:
                return await Response(changed, media_type="application/json")(scope, receive, send)
        for message in messages:
            await send(message)


def _changed(on_answer: OnAnswer, path: str, query: Query, body: bytes) -> bytes | None:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):  # a broken item: there is nothing to hand over
        return None
    answer = on_answer(path, query, document)
    # The standard library writes what a test may want to see and msgspec refuses: huge integers, half a character.
    return None if answer is None else json.dumps(answer, separators=(",", ":")).encode()


class _Halved:
    """Passes on the head of an answer and half of its body, so that uvicorn closes the connection early."""

    def __init__(self, send: Send) -> None:
        self.send = send

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.body":
            body = message.get("body", b"")
            message = {"type": "http.response.body", "body": body[: len(body) // 2], "more_body": True}
        await self.send(message)


def crashed() -> Response:
    """An error in the emulator or in a test's callback: shown to whoever looks, not swallowed."""
    traceback.print_exc()
    return json_response({"detail": f"The emulator failed: {traceback.format_exc(limit=-3)}"}, 500)


def _failure(fault: Fault) -> Response:
    status, body, media_type = fault.status, fault.body, "application/json"
    if fault.kind == "not_json":
        status, body = 200, "upstream connect error or disconnect/reset before headers" if body is None else body
    elif fault.kind == "html":
        media_type = "text/html"
        page = f"<html><head><title>{status}</title></head><body><h1>{status}</h1><hr>nginx</body></html>"
        body = page if body is None else body
    elif body is None:
        body = {"detail": f"The emulator was told to answer {status}"}
    raw = body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else msgspec.json.encode(body)
    return Response(raw, status, dict(fault.headers), media_type)
