"""A stable 64-bit hash of strings, by seed and purpose: what splits, samples and shuffles are decided with.

Nothing else may decide them: `hash()` changes with the process, generators with the order of calls, and other
libraries' hashes with their version.
"""

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers

Hashes = npt.NDArray[np.uint64]


def seeded_hash(values: pa.Array | pa.ChunkedArray, seed: int, purpose: str) -> Hashes:
    """One uniform uint64 for each string.

    Args:
        values: a column of text, without nulls.
        seed: any integer.
        purpose: what is decided ("split", "shuffle"): hashes of different purposes are independent, so that a sample
            or a shard range is not a piece of the validation split.
    """
    key = hashlib.blake2b(f"{purpose}\x00{seed}".encode(), digest_size=8).digest()
    data, offsets = string_buffers(values)
    return _hash_strings(data, offsets, np.uint64(int.from_bytes(key, "little")))


_LENGTH_FACTOR = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_S27, _S30, _S31 = np.uint64(27), np.uint64(30), np.uint64(31)


@njit(nogil=True, cache=True)
def _mix(word: np.uint64) -> np.uint64:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): each bit of the input moves all of the output."""
    word = (word ^ (word >> _S30)) * _MIX_1
    word = (word ^ (word >> _S27)) * _MIX_2
    return word ^ (word >> _S31)


@njit(nogil=True, cache=True)
def _hash_strings(data: Bytes, offsets: Offsets, key: np.uint64) -> Hashes:
    """Eight bytes at a time, little-endian, the last word filled with zeros; the length tells "a" from "a\\0"."""
    num_values = offsets.shape[0] - 1
    hashes = np.empty(num_values, np.uint64)
    for i in range(num_values):
        start, end = offsets[i], offsets[i + 1]
        state = _mix(key ^ (np.uint64(end - start) * _LENGTH_FACTOR))
        for word_start in range(start, end, 8):
            word = np.uint64(0)
            for position in range(min(word_start + 8, end) - 1, word_start - 1, -1):
                word = (word << np.uint64(8)) | np.uint64(data[position])
            state = _mix(state ^ word) + _LENGTH_FACTOR
        hashes[i] = _mix(state)
    return hashes
