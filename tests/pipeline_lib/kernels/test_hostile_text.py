"""Texts that nobody writes and every crawl has: what kernels find in them, and that ten megabytes of one take no longer
than ten of anything else (a kernel that is not linear would not come back).
"""

import re
from dataclasses import asdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.addresses import find_emails, find_ipv4, find_ipv6
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.c4_lines import line_edits
from pipeline_lib.kernels.lines import line_marks, line_shapes
from pipeline_lib.kernels.repetition import repetition
from pipeline_lib.kernels.sentences import count_sentences
from pipeline_lib.kernels.words import WordDefinition, count_words, word_statistics

TEN_MEGABYTES = 10_000_000
LISTED = ("the", "\u0301")

# combining marks, replaced bytes, NUL, right-to-left, CJK, all kinds of whitespace, and marks that words may have
PIECES = (
    "a|the|e\u0301|\u0301\u0301\u0301|\ufffd|\ufffd\ufffd|\x00|\x00\x00|\x07|\x7f|שלום|\u202eabc\u202c|\u0645\u0631|"
    "猫が座った|。|１|🙂|👩\u200d👩|\u200b|\ufeff|\U0010ffff|\ue000|.|...|…|#|-|•|n't|'s|://|www.|@|x@y.zz|1.2.3.4|::1|{|\""
    "| |\t|\n|\n\n|\r|\r\n|\x0b|\x1c|\x85|\u00a0|\u2028|\u3000"
)
hostile = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=40).map("".join)
DEFINITIONS: list[WordDefinition] = ["whitespace", "punct"]


def statistics(documents: list[str]) -> dict[str, list[int]]:
    """Every count of every kernel that counts."""
    buffers = string_buffers(pa.array(documents, pa.large_string()))
    found: dict[str, list[int]] = {"sentences": count_sentences(*buffers).tolist()}
    tables = {"marks": asdict(line_marks(*buffers)), "shapes": asdict(line_shapes(*buffers, 30))}
    for words in DEFINITIONS:
        tables[f"words {words}"] = asdict(word_statistics(*buffers, LISTED, words))
        tables[f"repetition {words}"] = asdict(repetition(*buffers, words))
    for table, columns in tables.items():
        for name, column in columns.items():
            for n, counts in column.items() if isinstance(column, dict) else [("", column)]:
                found[f"{table} {name}{n}"] = counts.tolist()
    return found


@settings(deadline=None)  # the first example compiles
@given(st.lists(hostile, min_size=1, max_size=5))
def test_what_is_counted_of_a_text_does_not_depend_on_the_texts_around_it(documents: list[str]) -> None:
    together = statistics(documents)
    for i, text in enumerate(documents):
        assert {name: counts[i] for name, counts in together.items()} == {
            name: counts[0] for name, counts in statistics([text]).items()
        }


@settings(deadline=None)  # the first example compiles
@given(hostile)
def test_counts_of_kernels_agree_with_str_and_with_each_other(text: str) -> None:
    found = {name: counts[0] for name, counts in statistics([text]).items()}
    assert min(found.values()) >= 0
    assert found["words whitespace num_words"] == len(text.split()) <= found["words punct num_words"]
    assert found["words whitespace num_ellipses"] == found["words punct num_ellipses"]
    assert found["marks num_lines"] == len(text.splitlines())
    assert found["shapes num_chars"] == len(text) - text.count("\n")
    assert found["sentences"] >= sum(bool(line.strip()) for line in text.split("\n"))


def ten_megabytes(unit: str, before: str = "", after: str = "") -> str:
    return before + unit * (TEN_MEGABYTES // len(unit.encode())) + after


# (words of str.split, words with `punct`) of ten megabytes
@pytest.mark.parametrize(
    ("text", "num_words", "num_punct_words"),
    [
        pytest.param(ten_megabytes("x"), 1, 1, id="one word"),
        pytest.param(ten_megabytes("\n"), 0, 0, id="newlines"),
        pytest.param(ten_megabytes("\u2028"), 0, 0, id="line separators"),
        pytest.param(ten_megabytes(" ", "a", "b"), 2, 2, id="spaces"),
        pytest.param(ten_megabytes("a "), 5_000_000, 5_000_000, id="short words"),
        pytest.param(ten_megabytes("!"), 1, 10_000_000, id="marks"),
        pytest.param(ten_megabytes(".", "x", "y"), 1, 3, id="dots"),
        pytest.param(ten_megabytes("!?", "http://", "x"), 1, 1, id="an address of marks"),
        pytest.param(ten_megabytes("!?", "http://"), 1, 10_000_001, id="marks after an address's beginning"),
        pytest.param(ten_megabytes("'"), 1, 10_000_000, id="apostrophes"),
        pytest.param(ten_megabytes("\u0301"), 1, 1, id="combining marks"),
        pytest.param(ten_megabytes("\x00"), 1, 10_000_000, id="NUL"),
        pytest.param(ten_megabytes("猫。"), 1, 2, id="CJK without spaces"),
        pytest.param(ten_megabytes("\ufffd"), 1, 1, id="replaced bytes"),
    ],
)
def test_ten_megabytes_of_one_thing_are_counted(text: str, num_words: int, num_punct_words: int) -> None:
    buffers = string_buffers(pa.array([text], pa.large_string()))
    assert count_words(*buffers).tolist() == [num_words]
    assert count_words(*buffers, "punct").tolist() == [num_punct_words]
    for definition in DEFINITIONS:
        words = word_statistics(*buffers, LISTED, definition)
        assert words.num_words[0] == (num_words if definition == "whitespace" else num_punct_words)
        assert words.num_ellipses[0] == text.count("...")

    lines, shown_lines = text.splitlines(), [line for line in text.split("\n") if line.strip()]
    assert line_marks(*buffers).num_lines[0] == len(lines)
    shapes = line_shapes(*buffers, 30)
    assert (shapes.num_lines[0], shapes.num_newlines[0]) == (len(shown_lines), text.count("\n"))
    assert count_sentences(*buffers)[0] >= len(shown_lines)


@pytest.mark.parametrize("definition", DEFINITIONS)
def test_repetition_of_ten_megabytes_is_counted(definition: WordDefinition) -> None:
    times = TEN_MEGABYTES // 2
    found = repetition(*string_buffers(pa.array([ten_megabytes("a ")])), definition)
    assert found.top_ngram_chars[2][0] == (times - 1) * len("a a")
    assert (
        found.repeated_ngram_chars[5][0] == (times - 1) // 5 * 5
    )  # all but the first, which is seen at each of its words

    found = repetition(
        *string_buffers(pa.array([ten_megabytes("\n"), ten_megabytes("x\n"), ten_megabytes("x")])), definition
    )
    assert found.num_lines.tolist() == [2, times + 1, 1]
    assert found.num_repeated_lines.tolist() == [1, times - 1, 0]
    assert found.num_paragraphs.tolist() == [1, 1, 1]
    assert found.repeated_line_chars.tolist() == [0, times - 1, 0]


@pytest.mark.parametrize("unit", ["x", "\n", "a ", "[", "1.", ":", "a@", "@", "{ ", "\u0301", "terms of "])
def test_edits_and_addresses_of_ten_megabytes_are_found(unit: str) -> None:
    text = ten_megabytes(unit)
    buffers = string_buffers(pa.array([text], pa.large_string()))
    edits = line_edits(
        *buffers,
        max_word_chars=1000,
        remove_citations=True,
        require_end_mark=False,
        min_words=3,
        remove_javascript=True,
        remove_policy=True,
    )
    assert np.all(edits.start[1:] >= edits.end[:-1])
    assert len(find_emails(*buffers)) == 0
    assert len(find_ipv4(*buffers)) == len(re.findall(r"(?<![\w.])\d{1,3}(?:\.\d{1,3}){3}(?![\w.])", text[:1000]))
    assert len(find_ipv6(*buffers)) <= len(text) // 2
