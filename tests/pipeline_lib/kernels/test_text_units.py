"""Lines and paragraphs: where they are, which are the same, and what is left when some are cut out."""

import re

import numpy as np
import pyarrow as pa
import pytest
from folded_words import ALPHABET, words
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.text_units import cut_out, text_units

pieces = st.sampled_from([*ALPHABET, "\n", "\n", "\n\n", "\n \n", "one", "Two", "2", "33", "---", "\x00"])
texts = st.lists(pieces, max_size=30).map("".join)


def units_of(text: str, paragraphs: bool) -> list[tuple[int, int]]:
    """Characters at which lines that show something, or runs of such lines, begin and end."""
    found: list[tuple[int, int]] = []
    start, joined = 0, False
    for line in text.split("\n"):
        shows = any(character > " " for character in line)
        if shows and joined and paragraphs:
            found[-1] = (found[-1][0], start + len(line))
        elif shows:
            found.append((start, start + len(line)))
        joined = shows
        start += len(line) + 1
    return found


def read(column: list[str], paragraphs: bool):
    return text_units(*string_buffers(pa.array(column, pa.large_string())), paragraphs=paragraphs)


@given(st.lists(texts, max_size=4), st.booleans())
def test_units_are_where_plain_python_finds_them(column, paragraphs):
    units = read(column, paragraphs)
    found = [
        (text, start, end)
        for text, start, end in zip(units.texts().tolist(), units.starts.tolist(), units.ends.tolist(), strict=True)
    ]
    expected = [
        (number, len(text[:start].encode()), len(text[:end].encode()))
        for number, text in enumerate(column)
        for start, end in units_of(text, paragraphs)
    ]
    assert found == expected
    shown = [column[text].encode()[start:end].decode().strip(UNSEEN) for text, start, end in found]
    assert units.num_chars.tolist() == [len(text) for text in shown]


UNSEEN = "".join(map(chr, range(0x21)))


@given(st.lists(texts, min_size=1, max_size=4), st.booleans())
def test_two_units_have_the_same_hash_if_their_words_are_the_same(column, paragraphs):
    units = read(column, paragraphs)
    spelled = [words(text[start:end], digits=False) for text in column for start, end in units_of(text, paragraphs)]
    assert [value != 0 for value in units.hashes] == [bool(each) for each in spelled]
    for one, value in zip(spelled, units.hashes, strict=True):
        for other, other_value in zip(spelled, units.hashes, strict=True):
            assert (value == other_value) == (one == other)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Posted by admin on 12 May 2024 | 3 comments", "posted by ADMIN, on 7 May 2025 | 128 comments!", True),
        ("Crème brûlée", "creme brulee", True),
        ("  » Read more …", "Read more", True),
        ("Straße", "STRASSE", True),
        ("猫が 座った。", "猫が座った", True),
        ("read more", "readmore", False),
        ("page one", "page two", False),
        ("a1", "a 1", False),
        ("don't", "dont", False),  # CCNet, which drops punctuation without a trace, takes these for the same
        ("---", "***", False),  # no words: like nothing else, itself included
    ],
)
def test_what_makes_no_difference(one, other, same):
    first, second = read([one, other], paragraphs=False).hashes
    assert (first == second and first != 0) == same


def left_of(text: str, paragraphs: bool, goes: list[bool]) -> str | None:
    """What is left of a text without some of its units, put together from what stays; None: nothing."""
    units = units_of(text, paragraphs)
    stays = [number for number in range(len(units)) if not goes[number]]
    if not units or len(stays) == len(units):
        return text
    if not stays:
        return None
    left = text[: units[0][0]] if stays[0] == 0 else ""
    for place, number in enumerate(stays):
        if place:
            before = stays[place - 1]
            gaps = [text[units[at][1] : units[at + 1][0]] for at in range(before, number)]
            if len(gaps) == 1:
                left += gaps[0]
            else:
                left += "\n\n" if any(gap.count("\n") > 1 for gap in gaps) else "\n"
        left += text[slice(*units[number])]
    return left + (text[units[-1][1] :] if stays[-1] == len(units) - 1 else "")


@given(st.lists(st.tuples(texts, st.lists(st.booleans(), min_size=40, max_size=40)), max_size=4), st.booleans())
def test_cutting_units_out_leaves_the_others_with_the_blank_lines_that_were_between_them(drawn, paragraphs):
    column = [text for text, _ in drawn]
    buffers = string_buffers(pa.array(column, pa.large_string()))
    units = text_units(*buffers, paragraphs=paragraphs)
    goes = np.array([wish[at] for text, wish in drawn for at in range(len(units_of(text, paragraphs)))], bool)
    cuts = cut_out(*buffers, units, goes)
    for number, (text, wish) in enumerate(drawn):
        mine = np.flatnonzero(cuts.texts == number)
        expected = left_of(text, paragraphs, wish)
        assert cuts.emptied[number] == (expected is None)
        if expected is None:
            assert len(mine) == 0
            continue
        raw = text.encode()
        assert len(mine) == sum(wish[: len(units_of(text, paragraphs))])  # one a unit: each can be counted
        for start, end in sorted(zip(cuts.starts[mine], cuts.ends[mine], strict=True), reverse=True):
            raw = raw[:start] + raw[end:]
        assert raw.decode() == expected


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("a\nX\nb", "a\nb"),
        ("a\n\nX\n\nb", "a\n\nb"),
        ("a\n\nX\nb", "a\n\nb"),
        ("a\nX\nX\n\nX\nb", "a\n\nb"),
        ("X\n\na\n\nX", "a"),
        ("\n  a\nX\n", "\n  a"),
        ("a\n    code\nX\n    code\n", "a\n    code\n    code\n"),
    ],
)
def test_a_line_goes_with_its_line_break(text, left):
    buffers = string_buffers(pa.array([text], pa.large_string()))
    units = text_units(*buffers, paragraphs=False)
    lines = [line for line in re.split("\n", text) if line.strip()]
    cuts = cut_out(*buffers, units, np.array([line == "X" for line in lines]))
    for start, end in sorted(zip(cuts.starts, cuts.ends, strict=True), reverse=True):
        text = text[:start] + text[end:]
    assert text == left


def test_ten_megabytes_of_nothing_but_line_breaks_or_lines_take_no_longer_than_others():
    for text in ("\n" * 10_000_000, "a\n" * 5_000_000, "a" * 10_000_000, "\n ".join(["x" * 9] * 1_000_000)):
        for paragraphs in (False, True):
            buffers = string_buffers(pa.array([text], pa.large_string()))
            units = text_units(*buffers, paragraphs=paragraphs)
            goes = np.arange(len(units.hashes)) % 2 == 0
            assert len(cut_out(*buffers, units, goes).texts) in (np.count_nonzero(goes), 0)
