"""The emulator as an object: a store that is served by uvicorn in a thread of its own."""

import asyncio
import socket
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import uvicorn
from starlette.types import Scope

from llama_cloud_emulator.app import create_app
from llama_cloud_emulator.store import Store
from llama_cloud_emulator.wire import FAULTS, Fault, OnAnswer, OnRequest, Request, Traffic


class Emulator(Store):
    """A local LlamaCloud over real HTTP.

    Args:
        runs: How many runs there are at the start; none where there is no agent.
        seed: The same seed gives the same agents and runs, byte for byte.
        corpus: `mixed` (five agents, the demo's); `only-invoices` or `only-claim-forms` (one of them); `empty` (no
            agent); `invoices` or `invoices-cited` (one agent, all runs successful and all files different).
        order: The order of run lists: `newest` first, `oldest` first, `shuffled`, or `unstable`: newest first, but runs
            of the same instant change places at every request.
        page_limit: The most items that a page of runs has, whatever `limit` asks.
        gzip: Whether answers are compressed for clients that accept it.
        api_key: The key that clients must send.
        port: The port on 127.0.0.1; 0 takes a free one.

    Example:
        >>> with Emulator(runs=20) as cloud:
        ...     client = httpx.Client(base_url=cloud.base_url, headers={"Authorization": f"Bearer {cloud.api_key}"})
    """

    def __init__(
        self,
        *,
        runs: int = 200,
        seed: int = 1,
        corpus: str = "mixed",
        order: str = "newest",
        page_limit: int = 100,
        gzip: bool = False,
        api_key: str = "llx-emulator",
        port: int = 0,
    ) -> None:
        super().__init__(runs=runs, seed=seed, corpus=corpus, order=order, page_limit=page_limit)
        self.api_key = api_key
        self._gzip = gzip
        self._port = port
        self._traffic = Traffic()
        self._server: _Server | None = None
        self._thread: threading.Thread | None = None

    # -- serving ---------------------------------------------------------------------------------------------

    @property
    def base_url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Serve; an OSError says that the port is taken."""
        listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = listener.getsockname()[1]
        app = create_app(
            self, self._traffic, api_key=self.api_key, gzip=self._gzip, disconnect=self._disconnect, control=self
        )
        config = uvicorn.Config(
            app,
            http="h11",
            loop="asyncio",
            lifespan="off",
            interface="asgi3",
            log_config=None,
            log_level=60,
            access_log=False,
            proxy_headers=False,
            date_header=False,
            server_header=False,
            timeout_keep_alive=3600,  # never a connection that closes just as a client uses it again
        )
        self._server = _Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="llama-cloud-emulator", daemon=True
        )
        self._thread.start()
        self._server.ready.wait()

    def stop(self) -> None:
        if self._server and self._thread:
            self._server.stop()
            self._thread.join()
            self._server = self._thread = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _disconnect(self, scope: Scope) -> None:
        assert self._server
        for connection in self._server.server_state.connections:
            if getattr(connection, "scope", None) is scope:
                connection.transport.close()

    # -- traffic ---------------------------------------------------------------------------------------------

    @property
    def requests(self) -> list[Request]:
        """The requests answered so far, in order."""
        return list(self._traffic.requests)

    def reset_requests(self) -> None:
        self._traffic.requests.clear()

    @property
    def on_request(self) -> OnRequest | None:
        """Called with (method, path, query) in the server before a request is answered.

        What it returns is awaited, if it is awaitable: other requests are answered meanwhile.
        """
        return self._traffic.on_request

    @on_request.setter
    def on_request(self, callback: OnRequest | None) -> None:
        self._traffic.on_request = callback

    @property
    def on_answer(self) -> OnAnswer | None:
        """Called in the server with (path, query, document) of an answer of the API before it is sent.

        The document is the decoded JSON of a successful answer; what the callback returns is sent instead, None
        leaves the answer as it is (so a document that was changed in place must be returned). It is not called for
        an answer that is not JSON because an item in it is broken.
        """
        return self._traffic.on_answer

    @on_answer.setter
    def on_answer(self, callback: OnAnswer | None) -> None:
        self._traffic.on_answer = callback

    def fail(
        self,
        times: int | None = 1,
        path: str = "",
        status: int = 503,
        headers: Mapping[str, str] | None = None,
        body: Any = None,
        kind: str = "status",
        skip: int = 0,
        query: Mapping[str, str] | None = None,
    ) -> None:
        """Let the next requests fail.

        Args:
            times: How many requests; None means all until `heal`.
            path: Only requests whose path (as sent, without the query) contains this text.
            status: The status of the answer, for the kinds `status` and `html`.
            headers: Headers of the answer, for the kinds `status`, `html` and `not_json`.
            body: Its body: bytes or text as it is, anything else as JSON; by default one that fits the kind.
            kind: `status` answers with the status, `html` with a proxy's HTML page, `not_json` with status 200 and
                a body that is not JSON; `truncate` closes the connection in the middle of the right answer,
                `disconnect` before it.
            skip: How many matching requests are let through first.
            query: Only requests whose query has these values, such as `{"skip": "200"}`.
        """
        if kind not in FAULTS:
            raise ValueError(f"unknown kind of fault {kind!r}: one of {', '.join(FAULTS)}")
        wanted = {name: str(value) for name, value in (query or {}).items()}
        self._traffic.faults.append(Fault(times, path, status, headers or {}, body, kind, skip, wanted))

    def heal(self) -> None:
        """Forget all faults."""
        self._traffic.faults.clear()


class _Server(uvicorn.Server):
    """A server that starts and stops at once, where uvicorn's own looks every tenth of a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.ready = threading.Event()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)

    async def main_loop(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self.ready.set()
        await self._stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # the connections learn of it in the next round of the loop
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)
        for server in self.servers:
            await server.wait_closed()
