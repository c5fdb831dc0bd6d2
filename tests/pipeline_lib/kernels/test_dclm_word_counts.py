import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.dclm_words import count_dclm_words, dclm_line_counts, dclm_word_counts
from pipeline_lib.kernels.words import WordDefinition

LISTED = ("the", "of", "über")
pieces = st.sampled_from(
    [
        *("#", ".", "…", "●", "•", "*", "-", " ", "\n", "\t", "\x00", "_", ",", "...", ". . .", ". . . . ."),
        *("the", "The", "OF", "Über", "ÜBER", "the,", "word", "x1", "１", "²", "½", "Ⅳ", "İ", "don't"),
        *("\u00a0", "\u2028", "\r\n", "e\u0301", "\u0301", "שלום", "猫が座った", "\ufffd"),
    ]
)
texts = st.lists(st.one_of(pieces, st.text(max_size=3)), max_size=25).map("".join)


@given(texts)
@example(". . . . . .\n...")
@example("....... . .")
def test_counts_are_what_a_slow_reading_finds(text: str) -> None:
    buffers = string_buffers(pa.array(["cut off. . .", text], pa.large_string()).slice(1))
    words, lines = dclm_word_counts(*buffers, LISTED), dclm_line_counts(*buffers)
    split = text.split()
    assert words.num_words[0] == len(split)
    assert words.word_chars[0] == sum(map(len, split))
    assert words.num_unalphabetic_words[0] == sum(not any(map(str.isalpha, word)) for word in split)
    assert words.num_listed_words[0] == sum(word.lower() in LISTED for word in split)
    assert words.num_symbols[0] == sum(map(text.count, ["#", "…", "...", ". . ."]))
    shown = [line.strip() for line in text.split("\n") if line.strip()]
    assert lines.num_lines[0] == len(shown)
    assert lines.num_bullet_lines[0] == sum(line[0] in "●•*-" for line in shown)
    assert lines.num_ellipsis_lines[0] == sum(line.endswith(("...", ". . .", "…")) for line in shown)
    assert count_dclm_words(*buffers, "whitespace")[0] == sum(word[0].isalnum() for word in split)


@pytest.mark.parametrize(
    ("text", "words", "expected"),
    [
        ('He said: "no," (twice)', "whitespace", 2),  # the last two begin with marks
        ('He said: "no," (twice)', "punct", 4),
        ("one-two three,four", "whitespace", 2),
        ("one-two three,four", "punct", 4),
        ("½ ² Ⅳ １ 猫", "whitespace", 5),
        ("$5 _x -1 •", "whitespace", 0),
        ("", "punct", 0),
    ],
)
def test_words_that_count_begin_with_a_letter_or_a_digit(text: str, words: WordDefinition, expected: int) -> None:
    assert count_dclm_words(*string_buffers(pa.array([text])), words).tolist() == [expected]


def test_one_line_of_ten_megabytes_is_one_line() -> None:
    buffers = string_buffers(pa.array(["x" * 10_000_000 + "..."]))
    assert dclm_line_counts(*buffers).num_ellipsis_lines.tolist() == [1]
    assert dclm_word_counts(*buffers, LISTED).word_chars.tolist() == [10_000_003]


def test_no_listed_words_are_never_found() -> None:
    assert dclm_word_counts(*string_buffers(pa.array(["the of"])), ()).num_listed_words.tolist() == [0]
