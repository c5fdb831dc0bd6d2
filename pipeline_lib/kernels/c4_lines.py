"""C4's line rules: which lines of a text stay, and the edits that leave just those, without citations.

Lines are those of `str.splitlines`, each without whitespace at its ends. The rules and their order are datatrove's
(`C4QualityFilter`): too long a word, (citations are cut out,) no end mark, too few words, JavaScript, policy phrases.
Whether the page holds "lorem ipsum" or `{` is seen on lines that got as far as that test.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import DECIMAL, SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, frozen, line_at, skip_space, skip_space_back

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
) -> LineEdits:
    """The edits that leave the kept lines joined by `\\n`, without whitespace at the ends; None: no such rule."""
    data, offsets = frozen(data, offsets)
    num_texts = len(offsets) - 1
    edit_capacity, line_capacity = _capacities(data, offsets)
    text = np.empty(edit_capacity, np.int64)
    start, end = np.empty_like(text), np.empty_like(text)
    rule = np.empty(edit_capacity, np.int8)
    is_line_break = np.zeros(edit_capacity, np.bool_)
    page = np.zeros((3, num_texts), np.int64)
    num_edits = _edit_lines(
        data,
        offsets,
        character_classes(),
        -1 if max_word_chars is None else max_word_chars,
        remove_citations,
        require_end_mark,
        -1 if min_words is None else min_words,
        remove_javascript,
        remove_policy,
        line_capacity,
        text,
        start,
        end,
        rule,
        is_line_break,
        page,
    )
    return LineEdits(
        text=text[:num_edits],
        start=start[:num_edits],
        end=end[:num_edits],
        rule=rule[:num_edits],
        is_line_break=is_line_break[:num_edits],
        has_lorem_ipsum=page[0] != 0,
        has_curly_bracket=page[1] != 0,
        num_kept_lines=page[2],
    )


@njit(nogil=True, cache=True)
def _capacities(data: Bytes, offsets: Offsets) -> tuple[int, int]:
    """Upper bounds: of edits in all (two a line and one a bracket), and of lines in one text."""
    num_edits = max_lines = 0
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
    return num_edits, max_lines


@njit(nogil=True, cache=True)
def _edit_lines(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    max_word_chars: int,
    remove_citations: bool,
    require_end_mark: bool,
    min_words: int,
    remove_javascript: bool,
    remove_policy: bool,
    line_capacity: int,
    edit_text: npt.NDArray[np.int64],
    edit_start: npt.NDArray[np.int64],
    edit_end: npt.NDArray[np.int64],
    edit_rule: npt.NDArray[np.int8],
    edit_is_line_break: npt.NDArray[np.bool_],
    page: npt.NDArray[np.int64],
) -> int:
    starts = np.empty(line_capacity + 1, np.int64)
    inner_starts = np.empty(line_capacity, np.int64)
    inner_ends = np.empty(line_capacity, np.int64)
    verdicts = np.empty(line_capacity, np.int8)
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    folded = np.empty(max_bytes, np.uint8)

    e = 0
    for text in range(offsets.shape[0] - 1):
        text_start, text_end = offsets[text], offsets[text + 1]

        # the verdict on each line, and which kept lines are the first and the last to show anything
        num_lines = num_kept = 0
        first_shown = last_shown = -1
        start = text_start
        while start < text_end:
            end, next_start = line_at(data, start, text_end)
            inner = skip_space(data, start, end, classes)
            inner_end = skip_space_back(data, inner, end, classes)
            num_words, longest_word = _measure_words(data, inner, inner_end, classes)
            folded_end = _fold_line(data, inner, inner_end, classes, remove_citations, folded)
            found = _find_phrases(folded, folded_end)
            verdict = _KEPT
            if 0 <= max_word_chars < longest_word:
                verdict = _LONG_WORD
            elif require_end_mark and not _ends_with_mark(folded, folded_end):
                verdict = _NO_END_MARK
            elif num_words < min_words:
                verdict = _TOO_FEW_WORDS
            else:
                if found & _HAS_LOREM_IPSUM:
                    page[0, text] = 1
                if remove_javascript and found & _HAS_JAVASCRIPT:
                    verdict = _JAVASCRIPT
                else:
                    if found & _HAS_CURLY_BRACKET:
                        page[1, text] = 1
                    if remove_policy and found & _HAS_POLICY:
                        verdict = _POLICY
            if verdict == _KEPT:
                num_kept += 1
                if skip_space(folded, 0, folded_end, classes) < folded_end:
                    last_shown = num_lines
                    if first_shown < 0:
                        first_shown = num_lines
            starts[num_lines] = start
            inner_starts[num_lines] = inner
            inner_ends[num_lines] = inner_end
            verdicts[num_lines] = verdict
            num_lines += 1
            start = next_start
        starts[num_lines] = text_end
        page[2, text] = num_kept

        for line in range(num_lines):
            first_edit = e
            start, next_start = starts[line], starts[line + 1]
            inner, inner_end = inner_starts[line], inner_ends[line]
            if verdicts[line] != _KEPT:
                edit_start[e], edit_end[e], edit_rule[e] = start, next_start, verdicts[line]
                e += 1
            elif line < first_shown or line > last_shown:  # kept, but nothing to see at an end of the text
                edit_start[e], edit_end[e] = start, next_start
                edit_rule[e] = _CITATION if inner < inner_end else _WHITESPACE
                e += 1
            else:
                if start < inner:
                    edit_start[e], edit_end[e], edit_rule[e] = start, inner, _WHITESPACE
                    e += 1
                if remove_citations:
                    shown, shown_end = inner, inner_end
                    if line == first_shown:
                        shown = _skip_citations(data, inner, inner_end, classes)
                    if line == last_shown:
                        shown_end = _skip_citations_back(data, shown, inner_end, classes)
                    if inner < shown:
                        edit_start[e], edit_end[e], edit_rule[e] = inner, shown, _CITATION
                        e += 1
                    i = shown
                    while i < shown_end:
                        after = _citation_end(data, i, shown_end, classes)
                        if after > i:
                            edit_start[e], edit_end[e], edit_rule[e] = i, after, _CITATION
                            e += 1
                            i = after
                        else:
                            i += 1
                    if shown_end < inner_end:
                        edit_start[e], edit_end[e], edit_rule[e] = shown_end, inner_end, _CITATION
                        e += 1
                is_plain_break = next_start - inner_end == 1 and data[inner_end] == _NEWLINE
                if inner_end < next_start and not (is_plain_break and line != last_shown):
                    edit_start[e], edit_end[e], edit_rule[e] = inner_end, next_start, _WHITESPACE
                    e += 1
            if e > first_edit and first_shown <= line < last_shown and verdicts[line] == _KEPT:
                edit_is_line_break[e - 1] = edit_end[e - 1] == next_start
            for k in range(first_edit, e):
                edit_text[k] = text
                edit_start[k] -= text_start
                edit_end[k] -= text_start
    return e


@njit(nogil=True, cache=True)
def _measure_words(data: Bytes, start: int, end: int, classes: Classes) -> tuple[int, int]:
    """Words of [start, end) and the characters of the longest."""
    num_words = longest = word_chars = 0
    i = start
    while i < end:
        code_point, width = code_point_at(data, i)
        if classes[code_point] & SPACE:
            word_chars = 0
        else:
            num_words += word_chars == 0
            word_chars += 1
            longest = max(longest, word_chars)
        i += width
    return num_words, longest


@njit(nogil=True, cache=True)
def _starts_with(data: Bytes, start: int, end: int, phrase: Bytes) -> bool:
    if end - start < phrase.shape[0]:
        return False
    for k in range(phrase.shape[0]):
        if data[start + k] != phrase[k]:
            return False
    return True


@njit(nogil=True, cache=True)
def _citation_end(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The end of a citation that begins at `start`: `[12]`, `[]`, `[edit]`, `[citation needed]`; `start` for none."""
    if data[start] != _BRACKET:
        return start
    if _starts_with(data, start, end, _EDIT):
        return start + _EDIT.shape[0]
    if _starts_with(data, start, end, _CITATION_NEEDED):
        return start + _CITATION_NEEDED.shape[0]
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
    """Write the line to `folded` without its citations, A-Z in lower case, U+212A as k; returns how many bytes."""
    target = 0
    i = start
    while i < end:
        byte = data[i]
        if byte == _BRACKET and remove_citations:
            after = _citation_end(data, i, end, classes)
            if after > i:
                i = after
                continue
        if 0x41 <= byte <= 0x5A:
            byte |= np.uint8(0x20)
        elif byte == 0xE2 and data[i + 1] == 0x84 and data[i + 2] == 0xAA:
            byte = np.uint8(0x6B)
            i += 2
        folded[target] = byte
        target += 1
        i += 1
    return target


@njit(nogil=True, cache=True)
def _find_phrases(folded: Bytes, end: int) -> int:
    """Which of the phrases a folded line holds, as bits."""
    found = 0
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
def _ends_with_mark(folded: Bytes, end: int) -> bool:
    """Whether a line ends in `.`, `?`, `!`, `"` or `'`, and not in `...`."""
    if end == 0:
        return False
    last = folded[end - 1]
    if last == _DOT:
        return not (end >= 3 and folded[end - 2] == _DOT and folded[end - 3] == _DOT)
    return last == 0x3F or last == 0x21 or last == 0x22 or last == 0x27
