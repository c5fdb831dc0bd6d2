"""Which lines of a text go, and which phrases are cut out of those that stay, as DCLM corrects lines after RefinedWeb.

Lines are what stands between `\\n`. Each step goes over the lines that the one before left, and all but the test for
few words take the whitespace from the ends of the text when they are done. Empty lines stay, but for those at the ends.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.dclm_characters import (
    DIGIT,
    UPPERCASE,
    CharacterClasses,
    CodePoints,
    dclm_classes,
    ignored_case,
    is_word_character,
    lower_case,
)
from pipeline_lib.kernels.unicode_tables import DECIMAL, SPACE
from pipeline_lib.kernels.utf8 import code_point_at, code_point_before, frozen, skip_space

Spans = npt.NDArray[np.int64]  # (spans, 4): text; start and end in bytes within it; one of the numbers below
WHITESPACE, UPPERCASE_LINE, DIGIT_LINE, COUNTER_LINE, SHORT_LINE, PHRASE, FINAL_PHRASE, FIRST_PHRASE = range(8)

_STAYS = -1
_NEWLINE = 0x0A
_COMMA, _DOT = 0x2C, 0x2E
_THOUSANDS = (0x6B, 0x6D, 0x62)  # k, m, b


class _Phrases(NamedTuple):
    code_points: CodePoints
    offsets: Offsets


class _Rules(NamedTuple):
    max_uppercase_ratio: float  # below 0: no such rule; so with the others
    max_digit_ratio: float
    min_words: int
    max_phrase_line_words: int
    counters: _Phrases
    anywhere: _Phrases
    at_end: _Phrases
    at_start: _Phrases


class _Lines(NamedTuple):
    """The lines of one text, in columns longer than needed."""

    start: Offsets  # one more entry: one beyond the end of the text
    inner_start: Offsets  # what is left of the line
    inner_end: Offsets
    chars: Offsets
    uppercase: Offsets
    digits: Offsets
    words: Offsets
    verdict: npt.NDArray[np.int8]  # _STAYS, or what takes it away
    is_cut: npt.NDArray[np.bool_]  # phrases are missing: see `taken_by`


def line_correction_spans(
    data: Bytes,
    offsets: Offsets,
    *,
    max_uppercase_ratio: float | None,
    max_digit_ratio: float | None,
    counters: Sequence[str],
    min_words: int | None,
    max_phrase_line_words: int | None,
    phrases: Sequence[str],
    final_phrases: Sequence[str],
    first_phrases: Sequence[str],
) -> Spans:
    """The bytes to take away, ordered by text and position; None, or no phrases: no such step.

    In phrases `.` stands for any character, and letters for either case; a space next to the phrase goes with it.
    """
    data, offsets = frozen(data, offsets)
    rules = _Rules(
        max_uppercase_ratio=-1.0 if max_uppercase_ratio is None else float(max_uppercase_ratio),
        max_digit_ratio=-1.0 if max_digit_ratio is None else float(max_digit_ratio),
        min_words=-1 if min_words is None else min_words,
        max_phrase_line_words=-1 if max_phrase_line_words is None else max_phrase_line_words,
        counters=_coded(counters, lower_case()),
        anywhere=_coded(phrases, ignored_case()),
        at_end=_coded(final_phrases, ignored_case()),
        at_start=_coded(first_phrases, ignored_case()),
    )
    max_bytes, max_lines = _capacities(data, offsets)
    lines = _Lines(
        start=np.empty(max_lines + 1, np.int64),
        inner_start=np.empty(max_lines, np.int64),
        inner_end=np.empty(max_lines, np.int64),
        chars=np.empty(max_lines, np.int64),
        uppercase=np.empty(max_lines, np.int64),
        digits=np.empty(max_lines, np.int64),
        words=np.empty(max_lines, np.int64),
        verdict=np.empty(max_lines, np.int8),
        is_cut=np.empty(max_lines, np.bool_),
    )
    return _find_spans(data, offsets, dclm_classes(), lower_case(), ignored_case(), rules, lines, max_bytes)


def _coded(phrases: Sequence[str], table: CodePoints) -> _Phrases:
    code_points = np.array([table[ord(character)] for phrase in phrases for character in phrase], np.int32)
    return _Phrases(code_points, np.cumsum([0, *map(len, phrases)], dtype=np.int64))


@njit(nogil=True, cache=True)
def _capacities(data: Bytes, offsets: Offsets) -> tuple[int, int]:
    """Bytes and lines of one text, at most."""
    max_bytes = max_lines = 0
    for text in range(offsets.shape[0] - 1):
        num_lines = 1
        for i in range(offsets[text], offsets[text + 1]):
            num_lines += data[i] == _NEWLINE
        max_lines = max(max_lines, num_lines)
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    return max_bytes, max_lines


@njit(nogil=True, cache=True)
def _find_spans(
    data: Bytes,
    offsets: Offsets,
    classes: CharacterClasses,
    lower: CodePoints,
    folded: CodePoints,
    rules: _Rules,
    lines: _Lines,
    max_bytes: int,
) -> Spans:
    taken_by = np.empty(max_bytes, np.int8)  # by byte of the text, where its line is cut: what takes it, or _STAYS
    left = np.empty(max_bytes, np.uint8)  # one line, without what phrases took; and where those bytes stand
    places = np.empty(max_bytes, np.int64)
    spans, num_spans = np.empty((64, 4), np.int64), 0

    for text in range(offsets.shape[0] - 1):
        text_start, text_end = offsets[text], offsets[text + 1]
        num_lines = _read_lines(data, text_start, text_end, classes, lines)
        first, last = 0, num_lines  # lines outside of [first, last) are gone

        if rules.max_uppercase_ratio >= 0:
            for line in range(first, last):
                if lines.chars[line] and lines.uppercase[line] / lines.chars[line] > rules.max_uppercase_ratio:
                    lines.verdict[line] = UPPERCASE_LINE
            first, last = _strip(data, text_start, first, last, classes, lines, taken_by)
        if rules.max_digit_ratio >= 0:
            for line in range(first, last):
                if (
                    lines.verdict[line] == _STAYS
                    and lines.chars[line]
                    and lines.digits[line] / lines.chars[line] > rules.max_digit_ratio
                ):
                    lines.verdict[line] = DIGIT_LINE
            first, last = _strip(data, text_start, first, last, classes, lines, taken_by)
        if rules.counters.offsets.shape[0] > 1:
            for line in range(first, last):
                if (
                    lines.verdict[line] == _STAYS
                    and lines.words[line] >= 2
                    and _is_counter(
                        data, lines.inner_start[line], lines.inner_end[line], classes, lower, rules.counters
                    )
                ):
                    lines.verdict[line] = COUNTER_LINE
            first, last = _strip(data, text_start, first, last, classes, lines, taken_by)
        if rules.min_words >= 0:
            for line in range(first, last):
                if lines.verdict[line] == _STAYS and lines.chars[line] and lines.words[line] < rules.min_words:
                    lines.verdict[line] = SHORT_LINE
        first, last = _phrase_step(
            data, text_start, first, last, PHRASE, rules.anywhere, rules.max_phrase_line_words, classes, folded, lines,
            taken_by, left, places,
        )  # fmt: skip
        first, last = _phrase_step(
            data, text_start, first, last, FINAL_PHRASE, rules.at_end, rules.max_phrase_line_words, classes, folded,
            lines, taken_by, left, places,
        )  # fmt: skip
        first, last = _phrase_step(
            data, text_start, first, last, FIRST_PHRASE, rules.at_start, rules.max_phrase_line_words, classes, folded,
            lines, taken_by, left, places,
        )  # fmt: skip
        spans, num_spans = _add_text(text, text_start, num_lines, lines, taken_by, spans, num_spans)
    return spans[:num_spans]


@njit(nogil=True, cache=True)
def _read_lines(data: Bytes, text_start: int, text_end: int, classes: CharacterClasses, lines: _Lines) -> int:
    """Fill in the lines of a text, all of them staying; returns how many."""
    num_lines = 0
    i = text_start
    while True:
        lines.start[num_lines] = lines.inner_start[num_lines] = i
        chars = uppercase = digits = words = 0
        after_space = True
        while i < text_end:
            code_point, width = code_point_at(data, i)
            if code_point == _NEWLINE:
                break
            kind = classes[code_point]
            chars += 1
            uppercase += kind & UPPERCASE != 0
            digits += kind & DIGIT != 0
            is_space = kind & SPACE != 0
            words += after_space and not is_space
            after_space = is_space
            i += width
        lines.inner_end[num_lines] = i
        lines.chars[num_lines] = chars
        lines.uppercase[num_lines] = uppercase
        lines.digits[num_lines] = digits
        lines.words[num_lines] = words
        lines.verdict[num_lines] = _STAYS
        lines.is_cut[num_lines] = False
        num_lines += 1
        i += 1
        if i > text_end:
            lines.start[num_lines] = i
            return num_lines


@njit(nogil=True, cache=True)
def _strip(
    data: Bytes,
    text_start: int,
    first: int,
    last: int,
    classes: CharacterClasses,
    lines: _Lines,
    taken_by: npt.NDArray[np.int8],
) -> tuple[int, int]:
    """Take whitespace from the ends of what is left of lines [first, last); returns the lines that are left."""
    while first < last:
        if lines.verdict[first] == _STAYS:
            if lines.words[first]:
                break
            lines.verdict[first] = WHITESPACE
        first += 1
    while first < last:
        if lines.verdict[last - 1] == _STAYS:
            if lines.words[last - 1]:
                break
            lines.verdict[last - 1] = WHITESPACE
        last -= 1
    if first == last:
        return first, last

    i, end = lines.inner_start[first], lines.inner_end[first]
    while i < end:
        code_point, width = code_point_at(data, i)
        if not (lines.is_cut[first] and taken_by[i - text_start] != _STAYS):
            if not classes[code_point] & SPACE:
                break
            lines.chars[first] -= 1
        i += width
    lines.inner_start[first] = i

    start, i = lines.inner_start[last - 1], lines.inner_end[last - 1]
    while i > start:
        code_point, width = code_point_before(data, i)
        if not (lines.is_cut[last - 1] and taken_by[i - width - text_start] != _STAYS):
            if not classes[code_point] & SPACE:
                break
            lines.chars[last - 1] -= 1
        i -= width
    lines.inner_end[last - 1] = i
    return first, last


@njit(nogil=True, cache=True)
def _is_counter(
    data: Bytes, start: int, end: int, classes: CharacterClasses, lower: CodePoints, counters: _Phrases
) -> bool:
    """Whether a line is a number, with k, m or b behind it or not, and one of the counters."""
    i = _skip_marks(data, start, end, classes)
    if i == end:
        return False
    code_point, width = code_point_at(data, i)
    if not classes[code_point] & DECIMAL:
        return False
    while i < end and (classes[code_point] & DECIMAL or code_point in (_COMMA, _DOT)):
        i += width
        if i < end:
            code_point, width = code_point_at(data, i)
    if i < end and lower[code_point] in _THOUSANDS:
        i += width
    after = skip_space(data, i, end, classes)
    if after == i:
        return False
    for k in range(counters.offsets.shape[0] - 1):
        i = after
        at = counters.offsets[k]
        while i < end and at < counters.offsets[k + 1]:
            code_point, width = code_point_at(data, i)
            if lower[code_point] != counters.code_points[at]:
                break
            i += width
            at += 1
        if at == counters.offsets[k + 1] and _skip_marks(data, i, end, classes) == end:
            return True
    return False


@njit(nogil=True, cache=True)
def _skip_marks(data: Bytes, start: int, end: int, classes: CharacterClasses) -> int:
    """The first position in [start, end) of a character that is part of words, or `end`."""
    while start < end:
        code_point, width = code_point_at(data, start)
        if is_word_character(code_point, classes):
            break
        start += width
    return start


@njit(nogil=True, cache=True)
def _phrase_step(
    data: Bytes,
    text_start: int,
    first: int,
    last: int,
    rule: int,
    phrases: _Phrases,
    max_words: int,
    classes: CharacterClasses,
    folded: CodePoints,
    lines: _Lines,
    taken_by: npt.NDArray[np.int8],
    left: Bytes,
    places: Offsets,
) -> tuple[int, int]:
    """Cut phrases out of lines of not too many words; lines of which nothing is left go whole."""
    if phrases.offsets.shape[0] == 1:
        return first, last
    for line in range(first, last):
        if lines.verdict[line] != _STAYS or lines.chars[line] == 0 or 0 <= max_words < lines.words[line]:
            continue
        if lines.words[line] == 0:
            lines.verdict[line] = WHITESPACE
            continue
        start, end = lines.inner_start[line], lines.inner_end[line]
        if not lines.is_cut[line]:
            found, _ = _find_phrase(data, start, start, end, rule, phrases, classes, folded)
            if found < 0:
                continue
            for i in range(lines.start[line], lines.start[line + 1] - 1):
                taken_by[i - text_start] = _STAYS
        num_left = 0
        for i in range(start, end):
            if not lines.is_cut[line] or taken_by[i - text_start] == _STAYS:
                left[num_left] = data[i]
                places[num_left] = i - text_start
                num_left += 1
        upto = 0
        while True:
            found, after = _find_phrase(left, 0, upto, num_left, rule, phrases, classes, folded)
            if found < 0:
                break
            for i in range(found, after):
                taken_by[places[i]] = rule
            lines.is_cut[line] = True
            if rule != PHRASE:
                break
            upto = after
        if lines.is_cut[line]:
            _measure_cut_line(data, text_start, line, classes, lines, taken_by)
            if lines.words[line] == 0:
                lines.verdict[line] = rule
    return _strip(data, text_start, first, last, classes, lines, taken_by)


@njit(nogil=True, cache=True)
def _find_phrase(
    data: Bytes,
    start: int,
    upto: int,
    end: int,
    rule: int,
    phrases: _Phrases,
    classes: CharacterClasses,
    folded: CodePoints,
) -> tuple[int, int]:
    """The first phrase from `upto` on, with a whitespace character next to it; (-1, -1) for none."""
    if rule == FIRST_PHRASE:
        after = _after_phrase(data, start, end, False, phrases, folded)
        if after < 0:
            return -1, -1
        if after < end:
            code_point, width = code_point_at(data, after)
            if classes[code_point] & SPACE:
                after += width
        return start, after
    i = upto
    while i < end:
        code_point, width = code_point_at(data, i)
        if classes[code_point] & SPACE:
            after = _after_phrase(data, i + width, end, rule == FINAL_PHRASE, phrases, folded)
            if after >= 0:
                return i, after
        after = _after_phrase(data, i, end, rule == FINAL_PHRASE, phrases, folded)
        if after >= 0:
            return i, after
        i += width
    return -1, -1


@njit(nogil=True, cache=True)
def _after_phrase(data: Bytes, start: int, end: int, to_end: bool, phrases: _Phrases, folded: CodePoints) -> int:
    """Where a phrase ends that begins at `start`, and at `end` if `to_end`; -1 for none."""
    for k in range(phrases.offsets.shape[0] - 1):
        i = start
        at = phrases.offsets[k]
        while i < end and at < phrases.offsets[k + 1]:
            code_point, width = code_point_at(data, i)
            if phrases.code_points[at] != _DOT and phrases.code_points[at] != folded[code_point]:
                break
            i += width
            at += 1
        if at == phrases.offsets[k + 1] and (i == end or not to_end):
            return i
    return -1


@njit(nogil=True, cache=True)
def _measure_cut_line(
    data: Bytes,
    text_start: int,
    line: int,
    classes: CharacterClasses,
    lines: _Lines,
    taken_by: npt.NDArray[np.int8],
) -> None:
    """Count anew the characters and words of a line."""
    chars = words = 0
    after_space = True
    i = lines.inner_start[line]
    while i < lines.inner_end[line]:
        code_point, width = code_point_at(data, i)
        if taken_by[i - text_start] == _STAYS:
            chars += 1
            is_space = classes[code_point] & SPACE != 0
            words += after_space and not is_space
            after_space = is_space
        i += width
    lines.chars[line] = chars
    lines.words[line] = words


@njit(nogil=True, cache=True)
def _add_text(
    text: int,
    text_start: int,
    num_lines: int,
    lines: _Lines,
    taken_by: npt.NDArray[np.int8],
    spans: Spans,
    num_spans: int,
) -> tuple[Spans, int]:
    """Add the spans of one text: lines that go with the `\\n` behind them, and what lines that stay lose."""
    last_staying = num_lines - 1
    while last_staying >= 0 and lines.verdict[last_staying] != _STAYS:
        last_staying -= 1
    first_span = num_spans
    for line in range(num_lines):
        start, end = lines.start[line], lines.start[line + 1] - 1
        is_last = line == num_lines - 1
        verdict = lines.verdict[line]
        if verdict != _STAYS:
            spans, num_spans = _add(text, text_start, start, end + (not is_last), verdict, spans, num_spans, first_span)
            continue
        inner_start, inner_end = lines.inner_start[line], lines.inner_end[line]
        if lines.is_cut[line]:
            for i in range(start, end):
                rule = taken_by[i - text_start]
                if rule == _STAYS and not inner_start <= i < inner_end:
                    rule = np.int8(WHITESPACE)
                if rule != _STAYS:
                    spans, num_spans = _add(text, text_start, i, i + 1, rule, spans, num_spans, first_span)
        else:
            spans, num_spans = _add(text, text_start, start, inner_start, WHITESPACE, spans, num_spans, first_span)
            spans, num_spans = _add(text, text_start, inner_end, end, WHITESPACE, spans, num_spans, first_span)
        if line == last_staying and not is_last:
            rule = lines.verdict[line + 1]
            spans, num_spans = _add(text, text_start, end, end + 1, rule, spans, num_spans, first_span)
    return spans, num_spans


@njit(nogil=True, cache=True)
def _add(
    text: int, text_start: int, start: int, end: int, rule: int, spans: Spans, num_spans: int, first_span: int
) -> tuple[Spans, int]:
    """Add a span, or make the last one of this text longer where it is of the same rule and ends here."""
    if start == end:
        return spans, num_spans
    if num_spans > first_span and spans[num_spans - 1, 2] == start - text_start and spans[num_spans - 1, 3] == rule:
        spans[num_spans - 1, 2] = end - text_start
        return spans, num_spans
    if num_spans == spans.shape[0]:
        larger = np.empty((2 * num_spans, 4), np.int64)
        larger[:num_spans] = spans
        spans = larger
    spans[num_spans, 0], spans[num_spans, 1], spans[num_spans, 2] = text, start - text_start, end - text_start
    spans[num_spans, 3] = rule
    return spans, num_spans + 1
