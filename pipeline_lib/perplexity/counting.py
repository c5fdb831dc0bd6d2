"""Counting the n-grams of bytes in texts.

An n-gram of at most 7 bytes is a number: its length in the highest byte, its bytes below, the last one lowest. So
nothing is hashed away: different n-grams never share a count.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.utf8 import frozen

Keys = npt.NDArray[np.uint64]
Counts = npt.NDArray[np.uint32]

MAX_ORDER = 7

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_ONE, _EIGHT = np.uint64(1), np.uint64(8)
_LENGTH_SHIFT = np.uint64(56)
_FIRST_BITS = 16


def count_ngrams(
    data: Bytes, offsets: Offsets, rows: npt.NDArray[np.int64], length: int
) -> tuple[Keys, Counts]:  # fmt: skip
    """The n-grams of that length within the texts `rows`, none across two texts, in the order of their keys."""
    table, counts, used = _count(*frozen(data, offsets), rows, length)
    filled = np.flatnonzero(counts)
    assert len(filled) == used
    order = np.argsort(table[filled], kind="stable")
    return table[filled][order], counts[filled][order]


@njit(nogil=True, cache=True)
def gram_key(history: np.uint64, length: int) -> np.uint64:
    """The key of the last `length` bytes of `history`, whose lowest byte is the latest."""
    bits = np.uint64(8 * length)
    return (history & ((_ONE << bits) - _ONE)) | (np.uint64(length) << _LENGTH_SHIFT)


@njit(nogil=True, cache=True)
def first_slot(key: np.uint64, bits: int) -> int:
    """Where to look first in a table of 2^bits slots."""
    slot: Any = np.int64((key * _MULTIPLIER) >> np.uint64(64 - bits))  # int64 to numba, and to mypy what int is
    return int(slot)


@njit(nogil=True, cache=True)
def _count(
    data: Bytes, offsets: Offsets, rows: npt.NDArray[np.int64], length: int
) -> tuple[Keys, Counts, int]:  # fmt: skip
    bits = _FIRST_BITS
    table, counts = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint32)
    used = 0
    for row in rows:
        start, end = offsets[row], offsets[row + 1]
        history = np.uint64(0)
        for i in range(start, end):
            history = history << _EIGHT | np.uint64(data[i])
            if i - start + 1 < length:
                continue
            key = gram_key(history, length)
            slot = first_slot(key, bits)
            mask = (1 << bits) - 1
            while table[slot] != key and table[slot] != 0:
                slot = (slot + 1) & mask
            if table[slot] == 0:
                table[slot] = key
                used += 1
            counts[slot] += np.uint32(1)  # at most the bytes of all texts, far below 2^32
            if 2 * used > mask:
                bits += 1
                table, counts = _grown(table, counts, bits)
    return table, counts, used


@njit(nogil=True, cache=True)
def _grown(table: Keys, counts: Counts, bits: int) -> tuple[Keys, Counts]:
    new_table, new_counts = np.zeros(1 << bits, np.uint64), np.zeros(1 << bits, np.uint32)
    mask = (1 << bits) - 1
    for old in range(table.shape[0]):
        if table[old] != 0:
            slot = first_slot(table[old], bits)
            while new_table[slot] != 0:
                slot = (slot + 1) & mask
            new_table[slot] = table[old]
            new_counts[slot] = counts[old]
    return new_table, new_counts
