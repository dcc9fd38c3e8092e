"""A warehouse under test: loads by the public door (the dlt source), reads back with SQL, puts runs together again.

The expected values are computed here from the API's JSON alone, with none of the source's own code.
"""

import datetime
import json
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dlt
import duckdb
from dlt.common.normalizers.naming.snake_case import NamingConvention

from llama_cloud_emulator import Emulator
from llama_extract_dlt import Progress, llama_extract, sync

NAMING = NamingConvention()
KEYS = {"_run_id", "_dlt_id", "_dlt_parent_id", "_dlt_list_idx", "_dlt_load_id", "_deleted"}
DATA = "extraction_runs__data"
Row = dict[str, Any]


class Warehouse:
    """A DuckDB file that a pipeline loads into."""

    def __init__(self, cloud: Emulator, path: Path) -> None:
        self.cloud = cloud
        self.path = path
        self.pipeline = dlt.pipeline(
            "llama_extract", destination=dlt.destinations.duckdb(str(path)), dataset_name="llama_extract"
        )
        self._rows: dict[str, list[Row]] = {}

    def load(self, **arguments: Any) -> dict[str, Any]:
        """Loads all that the source has; the source's own counts of it."""
        arguments = {"api_key": self.cloud.api_key, "base_url": self.cloud.base_url} | arguments
        self._rows.clear()
        source = llama_extract(**arguments)
        sync(self.pipeline, source)
        return source.resources["extraction_runs"].custom_metrics

    def forget(self) -> None:
        """Reads the tables anew from now on."""
        self._rows.clear()

    def sql(self, query: str) -> list[tuple[Any, ...]]:
        """What a query gives."""
        with duckdb.connect(str(self.path), read_only=True) as connection:
            connection.execute("set schema 'llama_extract'; set timezone = 'UTC'")
            return connection.execute(query).fetchall()

    def rows(self, table: str) -> list[Row]:
        """All rows of a table, copies that may be changed; none if there is no such table."""
        return [dict(row) for row in self._all_rows().get(table, [])]

    def tables(self) -> list[str]:
        """The names of the tables, dlt's own left out; of the moment that the rows are of."""
        return [name for name in self._all_rows() if not name.startswith("_dlt")]

    def _all_rows(self) -> dict[str, list[Row]]:
        if not self._rows:
            self._rows = self._read()
        return self._rows

    def _read(self) -> dict[str, list[Row]]:
        with duckdb.connect(str(self.path), read_only=True) as connection:
            if names := self._names(connection):
                connection.execute("set schema 'llama_extract'; set timezone = 'UTC'")
            return read_tables(connection, names)

    def content(self) -> dict[str, Counter[str]]:
        """Everything in the warehouse but which load it is from, for comparing two moments."""
        return {
            name: Counter(
                repr({k: v for k, v in sorted(row.items()) if v is not None and k != "_dlt_load_id"})
                for row in self.rows(name)
            )
            for name in self.tables()
        }

    def close(self) -> None:
        """Lets go of the pipeline."""
        if self.pipeline.is_active:
            self.pipeline.deactivate()

    @staticmethod
    def _names(connection: duckdb.DuckDBPyConnection) -> list[str]:
        query = "select table_name from information_schema.tables where table_schema = 'llama_extract' order by 1"
        return [name for (name,) in connection.execute(query).fetchall()]


def read_tables(cursor: Any, tables: list[str]) -> dict[str, list[Row]]:
    """All rows of the tables, by a cursor or a connection that is used as one."""
    found = {}
    for table in tables:
        cursor.execute(f'select * from "{table}"')
        names = [column[0] for column in cursor.description]
        found[table] = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    return found


def between_packages(action: Callable[[], object]) -> Callable[[Progress], None]:
    """For `on_progress`: does it whenever a package is committed and the next one begins, in the load's own thread."""
    steps = ["reading"]

    def on_progress(progress: Progress) -> None:
        begins = (steps[-1], progress.step) == ("loading", "reading")
        steps.append(progress.step)
        if begins:
            action()

    return on_progress


# ── the extracted data ────────────────────────────────────────────────────────────────────────────────────────────


def reassembled_data(warehouse: Warehouse, root: str = DATA) -> dict[str, list[Any]]:
    """The data of each run, put together from the tables `root` and below: rows, with nested lists in their order."""
    found: dict[str, tuple[str, Row]] = {}
    for table in warehouse.tables():
        if table == root or table.startswith(f"{root}__"):
            for row in warehouse.rows(table):
                assert row["_dlt_id"] not in found, f"{table}: _dlt_id is not unique"
                found[row["_dlt_id"]] = (table, row)
    runs: dict[str, list[Any]] = {}
    made = {
        row_id: {k: v for k, v in row.items() if k not in KEYS and v is not None} for row_id, (_, row) in found.items()
    }
    for row_id, (table, row) in sorted(found.items(), key=lambda item: item[1][1]["_dlt_list_idx"]):
        if table == root:
            assert row["_dlt_parent_id"] == row["_run_id"]
            siblings = runs.setdefault(row["_run_id"], [])
        else:
            parent_table, parent = found[row["_dlt_parent_id"]]
            assert parent["_run_id"] == row["_run_id"]
            assert table.startswith(f"{parent_table}__")
            siblings = made[row["_dlt_parent_id"]].setdefault(table.removeprefix(f"{parent_table}__"), [])
        assert row["_dlt_list_idx"] == len(siblings), f"{table}: positions have gaps or doubles"
        siblings.append(made[row_id])
    return runs


def expected_data(data: Any) -> list[Any]:
    """The same from the API's JSON: names as dlt writes them, objects flattened, nothing empty."""
    if data is None:
        return []
    return [_row(value) for value in (data if isinstance(data, list) else [data])]


def _row(value: Any) -> Row:
    if isinstance(value, list):
        value = {"list": value}
    if not isinstance(value, dict):
        value = {"value": value}
    row: Row = {}
    for key, member in value.items():
        name = NAMING.normalize_path(key)
        if isinstance(member, dict):
            row |= {f"{name}__{below}": part for below, part in _row(member).items()}
        elif isinstance(member, list):
            if member:
                row[name] = [_row(element) for element in member]
        elif member is not None:
            row[name] = member
    return row


def differences(expected: Any, actual: Any, where: str = "") -> Iterator[str]:
    """Where the warehouse differs from what is expected. Types may be the warehouse's, values may not differ."""
    if isinstance(expected, list):
        if not isinstance(actual, list) or len(expected) != len(actual):
            yield f"{where}: expected {len(expected)} elements, got {actual!r:.100}"
            return
        for place, (one, other) in enumerate(zip(expected, actual, strict=True)):
            yield from differences(one, other, f"{where}[{place}]")
    elif isinstance(expected, dict):
        actual = dict(actual)
        for name, value in expected.items():
            yield from differences(value, _take(actual, name), f"{where}.{name}")
        for name in actual:
            yield f"{where}.{name}: not expected, got {actual[name]!r:.100}"
    elif not same(expected, actual):
        yield f"{where}: expected {expected!r:.100}, got {actual!r:.100}"


def _take(row: Row, name: str) -> Any:
    """A value from its column, or from the variant of the column that has it."""
    for column in (name, *(f"{name}__v_{kind}" for kind in ("text", "bigint", "double", "bool"))):
        if column in row:
            return row.pop(column)
    return None


def same(expected: Any, actual: Any) -> bool:
    """Whether a warehouse value says what the JSON said."""
    if isinstance(actual, datetime.datetime):
        try:
            moment = datetime.datetime.fromisoformat(expected)
        except ValueError:
            return False
        return actual == (moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC))
    if isinstance(actual, datetime.date | datetime.time):
        return actual.isoformat() == expected
    if isinstance(actual, str) and not isinstance(expected, str):
        return actual == str(expected)
    if isinstance(expected, bool) or isinstance(actual, bool):
        return expected is actual
    return (type(expected) is type(actual) and expected == actual) or (
        isinstance(expected, int | float) and isinstance(actual, int | float) and expected == actual
    )


# ── what is known about the data ──────────────────────────────────────────────────────────────────────────────────


def expected_metadata(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Row]]:
    """The rows that a tree of field metadata should give: the path, and the scalars and citations at it."""
    if isinstance(tree, list):
        for place, element in enumerate(tree):
            yield from expected_metadata(element, (*path, place))
    elif isinstance(tree, dict):
        row = {key: value for key, value in tree.items() if value is not None and not isinstance(value, dict | list)}
        below = {key: value for key, value in tree.items() if isinstance(value, dict | list)}
        if is_citation(below.get("citation")):
            row["citation"] = [_row(citation) for citation in below.pop("citation")]
        if row:
            yield path, row
        for key, member in below.items():
            yield from expected_metadata(member, (*path, key))
    elif tree is not None:
        yield path, {"value": tree}


def is_citation(value: Any) -> bool:
    """Whether a member named `citation` holds citations: objects with a page number or a text, not field metadata."""
    return isinstance(value, list) and any(
        isinstance(part, dict)
        and any(not isinstance(part.get(name, {}), dict) for name in ("page", "matching_text", "bounding_boxes"))
        for part in value
    )


def data_row_of(data: Any, path: tuple[str | int, ...]) -> tuple[str, list[int]] | None:
    """The table and the positions (from the run down) of the data row that holds the value at `path`."""
    if data is None:
        return None
    if not isinstance(data, list):
        data, path = [data], (0, *path)
    table, positions, names = DATA, [], []
    current: Any = data
    for step in path:
        if isinstance(step, int):
            if not isinstance(current, list) or step >= len(current):
                return None
            if positions:
                table += "__" + ("__".join(NAMING.normalize_path(name) for name in names) or "list")
            positions.append(step)
            names = []
            current = current[step]
        else:
            names.append(step)
            current = current.get(step) if isinstance(current, dict) else None
    return table, positions


def parse_json(text: str | None) -> Any:
    """A JSON column's value."""
    return None if text is None else json.loads(text)


# ── runs as a whole ───────────────────────────────────────────────────────────────────────────────────────────────

METADATA = "extraction_runs__field_metadata"
TECHNICAL = {"agent_name", "file_name", "data_schema_hash", "_content_hash", "_child_rows", "_dlt_load_id"}
TECHNICAL |= {"_deleted_at", "_deleted"}


def loaded_runs(warehouse: Warehouse) -> dict[str, Row]:
    """Each run as the tables have it: its own values, and those of its config, file, data and field metadata."""
    data = reassembled_data(warehouse)
    runs: dict[str, Row] = {}
    for row in warehouse.rows("extraction_runs"):
        assert row["id"] not in runs, "a run is there twice"
        run = {name: value for name, value in row.items() if value is not None and name not in TECHNICAL}
        runs[row["id"]] = {"run": run, "data": data.pop(row["id"], []), "metadata": {}}
    assert not data, f"data without a run: {list(data)}"
    for part in ("config", "file"):
        for row in warehouse.rows(f"extraction_runs__{part}"):
            assert part not in runs[row["_run_id"]], f"a run has two rows of its {part}"
            maps = {name: parse_json(row[name]) for name in ("permission_info", "resource_info") if row.get(name)}
            runs[row["_run_id"]][part] = _values(row) | maps
    boxes: dict[str, list[Row]] = {}
    for row in sorted(warehouse.rows(f"{METADATA}__citation__bounding_boxes"), key=lambda row: row["_dlt_list_idx"]):
        boxes.setdefault(row["_dlt_parent_id"], []).append(_values(row))
    citations: dict[str, list[Row]] = {}
    for row in sorted(warehouse.rows(f"{METADATA}__citation"), key=lambda row: row["_dlt_list_idx"]):
        nested = {"bounding_boxes": boxes.pop(row["_dlt_id"])} if row["_dlt_id"] in boxes else {}
        citations.setdefault(row["_dlt_parent_id"], []).append(_values(row) | nested)
    for row in warehouse.rows(METADATA):
        fields = runs[row["_run_id"]]["metadata"]
        assert row["field_path"] not in fields, "a field is there twice"
        values = {name: value for name, value in _values(row).items() if name not in _FIELD}
        nested = {"citation": citations.pop(row["_dlt_id"])} if row["_dlt_id"] in citations else {}
        fields[row["field_path"]] = {NAMING.normalize_path(name): value for name, value in values.items()} | nested
    assert not boxes, "boxes without a citation"
    assert not citations, "citations without a field"
    return runs


def expected_run(run: Row) -> Row:
    """The same from the API's JSON."""
    apart = {"config", "file", "data", "data_schema", "extraction_metadata"}
    metadata = run["extraction_metadata"] or {}
    usage = {f"extraction_metadata__usage__{name}": value for name, value in (metadata.get("usage") or {}).items()}
    own = {name: value for name, value in run.items() if name not in apart} | usage
    expected: Row = {
        "run": {name: value for name, value in own.items() if value is not None},
        "data": expected_data(run["data"]),
        "metadata": {
            ".".join(map(str, path)): values | with_text(run["data"], path)
            for path, values in expected_metadata(metadata.get("field_metadata"))
        },
    }
    for part in ("config", "file"):
        if run[part] is not None:
            expected[part] = {name: value for name, value in run[part].items() if value is not None}
    return expected


def with_text(data: Any, path: tuple[str | int, ...]) -> Row:
    """`data_value` for the place of the data at `path`, if a scalar is there."""
    if isinstance(data, dict) and path and isinstance(path[0], int):
        data = [data]
    for step in path:
        if isinstance(data, dict):
            data = data.get(step)
        else:
            data = data[step] if isinstance(data, list) and isinstance(step, int) and step < len(data) else None
    if data is None or isinstance(data, dict | list):
        return {}
    return {"data_value": data if isinstance(data, str) else json.dumps(data)}


_FIELD = {"field_path", "field_name", "data_row_id", "data_table", "data_column"}


def _values(row: Row) -> Row:
    return {name: value for name, value in row.items() if value is not None and name not in KEYS}
