"""Signatures of documents that never were, with near-duplicates whose sources follow a power law."""

from pathlib import Path

import numpy as np
import numpy.typing as npt

ORIGINALS = 0.7  # of all documents
LEAST_AGREEMENT = 0.6
_CHUNK = 1 << 16


def synthetic_signatures(path: Path, num_documents: int, num_permutations: int, seed: int = 0) -> Path:
    """Write uint32 (num_documents, num_permutations) to an .npy file, a piece at a time: originals, then copies.

    A copy agrees with its source in a share of all values that is spread evenly from LEAST_AGREEMENT to 1. Few sources
    have most copies: of n originals, the first k have (k / n) ** (1 / 3) of them.
    """
    unfinished = path.with_suffix(".partial")
    values = np.lib.format.open_memmap(unfinished, "w+", np.uint32, (num_documents, num_permutations))
    num_originals = round(ORIGINALS * num_documents)
    for start in range(0, num_documents, _CHUNK):
        end = min(start + _CHUNK, num_documents)
        generator = np.random.default_rng([seed, start])
        chunk = generator.integers(0, 1 << 32, (end - start, num_permutations), np.uint32)
        copies = slice(max(0, num_originals - start), end - start)
        count = len(chunk[copies])
        sources = (num_originals * generator.random(count) ** 3).astype(np.int64)
        agrees = generator.random((count, num_permutations)) < generator.uniform(LEAST_AGREEMENT, 1.0, (count, 1))
        chunk[copies] = np.where(agrees, _rows(values, chunk, start, sources), chunk[copies])
        values[start:end] = chunk
    del values
    unfinished.rename(path)
    return path


def _rows(
    written: npt.NDArray[np.uint32], chunk: npt.NDArray[np.uint32], start: int, rows: npt.NDArray[np.int64]
) -> npt.NDArray[np.uint32]:
    """Rows of what is written, or will be by this chunk."""
    found = np.empty((len(rows), written.shape[1]), np.uint32)
    before = rows < start
    found[before] = written[rows[before]]
    found[~before] = chunk[rows[~before] - start]
    return found
