import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.line_repeats import distinct_lines, distinct_paragraphs, repeated_lines

END_MARKS = (".", "?", "!", '"', "'")
ELLIPSES = ("...", "[...]", "…", "(...)", "[…]", "-»", "read more..", "read more")
BULLETS = tuple("•‣⁃⁌⁍∙○●◘◦⦾⦿")
BOILERPLATE = ("terms of use", "use coo", "te", "tea")
PLACEHOLDERS = ("lorem ipsum", "te")

PIECES = (
    "a line|a line.|• x|  ⦿ y|- z|*|…|x… |...|[...]|(...)|[…]|(…)|...]|-»|»|Read MORE|read more..|read more.|?|'|\"|。"
    "|猫|שלום|\u0301|\x00|\ufffd|Terms Of USE|terms of|use|USE coo|use \u212aoo|te|tea|Lorem Ipsum| |\u00a0|\t|\r"
    "|\u2028|\x85|\n|\n|\n\n|\n\n\n"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


def column(documents: list[str]) -> pa.Array:
    return pa.array(["cut off\n\nlorem ipsum\n", *documents], pa.large_string()).slice(1)


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
@example(["", "\n", "a\na\na\n", "\n\n\n"])
def test_of_lines_that_repeat_all_occurrences_count(documents: list[str]) -> None:
    found = repeated_lines(*string_buffers(column(documents)))
    for i, text in enumerate(documents):
        lines = text.split("\n") if text else []
        again = [line for line in lines if lines.count(line) > 1]
        assert found.num_lines[i] == len(lines)
        assert found.num_bullet_lines[i] == sum(line.startswith(("*", "-")) for line in lines)
        assert found.num_ellipsis_lines[i] == sum(line.endswith("…") for line in lines)
        assert (found.num_repeated_lines[i], found.repeated_chars[i]) == (len(again), sum(map(len, again)))


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
def test_lines_that_show_something_are_told_apart_as_they_stand(documents: list[str]) -> None:
    found = distinct_lines(*string_buffers(column(documents)))
    for i, text in enumerate(documents):
        lines = [line for line in text.split("\n") if line.strip()]
        assert (found.num_lines[i], found.num_distinct_lines[i]) == (len(lines), len(set(lines)))
        assert (found.num_chars[i], found.distinct_chars[i]) == (sum(map(len, lines)), sum(map(len, set(lines))))
        assert found.num_unended_lines[i] == sum(not line.strip().endswith(END_MARKS) for line in lines)
        assert found.num_ellipsis_lines[i] == sum(line.strip().lower().endswith(ELLIPSES) for line in lines)
        assert found.num_bullet_lines[i] == sum(line.strip().startswith(BULLETS) for line in lines)


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
@example(["", "\n\n", "\n\n\n", "\n\n\n\n", "a\n\na"])
@example(["terms of use \n\n lorem ipsum terms of use"])
def test_paragraphs_are_told_apart_and_searched_for_phrases(documents: list[str]) -> None:
    found = distinct_paragraphs(*string_buffers(column(documents)), BOILERPLATE, PLACEHOLDERS)
    for i, text in enumerate(documents):
        pieces = text.split("\n\n")
        assert (found.num_paragraphs[i], found.num_distinct_paragraphs[i]) == (len(pieces), len(set(pieces)))
        assert (found.num_chars[i], found.distinct_chars[i]) == (sum(map(len, pieces)), sum(map(len, set(pieces))))
        for phrases, count in (
            (BOILERPLATE, found.num_boilerplate_paragraphs[i]),
            (PLACEHOLDERS, found.num_placeholder_paragraphs[i]),
        ):
            assert count == sum(any(phrase in piece.lower() for phrase in phrases) for piece in pieces)


def test_a_phrase_of_one_letter_is_refused() -> None:
    with pytest.raises(ValueError, match="two bytes"):
        distinct_paragraphs(*string_buffers(pa.array(["a"])), ("a",), ())


def test_no_phrases_and_no_texts_are_no_error() -> None:
    assert distinct_paragraphs(*string_buffers(pa.array(["a"])), (), ()).num_boilerplate_paragraphs.tolist() == [0]
    assert distinct_lines(*string_buffers(pa.array([], pa.string()))).num_lines.tolist() == []


def test_ten_megabytes_without_a_break_are_one_line() -> None:
    buffers = string_buffers(pa.array(["x" * 10_000_000]))
    assert repeated_lines(*buffers).num_lines.tolist() == [1]
    assert distinct_lines(*buffers).distinct_chars.tolist() == [10_000_000]
    assert distinct_paragraphs(*buffers, BOILERPLATE, ()).num_chars.tolist() == [10_000_000]
