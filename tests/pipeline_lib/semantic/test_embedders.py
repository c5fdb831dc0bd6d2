import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.semantic.embedders import (
    NoSuchFunction,
    WrongEmbedding,
    common_length,
    embed_by_function,
    embed_by_hashing,
    function_digest,
)
from pipeline_lib.semantic.parameters import SemanticParameters

words = st.sampled_from(["one", "two", "three", "Eins", "zwei", "漢字", "the"])

bags = st.dictionaries(words.map(str.lower), st.integers(1, 40), min_size=1)


def column(*texts: str) -> pa.ChunkedArray:
    return pa.chunked_array([pa.array(texts, pa.large_string())])


def hashed(*texts: str, dimensions: int = 512) -> np.ndarray:
    return embed_by_hashing(column(*texts), dimensions)


@given(st.lists(words, min_size=1, max_size=30), st.randoms(use_true_random=False), st.integers(1, 64))
def test_hashing_sees_words_but_not_their_order_case_or_company(text, rng, dimensions):
    shuffled = rng.sample(text, len(text))
    vectors = hashed(" ".join(text), "something else", ", ".join(shuffled).upper(), dimensions=dimensions)
    alone = hashed(" ".join(text), dimensions=dimensions)
    assert vectors[0].tolist() == vectors[2].tolist() == alone[0].tolist()
    # of length 1, unless words that share their places cancel out
    assert np.linalg.norm(vectors[0]) == pytest.approx(1.0) or not vectors[0].any()


@given(bags, bags)
def test_products_are_those_of_bags_of_words_where_no_two_words_share_a_place(one, other):
    """In so many dimensions none of the few words collide: the oracle is the bag itself."""
    as_bags = [{word: count**0.25 for word, count in bag.items()} for bag in (one, other)]
    for bag in as_bags:
        if "漢字" in bag:  # two words of one character each
            bag["漢"] = bag["字"] = bag.pop("漢字")
    expected = sum(value * as_bags[1].get(word, 0.0) for word, value in as_bags[0].items())
    for bag in as_bags:
        expected /= np.sqrt(sum(value * value for value in bag.values()))
    texts = [" ".join(" ".join([word] * count) for word, count in bag.items()) for bag in (one, other)]
    vectors = hashed(*texts, dimensions=1 << 16).astype(np.float64)
    assert vectors[0] @ vectors[1] == pytest.approx(expected, abs=1e-6)


def test_a_text_without_a_word_has_no_direction():
    assert not hashed("", " -- ", "\x00").any()


def test_texts_longer_than_any_inner_buffer_are_read_whole():
    text = " ".join(f"word{'abcdefghij'[n % 10]}{'klmnopqrst'[n // 10 % 10]}{n // 100 * 'z'}" for n in range(2000))
    tail = text.rsplit(" ", 1)[0]
    vectors = hashed(text, tail, dimensions=1 << 14)
    assert 0.999 < vectors[0] @ vectors[1] < 1.0


MODULE = """
import numpy as np

def lengths(texts):
    assert all(type(text) is str for text in texts)
    return [[len(text), 1] for text in texts]

def by_batch(texts):
    return np.ones((len(texts), len(texts)))

def one_short(texts):
    return np.ones((len(texts) - 1, 3))

def flat(texts):
    return np.ones(len(texts))

def ragged(texts):
    return [[1.0] * (1 + number) for number in range(len(texts))]

def words(texts):
    return np.array([["a"] for _ in texts])

def breaks(texts):
    raise KeyError("inner trouble")

number = 3
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the current folder, as a user has it."""
    name = f"my_embeddings_{tmp_path.name}"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    yield name
    sys.modules.pop(name, None)


def test_a_function_in_the_current_folder_embeds_all_texts_in_order(functions):
    texts = ["a" * (number % 7) for number in range(1000)]
    vectors = embed_by_function(column(*texts), f"{functions}:lengths")
    assert vectors.dtype == np.float32
    assert vectors.tolist() == [[len(text), 1] for text in texts]
    assert embed_by_function(column(), f"{functions}:lengths").shape == (0, 0)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("one_short", r"one_short: expected an array of numbers of shape \(2, dimensions\), found shape \(1, 3\)"),
        ("flat", r"flat: expected .* found shape \(2,\)"),
        ("ragged", r"ragged: expected .* found rows of different lengths"),
        ("words", r"words: expected .* found <U1"),
    ],
)
def test_what_is_no_array_of_vectors_is_refused_by_name(functions, function, message):
    with pytest.raises(WrongEmbedding, match=message):
        embed_by_function(column("one", "two"), f"{functions}:{function}")


def test_vectors_of_different_lengths_are_refused(functions):
    with pytest.raises(WrongEmbedding, match=r"by_batch: .* vectors of 1 numbers, one before it of 256"):
        embed_by_function(column(*["text"] * 257), f"{functions}:by_batch")
    with pytest.raises(WrongEmbedding, match="the embeddings of part-1 have 3 numbers, those of part-0 4"):
        common_length([("part-0", 4), ("part-1", 3), ("part-2", 0)])


def test_errors_of_the_function_itself_rise(functions):
    with pytest.raises(KeyError, match="inner trouble"):
        embed_by_function(column("one"), f"{functions}:breaks")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no_such_module_here:embed", "importing no_such_module_here failed .*has to be installed beside gristmill"),
        ("{}:missing", "has no function missing"),
        ("{}:number", "has no function number"),
    ],
)
def test_functions_that_are_not_there_are_named(functions, name, message):
    with pytest.raises(NoSuchFunction, match=message):
        embed_by_function(column("one"), name.format(functions))


def test_another_state_of_the_module_is_another_function(functions, tmp_path):
    before = function_digest(f"{functions}:lengths")
    (tmp_path / f"{functions}.py").write_text(MODULE + "\n# changed\n")
    assert function_digest(f"{functions}:lengths") != before


@pytest.mark.parametrize(
    ("embedding", "is_function", "is_model"),
    [
        ("hashing", False, False),
        ("my_module:embed", True, False),
        ("my.module.deep:embed_all", True, False),
        ("exports/tiny", False, True),
        ("/srv/models/a:b/c", False, True),
    ],
)
def test_what_an_embedding_is_follows_from_its_spelling(embedding, is_function, is_model):
    parameters = SemanticParameters(embedding=embedding).embeddings()
    assert (parameters.is_function, parameters.is_model) == (is_function, is_model)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"embedding": " "}, "expected hashing, a model's folder, or module:function"),
        ({"dimensions": 0}, "dimensions=0: expected 1 to 65536"),
        ({"threshold": 0.0}, "threshold=0.0: a cosine above 0"),
        ({"threshold": 1.01}, "threshold=1.01"),
        ({"num_clusters": 0}, "num_clusters=0: expected at least 1, or null"),
        ({"iterations": -1}, "iterations=-1"),
        ({"memory_bytes": 1000}, "memory_bytes=1000"),
        ({"device": "tpu"}, "device='tpu' is none of auto, cpu, cuda"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        SemanticParameters(**settings)
