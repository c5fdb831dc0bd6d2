"""Which 128-bit hashes, and which 64-bit keys, are equal: open hash tables over arrays, no sorting."""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.bands import Indices, SmallIndices
from pipeline_lib.kernels.shingles import Hashes

_MIX = np.uint64(0x9E3779B97F4A7C15)
_SHIFT_32, _ZERO = np.uint64(32), np.uint64(0)


@njit(nogil=True, cache=True)
def best_of_equal(hashes: Hashes, order: SmallIndices, best: SmallIndices) -> None:
    """The first document in `order` with the same hash, for each document.

    Args:
        hashes: uint64 (N, 2): zeros equal none.
        order: int32 (N,): all documents.
        best: int32 (N,): overwritten; its own index where no other comes first.
    """
    table = _table(hashes.shape[0])
    for i in order:
        best[i] = i
        if hashes[i, 0] == _ZERO and hashes[i, 1] == _ZERO:
            continue
        slot = _slot(table, hashes, hashes[i, 0], hashes[i, 1])
        if table[slot] < 0:
            table[slot] = i
        best[i] = table[slot]


@njit(nogil=True, cache=True)
def hash_table(hashes: Hashes) -> SmallIndices:
    """The table in which `first_matches` looks up: a slot a hash, zeros in none."""
    table = _table(hashes.shape[0])
    for i in range(hashes.shape[0]):
        if hashes[i, 0] != _ZERO or hashes[i, 1] != _ZERO:
            slot = _slot(table, hashes, hashes[i, 0], hashes[i, 1])
            if table[slot] < 0:
                table[slot] = i
    return table


@njit(nogil=True, cache=True)
def first_matches(
    hashes: Hashes, table: SmallIndices, others: Hashes, start: int, seen: npt.NDArray[np.bool_], found: Indices
) -> int:
    """Which of `others` equals one of `hashes` as the first to do so.

    Args:
        table: of `hashes`, see `hash_table`.
        others: uint64 (M, 2): numbered from `start` on.
        seen: bool, by index of `hashes`: matched before; changed.
        found: int64, at least (M,): their numbers, ascending, are written to its front.

    Returns:
        How many were found.
    """
    num_found = 0
    for j in range(others.shape[0]):
        if others[j, 0] == _ZERO and others[j, 1] == _ZERO:
            continue
        i = table[_slot(table, hashes, others[j, 0], others[j, 1])]
        if i >= 0 and not seen[i]:
            seen[i] = True
            found[num_found] = start + j
            num_found += 1
    return num_found


@njit(nogil=True, cache=True)
def key_table(keys: Hashes, members: npt.NDArray[np.bool_]) -> SmallIndices:
    """The table in which `matching_keys` looks up: a slot for each different key of a member."""
    table = _table(keys.shape[0])
    for i in range(keys.shape[0]):
        if members[i]:
            slot = _key_slot(table, keys, keys[i])
            if table[slot] < 0:
                table[slot] = i
    return table


@njit(nogil=True, cache=True)
def matching_keys(
    keys: Hashes,
    table: SmallIndices,
    others: Hashes,
    others_signed: npt.NDArray[np.bool_],
    start: int,
    num_matches: SmallIndices,
    most: int,
    found: Indices,
) -> int:
    """Which of `others` equals one of `keys`; at most `most` for each different key, the first ones.

    Args:
        table: of `keys`, see `key_table`.
        others: uint64 (M,): numbered from `start` on.
        num_matches: int32, by index of `keys`: matches so far; changed.
        found: int64, at least (M,): their numbers, ascending, are written to its front.

    Returns:
        How many were found.
    """
    num_found = 0
    for j in range(others.shape[0]):
        if not others_signed[j]:
            continue
        i = table[_key_slot(table, keys, others[j])]
        if i >= 0 and num_matches[i] < most:
            num_matches[i] += 1
            found[num_found] = start + j
            num_found += 1
    return num_found


@njit(nogil=True, cache=True)
def _table(num_entries: int) -> SmallIndices:
    bits = 4
    while (1 << bits) < 2 * num_entries:
        bits += 1
    return np.full(1 << bits, np.int32(-1))


@njit(nogil=True, cache=True)
def _slot(table: SmallIndices, hashes: Hashes, one: np.uint64, other: np.uint64) -> int:
    mask = table.shape[0] - 1
    slot: int = int(((one ^ other) * _MIX) >> _SHIFT_32) & mask
    while table[slot] >= 0 and (hashes[table[slot], 0] != one or hashes[table[slot], 1] != other):
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
def _key_slot(table: SmallIndices, keys: Hashes, key: np.uint64) -> int:
    mask = table.shape[0] - 1
    slot: int = int((key * _MIX) >> _SHIFT_32) & mask
    while table[slot] >= 0 and keys[table[slot]] != key:
        slot = (slot + 1) & mask
    return slot
