import re

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, DECIMAL, PUNCTUATION, SPACE, character_classes

CLASSES = character_classes()

PIECES = (
    "a|B|don|n't|N'T|n\u2019t|'s|'S|\u2019ll|'re|'ve|'d|'m|'t|s|t|'|1|23|１|é|猫|\u0301|\u200b|\x00|\x85"
    '|.|..|...|…|,|;|:|://|/|\\|-|--|–|—|~|@|^|<|>|=|+|#|$|%|(|)|"|“|”|。|，|°|©|→|🙂|www.|WWW.|http://| | |\n'
)
texts = st.lists(st.sampled_from([*PIECES.split("|"), "|"]) | st.characters(codec="utf-8"), max_size=25).map("".join)

SYMBOL_RANGES = "A1-A7 A9 AE B0 B7 BF 2010-2027 2030-205E 20A0-20CF 2100-2BFF 2E00-303F FE30-FE6F 1F000-1FAFF"
APART = "2026 A6 A9 AE B0 2190-2BFF 1F000-1FAFF"
CONTRACTION = re.compile("['\u2019](?:[sdm]|[rv]e|ll)$", re.IGNORECASE | re.ASCII)


def within(character: str, ranges: str) -> bool:
    pairs = [(piece.split("-")[0], piece.split("-")[-1]) for piece in ranges.split()]
    return any(int(first, 16) <= ord(character) <= int(last, 16) for first, last in pairs)


def is_a(character: str, kind: int) -> bool:
    return bool(CLASSES[ord(character)] & kind)


def is_mark(character: str) -> bool:
    if is_a(character, SPACE):
        return False
    return is_a(character, PUNCTUATION) or (
        not is_a(character, ALPHABETIC | DECIMAL) and within(character, SYMBOL_RANGES)
    )


def cuts(before: str, marks: str, after: str) -> bool:
    """Whether marks between two characters of words end the first word, contractions and addresses aside."""
    letters = is_a(before, ALPHABETIC) and is_a(after, ALPHABETIC)
    digits = is_a(before, DECIMAL) and is_a(after, DECIMAL)
    if any(within(mark, APART) for mark in marks) or ".." in marks or "--" in marks:
        return True
    if marks == "-":
        return letters or digits
    if marks in (",", "–", "—", "~"):
        return letters
    if marks in (":", "<", ">", "=", "/"):
        return is_a(after, ALPHABETIC)
    return marks == "." and "a" <= before <= "z" and "A" <= after <= "Z"


def length_of_first_word(chunk: str, after_space: bool) -> int:
    """Of a chunk without whitespace."""
    marks = 0
    while marks < len(chunk) and is_mark(chunk[marks]):
        marks += 1
    if marks:
        # the letters that follow an apostrophe, if they are all that follows it
        word = chunk[: next((k for k in range(1, len(chunk)) if is_mark(chunk[k])), len(chunk))]
        if CONTRACTION.match(word):
            return len(word)
        run = re.match(r"([./|\\^~@-])\1*", chunk)
        if run is None:
            return 1
        begins_word = after_space and run.end() == marks < len(chunk) and not run[0].startswith("..")
        if not begins_word:
            return run.end()

    i = marks
    while True:
        while i < len(chunk) and not is_mark(chunk[i]):
            i += 1
        j = i
        while j < len(chunk) and is_mark(chunk[j]):
            j += 1
        if chunk[i:].startswith("://") or (chunk[:4].lower() == "www." and i == 3 and j == 4 < len(chunk)):
            least = i + 3 if chunk[i] == ":" else j
            return max((k + 1 for k in range(least, len(chunk)) if not is_mark(chunk[k])), default=least)
        if j == len(chunk):
            alone = i == 1 or chunk[i - 2] == "."
            dot = chunk[i:j].startswith(".") and not cuts("a", chunk[i:j], "a")
            return i + (dot and alone and is_a(chunk[i - 1], ALPHABETIC))
        if j - i == 1 and chunk[i] in "'\u2019":
            rest = chunk[i : next((k for k in range(j, len(chunk)) if is_mark(chunk[k])), len(chunk))]
            if rest[1:] in ("t", "T") and chunk[i - 1] in "nN":
                return i - 1 if i - 1 > 0 else j + 1
            if CONTRACTION.match(rest):
                return i
        if cuts(chunk[i - 1], chunk[i:j], chunk[j]):
            return i
        i = j


def slow_words(text: str) -> list[str]:
    words = []
    i = 0
    while i < len(text):
        start = i
        while i < len(text) and is_a(text[i], SPACE):
            i += 1
        end = i
        while end < len(text) and not is_a(text[end], SPACE):
            end += 1
        if i < end:
            length = length_of_first_word(text[i:end], after_space=i > start)
            words.append(text[i : i + length])
            i += length
    return words


def fast_words(text: str) -> list[str]:
    data = np.frombuffer(text.encode(), np.uint8)
    words = []
    i = 0
    while True:
        start, i = next_word(data, i, len(data), CLASSES)
        if start == len(data):
            assert i == len(data)
            return words
        words.append(bytes(data[start:i]).decode())


@given(texts)
@example(" ")
@example("n't")
@example("a n't")
@example("http://")
@example("x://...")
def test_words_are_cut_as_the_rules_say(text: str) -> None:
    assert fast_words(text) == slow_words(text)


@given(texts)
def test_words_hold_all_of_a_text_but_its_whitespace(text: str) -> None:
    assert "".join(fast_words(text)) == "".join(c for c in text if not is_a(c, SPACE))


# Each line: a text, with `|` where spaCy 3.8's blank English tokenizer cuts it, too.
@pytest.mark.parametrize(
    "cut",
    [
        "Hello|,| |world|!",
        "I| |do|n't| |know|;| |it|'s| |Anna|’s| |and| |we|'ll| |see|.",
        "She| |was|n't| |sure| |they|'re| |o'clock",
        "3.14| |and| |1,000|,| |at| |10:30|.",
        "U.S.| |laws|,| |e.g.| |J.| |Smith|.",
        "well|-|known| |covid-19| |1990|-|1995",
        "wait|...| |what|…| |no|..",
        "(|see| |http://example.org/a?b=c#d|)|.",
        "mail| |me@example.org|,| |or| |www.example.org/x|!",
        "cats|/|dogs| |key|:|value| |1/2",
        "$|100| |50|%| |#|1",
        "“|Quoted|”| |«|words|»",
        "The| |end|.|Next",
        "a| |/etc| |.htaccess| |-1| |user@host",
        "a| |(|b|)| |[|c|]| |d(s|)",
        "na\u0308ive| |שלום| |猫が座った",
        "foo|--|bar| |foo|—|bar",
        "20|°|C",
    ],
)
def test_examples(cut: str) -> None:
    words = [word for word in cut.split("|") if word != " "]
    assert fast_words(cut.replace("|", "")) == words


# What spaCy knows from lists of exceptions: C++, Mr. and Smith, can and not.
@pytest.mark.parametrize(("text", "num_words"), [("C++", 3), ("Mr. Smith", 3), ("cannot", 1)])
def test_no_word_is_an_exception(text: str, num_words: int) -> None:
    assert len(fast_words(text)) == num_words
