"""The rules of Dolma's Gopher variant: the boundary, one step beyond it, and where it differs from datatrove's."""

import polars as pl
import pyarrow as pa
import pytest

from pipeline_lib.filters.rules import dolma_gopher
from pipeline_lib.filters.rules.dolma_gopher import DolmaGopherRules
from pipeline_lib.filters.texts import Texts


def reasons(text: str, rules: DolmaGopherRules | None = None) -> list[str]:
    """All rules that a text breaks, in their order."""
    rules = rules or DolmaGopherRules()
    texts = Texts(pa.chunked_array([pa.array([text], pa.large_string())]))
    signals = pl.DataFrame(dolma_gopher.measure(texts, rules))
    assert tuple(signals.columns) == dolma_gopher.SIGNALS
    assert set(signals.dtypes) == {pl.Float64}
    return [
        condition.rule.removeprefix("dolma_gopher.")
        for condition in rules.conditions()
        if signals.select(condition.broken()).item()
    ]


def words(count: int, *, length: int = 4) -> str:
    """That many different words, two of them stop words, of that length but for those."""
    return "the of " + " ".join(
        f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}".ljust(length, "x") for i in range(count - 2)
    )


# Thresholds: Dolma v1.6, configs/dolma-v1_6/mixing/cc-head.yaml; what is counted: taggers/gopher.py.
@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [
        ("too_few_words", words(49) + " --", words(49)),  # words of punctuation count
        ("too_many_words", words(100_000), words(100_001)),
        ("words_too_short", "abc " * 3 + "ab " * 2, "ab " * 3 + "xxxxxxxxxx " * 2),  # the median, not the mean
        ("words_too_long", "a" * 10 + " b " + "c" * 99, "a" * 11 + " b " + "c" * 12),
        ("too_many_symbol_words", words(90) + " a#" * 5 + " b…c" * 5, words(89) + " a#" * 5 + " b…c" * 6),
        ("too_many_symbol_words", "... " * 9, "#"),  # three dots are no symbol
        ("too_few_alphabetic_words", "a b c d 1", "a b c 1"),
        ("too_few_stop_words", "the the", "the The the,"),  # the same one twice is two
        ("too_many_bullet_lines", "\n".join(["- x"] * 9 + ["x"]), "\n".join(["- x", "*"] * 5)),
        ("too_many_bullet_lines", " - x", "-x"),  # at the very start
        ("too_many_bullet_lines", "• x", "* x"),
        ("too_many_ellipsis_lines", "\n".join(["a…"] * 3 + ["b"] * 7), "\n".join(["a…"] * 4 + ["b"] * 6)),
        ("too_many_ellipsis_lines", "a...\nb… ", "a\nb…"),  # at the very end, and three dots are none
        ("repeated_lines", "\n".join([*"xxx", *"abcdefg"]), "\n".join([*"xxx", *"abcdef"])),  # all three count
        ("repeated_lines", "a\n\nb", "a\n\nb\n"),  # empty lines are lines
        ("repeated_line_chars", "abc\nabc\n" + "d" * 14, "abc\nabc\n" + "d" * 13),
        ("top_2gram_chars", "ab cd ab cd " + "e" * 32, "ab cd ab cd " + "e" * 31),
        ("top_2gram_chars", "", "ab cd"),  # even if it occurs once
        ("top_3gram_chars", "a b c " * 2 + "e" * 28, "a b c " * 2 + "e" * 27),
        ("top_4gram_chars", "a b c d " * 2 + "e" * 42, "a b c d " * 2 + "e" * 41),
        ("repeated_5gram_chars", "a b c d e " + words(99), "a b c d e a b c d e"),
        ("repeated_10gram_chars", words(99) + " " + words(10), words(15) + " " + words(10)),
    ],
)
def test_each_rule_at_its_boundary(rule: str, kept: str, dropped: str) -> None:
    assert rule not in reasons(kept)
    assert rule in reasons(dropped)


def test_a_plain_text_is_kept_and_the_empty_one_is_not() -> None:
    assert reasons(words(99).replace(" ", "\n", 4)) == []
    assert reasons("")[0] == "too_few_words"


def test_as_dolma_was_run_the_short_ngrams_are_off() -> None:
    text = words(60) + " abcd efgh" * 9
    as_run = DolmaGopherRules(
        max_top_2gram_char_ratio=None, max_top_3gram_char_ratio=None, max_top_4gram_char_ratio=None
    )
    assert reasons(text)[0] == "top_2gram_chars"
    assert reasons(text, as_run)[0] == "repeated_5gram_chars"


def test_a_rule_that_nothing_can_pass_is_refused() -> None:
    with pytest.raises(ValueError, match="stop_words lists none"):
        DolmaGopherRules(stop_words=())
    with pytest.raises(ValueError, match="max_repeated_line_ratio=1"):
        DolmaGopherRules(max_repeated_line_ratio=1.5)
    DolmaGopherRules(max_repeated_line_chars_per_word_char=1.5)  # no ratio of a part to its whole


def test_repeated_line_chars_may_exceed_those_of_all_words() -> None:
    texts = Texts(pa.chunked_array([pa.array(["a b\n" * 10], pa.large_string())]))
    signals = dolma_gopher.measure(texts, DolmaGopherRules())
    assert signals["dolma_gopher_repeated_line_chars_per_word_char"].tolist() == [1.5]  # 30 over 20
