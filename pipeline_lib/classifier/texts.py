"""Texts to learn from: taken in as columns, and told apart by a hash of their bytes."""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.utf8 import frozen, hash_bytes, mix

Hashes = npt.NDArray[np.uint64]


def joined(columns: Iterable[pa.ChunkedArray]) -> pa.ChunkedArray:
    """The columns as one of large_string, its text checked.

    Raises:
        TypeError: a column is not text.
        ValueError: a column has nulls, or text that is not UTF-8.
    """
    chunks = []
    for column in columns:
        if not (pa.types.is_string(column.type) or pa.types.is_large_string(column.type)):
            raise TypeError(f"expected a column of text, found {column.type}")
        if column.null_count:
            raise ValueError(f"expected a column without nulls, found {column.null_count} in {len(column)} rows")
        column.validate(full=True)
        chunks += column.cast(pa.large_string()).chunks
    return pa.chunked_array(chunks, pa.large_string())


def text_hashes(data: Bytes, offsets: Offsets) -> Hashes:
    """uint64 (N,): equal for equal texts, and else the same with 1 chance in 10^19 a pair."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_texts(*frozen(data, offsets), hashes)
    return hashes


def seeded(hashes: Hashes, seed: int) -> Hashes:
    """The hashes shuffled by a seed: another order and another split for another seed."""
    shuffled = np.empty_like(hashes)
    _shuffle(hashes, np.uint64(seed), shuffled)
    return shuffled


def share(hashes: Hashes) -> npt.NDArray[np.float64]:
    """float64 (N,) in [0, 1): evenly spread."""
    return (hashes >> np.uint64(11)).astype(np.float64) * 2.0**-53


@njit(nogil=True, cache=True)
def _hash_texts(data: Bytes, offsets: Offsets, hashes: Hashes) -> None:
    for text in range(offsets.shape[0] - 1):
        hashes[text] = hash_bytes(data, offsets[text], offsets[text + 1])


@njit(nogil=True, cache=True)
def _shuffle(hashes: Hashes, seed: np.uint64, shuffled: Hashes) -> None:
    key = mix(seed + np.uint64(0x9E3779B97F4A7C15))
    for i in range(hashes.shape[0]):
        shuffled[i] = mix(hashes[i] ^ key)
