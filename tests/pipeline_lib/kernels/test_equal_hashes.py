import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.equal_hashes import best_of_equal, first_matches, hash_table, key_table, matching_keys

without_deadline = settings(deadline=None)  # the first example compiles the kernels

# halves that are often equal while the other is not; both 0: no hash at all
pairs = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2)), max_size=20)


def hashes_of(values):
    return np.array(values, np.uint64).reshape(-1, 2)


@without_deadline
@given(pairs, st.randoms(use_true_random=False))
def test_the_best_of_equal_hashes_is_the_first_in_the_order(values, rng):
    order = list(range(len(values)))
    rng.shuffle(order)
    best = np.full(len(values), -7, np.int32)
    best_of_equal(hashes_of(values), np.array(order, np.int32), best)
    for i, value in enumerate(values):
        assert best[i] == (i if value == (0, 0) else next(j for j in order if values[j] == value))


@without_deadline
@given(pairs, st.lists(pairs, max_size=3))
def test_of_each_hash_the_first_match_is_found_once(values, batches):
    hashes, seen = hashes_of(values), np.zeros(len(values), bool)
    table = hash_table(hashes)
    found, start = [], 0
    for batch in batches:
        numbers = np.zeros(len(batch), np.int64)
        num_found = first_matches(hashes, table, hashes_of(batch), start, seen, numbers)
        found += numbers[:num_found].tolist()
        start += len(batch)
    others = [value for batch in batches for value in batch]
    wanted = set(values) - {(0, 0)}
    assert found == sorted(others.index(value) for value in wanted & set(others))


@without_deadline
@given(
    st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12),
    st.lists(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=12), max_size=3),
    st.integers(1, 3),
)
def test_of_each_key_the_first_few_matches_are_found(mine, batches, most):
    keys = np.array([key for key, _ in mine], np.uint64)
    table = key_table(keys, np.array([member for _, member in mine], bool))
    num_matches = np.zeros(len(mine), np.int32)
    found, start = [], 0
    for batch in batches:
        others = np.array([key for key, _ in batch], np.uint64)
        signed = np.array([is_signed for _, is_signed in batch], bool)
        numbers = np.zeros(len(batch), np.int64)
        num_found = matching_keys(keys, table, others, signed, start, num_matches, most, numbers)
        found += numbers[:num_found].tolist()
        start += len(batch)
    wanted = {key for key, member in mine if member}
    expected, counts = [], {}
    for number, (key, is_signed) in enumerate(each for batch in batches for each in batch):
        if is_signed and key in wanted and counts.get(key, 0) < most:
            counts[key] = counts.get(key, 0) + 1
            expected.append(number)
    assert found == expected
