"""Lines and paragraphs that repeat, and how lines begin and end, as Dolma and NeMo Curator count them.

Both cut at single line feeds, and take pieces as they are, with the whitespace at their ends. Equality is that of
64-bit hashes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import Classes, character_classes
from pipeline_lib.kernels.utf8 import (
    clear_table,
    code_point_at,
    code_point_before,
    count_chars,
    find_or_insert,
    fold_ascii,
    frozen,
    hash_bytes,
    skip_space,
    skip_space_back,
    table_mask,
)

Counts = npt.NDArray[np.int64]  # shape (texts,)

_NEWLINE = 0x0A
_ELLIPSIS = 0x2026
_DOLMA_BULLETS = (0x2A, 0x2D)  # * -
_END_MARKS = (0x2E, 0x3F, 0x21, 0x22, 0x27)  # . ? ! " '
_BULLETS = (0x2022, 0x2023, 0x2043, 0x204C, 0x204D, 0x2219, 0x25CB, 0x25CF, 0x25D8, 0x25E6, 0x29BE, 0x29BF)
_ANGLE_QUOTE = 0xBB
_BOILERPLATE, _PLACEHOLDER = 1, 2
_THREE_DOTS = np.frombuffer(b"...", np.uint8)
_BRACKETED_DOTS = np.frombuffer(b"...]", np.uint8)
_READ_MORE, _READ_MORE_DOTS = np.frombuffer(b"read more", np.uint8), np.frombuffer(b"read more..", np.uint8)


@dataclass(frozen=True, kw_only=True)
class RepeatedLines:
    """One value a text. Lines are what stands before, between and after `\\n`, empty ones included."""

    num_lines: Counts  # 0 for the empty text
    num_bullet_lines: Counts  # first character is `*` or `-`
    num_ellipsis_lines: Counts  # last character is `…`
    num_repeated_lines: Counts  # lines that occur twice or more: all their occurrences
    repeated_chars: Counts  # of those


def repeated_lines(data: Bytes, offsets: Offsets) -> RepeatedLines:
    """Count the lines of each text as Dolma does."""
    counts = np.zeros((5, len(offsets) - 1), np.int64)
    _count_repeated_lines(*frozen(data, offsets), counts)
    return RepeatedLines(
        num_lines=counts[0],
        num_bullet_lines=counts[1],
        num_ellipsis_lines=counts[2],
        num_repeated_lines=counts[3],
        repeated_chars=counts[4],
    )


@njit(nogil=True, cache=True)
def _most_pieces(data: Bytes, offsets: Offsets) -> int:
    """An upper bound of the lines of one text."""
    most = 0
    for text in range(offsets.shape[0] - 1):
        num_newlines = 0
        for i in range(offsets[text], offsets[text + 1]):
            num_newlines += data[i] == _NEWLINE
        most = max(most, num_newlines + 1)
    return most


@njit(nogil=True, cache=True)
def _line_end(data: Bytes, start: int, end: int) -> int:
    while start < end and data[start] != _NEWLINE:
        start += 1
    return start


@njit(nogil=True, cache=True)
def _num_newlines(data: Bytes, start: int, end: int) -> int:
    count = 0
    for i in range(start, end):
        count += data[i] == _NEWLINE
    return count


@njit(nogil=True, cache=True)
def _count_repeated_lines(data: Bytes, offsets: Offsets, counts: npt.NDArray[np.int64]) -> None:
    most = _most_pieces(data, offsets)
    keys = np.empty(table_mask(most) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    repeats = np.empty(most, np.bool_)  # by the number of a line's first occurrence

    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        if start == text_end:
            continue
        mask = table_mask(_num_newlines(data, start, text_end) + 1)
        clear_table(keys, mask)
        num_lines = num_bullets = num_ellipses = num_repeated = repeated_chars = 0
        while start <= text_end:
            end = _line_end(data, start, text_end)
            if start < end:
                num_bullets += data[start] in _DOLMA_BULLETS
                last, _ = code_point_before(data, end)
                num_ellipses += last == _ELLIPSIS
            first = find_or_insert(keys, values, mask, hash_bytes(data, start, end), num_lines)
            repeats[num_lines] = False
            if first != num_lines:
                times = 1 if repeats[first] else 2
                repeats[first] = True
                num_repeated += times
                repeated_chars += times * count_chars(data, start, end)
            num_lines += 1
            start = end + 1
        counts[0, text] = num_lines
        counts[1, text] = num_bullets
        counts[2, text] = num_ellipses
        counts[3, text] = num_repeated
        counts[4, text] = repeated_chars


@dataclass(frozen=True, kw_only=True)
class DistinctLines:
    """One value a text. Lines are what stands between `\\n`, those of nothing but whitespace left out."""

    num_lines: Counts
    num_distinct_lines: Counts
    num_chars: Counts  # of all these lines
    distinct_chars: Counts  # of each distinct line once
    num_unended_lines: Counts  # last visible character is none of . ? ! " '
    num_ellipsis_lines: (
        Counts  # ends in `...`, `…`, `...]`, `...)`, `…]`, `-»`, or "read more", case aside, or with `..`
    )
    num_bullet_lines: Counts  # first visible character is one of twelve bullets


def distinct_lines(data: Bytes, offsets: Offsets) -> DistinctLines:
    """Count the lines of each text as NeMo Curator does, which calls them sentences."""
    counts = np.zeros((7, len(offsets) - 1), np.int64)
    _count_distinct_lines(*frozen(data, offsets), character_classes(), counts)
    return DistinctLines(
        num_lines=counts[0],
        num_distinct_lines=counts[1],
        num_chars=counts[2],
        distinct_chars=counts[3],
        num_unended_lines=counts[4],
        num_ellipsis_lines=counts[5],
        num_bullet_lines=counts[6],
    )


@njit(nogil=True, cache=True)
def _count_distinct_lines(data: Bytes, offsets: Offsets, classes: Classes, counts: npt.NDArray[np.int64]) -> None:
    most = _most_pieces(data, offsets)
    keys = np.empty(table_mask(most) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)

    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        mask = table_mask(_num_newlines(data, start, text_end) + 1)
        clear_table(keys, mask)
        num_lines = num_distinct = num_chars = distinct_chars = num_unended = num_ellipses = num_bullets = 0
        while start < text_end:
            end = _line_end(data, start, text_end)
            shown = skip_space(data, start, end, classes)
            if shown < end:
                shown_end = skip_space_back(data, shown, end, classes)
                first, _ = code_point_at(data, shown)
                num_bullets += first in _BULLETS
                num_unended += data[shown_end - 1] not in _END_MARKS
                num_ellipses += _ends_with_ellipsis(data, shown, shown_end)
                line_chars = count_chars(data, start, end)
                num_chars += line_chars
                if find_or_insert(keys, values, mask, hash_bytes(data, start, end), num_lines) == num_lines:
                    num_distinct += 1
                    distinct_chars += line_chars
                num_lines += 1
            start = end + 1
        counts[0, text] = num_lines
        counts[1, text] = num_distinct
        counts[2, text] = num_chars
        counts[3, text] = distinct_chars
        counts[4, text] = num_unended
        counts[5, text] = num_ellipses
        counts[6, text] = num_bullets


@njit(nogil=True, cache=True)
def _ends_with_ellipsis(data: Bytes, start: int, end: int) -> bool:
    last, width = code_point_before(data, end)
    if last == _ELLIPSIS:
        return True
    if last == 0x2E:
        return _ends_with(data, start, end, _THREE_DOTS) or _ends_with(data, start, end, _READ_MORE_DOTS)
    if last == 0x5D or last == 0x29:
        opening = 0x5B if last == 0x5D else 0x28
        before = end - width
        if _ends_with(data, start, before, _THREE_DOTS):
            return before - 3 > start and data[before - 4] == opening
        return (
            opening == 0x5B and before - 3 > start and data[before - 4] == opening and _is_ellipsis_at(data, before - 3)
        )
    if last == _ANGLE_QUOTE:
        return end - width > start and data[end - width - 1] == 0x2D
    return _ends_with(data, start, end, _READ_MORE)


@njit(nogil=True, cache=True)
def _is_ellipsis_at(data: Bytes, i: int) -> bool:
    return bool(data[i] == 0xE2 and data[i + 1] == 0x80 and data[i + 2] == 0xA6)


@njit(nogil=True, cache=True)
def _ends_with(data: Bytes, start: int, end: int, phrase: Bytes) -> bool:
    """Whether [start, end) ends in the phrase, whatever the case of A-Z."""
    phrase_start = end - len(phrase)
    if phrase_start < start:
        return False
    for k in range(len(phrase)):
        byte = data[phrase_start + k]
        if 0x41 <= byte <= 0x5A:
            byte |= np.uint8(0x20)
        if byte != phrase[k]:
            return False
    return True


@dataclass(frozen=True, kw_only=True)
class DistinctParagraphs:
    """One value a text. Paragraphs are what stands before, between and after `\\n\\n`, empty ones included."""

    num_paragraphs: Counts  # 1 for the empty text
    num_distinct_paragraphs: Counts
    num_chars: Counts  # of all paragraphs
    distinct_chars: Counts  # of each distinct paragraph once
    num_boilerplate_paragraphs: Counts  # paragraphs with one of the boilerplate phrases
    num_placeholder_paragraphs: Counts


def distinct_paragraphs(
    data: Bytes, offsets: Offsets, boilerplate: Sequence[str], placeholders: Sequence[str]
) -> DistinctParagraphs:
    """Count the paragraphs of each text as NeMo Curator does.

    Args:
        boilerplate, placeholders: phrases that are looked for wherever they stand, whatever the case of A-Z.

    Raises:
        ValueError: a phrase is of fewer than two bytes.
    """
    marks = dict.fromkeys((phrase.encode().lower() for phrase in boilerplate), _BOILERPLATE)
    for phrase in placeholders:
        folded_phrase = phrase.encode().lower()
        marks[folded_phrase] = marks.get(folded_phrase, 0) | _PLACEHOLDER
    folded = sorted(marks)
    if any(len(phrase) < 2 for phrase in folded):
        raise ValueError("expected phrases of two bytes or more")
    phrase_data, phrase_offsets = frozen(
        np.frombuffer(b"".join(folded), np.uint8), np.cumsum([0, *map(len, folded)], dtype=np.int64)
    )
    first_with = np.full(1 << 16, -1, np.int16)
    for k in range(len(folded) - 1, -1, -1):
        first_with[folded[k][0] << 8 | folded[k][1]] = k
    phrase_marks = np.array([marks[phrase] for phrase in folded], np.int64)
    counts = np.zeros((6, len(offsets) - 1), np.int64)
    _count_distinct_paragraphs(*frozen(data, offsets), phrase_data, phrase_offsets, phrase_marks, first_with, counts)
    return DistinctParagraphs(
        num_paragraphs=counts[0],
        num_distinct_paragraphs=counts[1],
        num_chars=counts[2],
        distinct_chars=counts[3],
        num_boilerplate_paragraphs=counts[4],
        num_placeholder_paragraphs=counts[5],
    )


@njit(nogil=True, cache=True)
def _count_distinct_paragraphs(
    data: Bytes,
    offsets: Offsets,
    phrase_data: Bytes,
    phrase_offsets: Offsets,
    phrase_marks: npt.NDArray[np.int64],
    first_with: npt.NDArray[np.int16],
    counts: npt.NDArray[np.int64],
) -> None:
    most = _most_pieces(data, offsets)
    keys = np.empty(table_mask(most) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    folded = np.empty(max_bytes, np.uint8)

    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        mask = table_mask(_num_newlines(data, start, text_end) + 1)
        clear_table(keys, mask)
        num_paragraphs = num_distinct = num_chars = distinct_chars = num_boilerplate = num_placeholders = 0
        while start <= text_end:
            end = start
            while end < text_end and not (data[end] == _NEWLINE and end + 1 < text_end and data[end + 1] == _NEWLINE):
                end += 1
            chars = count_chars(data, start, end)
            num_chars += chars
            if find_or_insert(keys, values, mask, hash_bytes(data, start, end), num_paragraphs) == num_paragraphs:
                num_distinct += 1
                distinct_chars += chars
            folded_end = fold_ascii(data, start, end, folded, 0)
            found = _find_phrases(folded, folded_end, phrase_data, phrase_offsets, phrase_marks, first_with)
            num_boilerplate += found & _BOILERPLATE != 0
            num_placeholders += found & _PLACEHOLDER != 0
            num_paragraphs += 1
            start = end + 2 if end < text_end else text_end + 1
        counts[0, text] = num_paragraphs
        counts[1, text] = num_distinct
        counts[2, text] = num_chars
        counts[3, text] = distinct_chars
        counts[4, text] = num_boilerplate
        counts[5, text] = num_placeholders


@njit(nogil=True, cache=True)
def _find_phrases(
    folded: Bytes,
    end: int,
    phrase_data: Bytes,
    phrase_offsets: Offsets,
    phrase_marks: npt.NDArray[np.int64],
    first_with: npt.NDArray[np.int16],
) -> int:
    """The marks of all phrases that stand in folded[:end].

    first_with: by two bytes, the first of the sorted phrases that begins so; -1 for none.
    """
    found = 0
    for i in range(end - 1):
        phrase = int(first_with[np.int64(folded[i]) << 8 | np.int64(folded[i + 1])])
        while 0 <= phrase < phrase_marks.shape[0]:
            start = phrase_offsets[phrase]
            if phrase_data[start] != folded[i] or phrase_data[start + 1] != folded[i + 1]:
                break
            length = phrase_offsets[phrase + 1] - start
            k = 2
            if i + length <= end:
                while k < length and folded[i + k] == phrase_data[start + k]:
                    k += 1
            if k == length and i + length <= end:
                found |= phrase_marks[phrase]
            phrase += 1
    return found
