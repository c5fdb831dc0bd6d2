import re
from itertools import pairwise

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline_lib.filters.edits import edited
from pipeline_lib.filters.rules import line_corrections
from pipeline_lib.filters.rules.line_corrections import LineCorrectionRules
from pipeline_lib.filters.texts import Texts

RULES = LineCorrectionRules()
PROSE = "\n".join(["The cat sat on the mat and looked at the dog."] * 10)

lines = st.one_of(
    st.sampled_from(
        [
            *("", " ", "\t ", "HEADLINE HERE", "Half OF it", "2026", "12 ", " 12", "１２²", "K K", "menu", "two words"),
            *("3 likes", "- 1,204.5K Views!", "5 shareſ", "٣ likes", "3 liKes", "_3 likes", " two words ", "x\r"),
            *("2 items in cart", "items in cart", "my items İn cart now items in cart", "sign-in items in cart x"),
            *(
                "Read more...",
                "the news Read More >>",
                "read moreabc",
                "a b read more...\u2003",
                "sign-in read more...",
            ),
            *("Sign-in", "sign-ın to see", " SIGN-IN now", "one two three four five six seven eight items in cart"),
            *("שלום עולם", "猫が座った", "a e\u0301", "a\x00b c", "\ufffd \ufffd"),
        ]
    ),
    st.text(max_size=12),
)
texts = st.lists(lines, max_size=8).map("\n".join)


def slowly_corrected(text: str, rules: LineCorrectionRules) -> str:
    """The steps one by one, on lists of strings."""

    def step(keep, *, strip: bool = True) -> None:  # type: ignore[no-untyped-def] # from a line to what stays of it
        nonlocal text
        left = [kept for line in text.split("\n") if (kept := keep(line) if line else line) is not None]
        text = "\n".join(left).strip() if strip else "\n".join(left)

    def without(pattern: str):  # type: ignore[no-untyped-def] # likewise
        def keep(line: str) -> str | None:
            if len(line.split()) > (rules.max_phrase_line_words or 0):
                return line
            return left if (left := re.sub(pattern, "", line, flags=re.IGNORECASE)).strip() else None

        return keep

    step(lambda line: line if sum(map(str.isupper, line)) / len(line) <= (rules.max_uppercase_ratio or 0) else None)
    step(lambda line: line if sum(map(str.isdigit, line)) / len(line) <= (rules.max_digit_ratio or 0) else None)
    counter = re.compile(rf"\W*\d[\d,.]*[kmb]?\s+({'|'.join(rules.counters)})\W*")
    step(lambda line: None if counter.fullmatch(line.lower()) else line)
    step(lambda line: line if len(line.split()) >= (rules.min_line_words or 0) else None, strip=False)
    step(without(r"\s?items in cart"))
    step(without(r"\s?read more...$"))
    step(without(r"^sign-in\s?"))
    return text


def corrected(text: str, rules: LineCorrectionRules = RULES) -> tuple[str, list[str]]:
    before = Texts(pa.chunked_array([pa.array(["CUT OFF", text], pa.large_string()).slice(1)]))
    edits = line_corrections.edit(before, rules)
    order = list(zip(edits.start.tolist(), edits.end.tolist(), strict=True))
    assert all(start < end for start, end in order)
    assert all(earlier[1] <= later[0] for earlier, later in pairwise(order))
    return edited(before, edits).column[0].as_py(), [edits.rules[code].split(".")[1] for code in edits.rule.tolist()]


@given(texts)
@example("SHOUTED\n  12\ntwo words")  # whitespace at the new start goes before digits are counted
@example("two words\nSHOUTED")
@example("menu\n Sign-in now\nread more...")
@example("two words read more...\n \nmenu")
@example("a b\nItems in cart")
def test_what_is_left_is_what_the_steps_one_by_one_leave(text: str) -> None:
    assert corrected(text)[0] == slowly_corrected(text, RULES)


@pytest.mark.parametrize(
    ("line", "left", "rule"),
    [
        ("ABcd", None, "too_few_words"),
        ("AB cde", "AB cde", None),
        ("ABC de", "ABC de", None),  # 3 of 6: the bound is allowed
        ("ABCD e", None, "uppercase"),
        ("2026", None, "digits"),
        ("²⁰", None, "digits"),
        ("20 26", "20 26", None),  # a space is no digit
        ("3 likes", None, "counter"),
        ("• 1.2k Followers!", None, "counter"),
        ("3 likes it", "3 likes it", None),
        ("many likes", "many likes", None),
        ("menu", None, "too_few_words"),
        ("2 items in cart", "2", "phrase"),  # the test for few words came before
        ("my items in cart, two items in cart", "my, two", "phrase"),
        ("items in cart", None, "phrase"),
        ("the news read more...", "the news", "final_phrase"),
        ("the news Read more >>", "the news", "final_phrase"),  # a dot stands for any character
        ("read more... the news", "read more... the news", None),
        ("Sign-in to go on", "to go on", "first_phrase"),
        ("now sign-in to", "now sign-in to", None),
        ("a b c d e f g items in cart", "a b c d e f g", "phrase"),  # ten words
        ("a b c d e f g h items in cart", "a b c d e f g h items in cart", None),
        ("   ", None, "too_few_words"),
        ("", "", None),
    ],
)
def test_a_line_goes_or_loses_a_phrase_and_names_its_rule(line: str, left: str | None, rule: str | None) -> None:
    text, rules = corrected(f"The first line.\n{line}\nThe last line.")
    assert text == "\n".join(["The first line.", *([] if left is None else [left]), "The last line."])
    assert sorted(set(rules)) == ([] if rule is None else [rule])


def test_rules_switched_off_leave_their_lines_alone() -> None:
    text = "SHOUTED LINE\n2026\n3 likes\nmenu\nsign-in items in cart read more..."
    off = LineCorrectionRules(
        max_uppercase_ratio=None,
        max_digit_ratio=None,
        counters=(),
        min_line_words=None,
        phrases=(),
        final_phrases=(),
        first_phrases=(),
    )
    assert corrected(text, off) == (text, [])
    assert corrected(text, LineCorrectionRules(counters=(), min_line_words=0))[0] == "3 likes\nmenu"


def test_other_phrases_and_counters_can_be_named() -> None:
    german = LineCorrectionRules(
        counters=("aufrufe",), phrases=(), final_phrases=("mehr über...",), first_phrases=("menü",)
    )
    text = "Die Katze saß da\n1.204 Aufrufe\nMENÜ das Wetter heute MEHR ÜBER..."
    assert corrected(text, german)[0] == "Die Katze saß da\ndas Wetter heute"


@pytest.mark.parametrize("phrase", ["", " ", "two\nlines"])
def test_phrases_that_no_line_can_hold_are_refused_by_name(phrase: str) -> None:
    with pytest.raises(ValueError, match="final_phrases"):
        LineCorrectionRules(final_phrases=(phrase,))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (PROSE, None),
        (PROSE + "\n2026 2026\nmenu 1 2 3\nmenu", None),
        ("word " * 19 + "\nmenu", None),  # 1 of 20 words: the bound is allowed
        ("word " * 18 + "\nmenu", "too_many_words_dropped"),
        ("word " * 18 + "\n•", None),  # no word that counts is lost
        ("MENU\n2026", "empty"),
        ("", "empty"),
        ("- - -", "too_many_words_dropped"),  # no words before, nothing to keep
    ],
)
def test_pages_that_lose_too_many_words_are_dropped(text: str, reason: str | None) -> None:
    before = Texts(pa.chunked_array([pa.array([text], pa.large_string())]))
    edits = line_corrections.edit(before, RULES)
    signals = line_corrections.measure(before, edited(before, edits), edits, RULES)
    broken = [
        condition.rule.split(".")[1]
        for condition in RULES.conditions()
        for value in [signals[condition.columns[0]][0]]
        if (value < condition.threshold if condition.rule.endswith("empty") else value > condition.threshold)  # type: ignore[operator] # these have one
    ]
    assert next(iter(broken), None) == reason


def test_a_line_of_ten_megabytes_is_read_once() -> None:
    assert corrected("read more " * 1_000_000)[1] == ["whitespace"]
