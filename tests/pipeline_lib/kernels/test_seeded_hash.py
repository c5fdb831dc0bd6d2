"""The hash that splits, samples and shuffles: stable for ever, uniform, independent by seed and purpose."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.seeded_hash import seeded_hash

MASK = (1 << 64) - 1


def mix(word):
    word = (word ^ (word >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    word = (word ^ (word >> 27)) * 0x94D049BB133111EB & MASK
    return word ^ (word >> 31)


def hash_in_plain_python(value, key):
    content = value.encode()
    golden = 0x9E3779B97F4A7C15
    state = mix(key ^ (len(content) * golden & MASK))
    for start in range(0, len(content), 8):
        state = mix(state ^ int.from_bytes(content[start : start + 8], "little")) + golden & MASK
    return mix(state)


# A new version of numba or of this code that changed one of these would reshuffle every corpus.
@pytest.mark.parametrize(
    ("value", "seed", "purpose", "expected"),
    [
        ("", 0, "split", 7157069721370036825),
        ("0123456789abcdef0123456789abcdef", 0, "split", 3387808650558065469),
        ("0123456789abcdef0123456789abcdef", 1, "split", 7185724621135925216),
        ("0123456789abcdef0123456789abcdef", 0, "shuffle", 7214861856548932116),
    ],
)
def test_hashes_never_change(value, seed, purpose, expected):
    assert int(seeded_hash(pa.array([value]), seed, purpose)[0]) == expected


@settings(deadline=None)  # the first example waits for the compiler
@given(st.lists(st.text(max_size=40), max_size=20), st.integers(0, 20), st.integers(-(1 << 70), 1 << 70))
def test_a_hash_is_that_of_the_value_wherever_it_stands_in_whatever_column(values, cut, seed):
    whole = seeded_hash(pa.array(values, pa.string()), seed, "split").tolist()
    chunked = pa.chunked_array([values[:cut], values[cut:]], pa.large_string())
    assert seeded_hash(chunked, seed, "split").tolist() == whole
    assert seeded_hash(pa.array(["front", *values], pa.large_string()).slice(1), seed, "split").tolist() == whole


@settings(deadline=None)  # the first example waits for the compiler
@given(st.text(max_size=40))
def test_the_kernel_computes_what_plain_python_computes(value):
    key = int.from_bytes(hashlib.blake2b(b"split\x007", digest_size=8).digest(), "little")
    assert int(seeded_hash(pa.array([value]), 7, "split")[0]) == hash_in_plain_python(value, key)


def test_hashes_are_uniform_and_purposes_and_seeds_independent():
    values = pa.array([f"{number:032x}" for number in range(100_000)])
    split, shuffle, other = (
        seeded_hash(values, seed, purpose) / 2.0**64 for seed, purpose in [(0, "split"), (0, "shuffle"), (1, "split")]
    )
    assert np.histogram(split, bins=20, range=(0, 1))[0] == pytest.approx(5000, abs=350)  # five standard deviations
    assert abs(np.corrcoef(split, shuffle)[0, 1]) < 0.02
    assert abs(np.corrcoef(split, other)[0, 1]) < 0.02
    assert len(np.unique(split)) > 99_990
