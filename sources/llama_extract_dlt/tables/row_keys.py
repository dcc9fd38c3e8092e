"""Row keys: short, unique and the same on every load, derived column by column from a run's id and a path."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

UInt64s = npt.NDArray[np.uint64]
Int64s = npt.NDArray[np.int64]

ID_LENGTH = 12
"""Characters of a `_dlt_id`: 72 bits in base64url. Twelve bytes are what DuckDB stores without a pointer."""

_ALPHABET = np.frombuffer(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", dtype=np.uint8)


class Keys(NamedTuple):
    """128 bits a row, as two arrays of 64."""

    high: UInt64s
    low: UInt64s

    @staticmethod
    def concat(parts: Sequence[Keys]) -> Keys:
        """The keys of all parts, one part after another."""
        return Keys(np.concatenate([part.high for part in parts]), np.concatenate([part.low for part in parts]))

    def take(self, places: Int64s) -> Keys:
        """The keys at these places."""
        return Keys(self.high[places], self.low[places])


def run_keys(run_ids: Sequence[str]) -> Keys:
    """The keys of runs, from their ids."""
    digests = b"".join(hashlib.blake2b(run_id.encode(), digest_size=16).digest() for run_id in run_ids)
    pairs = np.frombuffer(digests, dtype="<u8").reshape(-1, 2)
    return Keys(pairs[:, 0].copy(), pairs[:, 1].copy())


def child_keys(parents: Keys, step: tuple[str, ...], index: Int64s | int = 0) -> Keys:
    """Return keys of child rows, from the parents' keys, the path to them (`step`) and the index in their list."""
    salt = np.frombuffer(hashlib.blake2b("\0".join(step).encode("utf-8", "replace"), digest_size=16).digest(), "<u8")
    number = np.atleast_1d(np.asarray(index, dtype=np.int64)).astype(np.uint64)
    high = _mix(parents.high ^ _mix(number + salt[0]))
    low = _mix(parents.low ^ _mix(number + salt[1]) ^ high)
    return Keys(high, low)


def encode(keys: Keys) -> pa.Array:
    """Keys as text of `ID_LENGTH` characters."""
    rows = len(keys.high)
    text = np.empty((rows, ID_LENGTH), dtype=np.uint8)
    for place in range(ID_LENGTH):
        lane, shift = (keys.high, 6 * place) if place < 10 else (keys.low, 6 * (place - 10))
        text[:, place] = _ALPHABET[((lane >> np.uint64(shift)) & np.uint64(63)).astype(np.intp)]
    offsets = np.arange(0, (rows + 1) * ID_LENGTH, ID_LENGTH, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(text))


def _mix(value: UInt64s) -> UInt64s:
    """The finalizer of SplitMix64: each bit of the input changes about half of the output's."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
