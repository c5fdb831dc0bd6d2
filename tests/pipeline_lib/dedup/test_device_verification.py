"""The GPU's way of comparing sets, on torch's CPU device: the kernel's similarities, bit by bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.dedup import device_verification
from pipeline_lib.dedup.device_verification import SetsOnDevice
from pipeline_lib.kernels.bands import set_similarity

CPU = torch.device("cpu")

# few values, so that sets overlap, at both ends of what 64 bits hold
values = st.integers(0, 40).map(lambda n: n * (2**64 - 1) // 40)
sets_of_shingles = st.lists(st.sets(values, max_size=30), min_size=1, max_size=8)


def on_device(sets: list[set[int]]) -> tuple[SetsOnDevice, list[np.ndarray]]:
    """The sets with leftovers between them, as files of them have."""
    arrays = [np.array(sorted(each), np.uint64) for each in sets]
    leftover = np.array([2**63, 0], np.uint64)
    sizes = np.array([len(each) for each in arrays], np.int64)
    starts = np.cumsum(sizes + 2) - sizes - 2
    shingles = np.concatenate([piece for each in arrays for piece in (each, leftover)])
    return SetsOnDevice(shingles, starts, sizes, CPU), arrays


@given(sets_of_shingles, st.data())
def test_similarities_are_the_kernels_bit_by_bit(sets, data):
    numbers = st.integers(0, len(sets) - 1)
    pairs = data.draw(st.lists(st.tuples(numbers, numbers), max_size=20))
    left, right = np.array(pairs, np.int64).reshape(-1, 2).T
    device, arrays = on_device(sets)
    assert device.intersections(left, right).tolist() == [len(sets[i] & sets[j]) for i, j in pairs]
    for similarity in ("jaccard", "containment"):
        found = device.similarities(left, right, similarity)
        for (i, j), alike in zip(pairs, found.tolist(), strict=True):
            if not sets[i] or not sets[j]:
                assert alike == 0.0
                continue
            threshold = max(alike, 1e-9)  # the kernel stops early below its threshold
            contained = similarity == "containment"
            assert set_similarity(arrays[i], arrays[j], threshold, contained) == alike
            assert alike == 1.0 or set_similarity(arrays[i], arrays[j], np.nextafter(alike, 2.0), contained) == 0.0


@pytest.mark.parametrize("lookups", [1, 1000, 1 << 30])
def test_how_many_are_compared_at_once_changes_nothing(monkeypatch, lookups):
    monkeypatch.setitem(device_verification._LOOKUPS, "cpu", lookups)
    rng = np.random.default_rng(3)
    sets = [set(rng.choice(3000, size, replace=False).tolist()) for size in (0, 1, 2, 500, 1000, 2999, 3000)]
    device, _ = on_device(sets)
    left, right = (each.reshape(-1) for each in np.meshgrid(np.arange(7), np.arange(7)))
    expected = [len(sets[i] & sets[j]) for i, j in zip(left.tolist(), right.tolist(), strict=True)]
    assert device.intersections(left, right).tolist() == expected
