import re

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.sentences import count_sentences
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, END_MARK, PUNCTUATION, character_classes

PIECES = (
    "Yes|yes.|J.|e.g.|USA.|U.S.|(x.|1.|-|$|?|?!|...|..|…|.\"|.)|。|”|'|猫。猫|é.|\u0301.|\x00| | |\n|\r\n|\u2028|\u00a0"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=30).map("".join)


def is_a(character: str, kind: int) -> bool:
    return bool(character_classes()[ord(character)] & kind)


def ends(word: str) -> bool:
    word = re.sub("[\"')\\]}»’”]+$", "", word)
    if not word or not is_a(word[-1], END_MARK):
        return False
    if word[-1] != ".":
        return True
    if word[-2:-1] == ".":
        return False
    single_letter = word[-2:-1] and is_a(word[-2], ALPHABETIC) and (len(word) == 2 or is_a(word[-3], PUNCTUATION))
    return not single_letter


def slow_count(text: str) -> int:
    total = 0
    for line in text.split("\n"):
        ended = False
        for word in line.split():
            shows = any(not is_a(character, PUNCTUATION) for character in word)
            total += ended and shows
            ended = (ended and not shows) or ends(word)
        total += bool(line.strip())
    return total


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
def test_sentences_are_counted_by_the_stated_rule(documents: list[str]) -> None:
    column = pa.array(["Cut. Off.", *documents], pa.large_string()).slice(1)
    assert count_sentences(*string_buffers(column)).tolist() == [slow_count(text) for text in documents]


@pytest.mark.parametrize(
    ("text", "sentences"),
    [
        ("", 0),
        (" \n ", 0),
        ("One", 1),
        ("One. Two! Three?", 3),
        ('He said "no." Then he left.', 2),
        ("Wait... what is it?", 1),
        ("J. S. Bach, i.e. the father.", 1),
        ("Made in the USA. Sold here.", 2),
        ("Version 3.11.7 is out.", 1),
        ("one line\nanother line", 2),
        ("Really?! - Yes.", 2),
        ("これは本です。それも本です。", 1),  # no space after the full stop: a known limit
        ("Mr. Smith", 2),  # a known limit
    ],
)
def test_examples(text: str, sentences: int) -> None:
    assert count_sentences(*string_buffers(pa.array([text]))).tolist() == [sentences]
