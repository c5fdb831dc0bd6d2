"""Statistics of lines: those of `str.splitlines` (Gopher's marks), and those between `\\n` (FineWeb's shapes)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import END_MARK, Classes, character_classes
from pipeline_lib.kernels.utf8 import (
    clear_table,
    code_point_at,
    code_point_before,
    count_chars,
    find_or_insert,
    frozen,
    hash_line,
    line_at,
    skip_space,
    skip_space_back,
    table_mask,
)

Counts = npt.NDArray[np.int64]  # shape (texts,)

_NEWLINE = 0x0A
_HYPHEN = 0x2D
_DOT = 0x2E
_BULLET = 0x2022
_ELLIPSIS = 0x2026


@dataclass(frozen=True, kw_only=True)
class LineMarks:
    """One value a text."""

    num_lines: Counts  # of str.splitlines, blank ones included
    num_bullet_lines: Counts  # first visible character is `•` or `-`
    num_ellipsis_lines: Counts  # last visible characters are `...` or `…`


def line_marks(data: Bytes, offsets: Offsets) -> LineMarks:
    """Count how the lines of each text begin and end."""
    counts = np.zeros((3, len(offsets) - 1), np.int64)
    _mark_lines(*frozen(data, offsets), character_classes(), counts)
    return LineMarks(num_lines=counts[0], num_bullet_lines=counts[1], num_ellipsis_lines=counts[2])


@njit(nogil=True, cache=True)
def _mark_lines(data: Bytes, offsets: Offsets, classes: Classes, counts: npt.NDArray[np.int64]) -> None:
    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        num_lines = num_bullets = num_ellipses = 0
        while start < text_end:
            end, next_start = line_at(data, start, text_end)
            num_lines += 1
            start = skip_space(data, start, end, classes)
            end = skip_space_back(data, start, end, classes)
            if start < end:
                first, _ = code_point_at(data, start)
                num_bullets += first in (_BULLET, _HYPHEN)
                last, _ = code_point_before(data, end)
                num_ellipses += last == _ELLIPSIS or (
                    end - start >= 3 and last == _DOT and data[end - 2] == _DOT and data[end - 3] == _DOT
                )
            start = next_start
        counts[0, text] = num_lines
        counts[1, text] = num_bullets
        counts[2, text] = num_ellipses


@dataclass(frozen=True, kw_only=True)
class LineShapes:
    """One value a text. Lines are what stands between `\\n`, as they are, those of nothing but whitespace left out."""

    num_lines: Counts
    num_end_mark_lines: Counts  # last character ends a sentence
    num_short_lines: Counts
    repeated_chars: Counts  # in lines that stood before
    num_newlines: Counts
    num_chars: Counts  # without `\n`, blank lines included


def line_shapes(data: Bytes, offsets: Offsets, short_line_chars: int) -> LineShapes:
    """Measure the lines of each text; a line of up to `short_line_chars` characters is short."""
    counts = np.zeros((6, len(offsets) - 1), np.int64)
    _shape_lines(*frozen(data, offsets), character_classes(), short_line_chars, counts)
    return LineShapes(
        num_lines=counts[0],
        num_end_mark_lines=counts[1],
        num_short_lines=counts[2],
        repeated_chars=counts[3],
        num_newlines=counts[4],
        num_chars=counts[5],
    )


@njit(nogil=True, cache=True)
def _shape_lines(
    data: Bytes, offsets: Offsets, classes: Classes, short_line_chars: int, counts: npt.NDArray[np.int64]
) -> None:
    most_newlines = 0
    for text in range(offsets.shape[0] - 1):
        num_newlines = 0
        for i in range(offsets[text], offsets[text + 1]):
            num_newlines += data[i] == _NEWLINE
        counts[4, text] = num_newlines
        most_newlines = max(most_newlines, num_newlines)
    keys = np.empty(table_mask(most_newlines + 1) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)

    for text in range(offsets.shape[0] - 1):
        start, text_end = offsets[text], offsets[text + 1]
        mask = table_mask(counts[4, text] + 1)
        clear_table(keys, mask)
        num_lines = num_end_marks = num_short = repeated_chars = num_chars = 0
        while start < text_end:
            line_hash, end = hash_line(data, start, text_end)
            line_chars = count_chars(data, start, end)
            num_chars += line_chars
            if skip_space(data, start, end, classes) < end:
                last, _ = code_point_before(data, end)
                num_end_marks += classes[last] & END_MARK != 0
                num_short += line_chars <= short_line_chars
                if find_or_insert(keys, values, mask, line_hash, num_lines) != num_lines:
                    repeated_chars += line_chars
                num_lines += 1
            start = end + 1
        counts[0, text] = num_lines
        counts[1, text] = num_end_marks
        counts[2, text] = num_short
        counts[3, text] = repeated_chars
        counts[5, text] = num_chars
