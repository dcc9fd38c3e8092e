"""Temporary: the table builder's interface on top of today's tables room."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from types import SimpleNamespace
from typing import Any

import msgspec

from ..service.records import Rejected
from ..tables.build import RunTables
from ..tables.parse import Parser
from ..tables.split import read_runs


@dataclass
class Built:
    tables: list[Any]
    unfit: dict[str, Rejected] = field(default_factory=dict)


class TableBuilder:
    def __init__(self, naming, known, *, agent_tables={}, data_table=None, is_new=None, suspects=(), shared=False):
        schema = SimpleNamespace(naming=naming, tables={name: {"columns": columns} for name, columns in known.items()})
        self._tables = RunTables(schema, is_new, suspects, shared=shared)
        self._tables.data_table = data_table
        self.agent_tables = {agent: list(names) for agent, names in agent_tables.items()}
        self._parser = Parser()

    def build(self, runs, rejected=(), *, load_id, removed=(), moved={}):
        fields = [dict(run.fields) for run in runs]

        def fresh():
            return [replace(run, fields=dict(members)) for run, members in zip(runs, fields, strict=True)]

        def attempt(some, rest, parser):
            undo = self._tables.attempt(self.agent_tables)
            try:
                read = read_runs(some, parser)
                return self._tables.build(
                    read, rejected if rest else (), self.agent_tables, load_id, removed if rest else (), moved
                )
            except Exception:
                undo()
                raise

        try:
            return Built(attempt(fresh(), True, self._parser))
        except Exception:
            self._parser = Parser()
            fit, unfit = [], {}
            for run, members in zip(fresh(), fields, strict=True):
                undo = self._tables.attempt(self.agent_tables)
                kept = replace(run, fields=dict(members))
                try:
                    attempt([run], False, Parser())
                except Exception as error:
                    raw = b"{%b}" % b",".join(msgspec.json.encode(n) + b":" + bytes(v) for n, v in members.items())
                    reason = f"it cannot be made into tables: {' '.join(str(error).split())[:300]}"
                    unfit[run.id] = Rejected(raw, reason, f"run {run.id}")
                else:
                    fit.append(kept)
                undo()
            if not unfit:
                raise
            return Built(attempt(fit, True, Parser()), unfit)

    def rejected_table(self, items):
        return self._tables.rejected_rows(items)

    def flagged(self, rows, load_id, now):
        return self._tables.flagged(rows, load_id, now)

    def agent_rows(self, agents):
        return self._tables.agent_rows(agents)
