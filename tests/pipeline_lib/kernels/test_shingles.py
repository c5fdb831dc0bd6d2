import random

import numpy as np
import pyarrow as pa
import pytest
from folded_words import ALPHABET, words
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import EMPTY_VALUE, fingerprint, permutations, shingle_sets

NGRAM = 3

without_deadline = settings(deadline=None)  # the first example compiles the kernels

texts = st.lists(
    st.one_of(st.text(st.sampled_from(ALPHABET), max_size=6), st.sampled_from(["one", "two", "three", "  "])),
    max_size=30,
).map(" ".join)


def shingles(text: str) -> set[tuple[str, ...]]:
    found = words(text, digits=False)
    return {tuple(found[i : i + NGRAM]) for i in range(len(found) - NGRAM + 1)}


def signed(column: list[str], ngram: int = NGRAM, num_permutations: int = 16, seed: int = 1):
    data, offsets = string_buffers(pa.array(column, pa.large_string()))
    return signed_buffers(data, offsets, ngram, num_permutations, seed)


def signed_buffers(data, offsets, ngram: int = NGRAM, num_permutations: int = 16, seed: int = 1):
    num_texts = len(offsets) - 1
    signatures = np.zeros((num_texts, num_permutations), np.uint32)
    num_shingles = np.full(num_texts, -1, np.int32)
    text_hashes = np.zeros((num_texts, 2), np.uint64)
    factors, summands = permutations(num_permutations, seed)
    fingerprint(data, offsets, ngram, factors, summands, fold_tables(), signatures, num_shingles, text_hashes)
    return signatures, num_shingles, text_hashes


def sets(column: list[str], num_shingles: np.ndarray, ngram: int = NGRAM) -> list[np.ndarray]:
    data, offsets = string_buffers(pa.array(column, pa.large_string()))
    starts = np.cumsum(num_shingles, dtype=np.int64) - num_shingles
    sizes = np.empty(len(column), np.int64)
    hashes = np.empty(int(num_shingles.sum()), np.uint64)
    rows = np.arange(len(column))
    shingle_sets(data, offsets, rows, num_shingles, ngram, fold_tables(), starts, sizes, hashes)
    return [hashes[start : start + size] for start, size in zip(starts, sizes, strict=True)]


@without_deadline
@given(st.lists(texts, min_size=2, max_size=4))
def test_shingle_sets_overlap_as_sets_of_word_tuples_do(column):
    _, num_shingles, _ = signed(column)
    expected = [shingles(text) for text in column]
    found = sets(column, num_shingles)
    assert [max(0, len(words(text, digits=False)) - NGRAM + 1) for text in column] == num_shingles.tolist()
    for one, one_hashes in zip(expected, found, strict=True):
        assert len(one_hashes) == len(one)
        assert np.all(one_hashes[1:] > one_hashes[:-1])
        for other, other_hashes in zip(expected, found, strict=True):
            assert len(np.intersect1d(one_hashes, other_hashes)) == len(one & other)


@without_deadline
@given(texts, texts)
def test_text_hashes_are_equal_exactly_for_the_same_words_with_their_digits(one, other):
    _, _, hashes = signed([one, other, one.upper().replace(" ", " - ")])
    assert (hashes[0].tolist() == hashes[1].tolist()) == (words(one, digits=True) == words(other, digits=True))
    assert (hashes[0].tolist() == [0, 0]) == (words(one, digits=True) == [])


@pytest.mark.parametrize(
    ("one", "other", "same_shingles", "same_text"),
    [
        ("The Café, at noon!", "the cafe at NOON", True, True),
        ("Straße zum Schloß", "STRASSE ZUM SCHLOSS", True, True),
        ("ΟΔΟΣ ΤΩΝ ΠΟΛΕΩΝ", "οδος των πολεων", True, True),  # a final sigma is a sigma
        ("cafe\u0301 au lait", "café au lait", True, True),  # composed or not
        ("co\u00adoperate with us", "cooperate with us", True, True),  # a soft hyphen is not there
        ("page 17 of 230", "page 4 of 9", True, False),  # numbers count for the exact hash only
        ("pages ١٧ of it", "pages 17 of it", True, True),  # digits of any script
        ("a b c d", "b a c d", False, False),
        ("ab c d e", "a bc d e", False, False),
        ("我们去北京", "我们去上海", False, False),
        ("我们去 北京", "我们 去北京", True, True),  # no spaces between words, so none count
    ],
)
def test_what_counts_as_the_same(one, other, same_shingles, same_text):
    signatures, num_shingles, hashes = signed([one, other])
    assert num_shingles.min() > 0
    assert (signatures[0].tolist() == signatures[1].tolist()) == same_shingles
    assert (hashes[0].tolist() == hashes[1].tolist()) == same_text


def test_texts_longer_than_any_inner_buffer_are_read_whole():
    rng = random.Random(7)
    words_of_text = [rng.choice(["red", "green", "漢", "ガ", "x1", "Ω"]) + str(rng.randint(0, 9)) for _ in range(5000)]
    column = [" ".join(words_of_text[:length]) for length in (509, 510, 511, 512, 513, 1022, 1023, 1024, 5000)]
    column += ["漢字" * 2000, "a漢" * 1500]
    _, num_shingles, hashes = signed(column)
    for text, hashes_of_text, count in zip(column, sets(column, num_shingles), num_shingles, strict=True):
        assert count == len(words(text, digits=False)) - NGRAM + 1
        assert len(hashes_of_text) == len(shingles(text))
    assert len({tuple(pair) for pair in hashes.tolist()}) == len(column)


@without_deadline
@given(st.lists(st.binary(max_size=40), min_size=1, max_size=3))
def test_bytes_that_are_no_utf8_are_read_within_their_bounds(values):
    """The neighbours of a value must not matter: nothing is read beyond its end."""
    alone = [
        signed_buffers(np.frombuffer(value + b"\xf0\x9f", np.uint8), np.array([0, len(value)])) for value in values
    ]
    data = np.frombuffer(b"".join(values) + b"\x99", np.uint8)
    together = signed_buffers(data, np.cumsum([0, *map(len, values)]))
    for i, (signatures, num_shingles, hashes) in enumerate(alone):
        assert signatures[0].tolist() == together[0][i].tolist()
        assert num_shingles[0] == together[1][i]
        assert hashes[0].tolist() == together[2][i].tolist()


def test_texts_with_fewer_words_than_a_shingle_have_no_signature():
    signatures, num_shingles, hashes = signed(["", " -- ", "one two", "one two three"])
    assert num_shingles.tolist() == [0, 0, 0, 1]
    assert np.all(signatures[:3] == EMPTY_VALUE)
    assert hashes[:2].tolist() == [[0, 0], [0, 0]]
    assert 0 not in hashes[2]


def test_a_text_with_another_number_of_shingles_than_was_said_is_refused():
    column = ["one two three four five"] * 3
    hashes = np.zeros(12, np.uint64)
    sizes = np.zeros(3, np.int64)
    said = np.array([2, 3, 4], np.int32)
    data, offsets = string_buffers(pa.array(column, pa.large_string()))
    starts = np.array([0, 4, 8])
    shingle_sets(data, offsets, np.arange(3), said, NGRAM, fold_tables(), starts, sizes, hashes)
    assert sizes.tolist() == [-1, 3, -1]
    assert hashes[2:4].tolist() == [0, 0]  # nothing beyond the room


@pytest.mark.parametrize(("ngram", "num_permutations", "seed"), [(5, 112, 1), (1, 128, 42), (13, 9, 0)])
def test_signatures_are_those_of_datasketch(ngram, num_permutations, seed):
    datasketch = pytest.importorskip("datasketch")
    rng = random.Random(3)
    vocabulary = ["".join(rng.choices("abcdefgh", k=3)) for _ in range(200)]
    column = [" ".join(rng.choices(vocabulary, k=length)) for length in (0, 4, 20, 21, 100, 700, 3000)]
    signatures, num_shingles, _ = signed(column, ngram, num_permutations, seed)
    for signature, hashes in zip(signatures, sets(column, num_shingles, ngram), strict=True):
        theirs = datasketch.MinHash(num_perm=num_permutations, seed=seed, scheme="affine32", hashfunc=int)
        for value in hashes >> np.uint64(32):
            theirs.update(int(value))
        assert theirs.hashvalues.tolist() == signature.tolist()


def test_signatures_work_in_the_index_of_datasketch():
    datasketch = pytest.importorskip("datasketch")
    rng = random.Random(5)
    original = ["".join(rng.choices("abcdefgh", k=5)) for _ in range(400)]
    copy = [*original[:200], "something", *original[201:]]
    column = [" ".join(each) for each in (original, copy, original[::-1])]
    signatures, _, _ = signed(column, 5, 112)
    sketches = [datasketch.MinHash(seed=1, scheme="affine32", hashvalues=signature) for signature in signatures]
    index = datasketch.MinHashLSH(num_perm=112, params=(14, 8))
    for number, sketch in enumerate(sketches):
        index.insert(number, sketch)
    assert sorted(index.query(sketches[0])) == [0, 1]
    assert sketches[0].jaccard(sketches[1]) == pytest.approx(391 / 401, abs=0.06)
