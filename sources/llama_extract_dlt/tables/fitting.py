"""Values in, columns of one type out: what fits a column's type, and what goes beside it as a variant."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "bigint": pa.int64(),
    "double": pa.float64(),
    "bool": pa.bool_(),
    "date": pa.date32(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "time": pa.time64("us"),
    "json": pa.string(),
}
"""The Arrow type of a column, by its dlt type."""

_EXACT_IN_DOUBLE = 2**53
_DATE = r"^\d{4}-\d{2}-\d{2}$"
_TIME = r"^\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?$"
_TIMESTAMP = r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?([Zz]|[+-]\d{2}(:?\d{2})?)?$"


class Fit(NamedTuple):
    """Values of a column's type (null where a value does not fit), and the values that do not (null elsewhere)."""

    values: pa.Array
    rest: pa.Array | None


def fit(kind: str, array: pa.Array, target: str) -> Fit:
    """Values of the dlt type `kind` as far as a column of the dlt type `target` holds them without changing them.

    Numbers and booleans become text in a text column, as dlt does it; text never becomes anything but a date,
    timestamp or time, and only where it is one, written in ISO 8601.
    """
    if kind == target:
        return Fit(array, None)
    convert = _CONVERSIONS.get((kind, target))
    if convert is None:
        return Fit(pa.nulls(len(array), TYPES.get(target, pa.null())), array)
    values = convert(array)
    missed = pc.and_(pc.is_valid(array), pc.is_null(values))
    if not pc.any(missed).as_py():
        return Fit(values, None)
    return Fit(values, pc.if_else(missed, array, None))


def _exact_doubles(array: pa.Array) -> pa.Array:
    exact = pc.and_(pc.less_equal(array, _EXACT_IN_DOUBLE), pc.greater_equal(array, -_EXACT_IN_DOUBLE))
    return pc.if_else(exact, array, None).cast(pa.float64())


def _whole_numbers(array: pa.Array) -> pa.Array:
    whole = pc.and_(pc.equal(pc.floor(array), array), pc.less_equal(pc.abs(array), float(_EXACT_IN_DOUBLE)))
    return pc.if_else(whole, array, None).cast(pa.int64())


def _python_text(array: pa.Array) -> pa.Array:
    return pa.array([None if value is None else str(value) for value in array.to_pylist()], pa.string())


def _json_text(array: pa.Array) -> pa.Array:
    return pa.array(
        [None if value is None else json.dumps(value, ensure_ascii=False) for value in array.to_pylist()],
        pa.string(),
    )


def _dates(array: pa.Array) -> pa.Array:
    return _parse(array, _DATE, pa.date32(), datetime.date.fromisoformat)


def _times(array: pa.Array) -> pa.Array:
    return _parse(array, _TIME, pa.time64("us"), datetime.time.fromisoformat)


def _timestamps(array: pa.Array) -> pa.Array:
    """Instants; a timestamp without an offset is taken as UTC, as dlt takes it."""

    def one(text: str) -> datetime.datetime:
        moment = datetime.datetime.fromisoformat(text)
        return moment.astimezone(datetime.UTC) if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)

    shaped = pc.if_else(pc.match_substring_regex(array, _TIMESTAMP), array, None)
    placed = pc.match_substring_regex(shaped, r"[Zz+]|[T ].*-")
    utc = pc.if_else(pc.fill_null(placed, True), shaped, pc.binary_join_element_wise(shaped, "Z", ""))
    return _parse(utc, _TIMESTAMP, TYPES["timestamp"], one)


def _parse(array: pa.Array, pattern: str, target: pa.DataType, one: Callable[[str], Any]) -> pa.Array:
    """Text as another type where it has the form of `pattern` and is a real date or time, null elsewhere."""
    shaped = pc.if_else(pc.match_substring_regex(array, pattern), array, None)
    try:
        return shaped.cast(target)
    except (
        pa.ArrowInvalid,
        pa.ArrowNotImplementedError,
    ):  # a 31st of February, or a type that Arrow has no cast to

        def attempt(text: str | None) -> Any:
            try:
                return None if text is None else one(text)
            except (ValueError, OverflowError):
                return None

        return pa.array([attempt(text) for text in shaped.to_pylist()], target)


_CONVERSIONS: dict[tuple[str, str], Callable[[pa.Array], pa.Array]] = {
    ("bigint", "double"): _exact_doubles,
    ("double", "bigint"): _whole_numbers,
    ("bigint", "text"): lambda array: array.cast(pa.string()),
    ("double", "text"): _python_text,
    ("bool", "text"): _python_text,
    ("text", "date"): _dates,
    ("text", "timestamp"): _timestamps,
    ("text", "time"): _times,
    ("text", "json"): _json_text,
    ("bigint", "json"): _json_text,
    ("double", "json"): _json_text,
    ("bool", "json"): _json_text,
    ("json", "text"): lambda array: array,
}
