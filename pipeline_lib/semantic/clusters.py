"""k-means over the directions of vectors (Dhillon and Modha 2001), in pieces, repeatable to the last bit.

All sums are sums of whole numbers: see `products`. The first centres and the sample are drawn by the documents' ids, so
that nothing depends on how documents are divided into parts.
"""

import numpy as np
import torch

from pipeline_lib.kernels.bands import SmallIndices
from pipeline_lib.kernels.vectors import Vectors
from pipeline_lib.semantic.products import nearest, on_device, slices, unit_vectors

DOCUMENTS_A_CLUSTER = 4096
SAMPLE_A_CLUSTER = 64


def usual_num_clusters(num_documents: int) -> int:
    """One for every 4096 documents, but no more than the square root of their number."""
    return max(1, min(-(-num_documents // DOCUMENTS_A_CLUSTER), int(np.sqrt(num_documents))))


def fit_centres(sample: Vectors, num_clusters: int, iterations: int, device: torch.device, rows: int) -> Vectors:
    """Centres at the length of the vectors, int16 (num_clusters, D): from the first vectors of the sample on, each
    moves to the middle of those nearest to it, so many times or until none moves. One that is nearest to none stays.

    Args:
        sample: int16 (S, D), S at least num_clusters; of which `rows` are looked at a time.
    """
    centres = np.array(sample[:num_clusters])
    dimensions = centres.shape[1]
    for _ in range(iterations):
        where = on_device(centres, device)
        sums = torch.zeros(centres.shape, dtype=torch.int64, device=device)
        for piece in slices(len(sample), rows):
            vectors = on_device(sample[piece], device)
            sums.index_add_(0, nearest(vectors, where), vectors.long())
        moved = unit_vectors(sums, dimensions)
        moved = np.where(np.any(moved != 0, axis=1, keepdims=True), moved, centres)
        if np.array_equal(moved, centres):
            break
        centres = moved
    return centres


def assign(vectors: Vectors, centres: Vectors, device: torch.device, rows: int) -> SmallIndices:
    """The number of the nearest centre, int32 (N,)."""
    where = on_device(centres, device)
    found = np.empty(len(vectors), np.int32)
    for piece in slices(len(vectors), rows):
        found[piece] = nearest(on_device(vectors[piece], device), where).cpu().numpy()
    return found
