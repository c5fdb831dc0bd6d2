import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, PUNCTUATION, SPACE, character_classes
from pipeline_lib.kernels.words import WordDefinition, count_words, word_statistics

LISTED = ("the", "be", "with", "naïve")
CLASSES = character_classes()

PIECES = (
    "the|The|be|with|naïve|nai\u0308ve|#|...|....|…|.|--|a1|42|１|猫が座った。|שלום|𝒳|\u0301|\u200b|\x00"
    "| |  |\t|\n|\r\n|\x1f|\x85|\u2028|\u3000"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


def is_a(character: str, kind: int) -> bool:
    return bool(CLASSES[ord(character)] & kind)


def words_of(text: str, definition: WordDefinition) -> list[str]:
    if definition == "punct":  # test_punct_words.py says what these are
        data = np.frombuffer(text.encode(), np.uint8)
        ranges = [next_word(data, 0, len(data), CLASSES)]
        while ranges[-1][0] < len(data):
            ranges.append(next_word(data, ranges[-1][1], len(data), CLASSES))
        return [bytes(data[start:end]).decode() for start, end in ranges[:-1]]
    spaced = "".join(" " if is_a(character, SPACE) else character for character in text)
    return [word for word in spaced.split(" ") if word]


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4), st.sampled_from(["whitespace", "punct"]))
def test_words_are_counted_as_a_person_would(documents: list[str], definition: WordDefinition) -> None:
    column = pa.array(["cut off", *documents], pa.large_string()).slice(1)
    found = word_statistics(*string_buffers(column), LISTED, definition)

    for i, text in enumerate(documents):
        words = words_of(text, definition)
        plain = [word for word in words if any(not is_a(character, PUNCTUATION) for character in word)]
        assert found.num_words[i] == len(words)
        assert found.num_plain_words[i] == len(plain)
        assert found.plain_word_chars[i] == sum(map(len, plain))
        assert found.num_alphabetic_words[i] == sum(any(is_a(c, ALPHABETIC) for c in word) for word in words)
        assert found.num_listed_words[i] == len(set(LISTED) & set(words))
        assert found.num_hash_signs[i] == text.count("#")
        assert found.num_ellipses[i] == text.count("...") + text.count("…")
        assert found.longest_word_chars[i] == max(map(len, words), default=0)
    assert count_words(*string_buffers(column), definition).tolist() == found.num_words.tolist()


@pytest.mark.parametrize(
    ("text", "num_words", "num_plain_words", "num_ellipses"),
    [
        ("don't stop...", 4, 3, 1),  # do n't stop ...
        ("a....b", 3, 2, 1),  # a .... b: of four dots, three
        ("ab. .. b", 4, 2, 0),  # dots on both sides of whitespace are no ellipsis
        ("#one (two)", 5, 2, 0),
    ],
)
def test_marks_are_words_of_their_own_with_punct(
    text: str, num_words: int, num_plain_words: int, num_ellipses: int
) -> None:
    found = word_statistics(*string_buffers(pa.array([text])), LISTED, "punct")
    assert [found.num_words[0], found.num_plain_words[0]] == [num_words, num_plain_words]
    assert found.num_ellipses[0] == num_ellipses


def test_listed_words_are_matched_between_marks_with_punct() -> None:
    column = pa.array(["(the) be, with!"])
    assert word_statistics(*string_buffers(column), LISTED, "punct").num_listed_words[0] == 3
    assert word_statistics(*string_buffers(column), LISTED, "whitespace").num_listed_words[0] == 0


def test_no_texts_and_no_listed_words_are_no_error() -> None:
    assert word_statistics(*string_buffers(pa.array([], pa.string())), ()).num_words.tolist() == []
    assert word_statistics(*string_buffers(pa.array(["", " "])), ()).num_words.tolist() == [0, 0]
