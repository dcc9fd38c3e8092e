"""Numbers as a JSON text has them: which ones a column holds, and which of their digits a reader would lose."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from ..service.records import JSON_STRING


class Number(str):
    """A number as it was written."""

    __slots__ = ()


def scalar_of(value: Any) -> tuple[str, Any]:
    """A JSON scalar with its dlt type; numbers that no type holds keep their digits as text."""
    if isinstance(value, bool):
        return "bool", value
    if not isinstance(value, str):
        raise TypeError(f"not a JSON value: {type(value).__name__}")
    if not isinstance(value, Number):
        return "text", value if value.isascii() else value.encode("utf-8", "replace").decode()
    if value.lstrip("-").isdigit():
        integer = int(value)
        return ("bigint", integer) if -(2**63) <= integer < 2**63 else ("text", str(value))
    double = float(value)
    if repr(double) == value or (math.isfinite(double) and Decimal(repr(double)) == Decimal(value)):
        return "double", double
    return "text", str(value)


# Digits and points become "0" and the rest stays, so that one search finds any long number (and long digits in
# text, which the pattern then tells apart).
_DIGITS_TO_ZERO = bytes(0x30 if chr(code) in "0123456789." else code for code in range(256))
_LONG_DIGITS = b"0" * 16
_SIGNS = (_LONG_DIGITS, b"0e000", b"0E000", b"0e+000", b"0E+000")
_LONG_NUMBER = re.compile(rb"[:\[,]\s*(-?(?:[0-9]\.?){16,}(?:[eE][+-]?[0-9]+)?)")
_HUGE_EXPONENT = re.compile(rb"[0-9][eE]\+?[0-9]{3}")


def has_long_digits(text: bytes) -> bool:
    """Whether there are so many digits in a row that a number may be longer than its type."""
    return _LONG_DIGITS in text.translate(_DIGITS_TO_ZERO)


def with_long_numbers(documents: Sequence[bytes]) -> list[int]:
    """The places of documents with a number that a 64-bit integer or a double may not hold."""
    digits = b"\n".join(documents).translate(_DIGITS_TO_ZERO)
    if not any(sign in digits for sign in _SIGNS):
        return []
    return [place for place, document in enumerate(documents) if _has_long_number(document)]


def _has_long_number(document: bytes) -> bool:
    if _HUGE_EXPONENT.search(document):
        return True
    numbers = (match[1].decode() for match in _LONG_NUMBER.finditer(document))
    # An integer of 16 digits fits its column, but not if Arrow makes a double of it for a fraction beside it.
    return any("." not in number or scalar_of(Number(number))[0] == "text" for number in numbers)


_TO_NUMBER = re.compile(rb'((?:[^0-9"-]*+%b)*+[^0-9"-]*+)(-?[0-9][0-9.eE+-]*)' % JSON_STRING, re.DOTALL)


def quote_numbers(document: bytes) -> bytes:
    """Return a JSON text with its numbers as texts, written as they were."""
    # Up to the number behind it, so that every match begins where the one before ended, and none within a text.
    pieces = _TO_NUMBER.split(document + b" 0")
    del pieces[::3]  # what is between two matches: nothing
    return b'"'.join(pieces)[: -len(' "0')]
