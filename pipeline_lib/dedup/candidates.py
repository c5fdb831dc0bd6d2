"""Which documents may be near-duplicates: components of documents that share bands, out of core."""

from collections.abc import Callable, Iterable, Iterator
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
_BLOCK_KEYS = 1 << 18  # of all bands
BYTES_PER_KEY = 12  # while one band is looked at: the key and its position
_BYTES_PER_PARENT = 5  # and whether it is a member
_MAX_PASSES = 64


class BandKeys:
    """The band keys of documents, 8 bytes each: by position, in the order in which the documents came.

    They stand in blocks of so many documents, in a block the keys of one band after the other. Blocks that do not fit
    in memory are in a file.
    """

    def __init__(self, banding: Banding, scratch: Path, held_bytes: Callable[[int], int]) -> None:
        """
        Args:
            held_bytes: how much memory the keys of so many documents may take.
        """
        self.num_bands = banding.bands
        self.num_documents = 0
        self.block_documents = 1 << max(0, (_BLOCK_KEYS // banding.bands).bit_length() - 1)
        self._counts = np.zeros((banding.bands, 1 << BUCKET_BITS), np.int64)
        self._blocks: dict[int, Hashes] = {}  # those in memory, in order, but for the last
        self._last = self._new_block()
        self._held_bytes = held_bytes
        self._file = SpillFile(scratch)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._blocks.clear()
        self._file.__exit__(*exception)

    @property
    def num_held_bytes(self) -> int:
        return (1 + len(self._blocks)) * self._last.nbytes

    @property
    def num_spilled_bytes(self) -> int:
        return self._file.num_bytes

    def append(self, keys: Hashes, num_shingles: SmallIndices) -> None:
        """Add documents by their keys, uint64 (bands, N); those of documents without shingles mean nothing.

        An array that makes a block is kept as it is, not copied: it belongs to this object from now on.
        """
        count_buckets(keys, num_shingles, self._counts)
        size = self.block_documents
        start = 0
        while start < keys.shape[1]:
            at = self.num_documents % size
            end = min(keys.shape[1], start + size - at)
            is_block = keys.shape == self._last.shape and end - start == size
            if not is_block:
                self._last[:, at : at + end - start] = keys[:, start:end]
            self.num_documents += end - start
            start = end
            if self.num_documents % size == 0:
                self._blocks[self.num_documents // size - 1] = keys if is_block else self._last
                written = self._make_room()
                if not is_block:
                    self._last = self._new_block() if written is None else written

    def keys(self, band: int, start: int, end: int) -> Hashes:
        """Those of one band, of the documents from position `start` to before `end`."""
        keys = np.empty(end - start, np.uint64)
        size = self.block_documents
        at = start
        while at < end:
            until = min(end, at - at % size + size)
            self._read(band, at, keys[at - start : until - start])
            at = until
        return keys

    def pick(self, band: int, positions: Indices) -> Hashes:
        """Those of one band, of some documents, ascending."""
        cuts = np.flatnonzero(np.diff(positions // self.block_documents)) + 1
        picked = [np.zeros(0, np.uint64)]
        for some in np.split(positions, cuts) if len(positions) else []:
            first = int(some[0])
            picked.append(self.keys(band, first, int(some[-1]) + 1)[some - first])
        return np.concatenate(picked)

    def chunks(self, band: int) -> Iterator[tuple[int, Hashes]]:
        """The keys of a band a piece at a time, and the position of the first of each piece."""
        size = self.block_documents
        for start in range(0, self.num_documents, size):
            block = self._held(start // size)
            end = min(start + size, self.num_documents)
            yield start, self.keys(band, start, end) if block is None else block[band, : end - start]

    def _read(self, band: int, start: int, keys: Hashes) -> None:
        """Keys of one block."""
        number, at = divmod(start, self.block_documents)
        block = self._held(number)
        if block is None:
            self._file.read(8 * ((number * self.num_bands + band) * self.block_documents + at), keys)
        else:
            keys[:] = block[band, at : at + len(keys)]

    def _held(self, number: int) -> Hashes | None:
        if number == self.num_documents // self.block_documents:
            return self._last
        return self._blocks.get(number)

    def _make_room(self) -> Hashes | None:
        """Write blocks to the file until the others fit in memory; one of those written, to be filled again."""
        written = None
        while self._blocks and self.num_held_bytes > self._held_bytes(self.num_documents):
            number, written = self._blocks.popitem()
            self._file.write(written, number * written.nbytes)
        return written

    def _new_block(self) -> Hashes:
        return np.empty((self.num_bands, self.block_documents), np.uint64)

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
        scattered, positions = np.empty(0, np.uint64), np.empty(0, np.int32)
        for band in range(self.num_bands):
            counts = self._counts[band]
            total = int(counts.sum())
            bits = min(BUCKET_BITS, max(0, (total // _RUN_KEYS).bit_length()))
            run_sizes = counts.reshape(1 << bits, -1).sum(axis=1)
            capacity = max(1, memory_bytes // BYTES_PER_KEY, -(-total // _MAX_PASSES))
            for first, last in _ranges(run_sizes, capacity):
                starts = np.cumsum(run_sizes[first:last]) - run_sizes[first:last]
                runs = np.full(1 << bits, -1, np.int32)
                runs[first:last] = np.arange(last - first, dtype=np.int32)
                runs = np.repeat(runs, (1 << BUCKET_BITS) >> bits)
                size = int(run_sizes[first:last].sum())
                if size > len(scattered):  # else those of the band before: fresh memory costs as much as filling it
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
    batches: Iterable[Values], banding: Banding, *, scratch: Path, memory_bytes: int = 7 << 29
) -> SmallIndices:
    """The component of each document, int32 (N,): its smallest position. Who shares a band is in one component.

    Linear in documents. In memory are 17 bytes a document, 5 where that is more than `memory_bytes`, a batch with its
    keys, and of the keys of all, 8 bytes a band and document, what is left of `memory_bytes`; the others go to a file
    in `scratch`.

    Args:
        batches: signatures, uint32 (n, P), of documents that follow each other.
    """

    def left(num_documents: int) -> int:
        return memory_bytes - (BYTES_PER_KEY + _BYTES_PER_PARENT) * num_documents

    with BandKeys(banding, scratch, left) as stored:
        for batch in batches:
            start = 0
            while start < len(batch):
                room = stored.block_documents - stored.num_documents % stored.block_documents
                signatures = batch[start : start + room]
                stored.append(keys_of(signatures, banding), np.ones(len(signatures), np.int32))
                start += room
        parents = np.arange(stored.num_documents, dtype=np.int32)
        stored.unite(np.ones(stored.num_documents, bool), parents, memory_bytes - _BYTES_PER_PARENT * len(parents))
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
