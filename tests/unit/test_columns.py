"""Names and types of columns: what fits a type, what goes beside it, and how keys are named."""

import json
from datetime import UTC, date, datetime

import msgspec
import numpy as np
import pyarrow as pa
import pytest
from dlt.common.normalizers.naming.snake_case import NamingConvention

from llama_extract_dlt.tables.columns import Names, Segment, Table, cast
from llama_extract_dlt.tables.contract import ARROW_TYPES
from llama_extract_dlt.tables.parse import from_members
from llama_extract_dlt.tables.schemas.json_schema import Shape

NAMES = Names(NamingConvention())


@pytest.mark.parametrize(
    ("kind", "value", "target", "fitted"),
    [
        ("bigint", 7, "double", 7.0),
        ("bigint", 2**53 + 1, "double", None),
        ("double", 2.0, "bigint", 2),
        ("double", 2.5, "bigint", None),
        ("double", 1e300, "bigint", None),
        ("bigint", 7, "text", "7"),
        ("double", 1.5, "text", "1.5"),
        ("bool", True, "text", "True"),
        ("bool", True, "double", None),
        ("bigint", 1, "bool", None),
        ("text", "7.5", "double", None),
        ("text", "true", "bool", None),
        ("text", "2026-01-28", "date", date(2026, 1, 28)),
        ("text", "2026-02-31", "date", None),
        ("text", "2026-01-28T00:00:00Z", "date", None),
        ("text", "2026-01-28", "timestamp", None),
        ("text", "2026-01-28T10:00:00+02:00", "timestamp", datetime(2026, 1, 28, 8, tzinfo=UTC)),
        ("text", "2026-01-28 10:00", "timestamp", datetime(2026, 1, 28, 10, tzinfo=UTC)),
        ("text", "2026-01-28T10:00:00.1234567Z", "timestamp", None),
        ("text", "25:00", "time", None),
        ("bigint", 5, "json", "5"),
        ("text", "é", "json", '"é"'),
        ("json", "[1]", "text", "[1]"),
        ("text", "x", "decimal", None),
    ],
)
def test_a_value_fits_a_type_unchanged_or_not_at_all(kind, value, target, fitted):
    array = pa.array([None, value, None], ARROW_TYPES[kind])
    values, rest = cast(kind, array, target)
    assert values.to_pylist() == [None, fitted, None]
    assert values.type == ARROW_TYPES.get(target, pa.null())
    assert (rest is None) == (fitted is not None)
    assert rest is None or rest.to_pylist() == [None, value, None]


def test_one_wrong_date_leaves_the_others_dates():
    values, rest = cast("text", pa.array(["2026-01-28", "2026-02-31", None]), "date")
    assert values.to_pylist() == [date(2026, 1, 28), None, None]
    assert rest.to_pylist() == [None, "2026-02-31", None]


def table(rows, schema=None, types=None, described=(), runs=None):
    """The columns of a table made of a list of segments, each a list of objects."""
    made = Table("t", NAMES, types or {}, described)
    for number, values in enumerate(rows):
        segment = Segment(np.arange(len(values)) if runs is None else np.array(runs[number]), {})
        raws = [{key: msgspec.Raw(json.dumps(one).encode()) for key, one in row.items()} for row in values]
        for key, member in from_members(raws).fields.items():
            segment.add(NAMES.column((key,), segment.keys), member, Shape(schema).member(key))
        made.segments.append(segment)
    data, descriptions = made.finish()
    return data.to_pydict(), made.types, descriptions


def test_each_value_is_in_its_column_or_beside_it():
    schema = {"properties": {"total": {"type": "number"}}}
    columns, types, _ = table([[{"total": "7 EUR"}, {}], [{"total": "x"}]], schema)
    assert columns == {"total__v_text": ["7 EUR", None, "x"]}
    assert types == {"total": "double", "total__v_text": "text"}


def test_the_kind_of_the_earliest_run_decides_where_the_schema_is_silent():
    columns, _, _ = table([[{"a": "x"}], [{"a": True}]], runs=[[5], [2]])
    assert columns == {"a": [None, True], "a__v_text": ["x", None]}


def test_known_types_decide_first():
    columns, types, _ = table([[{"a": True}]], {"properties": {"a": {"type": "boolean"}}}, {"a": "text"})
    assert (columns, types) == ({"a": ["True"]}, {"a": "text"})


def test_keys_that_get_one_name_keep_both_values():
    columns, _, _ = table([[{"Total": 1, "total": 2}, {"total": 3}]])
    assert columns == {"total": [1, 3], "total__also": [2, None]}


def test_a_description_is_given_once():
    schema = {"properties": {"a": {"description": "about a"}, "b": {"description": "about b"}, "_run_id": {}}}
    assert table([[{"a": 1, "b": 1}]], schema, described={"b"})[2] == {"a": "about a"}
    schema = {"properties": {"_run_id": {"description": "about it"}}}
    assert table([[{"_run_id": 1}]], schema)[2] == {"data_run_id": "about it"}


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ((), "value"),
        (("invoiceNumber",), "invoice_number"),
        (("Net (EUR)",), "net_eurx"),
        (("2026",), "_2026"),
        (("",), "_empty"),
        (("__",), "_empty"),
        (("vendor", "address", "city"), "vendor__address__city"),
        (("_run_id",), "data_run_id"),
        (("_dlt_id",), "data_dlt_id"),
        (("id",), "data_id"),
    ],
)
def test_columns_are_named_after_their_keys(path, name):
    assert NAMES.column(path, taken={"id"}) == name


def test_a_table_that_no_file_could_be_named_after_is_refused():
    assert NAMES.table(("t", "lineItems")) == "t__line_items"
    with pytest.raises(ValueError, match="would have 402 characters"):
        NAMES.table(("t", "x" * 399))
