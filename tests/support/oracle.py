"""dlt's own relational normalizer and ours, on the same documents, cell by cell.

A cell is one scalar of a document. Both sides say where it went (column), as what (type) and with which value.
They must agree, but for the differences that are on purpose, each of which `allowed` names and checks.
"""

import json
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import dlt
import msgspec
from dlt.common.normalizers.naming import NamingConvention
from dlt.common.schema import utils
from dlt.normalize.configuration import NormalizeConfiguration
from dlt.normalize.items_normalizers.jsonl import JsonLItemsNormalizer

from llama_extract_dlt.service.records import Run
from llama_extract_dlt.tables.build import TableBuilder

DATA = "extraction_runs__data"
KEYS = {"_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted"}
RowId = tuple[Any, ...]


class Cell(NamedTuple):
    """Where a value went."""

    column: str
    kind: str
    value: Any


Rows = dict[str, dict[RowId, dict[str, Cell]]]


class _Recorder:
    """Takes what dlt's normalizer writes."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, dict[str, Any]]] = []

    def write_data_item(self, load_id: str, schema: str, table: str, row: dict[str, Any], columns: Any) -> None:
        self.rows.append((table, row))


class Sides:
    """Both normalizers, each with what it has learned of the tables so far."""

    def __init__(
        self, types: dict[str, str] | None = None, data_schema: Any = None, max_length: int | None = None
    ) -> None:
        """`types` are those of the root table's columns, as `data_schema` declares them."""
        self.schema = dlt.Schema("oracle")
        self.schema.remove_type_detection("iso_timestamp")
        if types:
            columns = [{"name": name, "data_type": kind} for name, kind in types.items()]
            self.schema.update_table(utils.new_table(DATA, columns=columns))
        ours = dlt.Schema("ours")
        for schema in (self.schema, ours):
            schema.naming.max_length = max_length  # as a destination's limit on identifiers sets it
        self.builder = TableBuilder(ours.naming, {})
        self.data_schema = data_schema
        self.kinds: dict[tuple[str, str], set[str]] = defaultdict(set)

    @property
    def types(self) -> dict[str, dict[str, str]]:
        """The types that this source's columns have by now, by their table."""
        return self.builder._memory.types

    @property
    def naming(self) -> NamingConvention:
        return self.schema.naming

    def theirs(self, documents: Sequence[dict[str, Any]]) -> tuple[Rows, Rows]:
        """What dlt makes of the documents: the rows before it fits them to types (as it names them), and after."""
        recorder = _Recorder()
        normalizer = JsonLItemsNormalizer(recorder, None, None, self.schema, "load", NormalizeConfiguration())
        raw: list[tuple[str, dict[str, Any]]] = []
        roots: list[int] = []
        for number, document in enumerate(documents):
            for (table, _, _), row in self.schema.normalize_data_item(document, "load", DATA):
                raw.append((table, row))
                roots.append(number)
            normalizer._normalize_chunk(DATA, [document], False, False)
        before = _identified(raw, roots, lambda table, column, value: Cell(column, type(value).__name__, value))
        types = {name: table["columns"] for name, table in self.schema.tables.items()}
        after = _identified(
            recorder.rows, roots, lambda table, column, value: Cell(column, types[table][column]["data_type"], value)
        )
        return before, after

    def ours(self, documents: Sequence[Any]) -> Rows:
        """What this source makes of them."""
        runs = [
            Run(
                str(number),
                "agent",
                {
                    "id": msgspec.Raw(json.dumps(str(number)).encode()),
                    "data": msgspec.Raw(json.dumps(document, ensure_ascii=False).encode()),
                    "data_schema": msgspec.Raw(json.dumps(self.data_schema).encode()),
                },
                content_hash="",
                size=0,
            )
            for number, document in enumerate(documents)
        ]
        built = self.builder.build(runs, load_id="1")
        assert not built.unfit
        loads = {load.name: load.data for load in built.tables}
        found: Rows = {}
        identity: dict[str, RowId] = {}
        # Parents come before children: a child's name is its parent's with something after it.
        for table in sorted((name for name in loads if name == DATA or name.startswith(f"{DATA}__")), key=len):
            types = self.types[table]
            rows = [row for row in loads[table].to_pylist() if not row.get("_deleted")]
            for row in rows:
                parent = (int(row["_run_id"]),) if table == DATA else identity[row["_dlt_parent_id"]]
                place = parent if table == DATA else (*parent, table, row["_dlt_list_idx"])
                assert row["_dlt_id"] not in identity
                identity[row["_dlt_id"]] = place
                cells = {
                    name: Cell(name, types[name], value)
                    for name, value in row.items()
                    if name not in KEYS and value is not None
                }
                assert place not in found.setdefault(table, {})
                found[table][place] = cells
        return found


def _identified(rows: list[tuple[str, dict[str, Any]]], roots: list[int], cell: Any) -> Rows:
    found: Rows = {}
    identity: dict[str, RowId] = {}
    for number, (table, row) in enumerate(rows):
        parent = identity.get(row.get("_dlt_parent_id", ""))
        place = (roots[number],) if parent is None else (*parent, table, row["_dlt_list_idx"])
        identity[row["_dlt_id"]] = place
        cells = {
            name: cell(table, name, value) for name, value in row.items() if name not in KEYS and value is not None
        }
        found.setdefault(table, {})[place] = cells
    return found


def disagreements(sides: Sides, documents: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Every cell on which the two differ without a reason."""
    raw, theirs = sides.theirs(documents)
    ours = sides.ours(documents)
    for table, rows in raw.items():
        for cells in rows.values():
            for name, cell in cells.items():
                sides.kinds[table, name].add(kind_of(cell.value))
    if ours.keys() != theirs.keys():
        yield f"tables: {sorted(ours.keys() ^ theirs.keys())}"
        return
    for table, rows in raw.items():
        if ours[table].keys() != rows.keys():
            yield f"{table}: rows {ours[table].keys() ^ rows.keys()}"
            continue
        for place, cells in rows.items():
            mine, its = dict(ours[table][place]), theirs[table][place]
            for name, cell in cells.items():
                got = _pop(mine, name)
                expected = next((its[other] for other in _names(name) if other in its), None)
                if got is None:
                    yield f"{table}{place}.{name}: {cell.value!r} is lost"
                elif not allowed(cell.value, expected, got, name, sides.kinds[table, name]):
                    yield f"{table}{place}.{name}: {cell.value!r} is {got} here, {expected} for dlt"
            for name, extra in mine.items():
                yield f"{table}{place}.{name}: {extra} from nowhere"


def _names(column: str) -> list[str]:
    return [column, *(f"{column}__v_{kind}" for kind in ("text", "bigint", "double", "bool"))]


def _pop(cells: dict[str, Cell], column: str) -> Cell | None:
    return next((cells.pop(name) for name in _names(column) if name in cells), None)


def allowed(raw: Any, theirs: Cell | None, ours: Cell, column: str, kinds: set[str]) -> bool:
    """Whether two cells agree, or differ as docs/tables.md says they do."""
    if theirs is not None and ours == theirs and type(ours.value) is type(theirs.value):
        return True
    if isinstance(raw, str):
        # Text stays text: dlt parses it where a column is of another type.
        return ours.kind == "text" and ours.value == raw and (theirs is None or theirs.value != raw or "huge" in kinds)
    if kind_of(raw) == "huge" or (ours.kind == "text" and "huge" in kinds):
        # No column type holds such a number: its digits are kept as text, and others of the column beside it.
        return ours.kind == "text" and ours.value == str(raw)
    if isinstance(raw, float | int) and not isinstance(raw, bool) and ours.value == raw:
        if ours.kind == "double" and {"int", "float"} <= kinds:
            return True  # integers beside fractions are doubles
        if ours.kind == "bigint" and isinstance(raw, float) and raw.is_integer() and ours.column == column:
            return True  # 2.0 is 2 in a column of integers
        if ours.kind in ("bigint", "double") and theirs is not None:
            # dlt loses digits of integers in a column of doubles, and makes booleans of numbers.
            return theirs.value != raw or theirs.kind in ("bool", "double", "bigint")
    return False


def kind_of(raw: Any) -> str:
    """A scalar's JSON type; `huge` for integers beyond 64 bits."""
    if isinstance(raw, int) and not isinstance(raw, bool) and not -(2**63) <= raw < 2**63:
        return "huge"
    return type(raw).__name__
