"""What DCLM counts of words, symbols and lines before it judges repetition."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.dclm_characters import (
    CharacterClasses,
    CodePoints,
    dclm_classes,
    lower_case,
    next_dclm_word,
)
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, SPACE
from pipeline_lib.kernels.utf8 import code_point_at, code_point_before, frozen, mix, skip_space, skip_space_back
from pipeline_lib.kernels.words import WordDefinition

Counts = npt.NDArray[np.int64]  # shape (texts,)

_NEWLINE = 0x0A
_BLANK = 0x20
_HASH_SIGN = 0x23
_DOT = 0x2E
_ELLIPSIS = 0x2026
_BULLETS = (0x25CF, 0x2022, 0x2A, 0x2D)  # ● • * -


@dataclass(frozen=True, kw_only=True)
class DclmWordCounts:
    """One value a text. Words are what str.split gives."""

    num_words: Counts
    word_chars: Counts
    num_unalphabetic_words: Counts  # words without an alphabetic character
    num_listed_words: Counts  # words that are one of the listed, each time they occur
    num_symbols: Counts  # `#`, `…`, `...` and `. . .`, each kind counted without overlap


@dataclass(frozen=True, kw_only=True)
class DclmLineCounts:
    """One value a text. Lines are what stands between `\\n`, without whitespace at the ends, empty ones left out."""

    num_lines: Counts
    num_bullet_lines: Counts  # first character is `●`, `•`, `*` or `-`
    num_ellipsis_lines: Counts  # ends in `...`, `. . .` or `…`


def dclm_word_counts(data: Bytes, offsets: Offsets, listed_words: Sequence[str]) -> DclmWordCounts:
    """Count the words of each text; letters of listed words match in either case."""
    listed = sorted({word for word in listed_words if word})
    code_points = np.array([ord(character) for word in listed for character in word], np.int32)
    listed_offsets = np.cumsum([0, *map(len, listed)], dtype=np.int64)
    counts = np.zeros((5, len(offsets) - 1), np.int64)
    _count_words(*frozen(data, offsets), dclm_classes(), lower_case(), code_points, listed_offsets, counts)
    return DclmWordCounts(
        num_words=counts[0],
        word_chars=counts[1],
        num_unalphabetic_words=counts[2],
        num_listed_words=counts[3],
        num_symbols=counts[4],
    )


@njit(nogil=True, cache=True)
def _count_words(
    data: Bytes,
    offsets: Offsets,
    classes: CharacterClasses,
    lower: CodePoints,
    listed: CodePoints,
    listed_offsets: Offsets,
    counts: npt.NDArray[np.int64],
) -> None:
    num_listed = listed_offsets.shape[0] - 1
    listed_hashes = np.empty(num_listed, np.uint64)
    is_listed_length = np.zeros(1, np.bool_)
    for k in range(num_listed):
        length = listed_offsets[k + 1] - listed_offsets[k]
        if length >= is_listed_length.shape[0]:
            longer = np.zeros(length + 1, np.bool_)
            longer[: is_listed_length.shape[0]] = is_listed_length
            is_listed_length = longer
        is_listed_length[length] = True
        state = np.uint64(length)
        for i in range(listed_offsets[k], listed_offsets[k + 1]):
            state = mix(state ^ np.uint64(lower[listed[i]]))
        listed_hashes[k] = state

    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_words = word_chars = num_unalphabetic = num_found = num_symbols = 0
        while i < end:
            code_point, width = code_point_at(data, i)
            if classes[code_point] & SPACE:
                i += width
                continue
            word_start, chars, seen = i, 0, 0
            while True:
                kind = classes[code_point]
                if kind & SPACE:
                    break
                seen |= kind
                chars += 1
                num_symbols += code_point in (_HASH_SIGN, _ELLIPSIS)
                i += width
                if i >= end:
                    break
                code_point, width = code_point_at(data, i)
            num_words += 1
            word_chars += chars
            num_unalphabetic += seen & ALPHABETIC == 0
            if chars < is_listed_length.shape[0] and is_listed_length[chars]:
                state = np.uint64(chars)
                at = word_start
                while at < i:
                    code_point, width = code_point_at(data, at)
                    state = mix(state ^ np.uint64(lower[code_point]))
                    at += width
                for k in range(num_listed):
                    if listed_hashes[k] == state:
                        num_found += 1
                        break
        counts[0, text] = num_words
        counts[1, text] = word_chars
        counts[2, text] = num_unalphabetic
        counts[3, text] = num_found
        counts[4, text] = num_symbols + _count_dots(data, offsets[text], end)


@njit(nogil=True, cache=True)
def _count_dots(data: Bytes, start: int, end: int) -> int:
    """`...` without overlap, and `. . .` without overlap."""
    num_found = num_dots = 0
    spaced_from = start  # before this, dots are part of a `. . .`
    for i in range(start, end):
        if data[i] != _DOT:
            num_dots = 0
            continue
        num_dots += 1
        if num_dots == 3:
            num_found += 1
            num_dots = 0
        if (
            i >= spaced_from
            and i + 5 <= end
            and data[i + 1] == _BLANK
            and data[i + 2] == _DOT
            and data[i + 3] == _BLANK
            and data[i + 4] == _DOT
        ):
            num_found += 1
            spaced_from = i + 5
    return num_found


def dclm_line_counts(data: Bytes, offsets: Offsets) -> DclmLineCounts:
    """Count how the lines of each text begin and end."""
    counts = np.zeros((3, len(offsets) - 1), np.int64)
    _count_lines(*frozen(data, offsets), dclm_classes(), counts)
    return DclmLineCounts(num_lines=counts[0], num_bullet_lines=counts[1], num_ellipsis_lines=counts[2])


@njit(nogil=True, cache=True)
def _count_lines(data: Bytes, offsets: Offsets, classes: CharacterClasses, counts: npt.NDArray[np.int64]) -> None:
    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        while start < text_end:
            end = start
            while end < text_end and data[end] != _NEWLINE:
                end += 1
            first = skip_space(data, start, end, classes)
            last = skip_space_back(data, first, end, classes)
            if first < last:
                counts[0, text] += 1
                code_point, _ = code_point_at(data, first)
                counts[1, text] += code_point in _BULLETS
                code_point, _ = code_point_before(data, last)
                counts[2, text] += code_point == _ELLIPSIS or _ends_with_dots(data, first, last)
            start = end + 1


@njit(nogil=True, cache=True)
def _ends_with_dots(data: Bytes, start: int, end: int) -> bool:
    if end - start >= 3 and data[end - 1] == _DOT and data[end - 2] == _DOT and data[end - 3] == _DOT:
        return True
    return (
        end - start >= 5
        and data[end - 1] == _DOT
        and data[end - 2] == _BLANK
        and data[end - 3] == _DOT
        and data[end - 4] == _BLANK
        and data[end - 5] == _DOT
    )


def count_dclm_words(data: Bytes, offsets: Offsets, words: WordDefinition) -> Counts:
    """Words of each text that begin with a letter or a digit."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    _count_dclm_words(*frozen(data, offsets), dclm_classes(), words == "punct", counts)
    return counts


@njit(nogil=True, cache=True)
def _count_dclm_words(
    data: Bytes, offsets: Offsets, classes: CharacterClasses, punct: bool, counts: npt.NDArray[np.int64]
) -> None:
    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        while True:
            start, i, _ = next_dclm_word(data, i, end, classes, punct)
            if start == end:
                break
            counts[text] += 1
