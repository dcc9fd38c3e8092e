"""What the emulated service knows: agents, runs and files, a clock of its own, and the ways to change them."""

import hashlib
import threading
import zlib
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import groupby
from typing import Any

import msgspec

from llama_cloud_emulator import corpus as made_up
from llama_cloud_emulator.corpus import Agent, Plan
from llama_cloud_emulator.dice import Dice
from llama_cloud_emulator.documents import CORPORA

Json = Any
ORDERS = ("newest", "oldest", "shuffled", "unstable")
_ADDED = 1_000_000_000  # runs that were added are numbered from here, so that they are no copies of the corpus
_STEP = timedelta(seconds=97, microseconds=123457)
_PRESIGNED = timedelta(hours=1)  # how long a presigned URL is good for
# The order of the fields in an answer; fields that the API does not know come last.
_FIELDS = (
    "id", "created_at", "updated_at", "project_id", "extraction_agent_id", "data_schema", "config", "file_id", "file",
    "status", "error", "job_id", "data", "extraction_metadata", "from_ui",
)  # fmt: skip


@dataclass(slots=True, eq=False)
class Run:
    """A run, or a broken item in a run list (`fields` is empty then, and `rendered` is the item).

    A run that is served as raw bytes is `raw`, and `rendered` is those bytes. `place` is its place among the runs of
    the same instant when the order is `unstable`.
    """

    number: int
    created: datetime
    plan: Plan | None
    fields: dict[str, Json]
    rendered: bytes | None = None
    raw: bool = False
    place: int = 0


class Store:
    """The state of the service; every method may be called from any thread while it is being served."""

    def __init__(
        self, *, runs: int = 200, seed: int = 1, corpus: str = "mixed", order: str = "newest", page_limit: int = 100
    ) -> None:
        if corpus not in CORPORA:
            raise ValueError(f"unknown corpus {corpus!r}: one of {', '.join(CORPORA)}")
        self.seed = seed
        self.page_limit = page_limit
        self.presign = False
        """Whether file records carry a presigned `download_url`, another one at every request."""
        self.project_id = made_up.PROJECT_ID
        self.organization_id = made_up.ORGANIZATION_ID
        self.lock = threading.RLock()
        self._now = made_up.NOW
        self._default_agent = made_up.default_agent(seed)
        self._agents = {agent.fields["id"]: agent for agent in made_up.agents(seed, corpus)}
        self._hidden: dict[str, int | None] = {}
        self._runs: dict[str, Run] = {}
        self._run_of_job: dict[str, str] = {}
        self._items: dict[str, list[Run]] = {agent_id: [] for agent_id in self._agents}
        self._files: dict[str, Plan | dict[str, Json]] = {}
        self._deleted_files: set[str] = set()
        self._presigned = 0
        self._ties = Dice(f"{seed}/ties")
        self._sorted: dict[tuple[str, str], list[Run]] = {}
        self._numbers = 0
        self.order = order
        known, lifelike = list(self._agents.values()), CORPORA[corpus].lifelike
        for index in reversed(range(runs if known else 0)):
            plan, fields = made_up.plan(seed, index, runs, known, lifelike)
            self._insert(Run(self._next_number(), plan.created, plan, fields))

    # -- settings --------------------------------------------------------------------------------------------

    @property
    def order(self) -> str:
        return self._order

    @order.setter
    def order(self, order: str) -> None:
        if order not in ORDERS:
            raise ValueError(f"unknown order {order!r}: one of {', '.join(ORDERS)}")
        self._order = order

    # -- reading ---------------------------------------------------------------------------------------------

    def agents(self) -> list[dict[str, Json]]:
        """All agents as the API answers them, without the default agent."""
        with self.lock:
            return [_copy(agent.fields) for agent in self._agents.values()]

    def runs(self, agent_id: str | None = None) -> list[dict[str, Json]]:
        """All runs (of an agent) as the API answers them, in list order.

        Broken items and runs that are served as raw bytes are left out. When the order is `unstable`, this is the
        order of the last request.
        """
        with self.lock:
            known = list(self._runs.values()) if agent_id is None else self._items.get(agent_id, [])
            items = [item for item in self._ordered(known) if item.plan and not item.raw]
            return [msgspec.json.decode(self.render(item)) for item in items]

    def run(self, run_id: str) -> dict[str, Json]:
        """A run as the API answers it; a ValueError says that its raw bytes are not JSON."""
        with self.lock:
            decoded: dict[str, Json] = msgspec.json.decode(self.render(self._runs[run_id]))
            return decoded

    # -- mutations -------------------------------------------------------------------------------------------

    def add_run(self, agent_id: str | None = None, status: str = "SUCCESS", **fields: Json) -> dict[str, Json]:
        """A new run of an agent (the first one by default), made up as its others are; `fields` win."""
        with self.lock:
            agent = self._agents[agent_id or next(iter(self._agents), "")]
            now, number = self._tick(), self._next_number()
            plan = Plan(self.seed, _ADDED + number, agent, status, now, oddities=False)
            own = made_up.scalars(plan)
            stamp = made_up.timestamp(now)
            run = Run(number, now, plan, {**own, "created_at": stamp, "updated_at": stamp, **fields})
            run.created = _created(run.fields, now)
            if run.fields["id"] in self._runs:
                raise ValueError(f"there is a run {run.fields['id']} already")
            self._insert(run)
            return self.run(run.fields["id"])

    def finish_run(self, run_id: str, status: str = "SUCCESS", **fields: Json) -> dict[str, Json]:
        """A run in flight gets its data, or its error."""
        with self.lock:
            run = self._runs[run_id]
            assert run.plan
            run.plan = replace(run.plan, status=status)
            error = made_up.error_text(run.plan) if status == "ERROR" else None
            return self._change(run, {"status": status, "error": error, "updated_at": self._stamp(), **fields})

    def edit_run(self, run_id: str, touch: bool = True, **fields: Json) -> dict[str, Json]:
        """Override fields of a run; with `touch`, `updated_at` moves as well."""
        with self.lock:
            stamp = self._stamp()
            return self._change(self._runs[run_id], ({"updated_at": stamp} if touch else {}) | fields)

    def move_run(self, run_id: str, agent_id: str, touch: bool = False) -> dict[str, Json]:
        """A run belongs to another agent from now on; with `touch`, `updated_at` moves as well.

        Everything else stays as it was extracted, `data_schema` and `config` too.
        """
        with self.lock:
            own = self._agents[agent_id].fields["id"]
            return self.edit_run(run_id, touch, extraction_agent_id=own)

    def set_raw(self, run_id: str, raw: bytes) -> None:
        """A run is served as these bytes, whatever they are, until `edit_run`, `finish_run` or `move_run` ends that.

        They stand for the run in lists, by its ID and by its job; filters and jobs still see the run as it was.
        """
        with self.lock:
            run = self._runs[run_id]
            run.rendered, run.raw = raw, True

    def delete_run(self, run_id: str) -> None:
        with self.lock:
            self._tick()
            self._remove(self._runs[run_id])

    def add_agent(
        self, name: str, data_schema: dict[str, Json], config: dict[str, Json] | None = None, **fields: Json
    ) -> dict[str, Json]:
        """A new agent; the data of its runs is made up from its schema."""
        with self.lock:
            stamp = self._stamp()
            own: dict[str, Json] = {
                "id": made_up.agent_id(self.seed, self._next_number()),
                "name": name,
                "project_id": self.project_id,
                "data_schema": data_schema,
                "config": made_up.full_config(**(config or {})),
                "custom_configuration": None,
                "created_at": stamp,
                "updated_at": stamp,
            } | fields
            self._agents[own["id"]] = Agent(own, None)
            self._items[own["id"]] = []
            return _copy(own)

    def rename_agent(self, agent_id: str, name: str) -> dict[str, Json]:
        with self.lock:
            agent = self._agents[agent_id]
            agent.fields |= {"name": name, "updated_at": self._stamp()}
            return _copy(agent.fields)

    def delete_agent(self, agent_id: str) -> None:
        """An agent and its runs are no more."""
        with self.lock:
            self._tick()
            del self._agents[agent_id]
            for run in [item for item in self._items[agent_id] if item.plan]:
                self._remove(run)
            del self._items[agent_id]

    def hide_agent(self, agent_id: str, status: int | None = 403) -> None:
        """The agent stays in the list, but it and its runs answer `status`; None ends that."""
        with self.lock:
            self._hidden[self._agents[agent_id].fields["id"]] = status

    def add_raw_item(self, agent_id: str, raw: bytes) -> None:
        """A broken item: it stands in the agent's run list as it is, and counts as one."""
        with self.lock:
            self._items[agent_id].append(Run(self._next_number(), self._tick(), None, {}, raw))
            self._sorted.clear()

    def delete_file(self, file_id: str) -> None:
        """The record of a file is no more; a run that has a `file` of its own keeps it."""
        with self.lock:
            if file_id not in self._files or file_id in self._deleted_files:
                raise KeyError(file_id)
            self._tick()
            self._deleted_files.add(file_id)

    # -- for the HTTP layer ----------------------------------------------------------------------------------

    def agent(self, agent_id: str) -> Agent | None:
        default = self._default_agent
        return default if agent_id == default.fields["id"] else self._agents.get(agent_id)

    def hidden(self, agent_id: str) -> int | None:
        return self._hidden.get(agent_id)

    def default_agent(self) -> Agent:
        return self._default_agent

    def all_agents(self) -> list[Agent]:
        return list(self._agents.values())

    def run_list(self, agent_id: str) -> list[Run]:
        """The items of an agent's run list in the order of the moment."""
        if self.order == "unstable":
            self._shuffle_ties(self._items.get(agent_id, []))
            return self._ordered(self._items.get(agent_id, []))
        key = (agent_id, self.order)
        if key not in self._sorted:
            self._sorted[key] = self._ordered(self._items.get(agent_id, []))
        return self._sorted[key]

    def find_run(self, run_id: str) -> Run | None:
        return self._runs.get(run_id)

    def find_run_of_job(self, job_id: str) -> Run | None:
        return self._runs.get(self._run_of_job.get(job_id, ""))

    def file_ids(self) -> list[str]:
        return [file_id for file_id in self._files if file_id not in self._deleted_files]

    def file(self, file_id: str) -> dict[str, Json]:
        """A file, even one whose record was deleted: its runs may still have it."""
        found = self._files[file_id]
        return made_up.file_record(found, file_id) if isinstance(found, Plan) else found

    def download_url(self, file_id: str) -> Json:
        """What a file record has as `download_url`: null, or a presigned URL that no other answer has."""
        if not self.presign:
            return None
        self._presigned += 1
        signature = hashlib.sha256(f"{self.seed}/{file_id}/{self._presigned}".encode()).hexdigest()
        query = (
            f"X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=EMULATOR%2F{self._now:%Y%m%d}%2Fus-east-1%2Fs3"
            f"%2Faws4_request&X-Amz-Date={self._now:%Y%m%dT%H%M%SZ}&X-Amz-Expires={_PRESIGNED.seconds}"
            f"&X-Amz-SignedHeaders=host&X-Amz-Signature={signature}"
        )
        return {
            "url": f"https://files.llamacloud.invalid/{self.project_id}/{file_id}?{query}",
            "expires_at": made_up.timestamp(self._now + _PRESIGNED),
            "form_fields": None,
        }

    def file_of(self, run: Run) -> Json:
        file_id = run.fields["file_id"]
        # The field is deprecated: some runs have only the ID.
        without = run.plan and run.plan.oddities and run.plan.index % 19 == 6
        return None if file_id is None or without else self.file(file_id)

    def document(self, run: Run) -> dict[str, Json]:
        """The whole run; what it holds may be shared with other runs, so it must not be changed."""
        assert run.plan
        fields = made_up.body(run.plan) | {"file": self.file_of(run)} | run.fields
        return {name: fields.pop(name) for name in _FIELDS} | fields

    def render(self, run: Run) -> bytes:
        """The run as JSON, made once."""
        if run.rendered is None:
            run.rendered = msgspec.json.encode(self.document(run))
        return run.rendered

    def warm(self) -> None:
        """Render all runs now."""
        for run in list(self._runs.values()):
            self.render(run)

    # -- inside ----------------------------------------------------------------------------------------------

    def _ordered(self, items: list[Run]) -> list[Run]:
        if self.order == "shuffled":
            return sorted(items, key=lambda run: zlib.crc32(f"{self.seed}/{run.number}".encode()))
        if self.order == "unstable":
            return sorted(items, key=lambda run: (run.created, -run.place, run.number), reverse=True)
        return sorted(items, key=lambda run: (run.created, run.number), reverse=self.order == "newest")

    def _shuffle_ties(self, items: list[Run]) -> None:
        """Gives the runs of the same instant another order than they had."""
        for _, group in groupby(self._ordered(items), key=lambda run: run.created):
            before = list(group)
            if len(before) > 1:
                after = sorted(before, key=lambda run: self._ties.random())
                for place, run in enumerate(after if after != before else after[1:] + after[:1]):
                    run.place = place

    def _tick(self) -> datetime:
        self._now += _STEP
        return self._now

    def _stamp(self) -> str:
        return made_up.timestamp(self._tick())

    def _next_number(self) -> int:
        self._numbers += 1
        return self._numbers

    def _insert(self, run: Run) -> None:
        assert run.plan
        fields = run.fields
        self._runs[fields["id"]] = run
        self._items[fields["extraction_agent_id"]].append(run)
        if fields["job_id"] is not None:
            self._run_of_job[fields["job_id"]] = fields["id"]
        if fields["file_id"] is not None:
            self._files[fields["file_id"]] = fields.get("file") or run.plan
        self._sorted.clear()

    def _remove(self, run: Run) -> None:
        # The file of a run outlives it.
        del self._runs[run.fields["id"]]
        self._run_of_job.pop(run.fields["job_id"] or "", None)
        self._items[run.fields["extraction_agent_id"]].remove(run)
        self._sorted.clear()

    def _change(self, run: Run, fields: dict[str, Json]) -> dict[str, Json]:
        self._remove(run)
        run.fields = run.fields | fields
        run.created = _created(run.fields, run.created)
        self._insert(run)
        run.rendered, run.raw = None, False
        return self.run(run.fields["id"])


def _created(fields: dict[str, Json], otherwise: datetime) -> datetime:
    """The instant by which the run is sorted."""
    try:
        moment = datetime.fromisoformat(fields["created_at"])
    except (TypeError, ValueError):  # null, or a broken time that a test wants to see
        return otherwise
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _copy(fields: dict[str, Json]) -> dict[str, Json]:
    copied: dict[str, Json] = msgspec.json.decode(msgspec.json.encode(fields))
    return copied
