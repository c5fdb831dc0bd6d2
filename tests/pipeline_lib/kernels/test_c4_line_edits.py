import re
from dataclasses import dataclass

import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.c4_lines import EDIT_RULES, LineEdits, line_edits

POLICY = ["terms of use", "privacy policy", "cookie policy", "uses cookies", "use of cookies", "use cookies"]
CITATION = re.compile(r"\[\d*]|\[edit]|\[citation needed]")

PIECES = (
    "use coo\u212aies|use cook\u0130es"  # codespell:ignore coo
    "|Terms Of Use|privacy policy|cookie policy|uses cookies|use of cookies"
    "|JavaScript|Lorem IPSUM|lorem[1] ipsum|{|three words here|x|12345678|.|...|?|\"|'|。|猫|שלום|\u0301|\u200b|\x00"
    "|[1]|[]|[edit]|[Edit]|[citation needed]|[٣]|[1|[[2]]|[1 ]"
    "| | |  |\u00a0|\t|\n|\n|\n\n|\r\n|\r|\x0b|\x85|\u2028|\u2029|\x1c"
)
texts = st.lists(st.sampled_from(PIECES.split("|")) | st.characters(codec="utf-8"), max_size=30).map("".join)


@dataclass(frozen=True)
class Options:
    max_word_chars: int | None
    remove_citations: bool
    require_end_mark: bool
    min_words: int | None
    remove_javascript: bool
    remove_policy: bool
    end_marks: str = ".?!\"'"
    ellipsis_ends_line: bool = False
    words_after_citations: bool = False


options = st.builds(
    Options,
    max_word_chars=st.sampled_from([None, 7, 1000]),
    remove_citations=st.booleans(),
    require_end_mark=st.booleans(),
    min_words=st.sampled_from([None, 0, 1, 3]),
    remove_javascript=st.booleans(),
    remove_policy=st.booleans(),
    end_marks=st.sampled_from([".?!\"'", '.?!"', "", "。?猫", "\x00"]),
    ellipsis_ends_line=st.booleans(),
    words_after_citations=st.booleans(),
)
FINEWEB = Options(1000, True, False, 3, True, True)


def kept(text: str, options: Options) -> tuple[list[str], bool, bool]:
    """The kept lines, and whether one that was tested for it held lorem ipsum, or a curly bracket."""
    lines: list[str] = []
    lorem = curly = False
    for raw in text.splitlines():
        line = raw.strip()
        words = line.split()
        if options.max_word_chars is not None and any(len(word) > options.max_word_chars for word in words):
            continue
        if options.remove_citations:
            line = CITATION.sub("", line)
        if options.require_end_mark and not line.endswith(tuple(options.end_marks)):
            continue
        if options.require_end_mark and not options.ellipsis_ends_line and line.endswith("..."):
            continue
        if options.words_after_citations:
            words = line.split()
        if options.min_words is not None and len(words) < options.min_words:
            continue
        lorem = lorem or "lorem ipsum" in line.lower()
        if options.remove_javascript and "javascript" in line.lower():
            continue
        curly = curly or "{" in line
        if options.remove_policy and any(phrase in line.lower() for phrase in POLICY):
            continue
        lines.append(line)
    return lines, lorem, curly


def edits_of(text: str, options: Options) -> LineEdits:
    column = pa.array(["cut [1] off", text, ""], pa.large_string()).slice(1)
    found = line_edits(*string_buffers(column), **vars(options))
    assert set(found.text.tolist()) <= {0}  # the empty text has nothing to edit
    return found


def edited(text: str, edits: LineEdits) -> str:
    raw, upto, out = text.encode(), 0, b""
    for start, end, is_break in zip(
        edits.start.tolist(), edits.end.tolist(), edits.is_line_break.tolist(), strict=True
    ):
        assert upto <= start < end <= len(raw)
        out += raw[upto:start] + (b"\n" if is_break else b"")
        upto = end
    return (out + raw[upto:]).decode()


@settings(deadline=None)  # the first example compiles
@given(texts, options)
@example("[1] [2] [3]\nfour words stay here [1]\n[1] [2] [3]", FINEWEB)
@example(" [1] [2] three words\u2028[edit] and three more  [1] ", FINEWEB)
def test_edited_text_is_the_kept_lines_joined(text: str, options: Options) -> None:
    found = edits_of(text, options)
    lines, lorem, curly = kept(text, options)
    assert edited(text, found) == "\n".join(lines).strip()
    assert (found.num_kept_lines[0], found.has_lorem_ipsum[0], found.has_curly_bracket[0]) == (len(lines), lorem, curly)


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("the cat sat", None),
        ("the cat", "c4.line_too_few_words"),
        ("", "c4.line_too_few_words"),
        ("a b " + "x" * 1000, None),
        ("a b " + "x" * 1001, "c4.line_long_word"),
        ("please enable JavaScript", "c4.line_javascript"),
        ("see our Privacy Policy", "c4.line_policy"),
    ],
)
def test_a_removed_line_goes_whole_and_names_its_rule(line: str, rule: str | None) -> None:
    text = f"one two three\n{line}\nfour five six"
    found = edits_of(text, FINEWEB)
    rules = [EDIT_RULES[code] for code in found.rule.tolist()]
    if rule is None:
        assert rules == []
    else:
        assert rules == [rule]
        assert text.encode()[found.start[0] : found.end[0]].decode() == line + "\n"


def test_end_marks_are_asked_for_only_where_the_rule_is_on() -> None:
    text = "It ends well.\nIt does not end\nIt trails off..."
    on = Options(1000, True, True, 3, True, True)
    assert edited(text, edits_of(text, on)) == "It ends well."
    assert edited(text, edits_of(text, FINEWEB)) == text


@pytest.mark.parametrize(
    ("line", "datatrove_rule", "tfds_rule"),
    [
        ("it ends with five words.", None, None),
        ("it ends with four.", "c4.line_too_few_words", "c4.line_too_few_words"),
        ("there are four and a [citation needed].", "c4.citation", None),
        ("here are three [1] [2].", "c4.citation", "c4.line_too_few_words"),  # five words before, four after
        ("one [1] two [2] three[3]three.", "c4.citation", "c4.line_too_few_words"),
        ("she said that it was 'so'", None, "c4.line_no_end_mark"),
        ('she said that it was "so"', None, None),
        ("and so on and on...", "c4.line_no_end_mark", "c4.line_no_end_mark"),
        ("it ends well, they say.[1]", "c4.citation", "c4.citation"),
        ("it ends well, they say. [1]", "c4.line_no_end_mark", "c4.line_no_end_mark"),  # with a space, as it happens
    ],
)
def test_datatrove_and_tfds_differ_in_marks_and_in_when_words_are_counted(
    line: str, datatrove_rule: str | None, tfds_rule: str | None
) -> None:
    datatrove = Options(1000, True, True, 5, True, True)  # its own minimum is 3
    tfds = Options(1000, True, True, 5, True, True, end_marks='.?!"', words_after_citations=True)
    for options, rule in ((datatrove, datatrove_rule), (tfds, tfds_rule)):
        assert {EDIT_RULES[code] for code in edits_of(line, options).rule.tolist()} <= {rule, "c4.citation"}
        assert (edited(line, edits_of(line, options)) == "") == (rule not in (None, "c4.citation"))


def test_lines_that_trail_off_end_where_that_is_allowed() -> None:
    dolma = Options(None, False, True, None, False, False, end_marks='.?!"', ellipsis_ends_line=True)
    text = "It trails off...\nIt does not end…\nNor this'\nDone."
    assert edited(text, edits_of(text, dolma)) == "It trails off...\nDone."


def test_curly_brackets_and_lorem_ipsum_on_lines_removed_before_do_not_count() -> None:
    found = edits_of("if (x) { javascript }\nlorem ipsum\n{\na policy { terms of use", FINEWEB)
    assert not found.has_lorem_ipsum[0]  # two words: gone before the test
    assert found.has_curly_bracket[0]  # the policy test comes after
    assert not edits_of("if (x) { javascript }\n{", FINEWEB).has_curly_bracket[0]


def test_a_plain_text_needs_no_edits() -> None:
    assert edits_of("one two three\nfour five six", FINEWEB).text.tolist() == []
