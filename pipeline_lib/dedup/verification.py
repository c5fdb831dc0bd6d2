"""Candidates compared, and decided about: each part's texts are read once, each batch of sets of shingles, too.

The documents that hang together in components are divided into batches of whole components. One pass over the parts
writes the sets of shingles and the band keys of their documents into two files, at places that are known beforehand, so
that those of a batch stand together: all is read once and written once, however many batches there are.
"""

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.dedup.candidates import BandKeys
from pipeline_lib.dedup.earlier import Stretch
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.spill_files import SpillFile
from pipeline_lib.dedup.workers import in_threads
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.bands import KEPT, NO_PAIRS, Indices, SmallIndices, Verdicts, judge_in_order, shared_keys
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import shingle_sets
from pipeline_lib.torch_devices import use_gpu

ReadTexts = Callable[[Stretch, Indices], pa.Array]

# What a document of a batch takes beside its shingles: places and verdicts, and by band a key or what it lists.
_DOCUMENT_BYTES, _BAND_BYTES = 60, 12
_MIN_BATCH_BYTES = 1 << 16


@dataclass(frozen=True, kw_only=True)
class Hanging:
    """What hangs together, by position of N documents.

    Attributes:
        ranks: int32 (N,): 0 for the best document.
        best_of_text, best_of_url: int32 (N,): the best document of the same text, and of the same URL; itself where
            there is no other.
        banded: bool (N,): documents whose text is to be compared: the best of equal ones, and others share its bands.
        components: int32 (N,): the smallest position of all that may have to do with each other.
        num_new: documents from this position on are earlier runs'.
    """

    ranks: SmallIndices
    best_of_text: SmallIndices
    best_of_url: SmallIndices
    banded: npt.NDArray[np.bool_]
    components: SmallIndices
    num_new: int


@dataclass(kw_only=True)
class Removals:
    """What is decided about each document, by position: see `Verdicts`, whose indices are positions here.

    Attributes:
        compared, verified, not_compared, full_keys: sums over all.
    """

    rule: npt.NDArray[np.int8]
    kept_by: SmallIndices
    similarity: npt.NDArray[np.float64]
    bands_shared: SmallIndices
    clusters: SmallIndices
    compared: int = 0
    verified: int = 0
    not_compared: int = 0
    full_keys: int = 0

    @classmethod
    def of_none(cls, num_documents: int) -> Self:
        return cls(
            rule=np.full(num_documents, KEPT, np.int8),
            kept_by=np.full(num_documents, -1, np.int32),
            similarity=np.zeros(num_documents),
            bands_shared=np.zeros(num_documents, np.int32),
            clusters=np.arange(num_documents, dtype=np.int32),
        )

    def enter(self, documents: SmallIndices, verdicts: Verdicts) -> None:
        """Enter verdicts over `documents`, whose positions the verdicts number from 0."""
        removed = verdicts.kept_by >= 0
        self.rule[documents] = verdicts.rule
        self.kept_by[documents[removed]] = documents[verdicts.kept_by[removed]]
        self.similarity[documents] = verdicts.similarity
        self.bands_shared[documents] = verdicts.bands_shared
        self.clusters[documents] = documents[verdicts.clusters]
        self.compared += verdicts.compared
        self.verified += verdicts.verified
        self.not_compared += verdicts.not_compared
        self.full_keys += verdicts.full_keys


class Batches:
    """The documents of components of two or more, in batches of whole components, and the files with their sets.

    Attributes:
        documents: int32 (M,): positions, batch after batch, ascending in each.
        bounds: int64 (batches + 1,): where each batch begins in `documents`.
    """

    def __init__(
        self,
        hanging: Hanging,
        num_shingles: SmallIndices,
        band_keys: BandKeys,
        parameters: DedupParameters,
        batch_bytes: int,
        scratch: Path,
    ) -> None:
        self._hanging = hanging
        self._num_shingles = num_shingles
        self._band_keys = band_keys
        self._parameters = parameters
        self._batch_bytes = max(_MIN_BATCH_BYTES, batch_bytes)
        self.documents, self.bounds = self._divide()
        banded = hanging.banded[self.documents]
        self._banded = np.flatnonzero(banded).astype(np.int32)  # places in `documents`; sets are numbered like this
        sets_before: Indices = np.cumsum(banded) - banded
        self._set_bounds = np.append(sets_before, len(self._banded))[self.bounds]
        room = num_shingles[self.documents[self._banded]].astype(np.int64)
        self._starts = np.cumsum(room) - room  # by set, in the file of all
        self._num_values = int(room.sum())
        self._sizes = np.zeros(len(self._banded), np.int32)
        with ExitStack() as opened:
            self._shingles = opened.enter_context(SpillFile(scratch))
            self._keys = opened.enter_context(SpillFile(scratch))
            self._opened = opened.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    @property
    def num_bytes(self) -> int:
        return self._shingles.num_bytes + self._keys.num_bytes

    def write_sets(self, stretches: Sequence[Stretch], read_texts: ReadTexts) -> None:
        """Read the texts of each part once, and write the sets of those that are to be compared."""
        positions = self.documents[self._banded]
        by_position = np.argsort(positions).astype(np.int32)
        ascending = positions[by_position]
        ends = np.array([(each.start, each.end) for each in stretches], np.int32).reshape(-1, 2)
        bounds = np.searchsorted(ascending, ends).tolist()

        def write(number: int) -> None:
            chosen = slice(*bounds[number])
            self._write_stretch(stretches[number], ascending[chosen], by_position[chosen], read_texts)

        for _ in in_threads(write, [number for number, (first, last) in enumerate(bounds) if first < last]):
            pass

    def judge(self, removals: Removals, compare_on: str | None = None) -> None:
        """Decide about all documents, batch by batch.

        Args:
            compare_on: what torch calls the device that compares sets; None: the compiled kernel, unless
                `parameters.device` is `cuda`.
        """
        device = compare_on
        # `auto` leaves this to the kernel, which ends a comparison early, where a device looks up whole sets
        if device is None and self._parameters.device == "cuda" and len(self._banded) and use_gpu("cuda"):
            device = "cuda"

        def judge_batch(batch: int) -> tuple[SmallIndices, Verdicts]:
            return self._judge_batch(batch, device)

        for documents, verdicts in in_threads(judge_batch, range(len(self.bounds) - 1)):
            removals.enter(documents, verdicts)

    def _divide(self) -> tuple[SmallIndices, Indices]:
        components, banded = self._hanging.components, self._hanging.banded
        sizes = np.bincount(components, minlength=len(components))
        documents = np.flatnonzero(sizes[components] > 1).astype(np.int32)
        del sizes
        if not len(documents):
            return documents, np.zeros(1, np.int64)
        weights = np.full(len(documents), _DOCUMENT_BYTES + _BAND_BYTES * self._band_keys.num_bands, np.int64)
        weights += np.where(banded[documents], self._num_shingles[documents], 0).astype(np.int64) * 8
        of_component = np.bincount(components[documents], weights, minlength=len(components)).astype(np.int64)
        of_component = np.cumsum(of_component) - of_component
        batch = of_component[components[documents]] // self._batch_bytes
        del of_component
        by_batch = np.argsort(batch, kind="stable")
        batch = batch[by_batch]
        bounds = np.concatenate([[0], np.flatnonzero(np.diff(batch)) + 1, [len(documents)]])
        return documents[by_batch], bounds

    def _write_stretch(
        self, stretch: Stretch, positions: SmallIndices, sets: SmallIndices, read_texts: ReadTexts
    ) -> None:
        """The texts at `positions`, ascending, whose sets have the numbers `sets`."""
        rows = positions.astype(np.int64) - stretch.start
        if stretch.rows is not None:
            rows = stretch.rows[rows]
        texts = read_texts(stretch, rows)
        data, offsets = string_buffers(texts)
        if len(offsets) - 1 != len(rows):
            raise ValueError(f"{stretch.part}: asked for {len(rows)} texts, got {len(offsets) - 1}")
        by_set = np.argsort(sets)
        sets = sets[by_set]
        num_shingles = self._num_shingles[positions[by_set]]
        room = num_shingles.astype(np.int64)
        starts = np.cumsum(room) - room
        shingles = np.empty(int(room.sum()), np.uint64)
        sizes = np.empty(len(sets), np.int64)
        ngram = self._parameters.ngram
        shingle_sets(data, offsets, by_set, num_shingles, ngram, fold_tables(), starts, sizes, shingles)
        if sizes.min() < 0:
            raise ValueError(
                f"the fingerprints of {stretch.part} were made from other texts than these; sign them again"
            )
        self._sizes[sets] = sizes
        num_bands = self._band_keys.num_bands
        keys = np.empty((len(sets), num_bands), np.uint64)
        first = int(positions[0])
        for band in range(num_bands):
            keys[:, band] = self._band_keys.keys(band, first, int(positions[-1]) + 1)[positions[by_set] - first]
        # sets with neighbouring numbers stand together: one write for each batch that the part has a share in
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(sets) != 1) + 1, [len(sets)]])
        ends = np.append(starts, len(shingles))
        for a, b in zip(cuts[:-1].tolist(), cuts[1:].tolist(), strict=True):
            self._shingles.write(shingles[ends[a] : ends[b]], 8 * int(self._starts[sets[a]]))
            self._keys.write(keys[a:b], 8 * num_bands * int(sets[a]))

    def _judge_batch(self, batch: int, device: str | None) -> tuple[SmallIndices, Verdicts]:
        hanging, parameters = self._hanging, self._parameters
        documents = self.documents[self.bounds[batch] : self.bounds[batch + 1]]
        first_set, end_set = int(self._set_bounds[batch]), int(self._set_bounds[batch + 1])
        num_bands = self._band_keys.num_bands
        keys = np.empty((end_set - first_set, num_bands), np.uint64)
        self._keys.read(8 * num_bands * first_set, keys)
        groups = np.empty(keys.shape, np.int32)
        num_groups = shared_keys(keys, groups)
        del keys
        start = int(self._starts[first_set]) if first_set < len(self._starts) else self._num_values
        end = int(self._starts[end_set]) if end_set < len(self._starts) else self._num_values
        if 8 * (end - start) > 2 * self._batch_bytes:
            shingles = self._shingles.map(8 * start, end - start, np.uint64)
            device = None  # it would have to hold them all
        else:
            shingles = np.empty(end - start, np.uint64)
            self._shingles.read(8 * start, shingles)
        by_rank = np.argsort(hanging.ranks[documents])
        place = np.empty(len(documents), np.int32)  # of each document among those best first
        place[by_rank] = np.arange(len(documents), dtype=np.int32)
        ordered = documents[by_rank]
        same_text = place[np.searchsorted(documents, hanging.best_of_text[ordered])]
        same_url = place[np.searchsorted(documents, hanging.best_of_url[ordered])]
        sets = np.full(len(documents), -1, np.int32)
        banded = self._banded[first_set:end_set] - int(self.bounds[batch])
        sets[place[banded]] = np.arange(end_set - first_set, dtype=np.int32)
        earlier, sets = ordered >= hanging.num_new, sets[same_text]
        starts, sizes = self._starts[first_set:end_set] - start, self._sizes[first_set:end_set].astype(np.int64)
        pairs = NO_PAIRS
        if device is not None and len(sizes):
            from pipeline_lib.dedup.device_verification import PAIR_BYTES, compare_candidates  # torch: takes a second

            max_pairs = self._batch_bytes // PAIR_BYTES
            pairs = compare_candidates(
                earlier, sets, groups, num_groups, shingles, starts, sizes, parameters, max_pairs, device
            )
        verdicts = judge_in_order(
            same_text,
            same_url,
            earlier,
            sets,
            groups,
            num_groups,
            shingles,
            starts,
            sizes,
            pairs,
            parameters.threshold,
            parameters.similarity == "containment",
            parameters.max_candidates,
        )
        return ordered, verdicts
