"""Excerpts of crawled text, and pairs of them."""

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.report.excerpts import differing, excerpt, one_line, visible

words = st.lists(st.sampled_from(["the", "mill", "grinds", "wheat", "slowly", "\n\n", "\u732b"]), max_size=60).map(
    " ".join
)
anything = st.text(st.characters(codec=None), max_size=300)


@given(anything, st.integers(20, 200))
def test_an_excerpt_is_the_visible_beginning_of_a_text_and_not_much_longer_than_asked(text, max_chars):
    shown = excerpt(text, max_chars)

    assert len(shown) <= max_chars + 1
    assert not set(shown) & set("\x00\x08\x1b\x7f\u202e\u2066\u2028")
    assert shown.encode() is not None  # nothing that UTF-8 has no word for
    assert "".join(visible(text).split()).startswith("".join(shown.removesuffix("\u2026").split()))


@given(anything, st.integers(20, 200))
def test_a_line_is_one_line(text, max_chars):
    shown = one_line(text, max_chars)
    assert len(shown) <= max_chars
    assert len(shown.splitlines()) <= 1


def test_a_long_url_keeps_both_ends():
    shown = one_line("https://a.test/" + "x" * 500 + "/last.html", 60)
    assert shown.startswith("https://a.test/")
    assert shown.endswith("/last.html")
    assert len(shown) == 60


@given(words, words, st.integers(20, 120))
def test_a_pair_shows_both_texts_and_marks_only_what_the_other_lacks(left, right, max_chars):
    sides = differing(left, right, max_chars)

    for text, segments in zip((left, right), sides, strict=True):
        shown = "".join(piece for piece, _ in segments).strip("\u2026")
        assert "".join(shown.split()) in "".join(text.split())
    if not any("\u2026" in piece for segments in sides for piece, _ in segments):
        left_same, right_same = (
            "".join("".join(piece for piece, differs in segments if not differs).split()) for segments in sides
        )
        assert left_same == right_same


@given(words, st.integers(20, 120))
def test_equal_texts_have_no_marks(text, max_chars):
    assert not any(differs for segments in differing(text, text, max_chars) for _, differs in segments)


@pytest.mark.parametrize("place", [3, 60])
def test_a_pair_begins_shortly_before_its_first_difference(place):
    tokens = [f"{letter}{number}" for letter in string.ascii_lowercase for number in range(10)]
    left, right = differing(" ".join(tokens), " ".join([*tokens[:place], "OTHER", *tokens[place + 1 :]]), 200)

    assert ("OTHER", True) in right
    assert (tokens[place], True) in left
    assert left[0][0] == ("\u2026" if place > 12 else " ".join(tokens[:place]) + " ")
    assert not left[-1][1]
    assert not right[-1][1]
