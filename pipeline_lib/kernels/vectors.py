"""Vectors of small integers, whose products are exact in any order, and who is removed by them."""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.bands import Indices

Vectors = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]


@njit(nogil=True, cache=True)
def normalise(vectors: Floats) -> int:
    """Give each vector the length 1, in place; those of no direction, or with a value that is not finite, become zeros.

    Returns:
        How many have a direction.
    """
    num_directed = 0
    for i in range(vectors.shape[0]):
        largest = np.float32(0.0)
        finite = True
        for k in range(vectors.shape[1]):
            finite &= np.isfinite(vectors[i, k])
            largest = max(largest, np.abs(vectors[i, k]))
        if not finite or largest == 0.0:
            vectors[i, :] = np.float32(0.0)
            continue
        num_directed += 1
        square = 0.0
        for k in range(vectors.shape[1]):  # by the largest: its square may be too large or too small for a float
            share = np.float64(vectors[i, k]) / largest
            square += share * share
        length = np.sqrt(square) * largest
        for k in range(vectors.shape[1]):
            vectors[i, k] = np.float32(vectors[i, k] / length)
    return num_directed


@njit(nogil=True, cache=True)
def quantise(vectors: Floats, scale: int, quantised: Vectors, squares: npt.NDArray[np.int32]) -> None:
    """Each vector at length `scale`, rounded to whole numbers.

    Args:
        vectors: float32 (N, D): of length about 1, or zeros.
        quantised: int16 (N, D): overwritten.
        squares: int32 (N,): overwritten with the sums of squares of the whole numbers.
    """
    for i in range(vectors.shape[0]):
        square = 0.0
        for k in range(vectors.shape[1]):
            square += np.float64(vectors[i, k]) * np.float64(vectors[i, k])
        factor = scale / np.sqrt(square) if square > 0.0 else 0.0
        squares[i] = 0
        for k in range(vectors.shape[1]):
            value = np.int16(np.rint(vectors[i, k] * factor))
            quantised[i, k] = value
            squares[i] += np.int32(value) * np.int32(value)


@njit(nogil=True, cache=True)
def remove_similar(
    products: Floats,
    rows: Indices,
    others: Indices,
    squares: npt.NDArray[np.int32],
    threshold: float,
    kept_by: Indices,
    cosines: npt.NDArray[np.float64],
) -> int:
    """Remove each row that an earlier one, kept so far, resembles; returns how many pairs were similar.

    Of several witnesses the most similar one stays on record, of equally similar ones the first.

    Args:
        products: float32 (R, O): of the vectors of `rows` and `others`, exact.
        rows, others: int64 (R,) and (O,), each ascending: indices of documents, the best first; a document is compared
            with those others that come before it.
        squares: int32 (N,): by document.
        threshold: above 0: a cosine at least as high removes.
        kept_by: int64 (N,): the kept document that removes this one, -1 for those that are kept; changed in place.
        cosines: float64 (N,): of those that are removed; changed in place.
    """
    smallest = np.inf
    for other in others:
        smallest = min(smallest, np.float64(squares[other]))
    num_similar = 0
    for i in range(rows.shape[0]):
        row = rows[i]
        square = np.float64(squares[row])
        least = threshold * np.sqrt(square * smallest) * 0.999  # no cosine below reaches the threshold
        for j in range(others.shape[0]):
            other = others[j]
            if other >= row:
                break
            if products[i, j] < least or kept_by[other] >= 0:
                continue
            # the product of two squares is exact: both are at most 2^24
            cosine = min(1.0, np.float64(products[i, j]) / np.sqrt(square * np.float64(squares[other])))
            if cosine < threshold:
                continue
            num_similar += 1
            if kept_by[row] < 0 or cosine > cosines[row] or (cosine == cosines[row] and other < kept_by[row]):
                kept_by[row], cosines[row] = other, cosine
    return num_similar
