"""One table a rule set: the boundary, and one step beyond it."""

from dataclasses import replace

import polars as pl
import pyarrow as pa
import pytest

from pipeline_lib.filters.decide import decide
from pipeline_lib.filters.measuring import Documents, measure
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rule_sets import RuleSetName
from pipeline_lib.filters.rules.c4 import C4LineRules, C4Rules
from pipeline_lib.filters.rules.gopher_quality import GopherQualityRules
from pipeline_lib.filters.rules.length import LengthRules

SENTENCE = "The cat sat on the mat and it was a good mat to sit on. "


ENDED = "This line is not short, and it ends here."
UNENDED = [f"{i} and this line is not short either" for i in range(8)]


def reason(rule_set: RuleSetName, text: str, filters: FilterParameters | None = None) -> str | None:
    """The reason for which one rule set, alone, drops a document; None: it stays."""
    filters = replace(filters or FilterParameters(), rules=(rule_set,))
    texts = pa.chunked_array([pa.array([text], pa.large_string())])
    signals = measure(Documents(texts=texts), filters).signals
    decisions = decide(pl.DataFrame({"doc_id": ["0" * 32], **signals}), filters.conditions())
    return decisions["rule"].item().removeprefix(f"{rule_set}.") if decisions.height else None


def words(count: int, *, length: int = 4) -> str:
    """That many different words, two of them stop words, with a mean length near `length`."""
    return "the of " + " ".join(
        f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}".ljust(length, "x") for i in range(count - 2)
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words(50), None),
        (words(49), "too_few_words"),
        (words(49) + " -- ...", "too_few_words"),  # words of nothing but punctuation do not count
        ("", "too_few_words"),
        (words(100_000), None),
        (words(100_001), "too_many_words"),
        ("the and " + "abc " * 98, None),
        ("the and ab " + "abc " * 97, "words_too_short"),
        ("the and " + "x" * 17 + " " + "y" * 17 + " abcdefghij" * 96, None),  # mean 10
        ("the and " + "x" * 17 + " " + "y" * 18 + " abcdefghij" * 96, "words_too_long"),
        (words(90) + " #" * 10, None),  # 10 of 100 words
        (words(90) + " #" * 11, "too_many_hash_signs"),
        (words(94) + " #" * 5 + " x#####", None),
        (words(89) + " …" * 10 + " end", None),
        (words(89) + " … ..." * 6 + " end", "too_many_ellipses"),
        ("\n".join(["- " + words(10)] * 9 + [words(10)]), None),
        ("\n".join(["• " + words(10)] * 10), "too_many_bullet_lines"),
        ("\n".join([words(20) + " …  "] * 3 + [words(20)] * 7), None),
        ("\n".join([words(20) + "..."] * 4 + [words(20)] * 6), "too_many_ellipsis_lines"),
        (words(80) + " 1234" * 20, None),
        (words(79) + " 1234" * 21, "too_few_alphabetic_words"),
        ("the The THE " + "word " * 60, "too_few_stop_words"),  # different ones, as listed
        ("the, of, " + "word " * 60, "too_few_stop_words"),  # whitespace words keep their commas
        ("猫が座った。" * 100, "too_few_words"),  # no spaces, one word: a known limit
    ],
)
def test_gopher_quality(text: str, expected: str | None) -> None:
    assert reason("gopher_quality", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words(60), None),
        ("", "empty"),
        (" ", None),  # datatrove calls only the text of no characters empty
        ("one two", "top_2gram_chars"),  # even an n-gram that occurs once: very short texts go
        ("a\n\nb\n\na\n\na", "repeated_paragraphs"),
        (f"{words(9)}\n\n{words(9)}\n\n{words(99)[40:]}\n\nlast", None),
        (f"{words(30)}\n\n{words(30)}\n\nsome other\n\nand last", "repeated_paragraph_chars"),
        ("\n".join(["x"] * 4 + [words(60)[i * 30 : i * 30 + 30] for i in range(6)]), None),
        ("\n".join(["x"] * 5 + [words(60)[i * 30 : i * 30 + 30] for i in range(6)]), "repeated_lines"),
        (f"{words(30)}\n{words(30)}\n{words(40)[::-1]}\nlast", "repeated_line_chars"),
        (words(60) + " ab cd" * 22, "top_2gram_chars"),
        (f"{words(12)[7:]} {words(30)[::-1]} {words(12)[7:]}", "repeated_5gram_chars"),  # 40 of 246 characters
        (f"{words(12)[7:]} {words(40)[::-1]} {words(12)[7:]}", "repeated_9gram_chars"),  # 36 of 296
    ],
)
def test_gopher_repetition(text: str, expected: str | None) -> None:
    assert reason("gopher_repetition", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SENTENCE * 5, None),
        (SENTENCE * 4, "too_few_sentences"),
        ("", "too_few_sentences"),
        (SENTENCE * 5 + "\nlorem Ipsum dolor sit amet", "lorem_ipsum"),
        (SENTENCE * 5 + "\nlorem ipsum", None),  # two words: the line is gone before the test
        (SENTENCE * 5 + "\nif (a) { b }", "curly_bracket"),
        (SENTENCE * 5 + "\nJavaScript: if (a) { b }", None),
        ("\n".join([SENTENCE] * 4 + ["We and our partners use cookies."]), "too_few_sentences"),
    ],
)
def test_c4(text: str, expected: str | None) -> None:
    assert reason("c4", text) == expected


def test_c4_with_its_own_end_mark_rule_counts_only_lines_that_end() -> None:
    text = "\n".join([SENTENCE] * 4 + ["and one without an end"])
    assert reason("c4", text) is None
    with_end_marks = C4Rules(lines=C4LineRules(require_end_mark=True))
    assert reason("c4", text, FilterParameters(c4=with_end_marks)) == "too_few_sentences"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (SENTENCE.strip(), None),
        (SENTENCE, "too_few_end_marks"),  # a space after the mark: lines are taken as they are
        ("", "empty"),
        (" \n\u2003\n", "empty"),
        ("\n".join([f"Line {i} is long enough to count as text." for i in range(3)]), None),
        ("\n".join([ENDED, *UNENDED[:7]]), None),  # 1 of 8
        ("\n".join([ENDED, *UNENDED[:8]]), "too_few_end_marks"),  # 1 of 9
        ("\n".join(["short one.", "x" * 29 + ".", "x" * 30 + ".", ENDED]), None),  # 2 of 4
        ("\n".join(["short one.", "x" * 29 + ".", "short three.", ENDED]), "too_many_short_lines"),  # 3 of 4
        (f"{SENTENCE * 9}End.\nab.\nab.\n{SENTENCE * 9}Another end.", None),  # 3 of 1,022 characters
        ((SENTENCE.strip() + "\n") * 3, "repeated_line_chars"),
        ("\n".join(f"{c * 31}." for c in "abcdefgh"), "too_many_newlines"),
    ],
)
def test_fineweb_quality(text: str, expected: str | None) -> None:
    assert reason("fineweb_quality", text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [("é" * 5, None), ("é" * 4, "too_short"), ("𝒳" * 7, None), ("𝒳" * 8, "too_long")],
)
def test_length_is_in_characters(text: str, expected: str | None) -> None:
    filters = FilterParameters(length=LengthRules(min_chars=5, max_chars=7))
    assert reason("length", text, filters) == expected


def test_a_rule_without_a_threshold_is_off_and_the_next_one_speaks() -> None:
    text = words(10, length=20)
    assert reason("gopher_quality", text) == "too_few_words"
    no_minimum = FilterParameters(gopher_quality=GopherQualityRules(min_words=None))
    assert reason("gopher_quality", text, no_minimum) == "words_too_long"
    zero = FilterParameters(gopher_quality=GopherQualityRules(min_words=0))
    assert reason("gopher_quality", text, zero) == "words_too_long"


def test_stop_words_of_another_language_can_be_named() -> None:
    text = "der Hund und die Katze " * 20
    assert reason("gopher_quality", text) == "too_few_stop_words"
    german = FilterParameters(gopher_quality=GopherQualityRules(stop_words=("der", "die", "und")))
    assert reason("gopher_quality", text, german) is None


@pytest.mark.parametrize(("n", "most"), [(6, 0.14), (7, 0.13), (8, 0.12), (9, 0.11), (10, 0.10)])
def test_a_passage_of_n_words_that_comes_again_and_again_breaks_the_rule_about_n_words(n: int, most: float) -> None:
    """Four times among words that come once: shorter n-grams cover less of it, and their lines are higher."""

    def text(share: float) -> str:
        num_words = round(3 * n * 8 / (9 * share))  # of 8 letters and a space; 3 of the 4 passages count
        others = [f"other{i:03d}" for i in range(num_words - 4 * n)]
        passage = [f"again{i:03d}" for i in range(n)]
        pieces = [others[k::5] for k in range(5)]
        return " ".join(" ".join([*passage, *piece] if k else piece) for k, piece in enumerate(pieces))

    assert reason("gopher_repetition", text(most + 0.005)) == f"repeated_{n}gram_chars"
    assert reason("gopher_repetition", text(most - 0.005)) is None
