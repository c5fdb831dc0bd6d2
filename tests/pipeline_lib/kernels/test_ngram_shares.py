from collections import Counter
from time import process_time

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.ngram_shares import REPEATED_NGRAMS, TOP_NGRAMS, curator_ngrams, dolma_ngrams

# few different words, so that n-grams up to 10 repeat; "a" + "b" spells "ab": the same characters, other words
words = st.sampled_from(["a", "b", "ab", "ba", "\x00", "猫", "a\u0301", "sixteen-letter-word", "שלום", "\ufffd"])
breaks = st.sampled_from([" ", " ", " ", " ", "\n", "\n\n", "  ", "\u2028", "\u00a0"])
texts = st.builds(
    lambda pairs, times, tail: "".join(word + gap for word, gap in pairs) * times + tail,
    st.lists(st.tuples(words, breaks), max_size=25),
    st.integers(1, 3),
    st.text(max_size=20),
)


def ngrams_of(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]


def size(ngram: tuple[str, ...]) -> int:
    return sum(map(len, ngram))


def cut_chars(text: str, n: int) -> int:
    """Characters that go where the first of the most frequent n-grams is cut out."""
    ngrams = ngrams_of(text, n)
    if not ngrams:
        return 0
    spelled = " ".join(Counter(ngrams).most_common(1)[0][0])
    return len(text) - len(text.replace(spelled, ""))


def covered_chars(text: str, n: int) -> int:
    """Characters of repeated n-grams, word by word: those of one counted before are left out."""
    words, total, upto = text.split(), 0, 0
    seen: set[tuple[str, ...]] = set()
    for i, ngram in enumerate(ngrams_of(text, n)):
        if ngram in seen:
            new = words[max(i, upto) : i + n]
            total += size(tuple(new)) + min(len(new), n - 1)
            upto = i + n
        seen.add(ngram)
    return total


@settings(deadline=None)  # the first example compiles
@given(texts)
@example("a b c d ef " * 8 + "a b c de f " * 3)
@example("ab ab ab ab ab ab ab ab ab ab ab ab")
def test_dolma_counts_all_occurrences_over_all_ngrams(text: str) -> None:
    found = dolma_ngrams(*string_buffers(pa.array(["cut off", text], pa.large_string()).slice(1)))
    assert found.word_chars[0] == size(tuple(text.split()))
    for n in TOP_NGRAMS:
        ngrams = ngrams_of(text, n)
        top, times = Counter(ngrams).most_common(1)[0] if ngrams else ((), 0)
        assert found.top_chars[n][0] == times * size(top)
    for n in REPEATED_NGRAMS:
        counts = Counter(ngrams_of(text, n))
        assert found.all_chars[n][0] == sum(times * size(ngram) for ngram, times in counts.items())
        assert found.repeated_chars[n][0] == sum(times * size(ngram) for ngram, times in counts.items() if times > 1)


@settings(deadline=None)  # the first example compiles
@given(texts)
@example("a b c d ef " * 8 + "a b c de f " * 3)
@example("ab ab ab ab ab ab ab ab ab ab ab ab")
@example("a ba ba ba b")  # "a b" stands in longer words too
@example("a\nb a\nb a\nb")  # and not where lines break
def test_curator_cuts_the_top_ngram_out_and_counts_what_later_ngrams_repeat(text: str) -> None:
    found = curator_ngrams(*string_buffers(pa.array(["cut off", text], pa.large_string()).slice(1)))
    for n in TOP_NGRAMS:
        assert found.top_chars[n][0] == cut_chars(text, n)
    for n in REPEATED_NGRAMS:
        assert found.repeated_chars[n][0] == covered_chars(text, n)


def test_words_may_be_those_of_punctuation() -> None:
    buffers = string_buffers(pa.array(["a,b a,b. a,b"]))
    assert dolma_ngrams(*buffers, "whitespace").top_chars[2].tolist() == [7]  # `a,b a,b.`
    assert dolma_ngrams(*buffers, "punct").word_chars.tolist() == [10]
    assert dolma_ngrams(*buffers, "punct").top_chars[2].tolist() == [6]


@pytest.mark.parametrize("text", ["", " ", "\n\n", "word", "x" * 10_000_000])
def test_texts_without_two_words_repeat_no_ngram(text: str) -> None:
    buffers = string_buffers(pa.array([text]))
    for found in (dolma_ngrams(*buffers), curator_ngrams(*buffers)):
        assert all(found.top_chars[n][0] == 0 for n in TOP_NGRAMS)
        assert all(found.repeated_chars[n][0] == 0 for n in REPEATED_NGRAMS)


def test_texts_of_one_call_do_not_leak_into_each_other() -> None:
    documents = ["a b c d e f a b c d e f", "", "g h", "a b c d e f", "x\n\nx\n\nx"]
    together = curator_ngrams(*string_buffers(pa.array(documents)))
    for i, text in enumerate(documents):
        assert [together.repeated_chars[n][i] for n in REPEATED_NGRAMS] == [
            covered_chars(text, n) for n in REPEATED_NGRAMS
        ]


def test_a_text_made_to_be_slow_to_search_is_not() -> None:
    text = "a" * 1_000_000 + " b " + "a" * 999_999 + " b"
    curator_ngrams(*string_buffers(pa.array(["a b a b"])))  # compiles
    started = process_time()
    curator_ngrams(*string_buffers(pa.array([text])))
    assert process_time() - started < 5  # seconds; a search that starts over at each character takes many minutes
