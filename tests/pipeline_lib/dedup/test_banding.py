import numpy as np
import pytest

from pipeline_lib.dedup.banding import Banding, banding_for
from pipeline_lib.kernels.bands import band_keys


@pytest.mark.parametrize(
    ("threshold", "recall"), [(0.8, 0.92), (0.8, 0.99), (0.9, 0.95), (0.7, 0.9), (0.95, 0.999), (1.0, 0.5)]
)
def test_the_banding_for_a_recall_is_the_cheapest_of_all(threshold, recall):
    chosen = banding_for(threshold, recall)
    good = [
        (bands * rows, 1 - (1 - (threshold / 2) ** rows) ** bands, bands, rows)
        for rows in range(1, 40)
        for bands in range(1, 1 + 2 * chosen.num_permutations // rows)
        if 1 - (1 - threshold**rows) ** bands >= recall and 1 - (1 - (threshold / 2) ** rows) ** bands <= 0.01
    ]
    assert min(good)[2:] == (chosen.bands, chosen.rows)


def test_fineweb_has_the_cheapest_banding_for_its_recall():
    assert banding_for(0.8, 0.92) == Banding(bands=14, rows=8)


@pytest.mark.parametrize("banding", [Banding(bands=14, rows=8), banding_for(0.8, 0.99), banding_for(0.7, 0.9)])
@pytest.mark.parametrize("similarity", [0.5, 0.7, 0.8])
def test_signatures_that_agree_at_random_are_found_as_often_as_is_said(banding, similarity):
    num_pairs = 2000
    rng = np.random.default_rng(1)
    one = rng.integers(0, 1 << 32, (num_pairs, banding.num_permutations), np.uint32)
    other = rng.integers(0, 1 << 32, one.shape, np.uint32)
    agree = rng.random(one.shape) < similarity  # each value of two MinHash signatures, by the similarity of the sets
    other[agree] = one[agree]
    keys, other_keys = (np.empty((banding.bands, num_pairs), np.uint64) for _ in range(2))
    band_keys(one, banding.bands, keys)
    band_keys(other, banding.bands, other_keys)
    found = np.any(keys == other_keys, axis=0).mean()
    expected = banding.probability(similarity)
    assert abs(found - expected) < 4 * np.sqrt(max(expected * (1 - expected), 1e-4) / num_pairs) + 1e-3


def test_a_recall_that_no_banding_has_is_refused():
    with pytest.raises(ValueError, match=r"recall=0.999999: at threshold=0.05 .* ask for less"):
        banding_for(0.05, 0.999999)
