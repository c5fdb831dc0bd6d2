"""Which documents may be near-duplicates: components of documents that share bands, out of core."""

from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from pipeline_lib.dedup.banding import Banding
from pipeline_lib.dedup.spill_files import SpillFile
from pipeline_lib.kernels.bands import (
    BUCKET_BITS,
    Indices,
    SmallIndices,
    band_keys,
    count_buckets,
    roots,
    scatter_keys,
    unite_runs,
)
from pipeline_lib.kernels.shingles import Hashes, Values

Members = npt.NDArray[np.bool_]

_RUN_KEYS = 1 << 15  # their hash table fits in a second-level cache of 1 MB
_CHUNK_KEYS = 1 << 17  # read at a time
_BYTES_PER_KEY = 12  # in memory: the key and its position
_MAX_PASSES = 64


class BandFiles:
    """The band keys of documents, one file a band, in the order in which the documents came: 8 bytes each."""

    def __init__(self, banding: Banding, scratch: Path) -> None:
        self.num_bands = banding.bands
        self.num_documents = 0
        self._counts = np.zeros((banding.bands, 1 << BUCKET_BITS), np.int64)
        with ExitStack() as opened:
            self._files = [opened.enter_context(SpillFile(scratch)) for _ in range(banding.bands)]
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def num_bytes(self) -> int:
        return sum(file.num_bytes for file in self._files)

    def append(self, keys: Hashes, num_shingles: SmallIndices) -> None:
        """Add documents by their keys, uint64 (bands, N); those of documents without shingles mean nothing."""
        count_buckets(keys, num_shingles, self._counts)
        for file, row in zip(self._files, keys, strict=True):
            file.append(row)
        self.num_documents += keys.shape[1]

    def keys(self, band: int, start: int, end: int) -> Hashes:
        """Those of one band, of the documents from position `start` to before `end`."""
        keys = np.empty(end - start, np.uint64)
        self._files[band].read(8 * start, keys)
        return keys

    def pick(self, band: int, positions: Indices) -> Hashes:
        """Those of one band, of some documents, ascending."""
        keys: Hashes = self._files[band].map(0, self.num_documents, np.uint64)[positions]
        return keys

    def chunks(self, band: int) -> Iterator[tuple[int, Hashes]]:
        """The keys of a band a piece at a time, and the position of the first of each piece."""
        for start in range(0, self.num_documents, _CHUNK_KEYS):
            yield start, self.keys(band, start, min(start + _CHUNK_KEYS, self.num_documents))

    def unite(self, members: Members, parents: SmallIndices, memory_bytes: int) -> None:
        """Unite all members that share a key, one band at a time.

        Keys are scattered into runs by their upper bits; each run then has a hash table of its own that fits in the
        cache, so that time stays linear. Where all runs of a band do not fit in memory together, its file is read once
        for each of several ranges of runs.

        Args:
            members: bool (N,): which documents take part, all of them signed.
            parents: int32 (N,): a forest, changed in place.
            memory_bytes: for keys, and at least a 64th of what one band needs.
        """
        for band in range(self.num_bands):
            counts = self._counts[band]
            total = int(counts.sum())
            bits = min(BUCKET_BITS, max(0, (total // _RUN_KEYS).bit_length()))
            run_sizes = counts.reshape(1 << bits, -1).sum(axis=1)
            capacity = max(1, memory_bytes // _BYTES_PER_KEY, -(-total // _MAX_PASSES))
            for first, last in _ranges(run_sizes, capacity):
                starts = np.cumsum(run_sizes[first:last]) - run_sizes[first:last]
                runs = np.full(1 << bits, -1, np.int32)
                runs[first:last] = np.arange(last - first, dtype=np.int32)
                runs = np.repeat(runs, (1 << BUCKET_BITS) >> bits)
                size = int(run_sizes[first:last].sum())
                scattered, positions = np.empty(size, np.uint64), np.empty(size, np.int32)
                ends = starts.copy()
                for start, keys in self.chunks(band):
                    scatter_keys(keys, start, members, runs, ends, scattered, positions)
                unite_runs(scattered, positions, starts, ends, parents)


def keys_of(signatures: Values, banding: Banding) -> Hashes:
    """The band keys of signatures, uint32 (N, P): uint64 (bands, N)."""
    keys = np.empty((banding.bands, len(signatures)), np.uint64)
    band_keys(signatures, banding.bands, keys)
    return keys


def candidate_components(
    batches: Iterable[Values], banding: Banding, *, scratch: Path, memory_bytes: int = 1 << 30
) -> SmallIndices:
    """The component of each document, int32 (N,): its smallest position. Who shares a band is in one component.

    Linear in documents. 8 bytes a band and document go to files in `scratch`; in memory are 5 bytes a document, a batch
    with its keys, and of one band 12 bytes a document, or `memory_bytes` where that is less.

    Args:
        batches: signatures, uint32 (n, P), of documents that follow each other.
    """
    with BandFiles(banding, scratch) as files:
        for batch in batches:
            for start in range(0, len(batch), _CHUNK_KEYS // 8):
                signatures = batch[start : start + _CHUNK_KEYS // 8]
                files.append(keys_of(signatures, banding), np.ones(len(signatures), np.int32))
        parents = np.arange(files.num_documents, dtype=np.int32)
        files.unite(np.ones(files.num_documents, bool), parents, memory_bytes)
    roots(parents)
    return parents


def _ranges(sizes: Indices, capacity: int) -> Iterator[tuple[int, int]]:
    """Ranges that follow each other, of at most `capacity` in all, or of a single one that is larger."""
    first, total = 0, 0
    for i, size in enumerate(sizes.tolist()):
        if i > first and total + size > capacity:
            yield first, i
            first, total = i, 0
        total += size
    yield first, len(sizes)
