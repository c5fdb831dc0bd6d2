"""Which documents may be duplicates: groups of equal text, and components of documents that share bands."""

from collections.abc import Iterator

import numpy as np

from pipeline_lib.dedup.fingerprints import Fingerprints
from pipeline_lib.kernels.bands import Indices, roots, unite_equal
from pipeline_lib.kernels.shingles import Hashes


def equal_texts(text_hashes: Hashes) -> Indices:
    """For each document the best one with the same text hash, int64 (N,); -1 for that one itself.

    Documents without a word equal none.
    """
    num_documents = len(text_hashes)
    order = np.lexsort([text_hashes[:, 1], text_hashes[:, 0]])  # stable: the best of a group comes first
    ordered = text_hashes[order]
    starts = np.ones(num_documents, bool)
    starts[1:] = np.any(ordered[1:] != ordered[:-1], axis=1)
    starts |= ~np.any(ordered, axis=1)
    positions = np.arange(num_documents)
    first = order[np.maximum.accumulate(np.where(starts, positions, 0))]
    kept_by = np.full(num_documents, -1, np.int64)
    kept_by[order[~starts]] = first[~starts]
    return kept_by


def candidate_components(fingerprints: Fingerprints, members: Indices) -> Indices:
    """The component of each document, int64 (N,): its smallest index. Who shares a band key is in one component.

    Near-linear in documents: one band at a time, each document looked up once in a hash table of 16 to 32 bytes a
    document.

    Args:
        members: int64: the documents that take part, all of them signed; the others are alone.
    """
    parents = np.arange(len(fingerprints))
    for band_keys in fingerprints.keys:
        unite_equal(band_keys, members, parents)
    components: Indices = roots(parents)
    return components


def batches_of_components(components: Indices, weights: Indices, budget: int) -> Iterator[Indices]:
    """Documents of whole components of two or more, int64 and ascending, of at most about `budget` weight at a time.

    A component is never cut: one that weighs more than the budget comes in one batch.
    """
    sizes = np.bincount(components, minlength=len(components))
    documents = np.flatnonzero(sizes[components] > 1)
    documents = documents[np.argsort(components[documents], kind="stable")]
    if len(documents) == 0:
        return
    before = np.cumsum(weights[documents]) - weights[documents]
    _, starts, component = np.unique(components[documents], return_index=True, return_inverse=True)
    batch = (before[starts] // budget)[component]
    for group in np.split(documents, np.flatnonzero(np.diff(batch)) + 1):
        yield np.sort(group)
