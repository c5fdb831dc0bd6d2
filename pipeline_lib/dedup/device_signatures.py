"""Signatures on a GPU: shingles are read by the kernel on the CPU, their permuted minima are computed by torch.

The same bits as `kernels.shingles.fingerprint`. torch has no arithmetic of unsigned 32-bit numbers: products and sums
of signed ones wrap around to the same bits, and minima of unsigned numbers are those of signed ones with the uppermost
bit flipped.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.bands import Indices
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import EMPTY_VALUE, Hashes, Values, shingle_values

_TEXT_BYTES = 64 << 20  # whose shingles are read at a time
_WIDTH = 64  # shingles whose minimum is taken at once
_PRODUCTS = {"cpu": 1 << 18, "cuda": 1 << 27}  # 4 bytes each, computed at a time: what caches hold; half a gigabyte

_FLIP = -(1 << 31)
_FINALIZE_1, _FINALIZE_2 = 0x85EBCA6B - (1 << 32), 0xC2B2AE35 - (1 << 32)


def fingerprint_on_device(
    data: Bytes, offsets: Offsets, ngram: int, factors: Values, summands: Values, device: torch.device
) -> tuple[Values, npt.NDArray[np.int32], Hashes]:
    """Signatures uint32 (N, P), numbers of shingles and text hashes, as `fingerprint` writes them."""
    num_texts = len(offsets) - 1
    signatures = np.empty((num_texts, len(factors)), np.uint32)
    num_shingles = np.empty(num_texts, np.int32)
    text_hashes = np.empty((num_texts, 2), np.uint64)
    for first, last in _batches(offsets):
        values = np.empty(int(np.sum((np.diff(offsets[first : last + 1]) + 1) // 2)), np.uint32)
        ends = np.empty(last - first, np.int64)
        shingle_values(data, offsets[first : last + 1], ngram, fold_tables(), values, ends, text_hashes[first:last])
        num_shingles[first:last] = np.diff(ends, prepend=0)
        signatures[first:last] = minima_on_device(values[: ends[-1]], ends, factors, summands, device)
    return signatures, num_shingles, text_hashes


def minima_on_device(values: Values, ends: Offsets, factors: Values, summands: Values, device: torch.device) -> Values:
    """For each text and permutation the smallest permuted shingle, uint32 (N, P); EMPTY_VALUE where there is none.

    Args:
        values: uint32: the shingles of one text after another.
        ends: int64 (N,): where in `values` those of each text end.
    """
    smallest = torch.full((len(ends), len(factors)), EMPTY_VALUE - (1 << 31), dtype=torch.int32, device=device)
    if len(values) == 0:
        return _unsigned(smallest)
    hashes = _finalize(_signed(values, device))
    factors_P, summands_P = _signed(factors, device), _signed(summands, device)
    text_R, start_R, length_R = (torch.from_numpy(each).to(device) for each in _rows(ends))
    column_W = torch.arange(_WIDTH, device=device)
    num_rows = max(1, _PRODUCTS.get(device.type, _PRODUCTS["cpu"]) // (_WIDTH * len(factors)))
    for first in range(0, len(text_R), num_rows):
        rows = slice(first, first + num_rows)
        # a row that ends early repeats its last shingle, which changes no minimum
        places_RW = start_R[rows, None] + torch.minimum(column_W, length_R[rows, None] - 1)
        permuted_RPW = hashes[places_RW][:, None, :] * factors_P[:, None] + summands_P[:, None]
        minima_RP = permuted_RPW.bitwise_xor_(_FLIP).amin(dim=2)
        smallest.scatter_reduce_(0, text_R[rows, None].expand_as(minima_RP), minima_RP, "amin")
    return _unsigned(smallest)


def _batches(offsets: Offsets) -> Iterator[tuple[int, int]]:
    """Runs of texts of a bounded number of bytes, each of at least one."""
    first = 0
    while first < len(offsets) - 1:
        last = int(np.searchsorted(offsets, offsets[first] + _TEXT_BYTES, side="right")) - 1
        last = max(first + 1, last)
        yield first, last
        first = last


def _rows(ends: Offsets) -> tuple[Indices, Indices, Indices]:
    """Every text's shingles in rows of up to _WIDTH: text, where the row starts, and how many shingles it has."""
    lengths = np.diff(ends, prepend=0)
    rows_of_text = -(-lengths // _WIDTH)
    texts = np.repeat(np.arange(len(ends)), rows_of_text)
    number = np.arange(len(texts)) - np.repeat(np.cumsum(rows_of_text) - rows_of_text, rows_of_text)
    starts = (ends - lengths)[texts] + number * _WIDTH
    return texts, starts, np.minimum(_WIDTH, ends[texts] - starts)


def _signed(values: Values, device: torch.device) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(values).view(np.int32)).to(device)


def _unsigned(smallest: torch.Tensor) -> Values:
    flipped: Values = smallest.bitwise_xor_(_FLIP).cpu().numpy().view(np.uint32)
    return flipped


def _finalize(values: torch.Tensor) -> torch.Tensor:
    """The finalizer of 32-bit MurmurHash3: see `kernels.shingles`."""
    values = values ^ _shifted(values, 16)
    values = values * _FINALIZE_1
    values = values ^ _shifted(values, 13)
    values = values * _FINALIZE_2
    return values ^ _shifted(values, 16)


def _shifted(values: torch.Tensor, bits: int) -> torch.Tensor:
    """To the right, zeros from the left."""
    return (values >> bits) & ((1 << (32 - bits)) - 1)
