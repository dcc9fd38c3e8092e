"""A machine that tries to make the sync miss something: hypothesis plays the service, the network and the user.

It creates, finishes, edits, moves and deletes runs and agents, also between two requests of a sync, breaks syncs and
kills them, lets the service lie, changes settings and goes through other doors, and after every sync that was left in
peace compares all that is in the warehouse with the service. A step is one
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
import duckdb
import pytest
from dlt.common.runtime.collector_base import Collector
from dlt.pipeline.exceptions import PipelineStepFailed
from hypothesis import HealthCheck, Phase, assume, event, note, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from llama_cloud_emulator import Emulator
from llama_extract_dlt import llama_extract
from support.doors import Executioner, Quiet, is_kill, pipeline_of
from support.profiles import MODEL_STEPS, PROFILE
from support.truth import assert_names
from support.warehouse import Warehouse, differences, expected_run, loaded_runs

SOAK = "SOAK_STEPS" in os.environ
STEPS = 50  # of an example
EXAMPLES = max(1, int(os.environ.get("SOAK_STEPS", MODEL_STEPS[PROFILE])) // STEPS)
# Shards of a few examples each, so that they can run side by side.
SHARDS = -(-EXAMPLES // 3)
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
    "timeless": 2, "add agent": 2, "rename agent": 3, "delete agent": 2, "hide agent": 2, "show agents": 3,
    "broken item": 2, "order": 2, "page limit": 4, "move": 2,
}  # fmt: skip
SYNCS = {
    "sync": 5, "sync a part": 1, "sync while things change": 3, "sync that is broken": 3, "sync of a liar": 4,
    "sync by another door": 3, "sync into other tables": 1, "rows are lost or doubled": 1,
}  # fmt: skip
DOORS = ("plain", "limit", "another name", "steps")


def capped(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"total": min(document["total"], dice.randint(0, 5))}


def swollen(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"total": document["total"] + dice.choice([1, 7])}


def silent(dice: random.Random, query: Any, document: Any) -> Any:
    return {key: value for key, value in document.items() if key != "total"}


def empty(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"items": [], "total": 0}


def empty_page(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"items": []}


def deaf(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"skip": 0 if dice.random() < 0.5 else dice.randint(1, 9)}


def forgetful(dice: random.Random, query: Any, document: Any) -> Any:
    kept = [item for item in document["items"] if dice.random() < 0.7]
    return document | {"items": kept, "total": max(len(kept), document["total"] - len(document["items"]) + len(kept))}


def stuttering(dice: random.Random, query: Any, document: Any) -> Any:
    items = document["items"]
    return document | {"items": [*items, dice.choice(items)] if items else items}


def mixed_up(dice: random.Random, query: Any, document: Any) -> Any:
    return document | {"items": dice.sample(document["items"], len(document["items"]))}


# What a run list can be wrong about.
LIES = {
    "a total that is too low": capped, "a total that is too high": swollen, "no total": silent, "nothing at all": empty,
    "an empty page": empty_page, "another offset": deaf, "some runs left out": forgetful, "a run twice": stuttering,
    "another order": mixed_up,
}  # fmt: skip


class Machine(RuleBasedStateMachine):
    """The service, and what a warehouse should have of it.

    Attributes:
        versions: every version that a run ever had, as a warehouse would have it.
        stale: runs that changed after they were final: whether a normal sync sees that depends on where they stand.
        hidden_late: whether a run may be hidden from normal syncs: it came in behind the lag while others were deleted.
        misled: whether only a full scan makes sure of everything again: the service has lied, another pipeline or
            setting was at work, a full scan was cut off, or somebody changed rows.
        unread: the agents whose lists the last sync could not read whole, as it said; that only happens here when the
            order of the lists is not stable.
        out_of_sight: runs that have moved to an agent which was not shown afterwards: nothing tells such a run from one
            that is deleted, until a full scan sees it again.
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
        self.misled = False
        self.moved: set[str] = set()
        self.out_of_sight: set[str] = set()
        self.held: set[str] = set()
        self.unread: set[str] = set()
        self.names = 0

    @initialize(
        mode=st.sampled_from(["flag", "remove"]), limit=st.sampled_from([3, 5, 100]), any_number=st.integers(0, 2**32)
    )
    def begin(self, mode: str, limit: int, any_number: int) -> None:
        assume(any_number)  # hypothesis begins with zeros for everything, which would be the same in every shard
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
                self.out_of_sight |= {run_id for run_id in self.moved if self.agent_of[run_id] == agent}
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
            self.cloud.order = dice.choice(["newest", "newest", "oldest", "shuffled", "unstable"])
        elif kind == "move":
            visible = [agent for agent in agents if agent not in self.hidden]
            if (runs := [run for run in self.runs() if run["extraction_agent_id"] in visible]) and len(visible) > 1:
                run = dice.choice(runs)
                others = [agent for agent in visible if agent != run["extraction_agent_id"]]
                self.note(self.cloud.move_run(run["id"], dice.choice(others), dice.random() < 0.5))
                self.moved.add(run["id"])
                self.misled = True  # it may stand anywhere in the other list
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
        chunk, full = dice.choice([None, 2, 5]), dice.random() < 0.3
        try:
            self.load(True, progress=progress, chunk_size=chunk, full_scan=full)
        except BaseException as error:
            self.misled |= full  # it may have written a part of what only a full scan sees
            if not (fault and isinstance(error, PipelineStepFailed)) and not is_kill(error):
                raise
            event(f"broken by {fault or 'a kill'}")
        finally:
            self.cloud.heal()
        if dice.random() < 0.5:
            shutil.rmtree(self.folder / "dlt", ignore_errors=True)

    def sync_of_a_liar(self, dice: random.Random) -> None:
        """The service lies: once, for a while, or as long as the sync lasts. In most cases it is honest right after."""
        lie, left = dice.choice(list(LIES)), dice.choice([1, 1, 3, 1000])
        after = dice.randint(0, 8)
        note(f"{lie}, {left} times after {after}")

        def on_answer(path: str, query: dict[str, list[str]], document: Any) -> Any:
            nonlocal left, after
            if not path.endswith("/runs"):
                return None
            after -= 1
            if after >= 0 or left <= 0:
                return None
            left -= 1
            return LIES[lie](dice, query, document)

        self.cloud.on_answer = on_answer
        self.misled = True
        try:
            door = dice.choice(["load", "load", *DOORS])
            self.load(dice.random() < 0.5, door=door, chunk_size=dice.choice([None, 3]), full_scan=dice.random() < 0.5)
        finally:
            self.cloud.on_answer = None
        event(f"lie: {lie}")
        self.compare(False)
        if dice.random() < 0.7:
            self.load(True, full_scan=True)
            self.compare(True)

    def sync_by_another_door(self, dice: random.Random) -> None:
        """A plain run, one that is cut off, one by another name: in any state of the folder, killed or not."""
        door, kill = dice.choice(DOORS), dice.random() < 0.4
        self.misled = True
        try:
            progress = Executioner(dice.randint(1, 90)) if kill else None
            self.load(dice.random() < 0.5, progress, door=door, chunk_size=2, full_scan=dice.random() < 0.5)
        except BaseException as error:
            if not is_kill(error):
                raise
        event(f"door: {door}")
        if dice.random() < 0.5:
            self.load(dice.random() < 0.5, door=dice.choice(["load", "plain"]), full_scan=True)
            self.compare(True)

    def sync_into_other_tables(self, dice: random.Random) -> None:
        """The setting for the data's tables is changed, perhaps not for long, and changed back."""
        self.misled = True
        try:
            progress = Executioner(dice.randint(1, 90)) if dice.random() < 0.5 else None
            chunk = dice.choice([None, 1, 3])
            self.load(True, progress, door=dice.choice(["load", "plain"]), data_tables="per_agent", chunk_size=chunk)
        except BaseException as error:
            if not is_kill(error):
                raise
        self.load(True, full_scan=True)
        self.compare(True)

    def rows_are_lost_or_doubled(self, dice: random.Random) -> None:
        """Somebody writes into the tables."""
        if not self.house.path.exists():
            return
        self.house.forget()
        tables = [
            table for table in self.house.tables() if table.startswith("extraction_runs__d") and self.house.rows(table)
        ]
        if not tables:
            return
        table = dice.choice(tables)
        run_id = dice.choice([row["_run_id"] for row in self.house.rows(table)])
        with duckdb.connect(str(self.house.path)) as connection:
            name = f'llama_extract."{table}"'
            if dice.random() < 0.5:
                connection.execute(f"delete from {name} where _run_id = ?", [run_id])
            else:
                connection.execute(f"insert into {name} select * from {name} where _run_id = ?", [run_id])
        self.load(True, full_scan=True)
        # A run that is deleted at the service cannot be read again.
        if any(run["id"] == run_id and run["extraction_agent_id"] not in self.hidden for run in self.runs()):
            self.compare(True)
        else:
            tables = self.house.tables()
            with duckdb.connect(str(self.house.path)) as connection:
                for child in tables:
                    key = "id" if child == "extraction_runs" else "_run_id"
                    if child.startswith("extraction_runs") and not child.endswith("__rejected"):
                        connection.execute(f'delete from llama_extract."{child}" where {key} = ?', [run_id])

    # ── loading and comparing ─────────────────────────────────────────────────────────────────────────────────

    def load(self, fresh: bool, progress: Collector | None = None, door: str = "load", **arguments: Any) -> None:
        """As the command does it: from what the destination knows. Or with the working folder, if that is clean.

        Other doors do as their users do: the working folder stays, whatever is pending in it.
        """
        if self.house.pipeline.is_active:
            self.house.pipeline.deactivate()
        name = "another" if door == "another name" else "llama_extract"
        pipeline = self.pipeline(progress, name)
        if fresh or (door == "load" and pipeline.has_pending_data):
            pipeline.drop()
            pipeline = self.pipeline(progress, name)
        self.house.pipeline = pipeline
        arguments |= {"deleted_runs": self.mode, "full_scan_every": 0, "max_tries": 1, "lookup_files": False}
        self.unread = set()
        if door == "load":
            unreadable = self.house.load(page_size=100, **arguments)["unreadable"]
            self.unread = (unreadable.keys() & set(self.agents())) - self.hidden
            return
        source = llama_extract(api_key=self.cloud.api_key, base_url=self.cloud.base_url, page_size=100, **arguments)
        if door == "limit":
            source.add_limit(1 + len(self.versions) % 7)
        if door == "steps":
            pipeline.extract(source)
            pipeline.normalize()
            pipeline.load()
            return
        pending = pipeline.has_pending_data
        pipeline.run(source)
        if pending:  # dlt has loaded what was pending, and nothing else
            pipeline.run(source)

    def pipeline(self, progress: Collector | None, name: str = "llama_extract") -> dlt.Pipeline:
        return pipeline_of(self.house, name, progress or Quiet())

    def compare(self, full: bool) -> None:
        """Everything in the warehouse, with the service."""
        self.house.forget()
        if self.misled and not full:
            self.compare_what_lives()
            return
        loaded = loaded_runs(self.house)
        gone = {row["id"] for row in self.house.rows("extraction_runs") if row.get("_deleted_at")}
        truth = {run["id"]: run for run in self.cloud.runs()}
        first_pages = {run["id"] for agent in self.agents() for run in self.cloud.runs(agent)[: self.cloud.page_limit]}
        masked = bool(self.was_deleted)  # since the last full scan: a deletion can hide a run that came in very late
        for run_id, run in truth.items():
            hidden = self.agent_of[run_id] in self.hidden
            if run_id in self.out_of_sight and (hidden or not full):
                continue
            if hidden:
                assert run_id not in gone, f"{run_id} was found deleted, but its agent is only hidden"
                continue
            if not full and run_id in self.late and masked and run_id not in loaded:
                continue
            if self.agent_of[run_id] in self.unread and run_id not in gone:
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
            if full and agent not in self.hidden | self.unread:
                assert self.mode == "flag", f"{run_id} was deleted, but is there"
                assert run_id in gone, f"{run_id} was deleted, but is not flagged"
        assert not self.unread or self.cloud.order == "unstable"
        if full:
            if not self.hidden | self.unread:
                assert_names(self.house)
            if not self.unread:
                self.was_deleted.clear()
                self.late.clear()
            self.misled = bool(self.hidden or self.unread)
            self.out_of_sight = {run_id for run_id in self.out_of_sight if self.agent_of[run_id] in self.hidden}
        self.held = set(loaded)
        event("compared in full" if full else "compared")

    def compare_what_lives(self) -> None:
        """Nothing that lives is flagged, or gone where it was: whatever the service says."""
        rows = {row["id"]: row for row in self.house.rows("extraction_runs")}
        for run in self.cloud.runs():
            run_id = run["id"]
            if run_id in self.out_of_sight:
                continue
            assert run_id in rows or run_id not in self.held, f"{run_id} is gone, but is there"
            flagged = run_id in rows and rows[run_id].get("_deleted_at")
            assert not flagged or run_id in self.stale, f"{run_id} was found deleted, but is there"
        self.held = set(rows)
        event("compared what lives")

    def one_of_its_versions(self, run_id: str, actual: Any) -> bool:
        return any(not list(differences(version, actual)) for version in self.versions[run_id])


@pytest.mark.parametrize("shard", range(SHARDS))
def test_nothing_is_missed_whatever_happens(shard: int) -> None:
    machine: type[Machine] = type(Machine.__name__, (Machine,), {})
    profile = settings()
    if profile.derandomize and not SOAK:
        machine = seed(shard)(machine)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES // SHARDS + (shard < EXAMPLES % SHARDS),
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=profile.derandomize and not SOAK,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.explicit, Phase.generate, *([Phase.shrink] if SOAK else [])],
            database=None,
            report_multiple_bugs=False,
            print_blob=True,
        ),
    )
