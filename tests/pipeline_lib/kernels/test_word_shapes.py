import re
from statistics import mean, median

import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, character_classes
from pipeline_lib.kernels.utf8 import frozen
from pipeline_lib.kernels.word_shapes import word_shapes

LISTED = ("the", "be", "naïve")
ELLIPSES = {"...", "[...]", "…", "(...)", "[…]", "-»"}
CLASSES = character_classes()

PIECES = (
    "the|The|be|naïve|#|##|#a|#a#|#b#c|...|....|…|[...]|(...)|[…]|(…)|-»|-«|.|a1|42|猫が座った。|שלום|𝒳|\u0301|\x00|\ufffd"
    "| | |  |\t|\n|\x1f|\u2028|\u3000"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


def punct_words_of(text: str) -> list[str]:
    """The words that `punct_words` finds, which its own tests pin."""
    data, offsets = frozen(*string_buffers(pa.array([text], pa.large_string())))
    words, i, end = [], 0, int(offsets[1])
    while True:
        start, i = next_word(data, i, end, CLASSES)
        if start == i:
            return words
        words.append(data[start:i].tobytes().decode())


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4), st.booleans())
def test_words_are_measured_one_by_one(documents: list[str], punct: bool) -> None:
    column = pa.array(["cut off", *documents], pa.large_string()).slice(1)
    found = word_shapes(*string_buffers(column), LISTED, "punct" if punct else "whitespace")
    for i, text in enumerate(documents):
        words = punct_words_of(text) if punct else text.split()
        lengths = [len(word) for word in words]
        assert found.num_words[i] == len(words)
        assert found.num_chars[i] == sum(lengths)
        assert found.longest_chars[i] == max(lengths, default=0)
        assert found.median_chars[i] == (median(lengths) if lengths else 0)
        assert found.num_alphabetic_words[i] == sum(any(CLASSES[ord(c)] & ALPHABETIC for c in word) for word in words)
        assert found.num_listed_words[i] == sum(word in LISTED for word in words)
        assert found.num_symbol_words[i] == sum("#" in word or "…" in word for word in words)
        assert found.num_mark_words[i] == sum(
            word in ELLIPSES or len(re.findall("#+", word)) / len(word) > 0.5 for word in words
        )


def test_the_median_of_an_even_number_of_words_is_half_way_and_no_mean() -> None:
    text = "a bb ccc " + "x" * 1_000
    assert mean(map(len, text.split())) > 250
    assert word_shapes(*string_buffers(pa.array([text])), ()).median_chars.tolist() == [2.5]


def test_a_word_of_ten_megabytes_is_one_word() -> None:
    found = word_shapes(*string_buffers(pa.array(["#" * 10_000_000 + " y"], pa.large_string())), LISTED)
    assert found.median_chars.tolist() == [5_000_000.5]
    assert found.num_mark_words.tolist() == [0]  # one run of `#`, however long
