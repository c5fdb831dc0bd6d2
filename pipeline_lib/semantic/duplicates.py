"""Who is removed for whose sake: within each cluster, best first, by exact cosines, a block of documents at a time."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from pipeline_lib.kernels.bands import Indices
from pipeline_lib.kernels.vectors import Vectors, remove_similar
from pipeline_lib.semantic.products import on_device, products, slices

_BLOCK = 1024  # documents whose products with each other are looked at together


@dataclass(kw_only=True)
class Removals:
    """What is decided about N documents, by index.

    Attributes:
        kept_by: int64 (N,): the kept document that removes this one; -1 for those that are kept.
        cosines: float64 (N,): of the two; 0 for those that are kept.
        num_similar: pairs of a document and a kept one that are similar.
    """

    kept_by: Indices
    cosines: npt.NDArray[np.float64]
    num_similar: int = 0


def remove_within_clusters(
    vectors: Vectors,
    squares: npt.NDArray[np.int32],
    bounds: Indices,
    threshold: float,
    device: torch.device,
    rows: int,
) -> Removals:
    """Walk each cluster best first; remove a document where a kept one of the cluster is at least as similar as the
    threshold. The witness is the most similar one, of equally similar ones the best.

    Args:
        vectors: int16 (N, D): cluster by cluster, each best first; may be a map of a file.
        squares: int32 (N,): their squared lengths, none 0.
        bounds: int64 (clusters + 1,): where each cluster begins.
        rows: vectors that are in memory at a time, twice.
    """
    removals = Removals(kept_by=np.full(len(vectors), -1, np.int64), cosines=np.zeros(len(vectors)))

    def compare(block: torch.Tensor, its: Indices, others: torch.Tensor, their: Indices) -> None:
        removals.num_similar += remove_similar(
            products(block, others), its, their, squares, threshold, removals.kept_by, removals.cosines
        )

    for start, end in zip(bounds[:-1].tolist(), bounds[1:].tolist(), strict=True):
        for stretch in slices(end - start, rows):
            first, last = start + stretch.start, start + stretch.stop
            here = on_device(vectors[first:last], device)
            blocks = list(slices(last - first, _BLOCK))
            kept_before = start + np.flatnonzero(removals.kept_by[start:first] < 0)
            for piece in slices(len(kept_before), rows):
                others = on_device(vectors[kept_before[piece]], device)
                for block in blocks:
                    compare(here[block], _numbers(first, block), others, kept_before[piece])
            for block in blocks:
                kept = np.flatnonzero(removals.kept_by[first : first + block.start] < 0)
                for piece in slices(len(kept), _BLOCK):
                    others = here[torch.from_numpy(kept[piece]).to(device)]
                    compare(here[block], _numbers(first, block), others, first + kept[piece])
                compare(here[block], _numbers(first, block), here[block], _numbers(first, block))
    return removals


def _numbers(first: int, block: slice) -> Indices:
    return np.arange(first + block.start, first + block.stop)
