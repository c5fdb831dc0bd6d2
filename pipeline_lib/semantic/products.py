"""Products of vectors that are the same to the last bit on every machine, with any number of threads, and on a GPU.

Floating-point sums depend on their order, which libraries choose by threads and hardware. So vectors are rounded to
whole numbers of 12 bits and a sign, of a length of at most 4096: whatever the order, no sum of products exceeds
2^24 (Cauchy and Schwarz), up to which float32 holds every whole number exactly. What rounding costs: cosines are off by
about 0.0001.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch

from pipeline_lib.kernels.vectors import Floats, Vectors

_LONGEST = 1 << 12


def scale_of(dimensions: int) -> int:
    """The length at which vectors are rounded: rounding adds at most half a unit in each dimension."""
    return _LONGEST - math.ceil(math.sqrt(dimensions) / 2)


@contextmanager
def exact_products() -> Iterator[None]:
    """No shortened numbers in matrix products (TF32, bfloat16), whatever else the process has set."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision("highest")
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def on_device(vectors: Vectors, device: torch.device) -> torch.Tensor:
    """float32 (N, D)."""
    return torch.from_numpy(np.ascontiguousarray(vectors)).to(device).float()


def products(one: torch.Tensor, other: torch.Tensor) -> Floats:
    """Of each row of one with each of the other, float32 (N, M)."""
    found: Floats = (one @ other.T).cpu().numpy()
    return found


def nearest(vectors: torch.Tensor, centres: torch.Tensor) -> torch.Tensor:
    """For each of N vectors the centre with the largest product, int64 (N,); of equal ones the first."""
    similarity = vectors @ centres.T
    best = similarity.amax(dim=1, keepdim=True)
    numbers = torch.arange(len(centres), device=centres.device)
    return torch.where(similarity == best, numbers, len(centres)).amin(dim=1)


def unit_vectors(sums: torch.Tensor, dimensions: int) -> Vectors:
    """Sums of vectors, int64 (K, D), at the length at which vectors are rounded; zeros where the sum is zero.

    By way of whole numbers of 21 bits, whose squares sum up exactly.
    """
    values = sums.cpu().numpy()
    largest = np.abs(values).max(axis=1, keepdims=True)
    rounded = np.rint(values / np.maximum(largest, 1) * (1 << 20)).astype(np.int64)
    lengths = np.sqrt(np.square(rounded).sum(axis=1, keepdims=True).astype(np.float64))
    unit: Vectors = np.rint(rounded * (scale_of(dimensions) / np.maximum(lengths, 1.0))).astype(np.int16)
    return unit


def slices(total: int, size: int) -> Iterator[slice]:
    """[0, total) in pieces of `size`."""
    for start in range(0, total, size):
        yield slice(start, min(start + size, total))
