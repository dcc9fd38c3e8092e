"""The service over HTTP: the read operations of the extraction API, and a control door for tests."""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any
from uuid import UUID

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request as HttpRequest
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp, Scope

from llama_cloud_emulator.store import Run, Store
from llama_cloud_emulator.wire import Answers, Gate, Traffic, crashed, json_response

Json = Any
_FILE_FIELDS = (
    "id", "name", "external_file_id", "file_type", "project_id", "last_modified_at", "expires_at", "purpose",
)  # fmt: skip


def create_app(
    store: Store, traffic: Traffic, *, api_key: str, gzip: bool, disconnect: Callable[[Scope], None], control: object
) -> ASGIApp:
    """The whole service. `disconnect` closes the connection of a request; `control` has the methods to control."""
    api = _Api(store)
    runs, agents, jobs = "/api/v1/extraction/runs", "/api/v1/extraction/extraction-agents", "/api/v1/extraction/jobs"
    routes = [
        Route(runs, api.list_runs),
        Route(f"{runs}/latest-from-ui", api.latest_run_from_ui),
        Route(f"{runs}/by-job/{{job_id}}", api.get_run_by_job),
        Route(f"{runs}/{{run_id}}", api.get_run),
        Route(agents, api.list_agents),
        Route(f"{agents}/default", api.get_default_agent),
        Route(f"{agents}/by-name/{{name:path}}", api.get_agent_by_name),
        Route(f"{agents}/{{extraction_agent_id}}", api.get_agent),
        Route(jobs, api.list_jobs),
        Route(f"{jobs}/{{job_id}}", api.get_job),
        Route(f"{jobs}/{{job_id}}/result", api.get_job_result),
        Route("/api/v1/beta/files", api.list_files),
        Route("/api/v1/beta/files/{file_id}", api.get_file),
        *_control_routes(control, traffic),
    ]
    middleware = [Middleware(Answers, traffic=traffic)]
    if gzip:
        middleware.insert(0, Middleware(GZipMiddleware, minimum_size=500, compresslevel=4))
    app = Starlette(
        routes=routes, middleware=middleware, exception_handlers={HTTPException: _http_error, Exception: _crashed}
    )
    app.router.redirect_slashes = False
    return Gate(app, traffic, api_key, disconnect)


# -- answers -------------------------------------------------------------------------------------------------


async def _http_error(request: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return json_response({"detail": error.detail}, error.status_code)


async def _crashed(request: HttpRequest, error: Exception) -> Response:
    return crashed()


def _not_found(what: str) -> HTTPException:
    return HTTPException(404, f"{what} not found")


def _invalid(where: str, name: str, kind: str, message: str, value: Json) -> HTTPException:
    # FastAPI's `detail` is a list of objects here; Starlette passes on whatever it is given.
    detail: Json = [{"type": kind, "loc": [where, name], "msg": message, "input": value}]
    return HTTPException(422, detail)


def _uuid(where: str, name: str, value: str) -> str:
    try:
        return str(UUID(value))
    except ValueError as error:
        message = f"Input should be a valid UUID, {error}"
        raise _invalid(where, name, "uuid_parsing", message, value) from None


def _query_uuid(request: HttpRequest, name: str) -> str:
    value = request.query_params.get(name)
    if value is None:
        raise _invalid("query", name, "missing", "Field required", None)
    return _uuid("query", name, value)


def _query_int(request: HttpRequest, name: str, default: int, low: int, high: int | None = None) -> int:
    text = request.query_params.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise _invalid("query", name, "int_parsing", message, text) from None
    if value < low:
        message = f"Input should be greater than or equal to {low}"
        raise _invalid("query", name, "greater_than_equal", message, text)
    if high is not None and value > high:
        raise _invalid("query", name, "less_than_equal", f"Input should be less than or equal to {high}", text)
    return value


class _Api:
    """The read operations of the service, one method each."""

    def __init__(self, store: Store) -> None:
        self.store = store

    async def list_runs(self, request: HttpRequest) -> Response:
        store, asked = self.store, request.query_params
        agent_id = _query_uuid(request, "extraction_agent_id")
        skip = _query_int(request, "skip", 0, 0)
        limit = min(_query_int(request, "limit", 25, 0), store.page_limit)
        with store.lock:
            self._check_agent(agent_id)
            items = store.run_list(agent_id)
            for name, key in (("status", "status"), ("run_id", "id")):
                if name in asked:
                    items = [item for item in items if item.fields.get(key) == asked[name]]
            page = b",".join([store.render(item) for item in items[skip : skip + limit]])
        # Joined bytes: a run is encoded once, however often it is served.
        body = b'{"items":[%b],"total":%d,"skip":%d,"limit":%d}' % (page, len(items), skip, limit)
        return Response(body, media_type="application/json")

    async def get_run(self, request: HttpRequest) -> Response:
        run_id = _uuid("path", "run_id", request.path_params["run_id"])
        self._check_scope(request)
        with self.store.lock:
            return self._run_response(self.store.find_run(run_id))

    async def get_run_by_job(self, request: HttpRequest) -> Response:
        job_id = _uuid("path", "job_id", request.path_params["job_id"])
        self._check_scope(request)
        with self.store.lock:
            return self._run_response(self.store.find_run_of_job(job_id))

    async def latest_run_from_ui(self, request: HttpRequest) -> Response:
        agent_id = _query_uuid(request, "extraction_agent_id")
        with self.store.lock:
            self._check_agent(agent_id)
            found = [run for run in self.store.run_list(agent_id) if run.fields.get("from_ui")]
            return (
                self._run_response(max(found, key=lambda run: (run.created, run.number)))
                if found
                else json_response(None)
            )

    async def list_agents(self, request: HttpRequest) -> Response:
        self._check_scope(request)
        with self.store.lock:
            agents = self.store.all_agents()
            if request.query_params.get("include_default", "").lower() in ("true", "1", "yes", "on"):
                agents.append(self.store.default_agent())
            return json_response([agent.fields for agent in agents])

    async def get_agent(self, request: HttpRequest) -> Response:
        agent_id = _uuid("path", "extraction_agent_id", request.path_params["extraction_agent_id"])
        self._check_scope(request)
        with self.store.lock:
            self._check_agent(agent_id)
            agent = self.store.agent(agent_id)
            assert agent
            return json_response(agent.fields)

    async def get_agent_by_name(self, request: HttpRequest) -> Response:
        self._check_scope(request)
        with self.store.lock:
            for agent in self.store.all_agents():
                if agent.fields["name"] == request.path_params["name"]:
                    self._check_agent(agent.fields["id"])
                    return json_response(agent.fields)
        raise _not_found("Extraction agent")

    async def get_default_agent(self, request: HttpRequest) -> Response:
        self._check_scope(request)
        return json_response(self.store.default_agent().fields)

    async def list_jobs(self, request: HttpRequest) -> Response:
        agent_id = _query_uuid(request, "extraction_agent_id")
        with self.store.lock:
            self._check_agent(agent_id)
            runs = [run for run in self.store.run_list(agent_id) if run.fields.get("job_id")]
            return json_response([self._job(run) for run in runs])

    async def get_job(self, request: HttpRequest) -> Response:
        with self.store.lock:
            return json_response(self._job(self._run_of_job(request)))

    async def get_job_result(self, request: HttpRequest) -> Response:
        self._check_scope(request)
        with self.store.lock:
            run = self.store.document(self._run_of_job(request))
        if run["status"] in ("CREATED", "PENDING"):
            raise _not_found("Result of the extraction job")
        result = {"run_id": run["id"], "extraction_agent_id": run["extraction_agent_id"], "data": run["data"]}
        return json_response(result | {"extraction_metadata": run["extraction_metadata"] or {}})

    async def list_files(self, request: HttpRequest) -> Response:
        self._check_scope(request)
        size = _query_int(request, "page_size", 50, 1, 1000)
        start = _query_int(request, "page_token", 0, 0)
        wanted = {_uuid("query", "file_ids", text) for text in request.query_params.getlist("file_ids")}
        with self.store.lock:
            known = self.store.file_ids()
            ids = [file_id for file_id in known if file_id in wanted] if wanted else known
            items = [self._file_v2(file_id) for file_id in ids[start : start + size]]
        after = str(start + size) if len(ids) > start + size else None
        # The service gives the total only when it is asked for in a way that is not documented.
        return json_response({"items": items, "next_page_token": after, "total_size": None})

    async def get_file(self, request: HttpRequest) -> Response:
        file_id = _uuid("path", "file_id", request.path_params["file_id"])
        self._check_scope(request)
        with self.store.lock:
            if file_id in self.store.file_ids():
                return json_response(self._file_v2(file_id))
        raise _not_found("File")

    def _check_scope(self, request: HttpRequest) -> None:
        for name, own in (("project_id", self.store.project_id), ("organization_id", self.store.organization_id)):
            given = request.query_params.get(name)
            if given is not None and _uuid("query", name, given) != own:
                raise HTTPException(403, f"You do not have access to this {name.removesuffix('_id')}")

    def _check_agent(self, agent_id: str) -> None:
        if status := self.store.hidden(agent_id):
            if status == 404:
                raise _not_found("Extraction agent")
            raise HTTPException(status, "You do not have access to this extraction agent")
        if self.store.agent(agent_id) is None:
            raise _not_found("Extraction agent")

    def _run_response(self, run: Run | None) -> Response:
        if run is None:
            raise _not_found("Extraction run")
        self._check_agent(run.fields["extraction_agent_id"])
        return Response(self.store.render(run), media_type="application/json")

    def _run_of_job(self, request: HttpRequest) -> Run:
        run = self.store.find_run_of_job(_uuid("path", "job_id", request.path_params["job_id"]))
        if run is None:
            raise _not_found("Extraction job")
        self._check_agent(run.fields["extraction_agent_id"])
        return run

    def _job(self, run: Run) -> Json:
        agent = self.store.agent(run.fields["extraction_agent_id"])
        assert agent
        status = "PENDING" if run.fields["status"] == "CREATED" else run.fields["status"]
        job = {"id": run.fields["job_id"], "extraction_agent": agent.fields, "status": status}
        return job | {
            "error": run.fields["error"],
            "file_id": run.fields["file_id"],
            "file": self.store.file_of(run),
        }

    def _file_v2(self, file_id: str) -> Json:
        file = self.store.file(file_id)
        return {name: file.get(name) for name in _FILE_FIELDS} | {"download_url": self.store.download_url(file_id)}


# -- control over HTTP, for an emulator that runs as a process -----------------------------------------------

_METHODS = (
    "add_run", "finish_run", "edit_run", "move_run", "set_raw", "delete_run", "delete_file", "add_agent",
    "rename_agent", "delete_agent", "hide_agent", "add_raw_item", "fail", "heal", "reset_requests",
)  # fmt: skip
_SETTINGS = ("order", "page_limit", "presign")


def _control_routes(control: Any, traffic: Traffic) -> list[Route]:
    async def call(request: HttpRequest) -> Response:
        name, text = request.path_params["name"], await request.body()
        try:
            arguments = msgspec.json.decode(text) if text else {}
            if name == "settings":
                for setting, value in arguments.items():
                    if setting not in _SETTINGS:
                        raise ValueError(f"unknown setting {setting!r}: one of {', '.join(_SETTINGS)}")
                    setattr(control, setting, value)
                return json_response(None)
            if name not in _METHODS:
                raise _not_found(f"Method {name}")
            if name in ("add_raw_item", "set_raw"):
                arguments["raw"] = arguments["raw"].encode()
            return json_response(getattr(control, name)(**arguments))
        except (KeyError, TypeError, ValueError) as error:
            raise HTTPException(400, f"{type(error).__name__}: {error}") from None

    async def requests(request: HttpRequest) -> Response:
        return json_response([asdict(answered) for answered in traffic.requests])

    async def runs(request: HttpRequest) -> Response:
        return json_response(control.runs(request.query_params.get("agent_id")))

    async def agents(request: HttpRequest) -> Response:
        return json_response(control.agents())

    return [
        Route("/_emulator/requests", requests),
        Route("/_emulator/runs", runs),
        Route("/_emulator/agents", agents),
        Route("/_emulator/{name}", call, methods=["POST"]),
    ]
