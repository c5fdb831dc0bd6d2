import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, PUNCTUATION, SPACE, character_classes
from pipeline_lib.kernels.words import count_words, word_statistics

LISTED = ("the", "be", "with", "naïve")
CLASSES = character_classes()

PIECES = (
    "the|The|be|with|naïve|nai\u0308ve|#|...|....|…|.|--|a1|42|１|猫が座った。|שלום|𝒳|\u0301|\u200b|\x00"
    "| |  |\t|\n|\r\n|\x1f|\x85|\u2028|\u3000"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)


def is_a(character: str, kind: int) -> bool:
    return bool(CLASSES[ord(character)] & kind)


def words_of(text: str) -> list[str]:
    spaced = "".join(" " if is_a(character, SPACE) else character for character in text)
    return [word for word in spaced.split(" ") if word]


@settings(deadline=None)  # the first example compiles
@given(st.lists(texts, max_size=4))
def test_words_are_counted_as_a_person_with_str_split_would(documents: list[str]) -> None:
    column = pa.array(["cut off", *documents], pa.large_string()).slice(1)
    found = word_statistics(*string_buffers(column), LISTED)

    for i, text in enumerate(documents):
        words = words_of(text)
        plain = [word for word in words if any(not is_a(character, PUNCTUATION) for character in word)]
        assert found.num_words[i] == len(words)
        assert found.num_plain_words[i] == len(plain)
        assert found.plain_word_chars[i] == sum(map(len, plain))
        assert found.num_alphabetic_words[i] == sum(any(is_a(c, ALPHABETIC) for c in word) for word in words)
        assert found.num_listed_words[i] == len(set(LISTED) & set(words))
        assert found.num_hash_signs[i] == text.count("#")
        assert found.num_ellipses[i] == text.count("...") + text.count("…")
    assert count_words(*string_buffers(column)).tolist() == found.num_words.tolist()


def test_a_word_of_ten_megabytes_is_one_word() -> None:
    column = pa.array(["x" * 10_000_000 + "\u00a0y"], pa.large_string())
    found = word_statistics(*string_buffers(column), LISTED)
    assert (found.num_words.tolist(), found.plain_word_chars.tolist()) == ([2], [10_000_001])


def test_no_texts_and_no_listed_words_are_no_error() -> None:
    assert word_statistics(*string_buffers(pa.array([], pa.string())), ()).num_words.tolist() == []
    assert word_statistics(*string_buffers(pa.array(["", " "])), ()).num_words.tolist() == [0, 0]
