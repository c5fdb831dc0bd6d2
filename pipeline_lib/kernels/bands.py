"""Candidates by locality-sensitive hashing: documents whose signatures agree in a whole band, who hangs together, and
who is removed: each only after an exact comparison with a document that stays.

Source of the banding: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4. Two documents of similarity s
agree in at least one of b bands of r rows with probability 1 - (1 - s^r)^b.

These kernels call each other, so they stand in one file: see shingles.py.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Offsets
from pipeline_lib.kernels.shingles import Hashes, Values

Indices = npt.NDArray[np.int64]

_SEED = np.uint64(0x243F6A8885A308D3)  # of pi
_MULTIPLY_1, _MULTIPLY_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xFF51AFD7ED558CCD)
_SHIFT_29, _SHIFT_33 = np.uint64(29), np.uint64(33)


class Verdicts(NamedTuple):
    """For documents 0 .. N - 1, best first.

    Attributes:
        kept_by: int64 (N,): the kept document that removes this one; -1 for those that are kept.
        similarity: float64 (N,): exact Jaccard similarity of the two; 0 for those that are kept.
        bands_shared: int32 (N,): bands in which the two agree; 0 for those that are kept.
        clusters: int64 (N,): the smallest index of those that hang together by pairs verified as similar.
        compared: pairs whose sets were compared.
        verified: those of them that are similar.
        not_compared: candidate pairs left out because a document had more than `max_candidates`.
        full_keys: how often a band key had no room for another kept document.
    """

    kept_by: Indices
    similarity: npt.NDArray[np.float64]
    bands_shared: npt.NDArray[np.int32]
    clusters: Indices
    compared: int
    verified: int
    not_compared: int
    full_keys: int


@njit(nogil=True, cache=True)
def band_keys(signatures: Values, num_bands: int, keys: Hashes) -> None:
    """One 64-bit key a band and document: equal keys mean equal bands, but for chance (1 in 1.8 * 10^19).

    Keys of different bands differ, too.

    Args:
        signatures: uint32 (N, P), P a multiple of num_bands.
        keys: uint64 (num_bands, N): overwritten.
    """
    rows = signatures.shape[1] // num_bands
    for i in range(signatures.shape[0]):
        for band in range(num_bands):
            key = _SEED * np.uint64(2 * band + 1)  # different in the upper half, which the values leave alone
            for row in range(band * rows, (band + 1) * rows):
                key = (key ^ np.uint64(signatures[i, row])) * _MULTIPLY_1
                key ^= key >> _SHIFT_29
            key *= _MULTIPLY_2
            keys[band, i] = key ^ (key >> _SHIFT_33)


@njit(nogil=True, cache=True)
def unite_equal(keys: Hashes, members: Indices, parents: Indices) -> None:
    """Unite all members with equal keys.

    Args:
        keys: uint64 (N,), well mixed.
        members: int64 (M,): the indices that take part.
        parents: int64 (N,): a forest, changed in place; roots are the smallest index of their tree.
    """
    bits = 4
    while (1 << bits) < 2 * members.shape[0]:
        bits += 1
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    first = np.full(mask + 1, -1, np.int64)  # the first member with the key that belongs to a slot
    for member in members:
        slot = np.int64(keys[member] >> shift)
        while first[slot] >= 0 and keys[first[slot]] != keys[member]:
            slot = (slot + 1) & mask
        if first[slot] < 0:
            first[slot] = member
        else:
            _unite(parents, first[slot], member)


@njit(nogil=True, cache=True)
def unite_pairs(left: Indices, right: Indices, parents: Indices) -> None:
    """Unite left[i] with right[i], for all i."""
    for i in range(left.shape[0]):
        _unite(parents, left[i], right[i])


@njit(nogil=True, cache=True)
def roots(parents: Indices) -> Indices:
    """The smallest index of each index's tree, int64 (N,)."""
    result = np.empty_like(parents)
    for i in range(parents.shape[0]):
        result[i] = _root(parents, i)
    return result


@njit(nogil=True, cache=True)
def judge_in_order(
    keys: Hashes, shingles: Hashes, starts: Offsets, sizes: Indices, threshold: float, max_candidates: int
) -> Verdicts:
    """Walk the documents best first; keep each that no kept one resembles.

    A document's candidates are the kept ones that share a band key with it. More than `max_candidates` of them: those
    that share most bands, then the best. A band key remembers the first `max_candidates` kept documents. So work and
    memory are linear in documents: at most bands * max_candidates steps and max_candidates comparisons for each.

    Args:
        keys: uint64 (bands, N), different between bands.
        shingles, starts, sizes: document i's sorted distinct shingle hashes, shingles[starts[i]:][:sizes[i]].
        threshold: a similarity at least as high removes.
        max_candidates: at least 1.
    """
    num_bands, num_documents = keys.shape
    kept_by = np.full(num_documents, -1, np.int64)
    similarity = np.zeros(num_documents, np.float64)
    bands_shared = np.zeros(num_documents, np.int32)
    clusters = np.arange(num_documents)
    compared, verified, not_compared, full_keys = 0, 0, 0, 0

    # band key -> kept documents: an open hash table of keys, and lists of entries that are linked from new to old
    bits = 4
    while (1 << bits) < 2 * num_bands * num_documents:
        bits += 1
    mask = (1 << bits) - 1
    shift = np.uint64(64 - bits)
    slot_keys = np.empty(mask + 1, np.uint64)
    slot_counts = np.zeros(mask + 1, np.int32)
    slot_entries = np.empty(mask + 1, np.int64)
    entry_documents = np.empty(num_bands * num_documents, np.int64)
    entry_next = np.empty(num_bands * num_documents, np.int64)
    num_entries = 0

    shared = np.zeros(num_documents, np.int32)
    candidates = np.empty(num_documents, np.int64)
    slots = np.empty(num_bands, np.int64)
    for i in range(num_documents):
        num_candidates = 0
        for band in range(num_bands):
            key = keys[band, i]
            slot = np.int64(key >> shift)
            while slot_counts[slot] > 0 and slot_keys[slot] != key:
                slot = (slot + 1) & mask
            slots[band] = slot
            entry = slot_entries[slot]
            for _ in range(slot_counts[slot]):
                candidate = entry_documents[entry]
                if shared[candidate] == 0:
                    candidates[num_candidates] = candidate
                    num_candidates += 1
                shared[candidate] += 1
                entry = entry_next[entry]
        # most bands shared first, then best first
        ranks = np.empty(num_candidates, np.int64)
        for j in range(num_candidates):
            ranks[j] = (num_bands - shared[candidates[j]]) * num_documents + candidates[j]
        if num_candidates > max_candidates:
            ranks.sort()
            not_compared += num_candidates - max_candidates
        for j in range(min(num_candidates, max_candidates)):
            candidate = ranks[j] % num_documents
            compared += 1
            alike = _jaccard(
                shingles[starts[i] : starts[i] + sizes[i]],
                shingles[starts[candidate] : starts[candidate] + sizes[candidate]],
                threshold,
            )
            if alike < threshold:
                continue
            verified += 1
            _unite(clusters, candidate, i)
            if kept_by[i] < 0 or alike > similarity[i] or (alike == similarity[i] and candidate < kept_by[i]):
                kept_by[i], similarity[i] = candidate, alike
        for j in range(num_candidates):
            shared[candidates[j]] = 0
        if kept_by[i] >= 0:
            for band in range(num_bands):  # not `shared`: a full key did not count
                bands_shared[i] += keys[band, i] == keys[band, kept_by[i]]
            continue
        for band in range(num_bands):
            slot = slots[band]
            # another band of this very document may have taken the slot
            while slot_counts[slot] > 0 and slot_keys[slot] != keys[band, i]:
                slot = (slot + 1) & mask
            if slot_counts[slot] == max_candidates:
                full_keys += 1
                continue
            entry_documents[num_entries] = i
            entry_next[num_entries] = slot_entries[slot]
            slot_keys[slot] = keys[band, i]
            slot_entries[slot] = num_entries
            slot_counts[slot] += 1
            num_entries += 1
    return Verdicts(kept_by, similarity, bands_shared, roots(clusters), compared, verified, not_compared, full_keys)


@njit(nogil=True, cache=True)
def _jaccard(one: Hashes, other: Hashes, threshold: float) -> float:
    """Exact Jaccard similarity of two sorted sets; 0 as soon as it must be below the threshold."""
    total = one.shape[0] + other.shape[0]
    # the smallest intersection that reaches the threshold, by the very division that is compared with it
    needed = max(1, int(threshold * total / (1.0 + threshold)) - 1)
    while needed < total - needed and needed / (total - needed) < threshold:
        needed += 1
    spare_of_one, spare_of_other = one.shape[0] - needed, other.shape[0] - needed
    if spare_of_one < 0 or spare_of_other < 0:
        return 0.0
    i, j, intersection = 0, 0, 0
    while i < one.shape[0] and j < other.shape[0]:
        if one[i] == other[j]:
            intersection += 1
            i += 1
            j += 1
        elif one[i] < other[j]:
            i += 1
            if i - intersection > spare_of_one:
                return 0.0
        else:
            j += 1
            if j - intersection > spare_of_other:
                return 0.0
    return float(intersection / (total - intersection))


@njit(nogil=True, cache=True)
def _root(parents: Indices, index: int) -> int:
    while parents[index] != index:
        parents[index] = parents[parents[index]]
        index = parents[index]
    return index


@njit(nogil=True, cache=True)
def _unite(parents: Indices, one: int, other: int) -> None:
    one, other = _root(parents, one), _root(parents, other)
    if one < other:
        parents[other] = one
    else:
        parents[one] = other
