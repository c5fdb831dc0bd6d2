import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline_lib.dedup.banding import Banding
from pipeline_lib.dedup.candidates import BandKeys, candidate_components, keys_of

without_deadline = settings(
    deadline=None,  # the first example compiles the kernels
    suppress_health_check=[HealthCheck.function_scoped_fixture],  # a folder in which nothing stays
)


def components_of(signatures, bands, rows):
    """By comparing all with all."""
    groups = [{i} for i in range(len(signatures))]
    for i, one in enumerate(signatures):
        for j, other in enumerate(signatures[:i]):
            agree = any(
                (one[b * rows : b * rows + rows] == other[b * rows : b * rows + rows]).all() for b in range(bands)
            )
            if agree and groups[i] is not groups[j]:
                groups[i] |= groups[j]
                for member in groups[j]:
                    groups[member] = groups[i]
    return [min(group) for group in groups]


@without_deadline
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=6, max_size=6), max_size=40),
    st.lists(st.integers(0, 40), max_size=3),
    st.sampled_from([1, 64, 1 << 20]),
)
def test_who_shares_a_band_is_in_one_component_however_little_memory(tmp_path, rows, cuts, memory_bytes):
    signatures = np.array(rows, np.uint32).reshape(-1, 6)
    batches = np.split(signatures, sorted(min(cut, len(rows)) for cut in cuts))
    found = candidate_components(batches, Banding(bands=3, rows=2), scratch=tmp_path, memory_bytes=memory_bytes)
    assert found.tolist() == components_of(signatures, 3, 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("memory_bytes", [1 << 30, 1 << 20])
def test_many_documents_in_many_runs_have_the_components_of_fewer(tmp_path, memory_bytes):
    """More keys than one hash table takes, and more than the memory."""
    rng = np.random.default_rng(2)
    num_documents = 300_000
    signatures = rng.integers(0, 1 << 32, (num_documents, 4), np.uint32)
    copied = rng.integers(0, num_documents, 60_000)
    originals = rng.integers(0, num_documents, 60_000)
    signatures[copied, :2] = signatures[originals, :2]
    found = candidate_components([signatures], Banding(bands=2, rows=2), scratch=tmp_path, memory_bytes=memory_bytes)
    parents = np.arange(num_documents)
    for band in (signatures[:, :2], signatures[:, 2:]):
        _, first, inverse = np.unique(band, axis=0, return_index=True, return_inverse=True)
        parents = np.minimum(parents, first[inverse.reshape(-1)])
    assert (found == parents[parents]).all()
    assert len(np.unique(found)) < num_documents - 40_000


@pytest.mark.parametrize("held_bytes", [0, 18 << 20, 1 << 30])
def test_keys_are_found_by_position_whether_they_are_in_memory_or_not(tmp_path, held_bytes):
    banding = Banding(bands=3, rows=1)
    signatures = np.random.default_rng(3).integers(0, 1 << 32, (1_200_000, 3), np.uint32)
    expected = keys_of(signatures, banding)
    positions = np.sort(np.random.default_rng(4).choice(len(signatures), 1000, replace=False))
    with BandKeys(banding, tmp_path, lambda _: held_bytes) as stored:
        for start, end in ((0, 1 << 16), (1 << 16, 750_000), (750_000, 750_000), (750_000, 1_200_000)):
            stored.append(expected[:, start:end].copy(), np.ones(end - start, np.int32))
        assert stored.num_documents == len(signatures)
        assert (stored.num_spilled_bytes == 0) == (held_bytes == 1 << 30)
        assert stored.num_held_bytes <= max(held_bytes, 9 << 20)
        for band in range(3):
            assert (stored.keys(band, 6, 1_190_000) == expected[band, 6:1_190_000]).all()
            assert (stored.pick(band, positions) == expected[band, positions]).all()
            assert (np.concatenate([keys for _, keys in stored.chunks(band)]) == expected[band]).all()
        assert len(stored.pick(0, positions[:0])) == 0
