"""C4's line rules: which lines of a text stay, and the edits that leave just those, without citations.

Lines are those of `str.splitlines`, each without whitespace at its ends. The rules and their order are those of
TensorFlow Datasets (`text/c4_utils.py`) and datatrove (`C4QualityFilter`): too long a word, (citations are cut out,) no
end mark, too few words, JavaScript, policy phrases. Whether the page holds "lorem ipsum" or `{` is seen on lines that
got as far as that test. The two differ in the end marks, and in whether words are counted before citations are cut out
(datatrove) or after; Dolma (`taggers/c4.py`) lets lines end in `...`. Defaults are datatrove's.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import DECIMAL, SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import (
    code_point_at,
    code_point_before,
    count_visible_ascii,
    fold_ascii,
    frozen,
    line_at,
    load_8_bytes,
    skip_space,
    skip_space_back,
    zero_bytes,
)

EDIT_RULES = (
    "c4.whitespace",  # at the ends of lines and of the text, and other line breaks than \n
    "c4.citation",
    "c4.line_long_word",
    "c4.line_no_end_mark",
    "c4.line_too_few_words",
    "c4.line_javascript",
    "c4.line_policy",
)
_WHITESPACE, _CITATION, _LONG_WORD, _NO_END_MARK, _TOO_FEW_WORDS, _JAVASCRIPT, _POLICY = range(len(EDIT_RULES))
_KEPT = -1

_NEWLINE = 0x0A
_BRACKET = 0x5B
_CLOSING_BRACKET = 0x5D
_CURLY_BRACKET = 0x7B
_DOT = 0x2E

# None of the phrases has a character that lower-casing makes of another than A-Z, but for k (U+212A, the Kelvin sign).
_LOREM_IPSUM = np.frombuffer(b"lorem ipsum", np.uint8)
_JAVASCRIPT_PHRASE = np.frombuffer(b"javascript", np.uint8)
_TERMS_OF_USE = np.frombuffer(b"terms of use", np.uint8)
_PRIVACY_POLICY = np.frombuffer(b"privacy policy", np.uint8)
_COOKIE_POLICY = np.frombuffer(b"cookie policy", np.uint8)
_USES_COOKIES = np.frombuffer(b"uses cookies", np.uint8)
_USE_OF_COOKIES = np.frombuffer(b"use of cookies", np.uint8)
_USE_COOKIES = np.frombuffer(b"use cookies", np.uint8)
_EDIT = np.frombuffer(b"[edit]", np.uint8)
_CITATION_NEEDED = np.frombuffer(b"[citation needed]", np.uint8)

_BRACKETS = np.uint64(0x5B5B5B5B5B5B5B5B)

_HAS_LOREM_IPSUM, _HAS_JAVASCRIPT, _HAS_POLICY, _HAS_CURLY_BRACKET = 1, 2, 4, 8


@dataclass(frozen=True, kw_only=True)
class LineEdits:
    """Edits of N texts, E in all, ordered by text and position."""

    text: npt.NDArray[np.int64]  # (E,): which text
    start: npt.NDArray[np.int64]  # (E,): byte positions within it
    end: npt.NDArray[np.int64]
    rule: npt.NDArray[np.int8]  # (E,): index in EDIT_RULES
    is_line_break: npt.NDArray[np.bool_]  # (E,): replaced by `\n`, else by nothing
    has_lorem_ipsum: npt.NDArray[np.bool_]  # (N,)
    has_curly_bracket: npt.NDArray[np.bool_]  # (N,)
    num_kept_lines: npt.NDArray[np.int64]  # (N,)


class _Rules(NamedTuple):
    max_word_chars: int  # below 0: no such rule; so with min_words
    remove_citations: bool
    require_end_mark: bool
    end_marks: npt.NDArray[np.int64]  # code points
    ellipsis_ends_line: bool
    min_words: int
    words_after_citations: bool
    remove_javascript: bool
    remove_policy: bool


class _Edits(NamedTuple):
    """Columns of `LineEdits`, longer than needed."""

    start: npt.NDArray[np.int64]
    end: npt.NDArray[np.int64]
    rule: npt.NDArray[np.int8]
    is_line_break: npt.NDArray[np.bool_]


class _Lines(NamedTuple):
    """The lines of one text, in columns longer than needed; positions are in `data`."""

    start: npt.NDArray[np.int64]  # one more entry: where the last line ends, its break included
    inner_start: npt.NDArray[np.int64]  # without whitespace at the ends
    inner_end: npt.NDArray[np.int64]
    verdict: npt.NDArray[np.int8]  # _KEPT, or the rule that removes it


def line_edits(
    data: Bytes,
    offsets: Offsets,
    *,
    max_word_chars: int | None,
    remove_citations: bool,
    require_end_mark: bool,
    min_words: int | None,
    remove_javascript: bool,
    remove_policy: bool,
    end_marks: str = ".?!\"'",
    ellipsis_ends_line: bool = False,
    words_after_citations: bool = False,
) -> LineEdits:
    """The edits that leave the kept lines joined by `\\n`, without whitespace at the ends; None: no such rule.

    Args:
        end_marks: the characters that a line may end with where `require_end_mark`.
        ellipsis_ends_line: whether it may also end with `...`, which is none of TFDS's and datatrove's.
        words_after_citations: whether `min_words` counts what is left without citations.
    """
    data, offsets = frozen(data, offsets)
    rules = _Rules(
        max_word_chars=-1 if max_word_chars is None else max_word_chars,
        remove_citations=remove_citations,
        require_end_mark=require_end_mark,
        end_marks=np.array([ord(mark) for mark in end_marks], np.int64),
        ellipsis_ends_line=ellipsis_ends_line,
        words_after_citations=words_after_citations,
        min_words=-1 if min_words is None else min_words,
        remove_javascript=remove_javascript,
        remove_policy=remove_policy,
    )
    max_edits, max_lines, max_bytes = _capacities(data, offsets)
    edits = _Edits(
        start=np.empty(max_edits, np.int64),
        end=np.empty(max_edits, np.int64),
        rule=np.empty(max_edits, np.int8),
        is_line_break=np.zeros(max_edits, np.bool_),
    )
    lines = _Lines(
        start=np.empty(max_lines + 1, np.int64),
        inner_start=np.empty(max_lines, np.int64),
        inner_end=np.empty(max_lines, np.int64),
        verdict=np.empty(max_lines, np.int8),
    )
    text = np.empty(max_edits, np.int64)
    pages = np.zeros((3, len(offsets) - 1), np.int64)
    folded = np.empty(max_bytes, np.uint8)
    num_edits = _edit_texts(data, offsets, character_classes(), rules, lines, folded, edits, text, pages)
    return LineEdits(
        text=text[:num_edits],
        start=edits.start[:num_edits],
        end=edits.end[:num_edits],
        rule=edits.rule[:num_edits],
        is_line_break=edits.is_line_break[:num_edits],
        has_lorem_ipsum=pages[0] != 0,
        has_curly_bracket=pages[1] != 0,
        num_kept_lines=pages[2],
    )


@njit(nogil=True, cache=True)
def _capacities(data: Bytes, offsets: Offsets) -> tuple[int, int, int]:
    """Upper bounds: edits in all (two a line and one a bracket), lines of one text, bytes of one text."""
    num_edits = max_lines = max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        num_lines = 1
        for i in range(offsets[text], offsets[text + 1]):
            byte = data[i]
            if byte <= 0x1E:
                num_lines += 1
            elif byte == _BRACKET:
                num_edits += 1
            elif byte == 0x85 or byte & 0xFE == 0xA8:  # last bytes of U+0085, U+2028, U+2029 (and of others)
                num_lines += 1
        num_edits += 2 * num_lines
        max_lines = max(max_lines, num_lines)
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    return num_edits, max_lines, max_bytes


@njit(nogil=True, cache=True)
def _edit_texts(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    rules: _Rules,
    lines: _Lines,
    folded: Bytes,
    edits: _Edits,
    edit_text: npt.NDArray[np.int64],
    pages: npt.NDArray[np.int64],
) -> int:
    """Fill `edits`, the text of each, and `pages` (lorem ipsum, curly bracket, kept lines); returns how many edits."""
    num_edits = 0
    for text in range(offsets.shape[0] - 1):
        text_start, text_end = offsets[text], offsets[text + 1]
        num_lines = 0
        first_shown = last_shown = -1  # kept lines that show something: the edited text begins and ends with them
        start = text_start
        while start < text_end:
            end, next_start = line_at(data, start, text_end)
            inner = skip_space(data, start, end, classes)
            inner_end = skip_space_back(data, inner, end, classes)
            verdict, has_lorem_ipsum, has_curly_bracket, shows = _judge_line(
                data, inner, inner_end, classes, rules, folded
            )
            pages[0, text] |= has_lorem_ipsum
            pages[1, text] |= has_curly_bracket
            if verdict == _KEPT:
                pages[2, text] += 1
                if shows:
                    last_shown = num_lines
                    if first_shown < 0:
                        first_shown = num_lines
            lines.start[num_lines] = start
            lines.inner_start[num_lines] = inner
            lines.inner_end[num_lines] = inner_end
            lines.verdict[num_lines] = verdict
            num_lines += 1
            start = next_start
        lines.start[num_lines] = text_end

        first_edit = num_edits
        for line in range(num_lines):
            start, next_start = lines.start[line], lines.start[line + 1]
            if lines.verdict[line] != _KEPT:
                num_edits = _add_edit(edits, num_edits, start, next_start, lines.verdict[line])
            elif line < first_shown or line > last_shown:
                rule = _CITATION if lines.inner_start[line] < lines.inner_end[line] else _WHITESPACE
                num_edits = _add_edit(edits, num_edits, start, next_start, rule)
            else:
                num_edits = _edit_kept_line(
                    data, classes, rules, lines, line, line == first_shown, line == last_shown, edits, num_edits
                )
        for e in range(first_edit, num_edits):
            edit_text[e] = text
            edits.start[e] -= text_start
            edits.end[e] -= text_start
    return num_edits


@njit(nogil=True, cache=True)
def _judge_line(
    data: Bytes, start: int, end: int, classes: Classes, rules: _Rules, folded: Bytes
) -> tuple[int, bool, bool, bool]:
    """The verdict on a line, whether it says that the page has lorem ipsum or `{`, and whether it shows anything.

    `folded` is overwritten.
    """
    num_words, longest_word, has_bracket = _measure_words(data, start, end, classes)
    if 0 <= rules.max_word_chars < longest_word:
        return _LONG_WORD, False, False, False
    folded_end = _fold_line(data, start, end, classes, rules.remove_citations and has_bracket, folded)
    if rules.require_end_mark and not _ends_with_mark(folded, folded_end, rules.end_marks, rules.ellipsis_ends_line):
        return _NO_END_MARK, False, False, False
    if rules.words_after_citations:
        num_words, _, _ = _measure_words(folded, 0, folded_end, classes)
    if num_words < rules.min_words:
        return _TOO_FEW_WORDS, False, False, False
    found = _find_phrases(folded, folded_end)
    has_lorem_ipsum = found & _HAS_LOREM_IPSUM != 0
    if rules.remove_javascript and found & _HAS_JAVASCRIPT:
        return _JAVASCRIPT, has_lorem_ipsum, False, False
    has_curly_bracket = found & _HAS_CURLY_BRACKET != 0
    if rules.remove_policy and found & _HAS_POLICY:
        return _POLICY, has_lorem_ipsum, has_curly_bracket, False
    return _KEPT, has_lorem_ipsum, has_curly_bracket, skip_space(folded, 0, folded_end, classes) < folded_end


@njit(nogil=True, cache=True)
def _edit_kept_line(
    data: Bytes,
    classes: Classes,
    rules: _Rules,
    lines: _Lines,
    line: int,
    begins_text: bool,
    ends_text: bool,
    edits: _Edits,
    num_edits: int,
) -> int:
    """Add the edits of a line that stays: whitespace and citations go, and a `\\n` follows unless it ends the text."""
    start, inner, inner_end = lines.start[line], lines.inner_start[line], lines.inner_end[line]
    next_start = lines.start[line + 1]
    if start < inner:
        num_edits = _add_edit(edits, num_edits, start, inner, _WHITESPACE)

    if rules.remove_citations:
        # at the ends of the text, the whitespace that citations leave goes with them
        shown = _skip_citations(data, inner, inner_end, classes) if begins_text else inner
        shown_end = _skip_citations_back(data, shown, inner_end, classes) if ends_text else inner_end
        if inner < shown:
            num_edits = _add_edit(edits, num_edits, inner, shown, _CITATION)
        for i in range(shown, shown_end):
            if data[i] == _BRACKET:
                after = _citation_end(data, i, shown_end, classes)
                if after > i:
                    num_edits = _add_edit(edits, num_edits, i, after, _CITATION)
        if shown_end < inner_end:
            num_edits = _add_edit(edits, num_edits, shown_end, inner_end, _CITATION)

    is_plain_break = next_start - inner_end == 1 and data[inner_end] == _NEWLINE
    if inner_end < next_start and (ends_text or not is_plain_break):
        edits.is_line_break[num_edits] = not ends_text
        num_edits = _add_edit(edits, num_edits, inner_end, next_start, _WHITESPACE)
    return num_edits


@njit(nogil=True, cache=True)
def _add_edit(edits: _Edits, num_edits: int, start: int, end: int, rule: int) -> int:
    edits.start[num_edits] = start
    edits.end[num_edits] = end
    edits.rule[num_edits] = rule
    return num_edits + 1


@njit(nogil=True, cache=True)
def _measure_words(data: Bytes, start: int, end: int, classes: Classes) -> tuple[int, int, bool]:
    """Words of [start, end), the characters of the longest, and whether there may be an opening bracket."""
    num_words = longest = word_chars = 0
    has_bracket = np.uint64(0)
    i = start
    while i < end:
        if i + 8 <= end:
            eight = load_8_bytes(data, i)
            num_visible = count_visible_ascii(eight)
            if num_visible:
                has_bracket |= zero_bytes(eight ^ _BRACKETS)
                word_chars += num_visible
                i += num_visible
                if num_visible == 8:
                    continue
        byte = data[i]
        if byte & 0xC0 == 0x80:  # within a character
            i += 1
            continue
        code_point: Any = np.int64(byte)  # int64 to numba, and to mypy what int is
        if byte >= 0x80:
            code_point, _ = code_point_at(data, i)
        if classes[code_point] & SPACE:
            num_words += word_chars > 0
            longest = max(longest, word_chars)
            word_chars = 0
        else:
            word_chars += 1
            has_bracket |= np.uint64(byte == _BRACKET)
        i += 1
    num_words += word_chars > 0
    return num_words, max(longest, word_chars), has_bracket != 0


@njit(nogil=True, cache=True)
def _starts_with(data: Bytes, start: int, end: int, phrase: Bytes) -> bool:
    if end - start < len(phrase):
        return False
    for k in range(len(phrase)):  # noqa: SIM110 (numba compiles no generator expressions)
        if data[start + k] != phrase[k]:
            return False
    return True


@njit(nogil=True, cache=True)
def _citation_end(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The end of a citation that begins at `start`: `[12]`, `[]`, `[edit]`, `[citation needed]`; `start` for none.

    None holds another opening bracket.
    """
    if data[start] != _BRACKET:
        return start
    if _starts_with(data, start, end, _EDIT):
        return start + len(_EDIT)
    if _starts_with(data, start, end, _CITATION_NEEDED):
        return start + len(_CITATION_NEEDED)
    i = start + 1
    while i < end:
        code_point, width = code_point_at(data, i)
        if code_point == _CLOSING_BRACKET:
            return i + 1
        if not classes[code_point] & DECIMAL:
            break
        i += width
    return start


@njit(nogil=True, cache=True)
def _skip_citations(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The first position that is in no citation and no whitespace."""
    while start < end:
        after = _citation_end(data, start, end, classes)
        if after == start:
            break
        start = skip_space(data, after, end, classes)
    return start


@njit(nogil=True, cache=True)
def _skip_citations_back(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The end of the last character in [start, end) that is in no citation and no whitespace."""
    shown_end = i = start
    while i < end:
        after = _citation_end(data, i, end, classes)
        if after > i:
            i = after
        else:
            code_point, width = code_point_at(data, i)
            i += width
            if not classes[code_point] & SPACE:
                shown_end = i
    return shown_end


@njit(nogil=True, cache=True)
def _fold_line(data: Bytes, start: int, end: int, classes: Classes, remove_citations: bool, folded: Bytes) -> int:
    """Write the line to `folded` as `fold_ascii` does, without its citations; returns how many bytes."""
    target = 0
    i = start
    while remove_citations and i < end:
        after = i
        if data[i] == _BRACKET:
            after = _citation_end(data, i, end, classes)
        if after > i:
            target = fold_ascii(data, start, i, folded, target)
            start = i = after
        else:
            i += 1
    return fold_ascii(data, start, end, folded, target)


@njit(nogil=True, cache=True)
def _find_phrases(folded: Bytes, end: int) -> int:
    """Which of the phrases a folded line holds, as bits."""
    found = 0
    if not _may_hold_phrase(folded, end):
        return found
    for i in range(end):
        byte = folded[i]
        if byte == _CURLY_BRACKET:
            found |= _HAS_CURLY_BRACKET
        elif byte == 0x75:  # u
            if (
                _starts_with(folded, i, end, _USE_COOKIES)
                or _starts_with(folded, i, end, _USES_COOKIES)
                or _starts_with(folded, i, end, _USE_OF_COOKIES)
            ):
                found |= _HAS_POLICY
        elif byte == 0x74:  # t
            if _starts_with(folded, i, end, _TERMS_OF_USE):
                found |= _HAS_POLICY
        elif byte == 0x70:  # p
            if _starts_with(folded, i, end, _PRIVACY_POLICY):
                found |= _HAS_POLICY
        elif byte == 0x63:  # c
            if _starts_with(folded, i, end, _COOKIE_POLICY):
                found |= _HAS_POLICY
        elif byte == 0x6C:  # l
            if _starts_with(folded, i, end, _LOREM_IPSUM):
                found |= _HAS_LOREM_IPSUM
        elif byte == 0x6A and _starts_with(folded, i, end, _JAVASCRIPT_PHRASE):  # j
            found |= _HAS_JAVASCRIPT
    return found


@njit(nogil=True, cache=True)
def _may_hold_phrase(folded: Bytes, end: int) -> bool:
    """Whether a line has a curly bracket or three letters of a phrase. Without a branch, it is done on many bytes at
    once: most lines have none."""
    some = np.uint8(0)
    for i in range(end):
        some |= folded[np.uint64(i)] == _CURLY_BRACKET
    for i in range(end - 2):
        k = np.uint64(i)
        a, b, c = folded[k], folded[k + np.uint64(1)], folded[k + np.uint64(2)]
        some |= (
            ((a == 0x6B) & (b == 0x69) & (c == 0x65))  # cookie: kie
            | ((a == 0x66) & (b == 0x20) & (c == 0x75))  # terms of use: f u
            | ((a == 0x76) & (b == 0x61) & (c == 0x63))  # privacy: vac
            | ((a == 0x76) & (b == 0x61) & (c == 0x73))  # javascript: vas
            | ((a == 0x70) & (b == 0x73) & (c == 0x75))  # lorem ipsum: psu
        )
    return bool(some != 0)


@njit(nogil=True, cache=True)
def _ends_with_mark(folded: Bytes, end: int, end_marks: npt.NDArray[np.int64], ellipsis_ends_line: bool) -> bool:
    """Whether a folded line ends in one of the marks, and not in `...` unless that is allowed."""
    if end == 0:
        return False
    last, _ = code_point_before(folded, end)
    if last == _DOT and end >= 3 and folded[end - 2] == _DOT and folded[end - 3] == _DOT and not ellipsis_ends_line:
        return False
    for mark in end_marks:  # noqa: SIM110 (numba compiles no generator expressions)
        if last == mark:
            return True
    return False
