from collections import Counter

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.repetition import REPEATED_NGRAMS, TOP_NGRAMS, Repetition, repetition
from pipeline_lib.kernels.unicode_tables import character_classes
from pipeline_lib.kernels.words import WordDefinition

# few different words, so that n-grams up to 10 repeat; "a" + "b" spells "ab": other words, same characters
words = st.sampled_from(["a", "b", "ab", "ba", "\x00", "\x00a", "猫", "a\u0301", "sixteen-letter-word", "שלום"])
breaks = st.sampled_from([" ", " ", " ", "\n", "\n\n", "\n\n\n", "\r\n", "\u2028", "\u00a0", " \n \n "])
texts = st.builds(
    lambda head, pairs, times, tail: head + "".join(word + gap for word, gap in pairs) * times + tail,
    st.sampled_from(["", "\n", "\n\n", "  "]),
    st.lists(st.tuples(words, breaks), max_size=25),
    st.integers(1, 3),
    st.text(max_size=20),
)


def repeated(pieces: list[str]) -> tuple[int, int]:
    again = [piece for i, piece in enumerate(pieces) if piece in pieces[:i]]
    return len(again), sum(map(len, again))


def cut(text: str, shortest: int) -> list[str]:
    """The pieces between runs of at least `shortest` newlines."""
    pieces = [""]
    i = 0
    while i < len(text):
        run = len(text[i:]) - len(text[i:].lstrip("\n"))
        if run >= shortest:
            pieces.append("")
        else:
            pieces[-1] += text[i : i + max(run, 1)]
        i += max(run, 1)
    return pieces


def top_chars(words: list[str], n: int) -> int:
    ngrams = [" ".join(words[i : i + n]) for i in range(len(words) - n + 1)]
    if not ngrams:
        return 0
    ngram, times = Counter(ngrams).most_common(1)[0]
    return len(ngram) * times


def repeated_chars(words: list[str], n: int) -> int:
    seen: set[str] = set()
    total = i = 0
    while i + n <= len(words):
        spelled = "".join(words[i : i + n])
        if spelled in seen:
            total += len(spelled)
            i += n
        else:
            seen.add(spelled)
            i += 1
    return total


def counted(text: str, definition: WordDefinition = "whitespace") -> Repetition:
    return repetition(*string_buffers(pa.array(["cut off", text], pa.large_string()).slice(1)), definition)


def words_of(text: str, definition: WordDefinition) -> list[str]:
    if definition == "whitespace":
        return text.split()
    data = np.frombuffer(text.encode(), np.uint8)
    ranges = [next_word(data, 0, len(data), character_classes())]
    while ranges[-1][0] < len(data):
        ranges.append(next_word(data, ranges[-1][1], len(data), character_classes()))
    return [bytes(data[start:end]).decode() for start, end in ranges[:-1]]


@settings(deadline=None)  # the first example compiles
@given(texts, st.sampled_from(["whitespace", "punct"]))
@example("\n", "whitespace")
@example("a\n\n\na", "whitespace")
@example("\n\nx\n\n", "whitespace")
@example(" x\n\nx\nx\n\nx ", "whitespace")  # whitespace at the ends is of lines, not of paragraphs
@example("a b c d ef " * 8 + "a b c de f " * 3, "whitespace")
@example("well-known, isn't it? " * 4, "punct")
def test_repetition_is_what_a_slow_reading_counts(text: str, definition: WordDefinition) -> None:
    found = counted(text, definition)
    words = words_of(text, definition)
    if text:
        paragraphs, lines = cut(text.strip(), 2), cut(text, 1)
        assert found.num_paragraphs[0] == len(paragraphs)
        assert (found.num_repeated_paragraphs[0], found.repeated_paragraph_chars[0]) == repeated(paragraphs)
        assert found.num_lines[0] == len(lines)
        assert (found.num_repeated_lines[0], found.repeated_line_chars[0]) == repeated(lines)
    for n in TOP_NGRAMS:
        assert found.top_ngram_chars[n][0] == top_chars(words, n)
    for n in REPEATED_NGRAMS:
        assert found.repeated_ngram_chars[n][0] == repeated_chars(words, n)


@pytest.mark.parametrize("text", ["", " ", "\n\n", "word", "x" * 1_000_000])
def test_texts_without_two_words_repeat_no_ngram(text: str) -> None:
    found = counted(text)
    assert all(found.top_ngram_chars[n][0] == 0 for n in TOP_NGRAMS)
    assert all(found.repeated_ngram_chars[n][0] == 0 for n in REPEATED_NGRAMS)


def test_of_equally_frequent_ngrams_the_first_counts() -> None:
    found = counted("one two three one two three-long one two x two three-long")
    assert found.top_ngram_chars[2][0] == 3 * len("one two")
    found = counted("a b | longer words | longer words | a b")
    assert found.top_ngram_chars[2][0] == 2 * len("a b")


@pytest.mark.parametrize("times", [2, 254, 255, 256, 300])
def test_ngrams_that_occur_more_often_than_a_counter_counts_are_counted(times: int) -> None:
    text = " | ".join(f"one two {k}" for k in range(times)) + " three four" * (times - 1)
    words = text.split()
    found = counted(text)
    for n in TOP_NGRAMS:
        assert found.top_ngram_chars[n][0] == top_chars(words, n)
    for n in REPEATED_NGRAMS:
        assert found.repeated_ngram_chars[n][0] == repeated_chars(words, n)


def test_texts_of_one_call_do_not_leak_into_each_other() -> None:
    documents = ["a b c d e f a b c d e f", "", "g h", "a b c d e f", "x\n\nx\n\nx"]
    together = repetition(*string_buffers(pa.array(documents)))
    for i, text in enumerate(documents):
        alone = counted(text)
        assert together.num_repeated_lines[i] == alone.num_repeated_lines[0]
        assert {n: int(v[i]) for n, v in together.top_ngram_chars.items()} == {
            n: int(v[0]) for n, v in alone.top_ngram_chars.items()
        }
        assert {n: int(v[i]) for n, v in together.repeated_ngram_chars.items()} == {
            n: int(v[0]) for n, v in alone.repeated_ngram_chars.items()
        }
