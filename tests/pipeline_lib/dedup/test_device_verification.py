"""The GPU's way of comparing sets, on torch's CPU device: the kernel's similarities, bit by bit."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from labelled_duplicates import labelled_duplicates
from text_collection import PART, TextCollection

from pipeline_lib.dedup import device_verification
from pipeline_lib.dedup.device_verification import SetsOnDevice
from pipeline_lib.dedup.engine import find_duplicates
from pipeline_lib.dedup.parameters import DedupParameters
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


@pytest.fixture(scope="module")
def labelled():
    return labelled_duplicates(seed=5, scale=0.25)


@pytest.mark.parametrize("similarity", ["jaccard", "containment"])
@pytest.mark.parametrize("pairs_compared", [100, 1 << 16])
def test_documents_compared_on_a_device_are_decided_about_the_same(
    labelled, similarity, pairs_compared, monkeypatch, tmp_path
):
    monkeypatch.setattr(device_verification, "_PAIRS", pairs_compared)
    parameters = DedupParameters(similarity=similarity, url=False)
    collection = TextCollection(labelled.texts, parameters)
    expected, found = (
        find_duplicates(collection, parameters, scratch=tmp_path, compare_on=device) for device in (None, "cpu")
    )
    assert expected.account.dropped["near_duplicate"] > 100
    assert found.metrics == expected.metrics
    assert found.duplicates(PART).equals(expected.duplicates(PART))
    assert found.clusters(PART).equals(expected.clusters(PART))


def test_what_the_device_finds_decides_and_the_kernel_where_it_has_no_room(labelled, monkeypatch, tmp_path):
    monkeypatch.setattr(SetsOnDevice, "similarities", lambda self, removed, kept, similarity: np.zeros(len(removed)))
    parameters = DedupParameters(url=False)
    collection = TextCollection(labelled.texts, parameters)
    on_blind_device = find_duplicates(collection, parameters, scratch=tmp_path, compare_on="cpu")
    assert on_blind_device.metrics["pairs_verified"] == 0
    assert on_blind_device.metrics["pairs_compared"] > 200
    monkeypatch.setattr(device_verification, "PAIR_BYTES", 1 << 30)
    without_room = find_duplicates(collection, parameters, scratch=tmp_path, compare_on="cpu")
    assert without_room.account.dropped["near_duplicate"] > 100
