"""Features against a plain reading of the same tables, and the arithmetic under the scores."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.classifier.exponential import exponential, logistic
from pipeline_lib.classifier.features import bucket_lists, mean_weights, train_epoch
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import DIGIT, IGNORED, LETTER, SEQUENCE, SOLO, fold_tables
from pipeline_lib.kernels.unicode_tables import SPACE, character_classes

TABLES = fold_tables()
CLASSES = character_classes()
MASK = (1 << 64) - 1

PIECES = (
    "the|THE|Straße|STRASSE|naïve|nai\u0308ve|don't|a,b|...|…|a1|１|猫が座った。|שלום|ไทย|ﬁ|ŉ|𝒳|\u0301|\u200b|\u00ad|\x00|\ufffd"
    "| |  |\t|\n|\r\n|\x1f|\x85|\u2028|\u3000"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


def mix(value: int) -> int:
    value ^= value >> 33
    value = value * 0xFF51AFD7ED558CCD & MASK
    value ^= value >> 29
    value = value * 0xC4CEB9FE1A85EC53 & MASK
    return value ^ value >> 32


def words_of(text: str, *, split_punctuation: bool) -> list[tuple[int, ...]]:
    """Words as tuples of folded code points."""
    words: list[tuple[int, ...]] = [()]
    for character in text:
        code = ord(character)
        kind, folded = TABLES.kinds[code], int(TABLES.folded[code])
        if CLASSES[code] & SPACE:
            words.append(())
        elif kind in (LETTER, DIGIT):
            words[-1] += (folded,)
        elif kind == SEQUENCE:
            size = int(TABLES.sequences[folded])
            words[-1] += tuple(map(int, TABLES.sequences[folded + 1 : folded + 1 + size]))
        elif kind == IGNORED:
            continue
        elif kind == SOLO:
            words += [(folded,), ()]
        elif split_punctuation:
            words += [(code,), ()]
        else:
            words[-1] += (code,)
    return [word for word in words if word]


def hash_of(word: tuple[int, ...]) -> int:
    value = 0
    for code in word:
        value = (value ^ code) * 0x9E3779B97F4A7C15 & MASK
    return mix(value)


def oracle(text: str, *, bucket_bits: int, bigrams: bool, split_punctuation: bool) -> list[int]:
    hashes = [hash_of(word) for word in words_of(text, split_punctuation=split_punctuation)]
    features = hashes[:1]
    for before, hashed in itertools.pairwise(hashes):
        features.append(hashed)
        if bigrams:
            features.append(mix((before * 0xBF58476D1CE4E5B9 + hashed) & MASK))
    return [feature >> (64 - bucket_bits) for feature in features]


@given(st.lists(texts, max_size=4), st.integers(8, 28), st.booleans(), st.booleans())
def test_features_are_the_hashed_words_and_pairs_of_a_plain_reading(documents, bucket_bits, bigrams, split) -> None:
    column = pa.array(["cut off", *documents], pa.large_string()).slice(1)
    settings = {"bucket_bits": bucket_bits, "bigrams": bigrams, "split_punctuation": split}
    found = bucket_lists(*string_buffers(column), **settings)
    assert [each.tolist() for each in found] == [oracle(text, **settings) for text in documents]


@given(st.lists(texts, max_size=4))
def test_a_text_scores_the_mean_of_its_features_and_the_bias(documents) -> None:
    buffers = string_buffers(pa.array(documents, pa.large_string()))
    settings = {"bucket_bits": 8, "bigrams": True, "split_punctuation": True}
    weights = np.random.default_rng(0).normal(size=257).astype(np.float32)
    for logit, text in zip(mean_weights(*buffers, weights, **settings), documents, strict=True):
        features = oracle(text, **settings)
        if features:
            assert logit == pytest.approx(weights[features].astype(float).mean() + float(weights[256]))
        else:
            assert math.isnan(logit)


@pytest.mark.parametrize(
    ("one", "other"),
    [("Straße", "STRASSE"), ("naïve", "nai\u0308ve"), ("１２", "12"), ("co\u00adop", "coop"), ("a\u00a0b", "a  b")],
)
def test_spellings_of_the_same_words_are_the_same_features(one: str, other: str) -> None:
    first, second = bucket_lists(
        *string_buffers(pa.array([one, other])), bucket_bits=20, bigrams=True, split_punctuation=True
    )
    assert first.tolist() == second.tolist()


def test_a_line_of_ten_megabytes_is_scored_and_learnt_from() -> None:
    buffers = string_buffers(pa.array(["a" * 5_000_000 + " b" * 2_500_000], pa.large_string()))
    weights, squares = np.zeros(1025, np.float32), np.zeros(1025, np.float32)
    settings = {"bucket_bits": 10, "bigrams": True, "split_punctuation": True}
    one = np.zeros(1, np.int64)
    train_epoch(*buffers, one, np.ones(1, np.bool_), (1.0, 1.0), weights, squares, rates=(1.0, 0.0), **settings)
    assert mean_weights(*buffers, weights, **settings)[0] > 1


@given(st.floats(-700, 700))
def test_the_exponential_function_is_that_of_the_standard_library_but_for_rounding(x: float) -> None:
    assert exponential(x) == pytest.approx(math.exp(x), rel=1e-15)


@pytest.mark.parametrize(("x", "expected"), [(0.0, 0.5), (-1e9, 0.0), (1e9, 1.0), (2.0, 1 / (1 + math.exp(-2)))])
def test_the_logistic_function_holds_at_its_ends(x: float, expected: float) -> None:
    assert logistic(x) == pytest.approx(expected, rel=1e-15, abs=1e-300)
