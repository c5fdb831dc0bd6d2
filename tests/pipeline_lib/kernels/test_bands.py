import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.bands import (
    KEPT,
    NEAR,
    NO_PAIRS,
    band_keys,
    judge_in_order,
    list_pairs,
    roots,
    shared_keys,
    unite_pairs,
)

without_deadline = settings(deadline=None)  # the first example compiles the kernels


@without_deadline
@given(st.lists(st.lists(st.integers(0, 1), min_size=6, max_size=6), min_size=1, max_size=12))
def test_documents_share_a_band_key_exactly_where_they_agree_in_the_band(rows):
    signatures = np.array(rows, np.uint32)
    keys = np.zeros((3, len(rows)), np.uint64)
    band_keys(signatures, 3, keys)
    for (band, i), (other, j) in itertools.product(itertools.product(range(3), range(len(rows))), repeat=2):
        agree = band == other and rows[i][2 * band : 2 * band + 2] == rows[j][2 * band : 2 * band + 2]
        assert (keys[band, i] == keys[other, j]) == agree


@without_deadline
@given(st.integers(1, 30), st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29))))
def test_a_root_is_the_smallest_of_all_that_hang_together(num_documents, pairs):
    pairs = [(one, other) for one, other in pairs if max(one, other) < num_documents]
    parents = np.arange(num_documents, dtype=np.int32)
    unite_pairs(*np.array(pairs, np.int32).reshape(-1, 2).T.copy(), parents)
    roots(parents)

    groups = [{i} for i in range(num_documents)]
    for one, other in pairs:
        if groups[one] is not groups[other]:
            groups[one] |= groups[other]
            for member in groups[other]:
                groups[member] = groups[one]
    assert parents.tolist() == [min(group) for group in groups]


@without_deadline
@given(st.lists(st.lists(st.integers(0, 3), min_size=3, max_size=3), max_size=20))
def test_the_keys_that_several_share_are_numbered_and_no_others(rows):
    keys = np.array(rows, np.uint64).reshape(-1, 3) << np.uint64(61)
    keys += np.arange(3, dtype=np.uint64)
    groups = np.zeros(keys.shape, np.int32)
    num_groups = shared_keys(keys, groups)
    for band in range(3):
        column = keys[:, band].tolist()
        for i, key in enumerate(column):
            assert (groups[i, band] >= 0) == (column.count(key) > 1)
            assert [each == groups[i, band] for each in groups[:, band]] == [
                each == key if groups[i, band] >= 0 else column.count(each) == 1 for each in column
            ]
    assert sorted(set(groups[groups >= 0].tolist())) == list(range(num_groups))


# small sets over few elements, so that all similarities occur; band keys from few values, so that all numbers of
# shared bands occur
document = st.tuples(st.sets(st.integers(1, 9), min_size=1), st.lists(st.integers(1, 3), min_size=4, max_size=4))


def grouped(documents):
    keys = np.array([bands for _, bands in documents], np.uint64).reshape(-1, 4)
    keys = (keys * np.uint64(0x9E3779B97F4A7C15)) ^ (np.arange(4, dtype=np.uint64) << np.uint64(50))
    groups = np.zeros(keys.shape, np.int32)
    return groups, shared_keys(keys, groups)


def judged(documents, threshold, max_candidates, pairs=NO_PAIRS):
    """No two documents of one text or URL: the engine's tests have those."""
    sizes = np.array([len(shingles) for shingles, _ in documents], np.int64)
    shingles = np.array([value for shingles, _ in documents for value in sorted(shingles)], np.uint64)
    each = np.arange(len(documents), dtype=np.int32)
    return judge_in_order(
        each,
        each,
        np.zeros(len(documents), bool),
        each,
        *grouped(documents),
        shingles,
        np.cumsum(sizes) - sizes,
        sizes,
        pairs,
        threshold,
        False,
        max_candidates,
    )


def listed(documents, passed_over, max_candidates, max_pairs):
    each = np.arange(len(documents), dtype=np.int32)
    none_earlier = np.zeros(len(documents), bool)
    groups, num_groups = grouped(documents)
    return list_pairs(none_earlier, each, groups, num_groups, np.array(passed_over, bool), max_candidates, max_pairs)


def jaccard(one, other):
    return len(one[0] & other[0]) / len(one[0] | other[0])


def bands_shared(one, other):
    return sum(left == right for left, right in zip(one[1], other[1], strict=True))


@without_deadline
@given(st.lists(document, max_size=12), st.sampled_from([0.2, 0.5, 0.6, 0.75, 0.8, 1.0]))
def test_removals_are_those_of_comparing_every_candidate_with_every_kept_one(documents, threshold):
    verdicts = judged(documents, threshold, max_candidates=256)
    kept: list[int] = []
    edges = []
    for i, each in enumerate(documents):
        similar = [
            (-jaccard(each, documents[j]), j)
            for j in kept
            if bands_shared(each, documents[j]) and jaccard(each, documents[j]) >= threshold
        ]
        edges += [(j, i) for _, j in similar]
        if not similar:
            kept.append(i)
            assert (verdicts.kept_by[i], verdicts.similarity[i], verdicts.bands_shared[i]) == (-1, 0, 0)
            continue
        negated, witness = min(similar)
        assert verdicts.kept_by[i] == witness
        assert verdicts.similarity[i] == -negated
        assert verdicts.bands_shared[i] == bands_shared(each, documents[witness])
        assert verdicts.rule[i] == NEAR
    assert np.count_nonzero(verdicts.rule == KEPT) == len(kept)
    clusters = np.arange(len(documents), dtype=np.int32)
    unite_pairs(*np.array(edges, np.int32).reshape(-1, 2).T.copy(), clusters)
    roots(clusters)
    assert verdicts.clusters.tolist() == clusters.tolist()
    assert verdicts.verified == len(edges)
    assert verdicts.not_compared == verdicts.full_keys == 0


@without_deadline
@given(st.lists(document, max_size=12), st.integers(1, 3))
def test_a_bound_on_candidates_loses_removals_but_never_makes_a_wrong_one(documents, max_candidates):
    verdicts = judged(documents, 0.5, max_candidates)
    for i, j in enumerate(verdicts.kept_by.tolist()):
        if j >= 0:
            assert j < i
            assert verdicts.kept_by[j] == -1
            assert bands_shared(documents[i], documents[j]) == verdicts.bands_shared[i] > 0
            assert jaccard(documents[i], documents[j]) == verdicts.similarity[i] >= 0.5
    assert verdicts.compared <= max_candidates * len(documents)


def test_of_too_many_candidates_those_that_share_most_bands_are_compared():
    first, second = ({1, 2, 3}, [1, 1, 2, 2]), ({4, 5, 6}, [1, 1, 1, 3])
    copy_of_second = ({4, 5, 6}, [1, 1, 1, 1])
    verdicts = judged([first, second, copy_of_second], 0.8, max_candidates=1)
    # the one document that band keys 1 of the first two bands remember is the first; the third band finds the second
    assert verdicts.kept_by.tolist() == [-1, -1, -1]
    assert verdicts.not_compared == 1
    assert verdicts.full_keys > 0
    verdicts = judged([first, second, copy_of_second], 0.8, max_candidates=2)
    assert verdicts.kept_by.tolist() == [-1, -1, 1]


@pytest.mark.parametrize(
    ("shared", "of_one", "of_other", "threshold", "removed"),
    [
        (4, 0, 1, 0.8, True),  # exactly the threshold
        (4, 1, 0, 0.8, True),
        (79, 10, 10, 0.8, False),
        (80, 10, 10, 0.8, True),
        (7, 0, 0, 1.0, True),
        (7, 1, 0, 1.0, False),
        (0, 1, 1, 0.01, False),
        (1, 0, 99, 0.01, True),
        (3, 4, 3, 0.3, True),  # 3 / 10, as floats divide
        (1, 1, 1, 1 / 3, True),
    ],
)
def test_the_threshold_itself_removes(shared, of_one, of_other, threshold, removed):
    one = set(range(shared)) | set(range(1000, 1000 + of_one))
    other = set(range(shared)) | set(range(2000, 2000 + of_other))
    verdicts = judged([(one, [1, 1, 1, 1]), (other, [1, 2, 2, 2])], threshold, 256)
    assert (verdicts.kept_by[1] == 0) == removed
    assert verdicts.similarity[1] == (jaccard((one, []), (other, [])) if removed else 0)


@without_deadline
@given(st.lists(st.tuples(document, st.booleans()), max_size=12), st.integers(0, 70))
def test_pairs_are_listed_of_all_that_share_a_band_with_one_before_them_that_is_not_passed_over(drawn, max_pairs):
    documents, passed_over = [each for each, _ in drawn], [over for _, over in drawn]
    pairs = listed(documents, passed_over, 256, max_pairs)
    expected = []
    for i, each in enumerate(documents):
        its = [(i, j) for j in range(i) if not passed_over[j] and bands_shared(each, documents[j])]
        if len(expected) + len(its) > max_pairs:
            break
        expected += its
    assert list(zip(pairs.removed.tolist(), pairs.kept.tolist(), strict=True)) == expected
    for i, (start, count) in enumerate(zip(pairs.starts.tolist(), pairs.counts.tolist(), strict=True)):
        assert expected[start : start + count] == [pair for pair in expected if pair[0] == i]


@without_deadline
@given(
    st.lists(document, max_size=12),
    st.sampled_from([0.2, 0.5, 0.8]),
    st.integers(1, 4),
    st.sampled_from([0, 5, 1000]),
)
def test_pairs_compared_before_are_not_compared_again_and_change_no_verdict(
    documents, threshold, max_candidates, max_pairs
):
    pairs = listed(documents, [False] * len(documents), 256, max_pairs)
    for number, (i, j) in enumerate(zip(pairs.removed.tolist(), pairs.kept.tolist(), strict=True)):
        pairs.similarities[number] = jaccard(documents[i], documents[j])
    expected = judged(documents, threshold, max_candidates)
    assert as_lists(judged(documents, threshold, max_candidates, pairs)) == as_lists(expected)
    if max_pairs == 1000:  # all are listed: what the sets are no longer matters
        unlike = [({100 + number}, bands) for number, (_, bands) in enumerate(documents)]
        assert as_lists(judged(unlike, threshold, max_candidates, pairs)) == as_lists(expected)


def as_lists(verdicts):
    return [each.tolist() if isinstance(each, np.ndarray) else each for each in verdicts]
