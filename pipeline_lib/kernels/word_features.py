"""Texts as vectors of hashed words: signed feature hashing (Weinberger et al. 2009, arXiv:0902.2206).

Words are those of `shingles`: folded, with runs of digits as one 0. Each word is hashed to one place of the vector and
to a sign, so that words that share a place cancel out on average: the product of two vectors estimates that of the
whole bags of words without bias.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.fold_tables import FoldTables
from pipeline_lib.kernels.shingles import read_words

_BATCH = 512
_SHIFT_32, _ONE = np.uint64(32), np.uint64(1)


@njit(nogil=True, cache=True)
def hash_words(data: Bytes, offsets: Offsets, tables: FoldTables, vectors: npt.NDArray[np.float32]) -> None:
    """The vector of each text, of length 1; of zeros for a text without a word.

    A word counts the fourth root of how often it occurs: what every text is full of, such as `the`, says least. Sums in
    one order and roots, which IEEE 754 rounds in one way: equal bits on every machine.

    Args:
        data, offsets: the texts, N of them.
        vectors: float32 (N, D): overwritten.
    """
    dimensions = np.uint64(vectors.shape[1])
    batch, batch_with_digits = np.empty(_BATCH, np.uint64), np.empty((_BATCH, 2), np.uint64)
    sums = np.zeros(vectors.shape[1], np.float64)
    for i in range(offsets.shape[0] - 1):
        position, end = offsets[i], offsets[i + 1]
        words = np.empty((end - position + 1) // 2, np.uint64)  # a word takes two bytes, or ends the text
        total = 0
        while position < end:
            position, num_words = read_words(data, position, end, tables, batch, batch_with_digits)
            words[total : total + num_words] = batch[:num_words]
            total += num_words
        words = words[:total]
        words.sort()
        sums[:] = 0.0
        start = 0
        while start < total:
            word, after = words[start], start + 1
            while after < total and words[after] == word:
                after += 1
            place = np.int64(((word >> _SHIFT_32) * dimensions) >> _SHIFT_32)
            weight = np.sqrt(np.sqrt(np.float64(after - start)))
            sums[place] += weight if word & _ONE else -weight
            start = after
        square = 0.0
        for k in range(sums.shape[0]):
            square += sums[k] * sums[k]
        length = np.sqrt(square)
        for k in range(sums.shape[0]):
            vectors[i, k] = sums[k] / length if length > 0.0 else 0.0
