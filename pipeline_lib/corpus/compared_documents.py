"""Which documents two corpora have in common, by doc_id, and whose text is another: sorted arrays, no objects."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.uint64]  # (N, 2): a doc_id's two halves
TextHashes = npt.NDArray[np.uint64]  # (N,)


@dataclass(frozen=True, kw_only=True)
class ComparedDocuments:
    """Ids in their order. `changed`: those that both have, with another text."""

    only_first: Ids
    only_second: Ids
    changed: Ids
    num_common: int


def compare_documents(first: tuple[Ids, TextHashes], second: tuple[Ids, TextHashes]) -> ComparedDocuments:
    """Compare two sets of documents, each in any order. It takes some 60 bytes a document of both.

    Args:
        first, second: the ids, (N, 2), and a hash of each one's text.
    """
    ids = np.concatenate([first[0], second[0]])
    texts = np.concatenate([first[1], second[1]])
    if not len(ids):
        return ComparedDocuments(only_first=ids, only_second=ids, changed=ids, num_common=0)
    order = np.lexsort((ids[:, 1], ids[:, 0]))
    ids, texts = ids[order], texts[order]
    is_first = order < len(first[0])
    is_new = np.ones(len(ids), bool)
    is_new[1:] = np.any(ids[1:] != ids[:-1], axis=1)
    starts = np.flatnonzero(is_new)
    in_first = np.logical_or.reduceat(is_first, starts)
    in_second = np.logical_or.reduceat(~is_first, starts)
    in_both = in_first & in_second
    is_changed = in_both & (np.minimum.reduceat(texts, starts) != np.maximum.reduceat(texts, starts))
    unique = ids[starts]
    return ComparedDocuments(
        only_first=unique[in_first & ~in_second],
        only_second=unique[in_second & ~in_first],
        changed=unique[is_changed],
        num_common=int(np.count_nonzero(in_both)),
    )


def joined(pieces: Sequence[tuple[Ids, TextHashes]]) -> tuple[Ids, TextHashes]:
    """Several sets of documents as one."""
    if not pieces:
        return np.zeros((0, 2), np.uint64), np.zeros(0, np.uint64)
    return np.concatenate([ids for ids, _ in pieces]), np.concatenate([texts for _, texts in pieces])
