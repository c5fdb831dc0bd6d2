"""NeMo Curator's English heuristics: the boundary, and one step beyond it."""

import polars as pl
import pyarrow as pa
import pytest

from pipeline_lib.filters.rules import curator_english
from pipeline_lib.filters.rules.curator_english import CuratorEnglishRules
from pipeline_lib.filters.texts import Texts


def signals_of(text: str, rules: CuratorEnglishRules) -> pl.DataFrame:
    texts = Texts(pa.chunked_array([pa.array([text], pa.large_string())]))
    signals = pl.DataFrame(curator_english.measure(texts, rules))
    assert tuple(signals.columns) == curator_english.SIGNALS
    assert set(signals.dtypes) == {pl.Float64}
    return signals


def reasons(text: str, rules: CuratorEnglishRules | None = None) -> list[str]:
    """All rules that a text breaks, in their order."""
    rules = rules or CuratorEnglishRules()
    signals = signals_of(text, rules)
    return [
        condition.rule.removeprefix("curator_english.")
        for condition in rules.conditions()
        if signals.select(condition.broken()).item()
    ]


def words(count: int, *, length: int = 6) -> str:
    """That many different words, two of them stop words, and a full stop."""
    return (
        "the of "
        + " ".join(f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}".ljust(length, "x") for i in range(count - 2))
        + "."
    )


# Thresholds: heuristic_filter_english_pipeline.yaml; what is counted: stages/text/filters/heuristic of release 1.4.
@pytest.mark.parametrize(
    ("rule", "kept", "dropped"),
    [
        ("too_many_other_chars", "a" * 75 + "-" * 25, "a" * 74 + "-" * 26),
        ("too_many_other_chars", "a\n.!,?", "é"),
        ("too_many_symbol_words", "# ... " * 5 + "a " * 90, "# [...] " * 5 + "… " + "a " * 90),
        ("too_many_symbol_words", "## #a", "#a#"),  # two runs in three characters
        ("too_many_digits", "a" * 85 + "1" * 15, "a" * 84 + "1" * 16),
        ("too_many_link_chars", "a" * 80 + "http://a.org/b?c=d#e", "a" * 80 + "http://a.org/b?c=d#ef"),
        ("too_much_whitespace", "abc ", "abc\t "),
        ("too_much_whitespace", "abc\u00a0\u2003", "ab\x08"),  # what Curator calls so, and no more
        ("too_many_brackets", "a" * 9 + "(", "a" * 18 + "()]"),
        ("boilerplate_paragraphs", "Terms of Use\n\nuse cookies\n\na\n\nb\n\nc", "Terms of Use\n\nuse cookies\n\na"),
        ("boilerplate_paragraphs", words(50) + "lorem\nipsum", words(50) + "\n\nb\n\nc\n\nLorem Ipsum"),
        ("repeated_lines", "\n".join([*"abcdefg", *"aaa"]), "\n".join([*"abcdefg", *"aaaa"])),
        ("repeated_lines", "a\n \n\nb", "a\n \n\na"),  # blank lines are none
        ("repeated_paragraphs", "a\n\nb\n\nc\n\na", "a\n\nb\n\na"),
        ("repeated_paragraphs", "a\na\na", "a\n\na"),
        ("repeated_line_chars", "abcd\nef\ngh\nef", "abcd\nefg\nefg"),
        ("repeated_paragraph_chars", "abcd\n\nef\n\ngh\n\nef", "abcd\n\nefg\n\nefg"),
        ("too_few_words", words(50), words(49)),
        ("too_many_words", words(100_000), words(100_001)),
        ("too_few_end_marks", "\n".join([*"abcde", 'f."']), "\n".join([*"abcdef", "g' "])),  # 5 of 6, 6 of 7
        ("too_few_alphabetic_words", "a b c d 1", "a b c 1"),
        ("too_few_stop_words", "the the", "the The the,"),
        ("words_too_short", "abc", "abc ab"),
        ("words_too_long", "a" * 10, "a" * 10 + " " + "b" * 11),
        ("long_word", "x" * 1000, "x" * 1001),
        ("too_many_ellipsis_lines", "\n".join(["a (...)"] * 3 + ["b"] * 7), "\n".join(["-»", "Read More", "…", "b"])),
        ("top_2gram_chars", "ab cd ab cd " + "e" * 38, "ab cd ab cd " + "e" * 37),  # 10 of 50, of 49
        ("top_3gram_chars", "a b c a b c " + "e" * 44, "a b c a b c " + "e" * 43),  # 10 of 56, of 55
        ("top_4gram_chars", "a b c d a b c d " + "e" * 72, "a b c d a b c d " + "e" * 71),  # 14 of 88, of 87
        ("repeated_5gram_chars", "a b c d e " * 2 + "f" * 40, "a b c d e " * 2 + "f" * 39),  # 9 of 60, of 59
        ("repeated_5gram_chars", "a b c d e f " * 2 + "g" * 50, "a b c d e f " * 2 + "g" * 49),  # 11 of 74, of 73
        ("repeated_10gram_chars", words(99) + " " + words(11), words(60) + " " + words(11)),
        ("too_many_bullet_lines", "\n".join(["• a"] * 9 + ["b"]), " ● a\n⦿\n"),
        ("too_many_bullet_lines", "- a", "‣ a"),
    ],
)
def test_each_rule_at_its_boundary(rule: str, kept: str, dropped: str) -> None:
    assert rule not in reasons(kept)
    assert rule in reasons(dropped)


def test_a_plain_text_is_kept_and_texts_of_nothing_are_not() -> None:
    assert reasons(words(60)) == []
    assert reasons("")[0] == "too_many_other_chars"
    assert reasons("\n\n")[0] == "too_many_symbol_words"


@pytest.mark.parametrize(("num_words", "broken"), [(2, {3, 4, 5, 6, 7, 8, 9, 10}), (5, {6, 7, 8, 9, 10}), (10, set())])
def test_texts_too_short_for_an_ngram_count_as_nothing_but_repetition(num_words: int, broken: set[int]) -> None:
    signals = signals_of(words(num_words), CuratorEnglishRules())
    shares = {
        n: signals[f"curator_english_{'top' if n < 5 else 'repeated'}_{n}gram_char_ratio"].item() for n in range(2, 11)
    }
    assert {n for n, share in shares.items() if share == 1.0} == broken


def test_a_top_ngram_counts_where_it_stands_in_longer_words_and_not_across_lines() -> None:
    rules = CuratorEnglishRules()
    assert signals_of("a ba ba ba b", rules)["curator_english_top_2gram_char_ratio"].item() == 5 / 12  # `ba ba`
    assert signals_of("a\nb a\nb a\nb", rules)["curator_english_top_2gram_char_ratio"].item() == 0.0


def test_phrases_and_stop_words_of_another_language_can_be_named() -> None:
    german = CuratorEnglishRules(stop_words=("der", "und"), boilerplate_phrases=("Datenschutz",))
    text = words(60) + "\n\nUnsere DATENSCHUTZerklärung und mehr der Art."
    assert reasons(text) == []
    assert reasons(text, german) == ["boilerplate_paragraphs"]


def test_parameters_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="boilerplate_phrases"):
        CuratorEnglishRules(boilerplate_phrases=("privacy policy", " "))
    with pytest.raises(ValueError, match="stop_words lists none"):
        CuratorEnglishRules(stop_words=())
    with pytest.raises(ValueError, match="max_digit_ratio=2"):
        CuratorEnglishRules(max_digit_ratio=2)
