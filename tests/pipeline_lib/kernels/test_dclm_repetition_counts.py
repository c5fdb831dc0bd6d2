from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.dclm_repetition import REPEATED_NGRAMS, TOP_NGRAMS, DclmRepetition, dclm_repetition

# few different words, so that n-grams up to 10 repeat; some begin with neither letter nor digit, and do not count
words = st.sampled_from(
    ["a", "b", "ab", "longer", "\x00", "-", "(a", "a)", "猫", "e\u0301", "\u0301", "שלום", "²", "\ufffd"]
)
breaks = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n\n\n", "\r\n", "\u2028", "\u00a0", " \n \n "])
texts = st.builds(
    lambda head, pairs, times, tail: head + "".join(word + gap for word, gap in pairs) * times + tail,
    st.sampled_from(["", "\n", "\n\n", "  "]),
    st.lists(st.tuples(words, breaks), max_size=25),
    st.integers(1, 3),
    st.text(max_size=20),
)


def counted(text: str) -> DclmRepetition:
    return dclm_repetition(*string_buffers(pa.array(["cut off", text], pa.large_string()).slice(1)), "whitespace")


def segments(text: str, cut: str) -> tuple[int, int, int, int]:
    shown = [segment.strip() for segment in text.split(cut) if segment.strip()]
    repeated = [segment for segment in shown if shown.count(segment) > 1]
    return len(shown), len(repeated), sum(map(len, shown)), sum(map(len, repeated))


@given(texts)
@example("a b c a b c a b c d e f g h i j k l m n o p a b c d e f g h i j k l m n o p")
@example("\n\n\na\n\n\n\na \n\n a")
def test_repetition_is_what_a_slow_reading_counts(text: str) -> None:
    found = counted(text)
    assert segments(text, "\n") == (
        found.num_lines[0], found.num_repeated_lines[0], found.line_chars[0], found.repeated_line_chars[0]
    )  # fmt: skip
    assert segments(text, "\n\n") == (
        found.num_paragraphs[0], found.num_repeated_paragraphs[0], found.paragraph_chars[0],
        found.repeated_paragraph_chars[0],
    )  # fmt: skip
    counting = [word for word in text.split() if word[0].isalnum()]
    assert found.word_chars[0] == sum(map(len, counting))
    for n in (*TOP_NGRAMS, *REPEATED_NGRAMS):
        ngrams = [tuple(counting[i : i + n]) for i in range(len(counting) - n + 1)]
        times = Counter(ngrams)
        if n in TOP_NGRAMS:
            most = max(times.values(), default=0)
            longest = max((len("".join(ngram)) for ngram in ngrams if times[ngram] == most), default=0)
            assert found.top_ngram_chars[n][0] == (longest * most if most > 1 else 0)
        else:
            covered = {i + k for i, ngram in enumerate(ngrams) if times[ngram] > 1 for k in range(n)}
            assert found.repeated_ngram_chars[n][0] == sum(len(counting[i]) for i in covered)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "word", "x" * 10_000_000])
def test_texts_without_two_words_repeat_nothing(text: str) -> None:
    found = counted(text)
    assert found.num_repeated_lines[0] == 0
    assert all(values[0] == 0 for values in (*found.top_ngram_chars.values(), *found.repeated_ngram_chars.values()))


def test_of_equally_frequent_ngrams_the_longest_counts() -> None:
    assert counted("a b 1 longer words 2 longer words 3 a b").top_ngram_chars[2][0] == 2 * len("longerwords")


def test_texts_of_one_call_do_not_leak_into_each_other() -> None:
    documents = ["a b c d e f a b c d e f", "", "g h", "a b c d e f", "x\n\nx\n\nx"]
    together = dclm_repetition(*string_buffers(pa.array(documents)), "whitespace")
    for i, text in enumerate(documents):
        alone = counted(text)
        assert together.num_repeated_lines[i] == alone.num_repeated_lines[0]
        assert [v[i] for v in together.top_ngram_chars.values()] == [v[0] for v in alone.top_ngram_chars.values()]
        assert [v[i] for v in together.repeated_ngram_chars.values()] == [
            v[0] for v in alone.repeated_ngram_chars.values()
        ]


def test_punctuation_between_words_does_not_keep_ngrams_apart_where_it_is_a_word_itself() -> None:
    text = "one, two three. (one two) three"
    assert counted(text).top_ngram_chars[2][0] == 0
    found = dclm_repetition(*string_buffers(pa.array([text])), "punct")
    assert found.top_ngram_chars[2].tolist() == [2 * len("twothree")]
