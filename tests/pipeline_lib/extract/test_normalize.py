"""Normal text: what it promises about every character, and that it is linear in time."""

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.extract.normalize import (
    _BLANK_LINES,
    _LINE_ENDS,
    _SPACES,
    _TRAILING,
    _UNWANTED,
    _limit_marks,
    normalize,
    single_line,
)

AWKWARD = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            "\r\n\t \xa0\u2028\u200b\u2581\xad\ufeff\u0301\u0323\u0344e\u09c7\u09be\u200d\u3000\x0c\x85\ud800"
        ),
    ),
    max_size=60,
)


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("cafe\u0301", "café"),
        ("a\r\nb\rc\u2028d\x0ce\x85f", "a\nb\nc\nd\ne\nf"),
        ("a\xa0b\u2009c\u3000d", "a b c d"),
        ("a\x00b\x07c\x9fd\u200be\xadf\ufeffg\u202eh\ud800i\uffffj", "abcdefghij"),
        ("e\u200b\u0301", "é"),  # what is between them goes first
        ("\u2581word", "_word"),
        (
            "mi\u200cravam \U0001f468\u200d\U0001f4bb",
            "mi\u200cravam \U0001f468\u200d\U0001f4bb",
        ),  # joiners carry meaning
        ("end \t\nnext\t \n", "end\nnext"),
        ("one\n\n\n\ntwo\n \n\t\n \nthree", "one\n\ntwo\n\nthree"),
        ("def f():\n    if x:\n\treturn  1", "def f():\n    if x:\n\treturn  1"),  # code keeps its indentation
        ("\n\n    indented first line\n", "    indented first line"),
        ("", ""),
        (" \n\t\n", ""),
        ("a" + "\u0301\u0323" * 100, "ạ" + "\u0323" * 14 + "\u0301" * 15),
    ],
)
def test_normalize_gives_one_spelling(text, normal):
    assert normalize(text) == normal


@given(AWKWARD)
@example("\u0344" * 40)
@example("a" + "\u0344" * 31)
@example("\n \n" * 5)
@example("\t\n\n x \n\n\n ")
def test_normalizing_again_changes_nothing(text):
    assert normalize(normalize(text)) == normalize(text)


@given(AWKWARD)
def test_normal_text_is_nfc_and_holds_no_control_character_and_can_be_written(text):
    normal = normalize(text)
    assert unicodedata.is_normalized("NFC", normal)
    assert not [c for c in normal if unicodedata.category(c) in ("Cc", "Cs") and c not in "\n\t"]
    assert not any(line.endswith((" ", "\t")) for line in normal.split("\n"))
    assert "\n\n\n" not in normal
    normal.encode()


@given(st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters="\u2581"), max_size=60))
def test_nothing_but_white_space_and_invisible_characters_goes(text):
    assert normalize(text) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text",
    ["a" + "\u0300\u0316" * 200_000, "x" + " " * 400_000 + "y", "\r\n" * 200_000, " \n" * 200_000, "\u0f73" * 200_000],
)
def test_hostile_text_takes_linear_time(text):
    normalize(text)  # square time would be minutes: the test run's time limit is the assertion


def test_a_title_is_one_line():
    assert single_line("  The\n\n  title\u2028of it\t ", 100) == "The title of it"
    assert single_line("word " * 100, 9) == "word word"


# characters of every kind that normalising looks for, among plain ones
KINDS = (
    "ab \t\n\r\x0b\x0c\x85\u2028\xa0\u3000\x00\x07\xad\u200b\ufeff\u2581"
    "\u00e9e\u0301\u0323\u0958\u1100\u1161\u212b\U0001f642\ud800"
)


def plainly(text):
    """What `normalize` promises, one search after the other over all of the text."""
    text = _LINE_ENDS.sub("\n", text)
    text = _SPACES.sub(" ", text)
    text = _UNWANTED.sub("", text).replace("\u2581", "_")
    text = _limit_marks(unicodedata.normalize("NFC", _limit_marks(text)))
    text = _TRAILING.sub("", text)
    return _BLANK_LINES.sub("\n\n", text).strip("\n")


@given(st.text(st.sampled_from(KINDS), max_size=30) | st.text(max_size=30))
def test_what_a_text_does_not_have_is_not_looked_for_and_the_result_is_the_same(text):
    assert normalize(text) == plainly(text)


def test_every_character_that_is_replaced_is_looked_for():
    everything = "".join(map(chr, range(0x110000)))
    found = [match[0] for pattern in (_LINE_ENDS, _SPACES, _UNWANTED) for match in pattern.finditer(everything)]
    assert len(found) > 2048  # the surrogates alone are as many
    for character in found:
        text = f"a{character}b"
        assert normalize(text) == plainly(text) != text
