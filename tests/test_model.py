"""A machine that tries to make the sync miss something: hypothesis plays the service, the network and the user.

It creates, finishes, edits and deletes runs and agents, also between two requests of a sync, breaks syncs and kills
them, and after every sync that was left in peace compares all that is in the warehouse with the service. A step is one
of these moves. `make soak` runs it for longer.
"""

import os
import random
import shutil
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import dlt
from dlt.common.runtime.collector_base import Collector
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, Phase, event, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from llama_cloud_emulator import Emulator
from warehouse import Warehouse, differences, expected_run, loaded_runs

STEPS, EXAMPLES = 50, int(os.environ.get("SOAK_STEPS", "2000")) // 50
SMALL = {
    "type": "object",
    "properties": {"name": {"type": "string"}, "items": {"type": "array", "items": {"type": "integer"}}},
}
OTHER = {"type": "object", "properties": {"name": {"type": "integer"}, "day": {"type": "string", "format": "date"}}}
IN_FLIGHT = ("CREATED", "PENDING")
DATA = st.sampled_from(
    [
        {"name": "a", "items": []},
        {"name": "b", "items": [1, 2, 3]},
        {"name": 7, "items": ["x", {"deep": [1.5]}]},
        {"name": None, "more": {"list": [{"n": 1}, {"n": 2}]}},
        {},
        None,
    ]
)


# Moves, and how often each of them is made.
CHANGES = {
    "create": 14, "many runs": 4, "start": 4, "finish": 10, "edit": 10, "delete": 9, "equal": 3, "late": 4,
    "timeless": 2, "add agent": 2, "rename agent": 1, "delete agent": 2, "hide agent": 2, "show agents": 3,
    "broken item": 2, "order": 2, "page limit": 4,
}  # fmt: skip
SYNCS = {"sync": 5, "sync a part": 1, "sync while things change": 3, "sync that is broken": 3}


class Killed(BaseException):
    """Stands for a process that is no more."""


class Executioner(Collector):
    """Ends the pipeline at one of the moments at which dlt reports progress: an item, a file, a job."""

    def __init__(self, moments: int) -> None:
        super().__init__()
        self.left = moments

    def update(self, *_: Any, **__: Any) -> None:
        self.left -= 1
        if self.left == 0:
            raise Killed

    def _start(self, step: str) -> None:
        self.update()

    def _stop(self) -> None:
        pass


class Machine(RuleBasedStateMachine):
    """The service, and what a warehouse should have of it.

    Attributes:
        versions: every version that a run ever had, as a warehouse would have it.
        stale: runs that changed after they were final: whether a normal sync sees that depends on where they stand.
        hidden_late: whether a run may be hidden from normal syncs: it came in behind the lag while others were deleted.
    """

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="model"))
        os.environ["DLT_DATA_DIR"] = str(self.folder / "dlt")
        self.cloud = Emulator(runs=0, corpus="invoices")
        self.cloud.start()
        self.house = Warehouse(self.cloud, self.folder / "warehouse.duckdb")
        self.versions: dict[str, list[Any]] = {}
        self.agent_of: dict[str, str] = {}
        self.stale: dict[str, bool] = {}
        self.hidden: set[str] = set()
        self.late: set[str] = set()
        self.was_deleted: set[str] = set()
        self.names = 0

    @initialize(mode=st.sampled_from(["flag", "remove"]), limit=st.sampled_from([3, 5, 100]))
    def begin(self, mode: str, limit: int) -> None:
        self.mode = mode
        self.cloud.page_limit = limit
        for schema in (SMALL, OTHER):
            self.cloud.add_agent(f"Agent {self.names}", schema)
            self.names += 1

    def teardown(self) -> None:
        self.cloud.stop()
        self.house.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    # ── what the service does ─────────────────────────────────────────────────────────────────────────────────

    def note(self, run: dict[str, Any]) -> None:
        self.versions.setdefault(run["id"], []).append(expected_run(run))
        self.agent_of[run["id"]] = run["extraction_agent_id"]

    def agents(self) -> list[str]:
        return [agent["id"] for agent in self.cloud.agents()]

    def runs(self, *statuses: str) -> list[dict[str, Any]]:
        return [run for run in self.cloud.runs() if not statuses or run["status"] in statuses]

    def change(self, kind: str, dice: random.Random) -> None:
        """One change at the service; `kind` says which, `dice` what it hits."""
        agents = self.agents()
        if kind == "create":
            if agents:
                status = dice.choice(["SUCCESS", "SUCCESS", "CREATED", "PENDING", "ERROR", "CANCELLED"])
                self.note(self.cloud.add_run(dice.choice(agents), status))
        elif kind == "late":  # it becomes visible after younger ones
            if agents:
                agent = dice.choice(agents)
                newest = max((run["created_at"] or "" for run in self.cloud.runs(agent)), default="")
                if newest:
                    ago = dice.choice([50, 400, 7000])
                    moment = (datetime.fromisoformat(newest) - timedelta(seconds=ago)).isoformat()
                    run = self.cloud.add_run(agent, created_at=moment, updated_at=moment)
                    self.note(run)
                    if ago > 500:
                        self.late.add(run["id"])
        elif kind == "timeless":
            if agents:
                fields = dice.choice(
                    [{"updated_at": None}, {"created_at": None}, {"created_at": None, "updated_at": None},
                     {"updated_at": "2999-01-01T00:00:00Z"}, {"updated_at": "no time"}]
                )  # fmt: skip
                self.note(self.cloud.add_run(dice.choice(agents), **fields))
        elif kind == "equal":
            if agents:
                agent = dice.choice(agents)
                first = self.cloud.add_run(agent)
                self.note(first)
                moments = {"created_at": first["created_at"], "updated_at": first["updated_at"]}
                for _ in range(dice.choice([1, 4])):
                    self.note(self.cloud.add_run(agent, **moments))
        elif kind == "many runs":
            if agents:
                agent = dice.choice(agents)
                for _ in range(dice.randint(2, 12)):
                    self.note(self.cloud.add_run(agent, dice.choice(["SUCCESS", "SUCCESS", "PENDING"])))
        elif kind in ("start", "finish"):
            if waiting := self.runs("CREATED" if kind == "start" else "PENDING", *IN_FLIGHT[kind == "start" :]):
                run = dice.choice(waiting)
                if kind == "start":
                    self.note(self.cloud.edit_run(run["id"], status="PENDING"))
                else:
                    self.note(self.cloud.finish_run(run["id"], dice.choice(["SUCCESS", "SUCCESS", "ERROR"])))
        elif kind == "edit":
            if runs := self.runs():
                run, touch = dice.choice(runs), dice.random() < 0.7
                data = dice.choice([{"name": "e", "items": []}, {"name": 1, "items": [5]}, None, {"new": {"er": True}}])
                changed = {"data": data} if dice.random() < 0.8 else {"error": f"edited {dice.random()}"}
                if dice.random() < 0.3:
                    changed["extraction_metadata"] = None
                self.note(self.cloud.edit_run(run["id"], touch, **changed))
                if run["status"] not in IN_FLIGHT:
                    self.stale[run["id"]] = touch and self.stale.get(run["id"], True)
        elif kind == "delete":
            if runs := self.runs():
                self.delete(dice.choice(runs)["id"])
        elif kind == "add agent":
            if len(agents) < 5:
                self.cloud.add_agent(f"Agent {self.names}", dice.choice([SMALL, OTHER]))
                self.names += 1
        elif kind == "rename agent":
            if agents:
                self.cloud.rename_agent(dice.choice(agents), f"Agent {self.names}")
                self.names += 1
        elif kind == "delete agent":
            if visible := [agent for agent in agents if agent not in self.hidden]:
                agent = dice.choice(visible)
                for run in self.cloud.runs(agent):
                    self.was_deleted.add(run["id"])
                self.cloud.delete_agent(agent)
        elif kind == "hide agent":
            if agents:
                agent = dice.choice(agents)
                self.cloud.hide_agent(agent, dice.choice([403, 404]))
                self.hidden.add(agent)
        elif kind == "show agents":
            for agent in self.hidden & set(agents):
                self.cloud.hide_agent(agent, None)
            self.hidden.clear()
        elif kind == "broken item":
            if agents:
                self.cloud.add_raw_item(
                    dice.choice(agents), dice.choice([b"null", b'{"id": 7}', b'{"a": "%d"}' % self.names])
                )
        elif kind == "order":
            self.cloud.order = dice.choice(["newest", "newest", "oldest", "shuffled"])
        elif kind == "page limit":
            self.cloud.page_limit = dice.choice([1, 2, 3, 5, 100])
        else:
            raise AssertionError(kind)

    def delete(self, run_id: str) -> None:
        self.cloud.delete_run(run_id)
        self.was_deleted.add(run_id)

    # ── moves ─────────────────────────────────────────────────────────────────────────────────────────────────

    @rule(dice=st.randoms(use_true_random=True))
    def step(self, dice: random.Random) -> None:
        """One move. Which one is drawn here, since hypothesis prefers few of many rules."""
        (move,) = dice.choices([*CHANGES, *SYNCS], [*CHANGES.values(), *SYNCS.values()])
        note(move)
        event(move)
        if move in CHANGES:
            self.change(move, dice)
        else:
            getattr(self, move.replace(" ", "_"))(dice)

    def sync(self, dice: random.Random) -> None:
        full, fresh = dice.random() < 0.4, dice.random() < 0.5
        self.load(fresh, chunk_size=dice.choice([None, None, 1, 4]), full_scan=full)
        self.compare(full)

    def sync_a_part(self, dice: random.Random) -> None:
        """A window of time, or one agent."""
        moments = sorted(run["updated_at"] for run in self.runs() if (run["updated_at"] or "").startswith("20"))
        if moments and dice.random() < 0.5:
            since = dice.choice(moments)
            until = (datetime.fromisoformat(since) + timedelta(seconds=dice.choice([1, 1000, 5000]))).isoformat()
            self.load(False, since=since, until=until)
        elif agents := self.agents():
            self.load(False, agents=[dice.choice(agents)])

    def sync_while_things_change(self, dice: random.Random) -> None:
        """Changes between two requests of a sync, mostly while a run list is read."""
        at, count = dice.randint(0, 8), 0
        pending = dice.choices(list(CHANGES), list(CHANGES.values()), k=dice.randint(1, 5))
        together = dice.random() < 0.5
        note(f"at request {at}: {pending}")

        def meanwhile(*_: Any) -> None:
            nonlocal count
            count += 1
            while count > at and pending:
                with self.cloud.lock:
                    self.change(pending.pop(), dice)
                if not together:
                    break

        self.cloud.on_request = meanwhile
        try:
            self.load(True, chunk_size=dice.choice([None, 2]), full_scan=dice.random() < 0.3)
        finally:
            self.cloud.on_request = None

    def sync_that_is_broken(self, dice: random.Random) -> None:
        """The process ends at any of its writes, or the service fails at one request. The folder may be lost, too."""
        fault = dice.choice([None, None, "status", "disconnect", "truncate", "not_json"])
        if fault:
            self.cloud.fail(times=1, skip=dice.randint(0, 12), kind=fault, status=500)
        progress = None if fault else Executioner(dice.randint(1, 90))
        chunk = dice.choice([None, 2, 5])
        try:
            self.load(True, progress=progress, chunk_size=chunk, full_scan=dice.random() < 0.3)
        except BaseException as error:
            if not (fault and isinstance(error, PipelineStepFailed)) and not killed(error):
                raise
            event(f"broken by {fault or 'a kill'}")
        finally:
            self.cloud.heal()
        if dice.random() < 0.5:
            shutil.rmtree(self.folder / "dlt", ignore_errors=True)

    # ── loading and comparing ─────────────────────────────────────────────────────────────────────────────────

    def load(self, fresh: bool, progress: Collector | None = None, **arguments: Any) -> None:
        """As the command does it: from what the destination knows. Or with the working folder, if that is clean."""
        if self.house.pipeline.is_active:
            self.house.pipeline.deactivate()
        pipeline = self.pipeline(progress)
        if fresh or pipeline.has_pending_data:
            pipeline.drop()
            pipeline = self.pipeline(progress)
        self.house.pipeline = pipeline
        self.house.load(
            deleted_runs=self.mode, full_scan_every=0, max_tries=1, lookup_files=False, page_size=100, **arguments
        )

    def pipeline(self, progress: Collector | None) -> dlt.Pipeline:
        destination = dlt.destinations.duckdb(str(self.house.path))
        return dlt.pipeline(
            "llama_extract", destination=destination, dataset_name="llama_extract", progress=progress or Quiet()
        )

    def compare(self, full: bool) -> None:
        """Everything in the warehouse, with the service."""
        self.house.forget()
        loaded = loaded_runs(self.house)
        gone = {row["id"] for row in self.house.rows("extraction_runs") if row.get("_deleted_at")}
        truth = {run["id"]: run for run in self.cloud.runs()}
        first_pages = {run["id"] for agent in self.agents() for run in self.cloud.runs(agent)[: self.cloud.page_limit]}
        masked = bool(self.was_deleted)  # since the last full scan: a deletion can hide a run that came in very late
        for run_id, run in truth.items():
            if self.agent_of[run_id] in self.hidden:
                assert run_id not in gone, f"{run_id} was found deleted, but its agent is only hidden"
                continue
            if not full and run_id in self.late and masked and run_id not in loaded:
                continue
            assert run_id in loaded, f"{run_id} is missing"
            assert run_id not in gone or (not full and run_id in self.stale), (
                f"{run_id} was found deleted, but is there"
            )
            wrong = list(differences(expected_run(run), loaded[run_id], run_id))
            seen = run_id in first_pages and self.stale.get(run_id)
            if wrong and not full and run_id in self.stale and not seen:
                assert self.one_of_its_versions(run_id, loaded[run_id]), wrong
            else:
                assert wrong == []
                self.stale.pop(run_id, None)
        for run_id in loaded.keys() - truth.keys():
            agent = self.agent_of[run_id]
            assert self.one_of_its_versions(run_id, loaded[run_id])
            if full and agent not in self.hidden:
                assert self.mode == "flag", f"{run_id} was deleted, but is there"
                assert run_id in gone, f"{run_id} was deleted, but is not flagged"
        if full:
            self.was_deleted.clear()
            self.late.clear()
        event("compared in full" if full else "compared")

    def one_of_its_versions(self, run_id: str, actual: Any) -> bool:
        return any(not list(differences(version, actual)) for version in self.versions[run_id])


class Quiet(Collector):
    """No progress, and nothing said about it."""

    def update(self, *_: Any, **__: Any) -> None:
        pass

    def _start(self, step: str) -> None:
        pass

    def _stop(self) -> None:
        pass


def killed(error: BaseException | None) -> bool:
    """Whether the error comes from the executioner."""
    while error is not None:
        if isinstance(error, Killed):
            return True
        error = error.__cause__ or error.__context__
    return False


def test_nothing_is_missed_whatever_happens() -> None:
    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize="SOAK_STEPS" not in os.environ,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if "SOAK_STEPS" in os.environ else [])],
            database=None,
            report_multiple_bugs=False,
            print_blob=True,
        ),
    )
