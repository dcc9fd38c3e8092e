"""JSON texts as bytes: whether they are sound, and what can be done where a decoder gives up."""

from __future__ import annotations

import re

import msgspec
import numpy as np


def is_utf8(text: bytes) -> bool:
    """Whether the bytes are UTF-8."""
    try:
        text.decode()
    except UnicodeDecodeError:
        return False
    return True


_BLOCK = 1 << 18  # bytes that are looked at together: what is made of them stays in the processor's cache


def is_deeper(text: bytes, levels: int) -> bool:
    """Whether lists and objects of a JSON text stand in one another more than so many `levels` deep.

    It works as simdjson does, on words of 64 bits that stand for 64 bytes each: a bit says that the byte is a bracket,
    or a quote. Strings are what lies between an odd and an even quote, so brackets in them do not count.
    """
    bits = np.zeros((4, (len(text) // 64 + 1) * 8), np.uint8)
    for start in range(0, len(text), _BLOCK):
        block = np.frombuffer(text, np.uint8, min(_BLOCK, len(text) - start), start)
        span = slice(start // 8, (start + len(block) + 7) // 8)
        bits[0, span] = np.packbits(block == 0x22, bitorder="little")
        bits[1, span] = np.packbits(block == 0x5C, bitorder="little")
        lower = block | 0x20  # makes "[" a "{" and "]" a "}", and nothing else one of them
        bits[2, span] = np.packbits(lower == 0x7B, bitorder="little")
        bits[3, span] = np.packbits(lower == 0x7D, bitorder="little")
    inside, backslashes, opening, closing = bits.view("<u8")
    words = np.flatnonzero(backslashes)
    if len(words):
        places = np.flatnonzero(np.unpackbits(backslashes[words].view(np.uint8), bitorder="little").view(np.bool_))
        places = 64 * words[places // 64] + places % 64
        # Of backslashes in a row every other one, from the first on, escapes what follows it.
        firsts = np.maximum.accumulate(np.where(np.diff(places, prepend=-2) > 1, places, 0))
        escaped = places[(places - firsts) % 2 == 0] + 1
        np.bitwise_and.at(bits[0], escaped // 8, ~(1 << (escaped % 8)).astype(np.uint8))
    for shift in (1, 2, 4, 8, 16, 32):
        inside ^= inside << np.uint64(shift)  # a bit is set when the number of quotes up to it is odd
    odd = inside >> np.uint64(63)
    inside ^= -(np.bitwise_xor.accumulate(odd) ^ odd)  # all bits change when it is odd before the word
    outside = ~inside
    opening &= outside
    closing &= outside
    up, down = np.bitwise_count(opening).view(np.int8), np.bitwise_count(closing).view(np.int8)  # 64 at most
    # No byte of a word is deeper than what is open before it and all that it opens. That is mostly little enough.
    if (np.cumsum(up - down, dtype=np.int64) + down).max() <= levels:
        return False
    single = [np.unpackbits(row.view(np.uint8), bitorder="little").view(np.int8) for row in (opening, closing)]
    return bool(np.cumsum(single[0] - single[1], dtype=np.int64).max() > levels)


# Where msgspec gives up, these tell the parts of an answer apart by strings and brackets alone, a hundred times slower.

# A quote by itself is one in a broken string: what is taken for text after it would not be, and brackets be missed.
_MARK = re.compile(rb'"(?:[^"\\]++|\\.)*+"(?=\s*[\]},:])|[\[\]{},"]', re.DOTALL)
_MEMBER = re.compile(rb'\s*("(?:[^"\\]++|\\.)*+")\s*:(.*)', re.DOTALL)
_CLOSING = {b"[": b"]", b"{": b"}"}


def _parts(text: bytes, opening: bytes) -> list[bytes]:
    """Return what stands between the commas of a list or an object. Raises ValueError if it is no such thing."""
    text = text.strip()
    if not text.startswith(opening):
        raise ValueError(f"it does not begin with {opening.decode()}")
    parts, start, open_ones = [], 1, list[bytes]()
    for match in _MARK.finditer(text):
        mark = match[0]
        if mark in _CLOSING:
            open_ones.append(_CLOSING[mark])
        elif mark in (b"]", b"}"):
            if not open_ones or open_ones.pop() != mark:
                raise ValueError(f"a bracket is wrong (byte {match.start()})")
            if not open_ones and match.end() < len(text):
                raise ValueError(f"it goes on after its end (byte {match.end()})")
        elif mark == b'"':
            raise ValueError(f"a string is wrong (byte {match.start()})")
        if (mark == b"," and len(open_ones) == 1) or not open_ones:
            parts.append(text[start : match.start()].strip())
            start = match.end()
    if open_ones:
        raise ValueError("it breaks off")
    if parts == [b""]:
        return []
    if b"" in parts:
        raise ValueError("there is nothing between two commas")
    return parts


def split_list(text: bytes) -> list[bytes]:
    return _parts(text, b"[")


def split_object(text: bytes) -> dict[bytes, bytes]:
    """Return the values of an object by their names, quotes included."""
    members = {}
    for part in _parts(text, b"{"):
        match = _MEMBER.fullmatch(part)
        if match is None:
            raise ValueError("an object has a member without a name")
        members[match[1]] = match[2].strip()
    return members


def split_page(text: bytes) -> tuple[list[msgspec.Raw], dict[bytes, bytes]]:
    members = split_object(text)
    if b'"items"' not in members:
        raise ValueError("it has no `items`")
    return [msgspec.Raw(item) for item in split_list(members.pop(b'"items"'))], members


_TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"?|-?Infinity|NaN', re.DOTALL)
_ESCAPE = re.compile(
    rb"\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(\\u[dD][89a-fA-F][0-9a-fA-F]{2})|\\.",
    re.DOTALL,
)


def replace_lenient(body: bytes) -> bytes:
    r"""Replace what lenient JSON writers emit and strict readers refuse, and leave every other byte alone.

    Half a surrogate pair (`\ud800`) becomes U+FFFD, NaN and the infinities null; a byte order mark goes.
    """

    def token(match: re.Match[bytes]) -> bytes:
        text = match[0]
        if not text.startswith(b'"'):
            return b"null"
        return _ESCAPE.sub(lambda escape: rb"\ufffd" if escape[1] else escape[0], text)

    return _TOKEN.sub(token, body.removeprefix(b"\xef\xbb\xbf"))
