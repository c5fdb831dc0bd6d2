"""Exact similarity of many pairs of shingle sets on a GPU: the same numbers as `kernels.bands.set_similarity`.

A GPU needs its pairs beforehand, and which pairs are compared depends on who is kept. So each set is first compared
with one that comes before it; then all are compared with those that this leaves, which are nearly the ones that are
kept. What was guessed wrong, the kernel compares when it comes to it.
"""

from threading import Lock

import numpy as np
import numpy.typing as npt
import torch

from pipeline_lib.dedup.parameters import DedupParameters, Similarity
from pipeline_lib.kernels.arrow import Offsets
from pipeline_lib.kernels.bands import Indices, Pairs, SmallIndices, list_pairs
from pipeline_lib.kernels.shingles import Hashes

PAIR_BYTES = 16  # of what is listed

_LOOKUPS = {"cpu": 1 << 18, "cuda": 1 << 25}  # of shingles in other sets at a time, of about 40 bytes each
_PAIRS = 1 << 16  # compared at a time, of about 100 bytes each

_FLIP = -(1 << 63)

_turn = Lock()  # batches are judged in threads: the memory of a GPU is for one at a time


def compare_candidates(
    earlier: npt.NDArray[np.bool_],
    sets: SmallIndices,
    groups: SmallIndices,
    num_groups: int,
    shingles: Hashes,
    starts: Offsets,
    sizes: Indices,
    parameters: DedupParameters,
    max_pairs: int,
    device: str,
) -> Pairs:
    """Most of the pairs that `judge_in_order` will ask for, compared.

    Args:
        earlier, sets, groups, num_groups, shingles, starts, sizes: see `judge_in_order`.
        max_pairs: that are listed at most.
        device: as torch calls it.
    """
    with _turn:
        on_device = SetsOnDevice(shingles, starts, sizes, torch.device(device))
        passed_over = np.zeros(len(sizes), bool)
        first = list_pairs(earlier, sets, groups, num_groups, passed_over, 1, max_pairs)
        _compare(first, on_device, parameters.similarity)
        passed_over[first.removed[first.similarities >= parameters.threshold]] = True
        pairs = list_pairs(earlier, sets, groups, num_groups, passed_over, parameters.max_candidates, max_pairs)
        _compare(pairs, on_device, parameters.similarity)
    return pairs


def _compare(pairs: Pairs, on_device: "SetsOnDevice", similarity: Similarity) -> None:
    for start in range(0, len(pairs.removed), _PAIRS):
        some = slice(start, start + _PAIRS)
        removed, kept = pairs.removed[some].astype(np.int64), pairs.kept[some].astype(np.int64)
        pairs.similarities[some] = on_device.similarities(removed, kept, similarity)


class SetsOnDevice:
    """Sets of shingles, for comparing pairs of them."""

    def __init__(self, shingles: Hashes, starts: Offsets, sizes: Indices, device: torch.device) -> None:
        """
        Args:
            shingles, starts, sizes: set s is shingles[starts[s]:][:sizes[s]], sorted and distinct.
        """
        # signed numbers with the uppermost bit flipped compare as the unsigned ones do
        self._shingles = torch.from_numpy(shingles.view(np.int64)).to(device) ^ _FLIP
        self._starts, self._sizes = starts, sizes
        self._device = device

    def similarities(
        self, removed: Indices, kept: Indices, similarity: Similarity = "jaccard"
    ) -> npt.NDArray[np.float64]:
        """The similarity of each pair of sets, float64 (N,): 0 where one of them is empty.

        Args:
            removed, kept: int64 (N,): by number; `containment` is the share of the first that is in the second.
        """
        common = self.intersections(removed, kept)
        sizes = self._sizes[removed]
        of = sizes if similarity == "containment" else sizes + self._sizes[kept] - common
        found: npt.NDArray[np.float64] = np.divide(common, of, out=np.zeros(len(common)), where=of > 0)
        return found

    def intersections(self, left: Indices, right: Indices) -> Indices:
        """How many shingles both sets of each pair have, int64 (N,)."""
        swapped = self._sizes[left] > self._sizes[right]
        few, many = np.where(swapped, right, left), np.where(swapped, left, right)
        common = np.zeros(len(left), np.int64)
        ends = np.cumsum(self._sizes[few])
        first = 0
        while first < len(few):
            before = int(ends[first - 1]) if first else 0
            budget = _LOOKUPS.get(self._device.type, _LOOKUPS["cpu"])
            last = max(first + 1, int(np.searchsorted(ends, before + budget, side="right")))
            common[first:last] = self._count(few[first:last], many[first:last])
            first = last
        return common

    def _count(self, few: Indices, many: Indices) -> Indices:
        """Look up each shingle of a pair's smaller set in its larger one, by halving all intervals at once."""
        lengths = torch.from_numpy(self._sizes[few]).to(self._device)
        pair = torch.repeat_interleave(torch.arange(len(few), device=self._device), lengths)
        within = torch.arange(len(pair), device=self._device) - (torch.cumsum(lengths, 0) - lengths)[pair]
        wanted = self._shingles[torch.from_numpy(self._starts[few]).to(self._device)[pair] + within]
        low = torch.from_numpy(self._starts[many]).to(self._device)[pair]
        end = low + torch.from_numpy(self._sizes[many]).to(self._device)[pair]
        high = end.clone()
        last = max(0, len(self._shingles) - 1)
        for _ in range(int(self._sizes[many].max(initial=0)).bit_length()):
            middle = (low + high) // 2
            # where nothing is left to halve, middle may be beyond the set: it is not used then
            smaller = (self._shingles[middle.clamp(max=last)] < wanted) & (low < high)
            low = torch.where(smaller, middle + 1, low)
            high = torch.where(smaller, high, middle.minimum(high))
        found = (low < end) & (self._shingles[low.clamp(max=last)] == wanted)
        counts = torch.zeros(len(few), dtype=torch.int64, device=self._device)
        counts.index_add_(0, pair, found.long())
        result: Indices = counts.cpu().numpy()
        return result
