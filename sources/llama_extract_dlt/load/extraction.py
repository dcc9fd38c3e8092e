"""One extraction: what the source's resources share, from the list of agents to the tables of the last batch."""

from __future__ import annotations

import threading
import uuid
from collections import Counter
from collections.abc import Callable, Container, Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain
from typing import Any

import dlt

from ..errors import ConfigurationError, LlamaExtractError, is_fatal
from ..service.budget import RequestBudget
from ..service.client import LlamaCloudClient
from ..tables.build import TableBuilder, rejected_table
from ..tables.contract import LoadTable
from ..tables.parse import give_back_memory
from ..tracking.dry_run import AgentPlan, plan
from ..tracking.events import Agent, Selection, Tally
from ..tracking.feed import Batch, Feed, one_ahead
from .agent_list import AgentList
from .data_tables import DataTables
from .destinations.layout import Layout, prepare_destination
from .dlt_inside import (
    check_dataset,
    claim_package,
    current_load_id,
    one_configuration,
    running_pipeline,
)
from .items import Tables
from .locks.dataset import keep_alone
from .report import Progress, Step, metrics_of, progress_of
from .running_sync import RUNNING_SYNCS, Company, RunningSync
from .warehouse.agent_names import AgentNames
from .warehouse.asking import ask_warehouse
from .warehouse.sql import SqlWarehouse


class Extraction:
    """From the list of agents to the last run that has changed; it may be loaded in several packages.

    Args:
        connect: makes a client.
        budget: the requests of all clients.
        wanted: ids or names of agents; None if agents were not asked for. Where nothing is asked for, it is the whole
            project; an empty list asks for none.
        company: how it goes together with other loads into the dataset, where the load has no lock yet.

    Attributes:
        agents: the project's agents, as far as they were listed.
        package_ids: the runs that the package of one worker of several writes or takes away.
        package_agents: the agents that it has to do with.
        complete: whether all that was to be read has been given.
        loaded: the metrics when `note_loaded` was called last.
        closed: whether somebody ended it before that: an error, or a limit on the resource.
    """

    def __init__(
        self,
        connect: Callable[[RequestBudget], LlamaCloudClient],
        budget: RequestBudget,
        selection: Selection,
        wanted: list[str] | None,
        company: Company,
    ) -> None:
        self.company = company
        self._name = uuid.uuid4().hex
        self.complete = False
        self.loaded: dict[str, Any] | None = None
        self.closed = False
        self._now = datetime.now(UTC)
        self._selection = selection
        self._connect = connect
        self._budget = budget
        self._warehouse = SqlWarehouse(None, None)
        self._layout = Layout()
        self._running_sync: RunningSync | None = None
        self._builder: TableBuilder | None = None
        self._load_id = self._dataset = ""
        self.package_ids: set[str] = set()
        self.package_agents: set[str] = set()
        self._appends = False
        self._tally = Tally()
        self._rows: Counter[str] = Counter()
        self.agents = AgentList(connect, budget, self._tally, wanted)
        self._names = AgentNames(self._warehouse, {})
        self._gone: set[str] = set()
        self._given: Counter[tuple[str, str]] = Counter()
        self._loaded: frozenset[str] = frozenset()
        self._building = threading.Lock()
        self._batches: Generator[Tables, None, None] | None = None
        self._feed: Feed | None = None

    @property
    def goes_on(self) -> bool:
        """Whether the next package of the same load continues it."""
        return self._running_sync is not None and not self.complete and not self.closed

    @property
    def _is_parallel(self) -> bool:
        return self._running_sync is not None and self._running_sync.parallel

    # ── the warehouse ─────────────────────────────────────────────────────────────────────────────────────────────

    def prepare(self, schema: dlt.Schema, state: dict[str, Any]) -> None:
        """Ask the warehouse what it has, and take that over into `schema`; `state` is that of the runs' resource.

        Raises ConfigurationError if the dataset is one that dlt would empty.
        """
        if self._load_id != current_load_id():
            self.package_ids, self.package_agents = set(), set(self._loaded)
        self._load_id = current_load_id()
        if not claim_package(self._name):
            raise LlamaExtractError(
                "another llama_extract source is in the same pipeline.run, and what both read would be there twice: "
                "run one after the other, or name all agents, run_ids and job_ids in one source"
            )
        if self._builder is not None:
            self._warehouse.refresh()
            return
        if (pipeline := running_pipeline()) is not None:
            self._ask(pipeline, schema, state)
        data_table = None
        if self._selection.data_tables == "per_agent":
            data_table = DataTables(
                state.setdefault("data_tables", {}),
                self._warehouse.data_tables,
                lambda agent_id: self._tally.names.get(agent_id, ""),
                schema.naming,
                parallel=self._is_parallel,
            ).table
            self._selection = replace(self._selection, data_table=data_table)
        self._builder = TableBuilder(
            schema.naming,
            {name: table["columns"] for name, table in schema.tables.items()},
            agent_tables=state.get("agent_tables", {}),
            empty_tables=state.get("empty_tables", ()),
            data_table=data_table,
            # Rows are appended to a table only if the warehouse has no such one, and nobody else can make it.
            is_new=lambda table, more: self._appends and self._warehouse.is_absent(table, more),
            suspects=self._warehouse.suspects,
            shared=self._warehouse.shared,
            gone=self._warehouse.is_gone,
        )
        if not self.agents.none_asked(self._selection):
            self._builder.declare_contract()

    def _ask(self, pipeline: dlt.Pipeline, schema: dlt.Schema, state: dict[str, Any]) -> None:
        """Ask the pipeline's warehouse, where nobody else loads; forget what `state` has of one that is another."""
        self._running_sync = RUNNING_SYNCS.get(pipeline)
        if self.company.parallel and self._running_sync is None and self._load_id:
            raise ConfigurationError("parallel is for sync(pipeline, ...): leave it out for a plain pipeline.run")
        self._appends = self._running_sync is not None and not self._is_parallel
        with one_configuration(pipeline):
            if self._load_id and not self._is_parallel:  # without a load, somebody looks at the resources by themselves
                keep_alone(pipeline, self.company.wait_for_lock)
            prepare_destination(pipeline)
            check_dataset(pipeline)
        self._layout, self._warehouse = ask_warehouse(pipeline, schema, state, self._selection.table_format)
        self._dataset = pipeline.dataset_name or ""
        if self._running_sync is not None:
            self._running_sync.extractions.append(self)

    def adopt(self, there: Mapping[str, Mapping[str, str]], own: Container[str]) -> str:
        """Take over what others have made in the warehouse meanwhile, as `Memory.adopt` says."""
        assert self._builder is not None
        with self._building:
            return self._builder.adopt(there, own)

    # ── reading ───────────────────────────────────────────────────────────────────────────────────────────────────

    def plan(self, states: Mapping[str, Any]) -> Iterator[AgentPlan]:
        """Yield what would be read of each agent, `states` being theirs."""
        with self._connect(self._budget) as client:
            yield from plan(client, self.agents.selection(self._selection, client), states, self._now)

    def batches(self, state: dict[str, Any]) -> Iterator[Iterator[LoadTable]]:
        """Yield the tables of each batch, as much as is to be committed together; asked again, go on from there.

        When all tables of a batch are taken, `state`, the resource's, says what is in the warehouse with them. Where
        nobody will ask again, all is committed together.
        """
        if self._batches is None:
            if self._running_sync is None:
                self._selection = replace(self._selection, chunk_size=None)
            self._names = AgentNames(self._warehouse, dict(state.get("agent_names", {})))
            self._batches = self._read(dict(state.get("agents", {})), dict(state.get("unfit", {})))
        commit = False
        try:
            while not commit and (batch := next(self._batches, None)) is not None:
                commit, last = batch.commit, batch.last
                yield map(self.finish, batch.tables)
                batch.remember(state, self._load_id, self._dataset)
                if self._is_parallel:
                    self._given += batch.counts
                    self.package_ids.update(batch.run_ids)
                    self.package_agents |= batch.agents
                self.complete |= last
                del batch
                give_back_memory()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Read nothing more: what failed is begun anew, by another extraction."""
        if self._batches is not None:
            self._batches.close()
        self.closed = True

    def _read(self, states: Mapping[str, Any], told: dict[str, str]) -> Generator[Tables, None, None]:
        with self._connect(self._budget) as client:
            tables = self._tables_of_batches(client, states, told)
            yield from one_ahead(tables, end=client.close)

    def _tables_of_batches(
        self, client: LlamaCloudClient, states: Mapping[str, Any], told: dict[str, str]
    ) -> Iterator[Tables]:
        """Yield batches with their tables, in a thread of their own."""
        selection = self.agents.selection(self._selection, client)
        self._declare(client, selection.agents)
        self._feed = feed = Feed(client, selection, states, self._warehouse, self._tally, self._now)
        for batch in feed.batches():
            yield self._tables(batch, told)

    def _declare(self, client: LlamaCloudClient, loaded: Sequence[Agent]) -> None:
        """Tell the builder of the project's agents, and which of them are loaded."""
        assert self._builder is not None
        self._loaded = frozenset(agent.id for agent in loaded)
        if self.agents.none_asked(self._selection):
            return
        try:
            agents = self.agents.all(client)
        except LlamaExtractError as error:
            if loaded or is_fatal(error):
                raise
            agents = []  # runs that were asked for by their ID can do without
        with self._building:
            self._builder.declare(
                {agent.id: (agent.name, agent.raw) for agent in agents}, [agent.id for agent in loaded]
            )

    def _tables(self, batch: Batch, told: dict[str, str]) -> Tables:
        """Make the tables of a batch; `told` has the runs that no tables can be made of and that were reported.

        Each full scan finds that the warehouse lacks them, which is told once.
        """
        assert self._builder is not None
        flag = self._selection.deleted_runs == "flag"
        gone = [] if flag else [(gone.run_id, gone.agent_id) for gone in batch.gone]
        # Side by side with others, what looks like an orphan may be what one of them is loading.
        orphans = [] if self._is_parallel else batch.orphans
        removed: list[tuple[str, str | None]] = [*gone, *((run_id, None) for run_id in orphans)]
        with self._building:
            built = self._builder.build(
                batch.runs, batch.rejected, load_id=self._load_id, removed=removed, moved=batch.moved
            )
            self._gone.update(gone.run_id for gone in batch.gone)
            flagged = [gone.run_id for gone in batch.gone] if flag else []
            built.tables += self._builder.flagged(self._warehouse.rows(flagged), self._load_id, self._now)
        unfit = {run.id: run for run in batch.runs if run.id in built.unfit}
        new = self._tally.reject_runs(unfit, built.unfit, told)
        tables = list(built.tables)
        if (rejects := rejected_table(new)).rows:
            tables.insert(0, rejects)
        counts = Counter((run.agent_id, run.verdict) for run in batch.runs if run.id not in unfit)
        counts.update((gone.agent_id, "deleted") for gone in batch.gone)
        names, renamed = self._renamed() if batch.last else ({}, {})
        renamed_ids = [run_id for ids in renamed.values() for run_id in ids]
        agents = {run.agent_id for run in batch.runs} | {gone.agent_id for gone in batch.gone} | renamed.keys()
        agents |= set(batch.moved.values())
        return Tables(
            tables=chain(tables, self._names.tables(self._builder, self.agents.known, renamed)),
            states=batch.states,
            agent_tables={agent: list(names) for agent, names in self._builder.agent_tables.items()},
            empty_tables=sorted(self._builder.empty_tables),
            agent_names=names,
            unfit={run_id: run.content_hash for run_id, run in unfit.items()},
            commit=batch.commit,
            last=batch.last,
            counts=counts,
            run_ids=[*(run.id for run in batch.runs), *flagged, *(run_id for run_id, _ in removed), *renamed_ids],
            agents=agents,
        )

    def _renamed(self) -> tuple[dict[str, str], dict[str, list[str]]]:
        """Return what `AgentNames.renamed` does; another worker sees to the names of its agents itself."""
        assert self._feed is not None
        known = self.agents.known
        own = [agent for agent in known if agent.id in self._loaded] if self._is_parallel else known
        return self._names.renamed(own, self._feed.emitted, self._gone)

    # ── agents ────────────────────────────────────────────────────────────────────────────────────────────────────

    def wanted_agents(self) -> Sequence[Agent]:
        """Return the agents that are to be loaded, which takes a request."""
        return () if self.agents.none_asked(self._selection) else self.agents.wanted()

    def agent_tables(self, state: dict[str, Any]) -> Iterator[LoadTable]:
        """Yield the tables of those agents that the warehouse does not have as they are.

        Where it cannot be asked, `state`, which is the resource's, has the hashes of those that were loaded.
        """
        if self.agents.none_asked(self._selection):
            return
        assert self._builder is not None
        agents = self.agents.wanted()
        loaded = self._warehouse.agent_hashes()
        if loaded is None:
            loaded = state.setdefault("loaded", {})
        again = self._selection.rewrite
        changed = {agent.id: agent for agent in agents if again or loaded.get(agent.id) != agent.content_hash}
        with self._building:
            tables = self._builder.agent_rows({agent.content_hash: agent.raw for agent in changed.values()})
        yield from map(self.finish, tables)
        loaded.update({agent.id: agent.content_hash for agent in changed.values()})

    # ── counting ──────────────────────────────────────────────────────────────────────────────────────────────────

    def finish(self, table: LoadTable) -> LoadTable:
        """Return the table as the destination takes it; its rows are counted."""
        table = self._layout.finish(table)
        if table.rows:
            self._rows[table.name] += table.rows
        return table

    def note_loaded(self) -> None:
        """Remember what was counted of the packages that are loaded by now."""
        looked_at = {key: count for key, count in list(self._tally.runs.items()) if key[1] in ("unchanged", "requests")}
        self.loaded = self.metrics(replace(self._tally, runs=self._given + Counter(looked_at)))

    def progress(self, step: Step) -> Progress:
        """Return how far the extraction has come; from any thread."""
        if self._feed is None:
            return Progress(step, requests=self._budget.requests)
        return progress_of(step, self._feed.progress(), self._budget, self._now)

    def metrics(self, tally: Tally | None = None) -> dict[str, Any]:
        """Return the counts so far, as the resources' custom metrics in dlt's trace, or those of the tally."""
        return metrics_of(tally or self._tally, self._rows, self._budget.requests, complete=self.complete)
