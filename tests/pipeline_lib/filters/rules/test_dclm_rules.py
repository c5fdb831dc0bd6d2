"""One table a rule set: the boundary, and one step beyond it."""

from types import ModuleType

import pyarrow as pa
import pytest

from pipeline_lib.filters.conditions import RuleSet, Signals
from pipeline_lib.filters.edits import edited
from pipeline_lib.filters.rules import dclm_cleaning, dclm_quality, dclm_repetition
from pipeline_lib.filters.rules.dclm_cleaning import DclmCleaningRules
from pipeline_lib.filters.rules.dclm_quality import DclmQualityRules
from pipeline_lib.filters.rules.dclm_repetition import DclmRepetitionRules
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.words import WordDefinition


def texts_of(text: str, words: WordDefinition = "whitespace") -> Texts:
    return Texts(pa.chunked_array([pa.array([text], pa.large_string())]), words)


def first_broken(rules: RuleSet, signals: Signals) -> str | None:
    for condition in rules.conditions():
        value, threshold = signals[condition.columns[0]][0], condition.threshold
        assert threshold is not None
        is_below = condition.drops().split()[1] == "<"
        if value < threshold if is_below else value > threshold:
            return condition.rule.split(".")[1]
    return None


def reason(module: ModuleType, rules: RuleSet, text: str, words: WordDefinition = "whitespace") -> str | None:
    signals = module.measure(texts_of(text, words), rules)
    assert tuple(signals) == module.SIGNALS
    return first_broken(rules, signals)


def words(count: int, *, length: int = 4) -> str:
    """That many different words, two of them stop words, with a mean length near `length`."""
    return "the of " + " ".join(
        f"{chr(97 + i % 26)}{chr(97 + i // 26 % 26)}".ljust(length, "x") for i in range(count - 2)
    )


QUALITY = [
    (words(50), None),
    (words(49), "too_few_words"),
    (words(49) + " (five)", "too_few_words"),  # begins with a mark
    (words(49) + " 5%", None),
    ("", "too_few_words"),
    (words(100_000), None),
    (words(100_001), "too_many_words"),
    ("the and " + "abc " * 98, None),
    ("the and ab " + "abc " * 97, "words_too_short"),
    ("the and " + "x" * 17 + " " + "y" * 17 + " abcdefghij" * 96, None),  # mean 10
    ("the and " + "x" * 17 + " " + "y" * 18 + " abcdefghij" * 96, "words_too_long"),
    (words(90) + " cd…" * 5 + " ab#" * 5, None),  # 10 symbols in 100 words
    (words(90) + " ab#" * 5 + " cd…" * 4 + " ef.#.", None),
    (words(89) + " ab#" * 5 + " cd…" * 5 + " ef...", "too_many_symbols"),
    (words(87) + " ab#" * 9 + " . . . x", None),
    (words(87) + " ab#" * 10 + " . . . x", "too_many_symbols"),
    ("\n".join([" - " + words(10)] * 9 + [words(10)]), None),
    ("\n".join(["●" + words(10)] * 10), "too_many_bullet_lines"),
    ("\n".join(["*" + words(10)] * 10) + "\n\n ", "too_many_bullet_lines"),  # empty lines do not count
    ("\n".join([words(20) + " …  "] * 3 + [words(20)] * 7), None),
    ("\n".join([words(20) + " . . ."] * 4 + [words(20)] * 6), "too_many_ellipsis_lines"),
    (words(80) + " 1234" * 20, None),
    (words(79) + " 1234" * 21, "too_many_unalphabetic_words"),
    ("the The " + "word " * 60, None),  # each time it occurs, in either case
    ("the, of. " + "word " * 60, "too_few_stop_words"),  # words keep their commas
    ("猫が座った。" * 100, "too_few_words"),  # no spaces, one word: a known limit
]


@pytest.mark.parametrize(("text", "expected"), QUALITY)
def test_dclm_quality(text: str, expected: str | None) -> None:
    assert reason(dclm_quality, DclmQualityRules(), text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (words(60), None),
        ("", "empty"),
        (" \n\u2003", "empty"),
        ("one two", None),  # an n-gram that occurs once is not repeated
        ("x " * 9, "top_2gram_chars"),
        (f"{words(10)}\nx y\nx y\n{words(9)[::-1]}\n1\n2\n3", None),  # 2 of 7 lines: both occurrences count
        (f"{words(10)}\nx y\nx y\n{words(9)[::-1]}\n1\n2", "repeated_lines"),
        (f"{words(30)}\n\nx\n\nx \n\n{words(9)[::-1]}\n\n1\n\n2\n\n3\n4", None),  # 2 of 7 paragraphs, 2 of 8 lines
        (f"{words(30)}\n\nx\n\nx\n\n{words(9)[::-1]}\n\n1\n2\n3\n4\n5", "repeated_paragraphs"),  # 2 of 5, of 9 lines
        ("\n".join([words(7), words(7), *(words(16)[12 * i : 12 * i + 12] for i in range(6))]), "repeated_line_chars"),
        (words(40) + "".join(f" ab cd x{i:02}" for i in range(12)), None),  # 48 of 241 characters
        (words(40) + "".join(f" ab cd x{i:02}" for i in range(13)), "top_2gram_chars"),  # 52 of 248
        (words(62) + " ab cd - ef" * 16, "top_3gram_chars"),  # the mark does not count
        (f"{words(12)[7:]} {words(60)[::-1]} {words(12)[7:]}", "repeated_5gram_chars"),
    ],
)
def test_dclm_repetition(text: str, expected: str | None) -> None:
    assert reason(dclm_repetition, DclmRepetitionRules(), text) == expected


def test_a_repeated_paragraph_of_several_lines_is_dropped_for_its_characters() -> None:
    rules = DclmRepetitionRules(max_repeated_line_ratio=None, max_repeated_line_char_ratio=None)
    singles = "\n\n".join("abcdefgh")
    assert reason(dclm_repetition, rules, f"one two\n\none two\n\n{singles}") == "repeated_paragraph_chars"


def test_a_rule_without_a_threshold_is_off_and_the_next_one_speaks() -> None:
    text = words(10, length=20)
    assert reason(dclm_quality, DclmQualityRules(), text) == "too_few_words"
    assert reason(dclm_quality, DclmQualityRules(min_words=None), text) == "words_too_long"
    off = DclmRepetitionRules(max_top_2gram_char_ratio=None)
    assert reason(dclm_repetition, off, "x " * 9) == "top_3gram_chars"


def test_only_the_number_of_words_goes_by_the_word_definition() -> None:
    text = words(30) + " aa/bb" * 10 + ' "quoted"' * 12
    assert reason(dclm_quality, DclmQualityRules(), text) == "too_few_words"  # 40: quotation marks begin the rest
    assert reason(dclm_quality, DclmQualityRules(), text, "punct") is None


def test_stop_words_of_another_language_can_be_named_and_none_are_refused() -> None:
    text = "Über dem Haus und der Katze " * 20
    assert reason(dclm_quality, DclmQualityRules(), text) == "too_few_stop_words"
    assert reason(dclm_quality, DclmQualityRules(stop_words=("über", "und"), max_symbol_ratio=None), text) is None
    with pytest.raises(ValueError, match="stop_words"):
        DclmQualityRules(stop_words=())


@pytest.mark.parametrize("wrong", [{"max_symbol_ratio": 1.5}, {"min_words": -1}, {"min_words": 9, "max_words": 8}])
def test_thresholds_that_cannot_be_are_refused_by_name(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=next(iter(wrong))):
        DclmQualityRules(**wrong)  # type: ignore[arg-type] # a count or a ratio


def cleaned(text: str, rules: DclmCleaningRules) -> tuple[str, list[str], str | None]:
    before = texts_of(text)
    edits = dclm_cleaning.edit(before, rules)
    after = edited(before, edits)
    signals = dclm_cleaning.measure(before, after, edits, rules)
    assert tuple(signals) == dclm_cleaning.SIGNALS
    return after.column[0].as_py(), [edits.rules[code] for code in edits.rule.tolist()], first_broken(rules, signals)


def test_cleaning_records_what_it_takes_and_drops_pages_of_nothing_else() -> None:
    text = "The page foo.com\n\n\nat 1.2.3.4\n\n\n\nis here"
    url, ip, newlines = ("dclm_cleaning.url", "dclm_cleaning.ip", "dclm_cleaning.newlines")
    rules = DclmCleaningRules()
    assert cleaned(text, rules) == ("The page\n\nat\n\nis here", [url, newlines, ip, newlines], None)
    assert cleaned("1.2.3.4", rules) == ("", [ip], "empty")
    assert cleaned("", rules) == ("", [], "empty")
    assert cleaned("a plain page", rules) == ("a plain page", [], None)


def test_cleaning_steps_can_be_switched_off_and_widened() -> None:
    text = "My page foo.example\n\n\n1.2.3.4 foo.com"
    off = DclmCleaningRules(remove_urls=False, remove_ips=False, max_newlines=None)
    assert cleaned(text, off) == (text, [], None)
    everywhere = DclmCleaningRules(urls_only_where_domain_begins_text=False, remove_ips=False, max_newlines=1)
    assert cleaned("A page foo.com\n\n1.2.3.4", everywhere)[0] == "A page\n1.2.3.4"
    own = DclmCleaningRules(top_level_domains=("example",), urls_only_where_domain_begins_text=False)
    assert cleaned("A page foo.example bar.com", own)[0] == "A page bar.com"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("The page foo.com", "The page"),  # .th
        ("tHe page foo.com", "tHe page"),
        ("A page foo.com", "A page foo.com"),  # none begins with "a "
        ("\nThe page foo.com", "\nThe page foo.com"),
    ],
)
def test_web_addresses_go_only_where_dclm_looks_for_them(text: str, left: str) -> None:
    assert cleaned(text, DclmCleaningRules())[0] == left
