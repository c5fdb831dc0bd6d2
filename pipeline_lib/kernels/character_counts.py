"""How many characters of a text are of which kind, and how many stand in links: as NeMo Curator counts them.

The kinds are those of Curator's heuristic filters for English (`stages/text/utils/constants.py`, release 1.4).
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.utf8 import code_point_at, frozen

Counts = npt.NDArray[np.int64]  # shape (texts,)

_PLAIN, _DIGIT, _WHITESPACE, _BRACKET, _IN_LINK, _HEXADECIMAL = 1, 2, 4, 8, 16, 32
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_DIGITS = "0123456789"
_ASCII_KINDS = {
    _PLAIN: _LETTERS + _DIGITS + "\n?!,.",
    _DIGIT: _DIGITS,
    _WHITESPACE: "\t\n\r\b ",
    _BRACKET: "{}[]()",
    _IN_LINK: _LETTERS + _DIGITS + "$-_@.&+/:=?#~!*(),",
    _HEXADECIMAL: _DIGITS + "abcdefABCDEF",
}
_KINDS = np.array(
    [sum(kind for kind, members in _ASCII_KINDS.items() if chr(byte) in members) for byte in range(128)], np.uint8
)
_ANGLE_BRACKETS = (0x27E8, 0x27E9)
_LOWER_H, _LOWER_S, _PERCENT = 0x68, 0x73, 0x25
_HTTP, _AUTHORITY = np.frombuffer(b"http", np.uint8), np.frombuffer(b"://", np.uint8)


@dataclass(frozen=True, kw_only=True)
class CharacterCounts:
    """One value a text."""

    num_chars: Counts
    num_plain: Counts  # A-Z, a-z, 0-9, `?`, `!`, `,`, `.` and the line feed
    num_digits: Counts  # 0-9
    num_whitespace: Counts  # space, tab, line feed, carriage return, backspace
    num_brackets: Counts  # round, square, curly, and U+27E8 and U+27E9
    num_link_chars: Counts  # `http://` or `https://`, and what follows of A-Z, a-z, 0-9, `$-_@.&+/:=?#~!*(),` and `%41`


def character_counts(data: Bytes, offsets: Offsets) -> CharacterCounts:
    """Count the characters of each text by kind."""
    counts = np.zeros((6, len(offsets) - 1), np.int64)
    _count_characters(*frozen(data, offsets), counts)
    return CharacterCounts(
        num_chars=counts[0],
        num_plain=counts[1],
        num_digits=counts[2],
        num_whitespace=counts[3],
        num_brackets=counts[4],
        num_link_chars=counts[5],
    )


@njit(nogil=True, cache=True)
def _count_characters(data: Bytes, offsets: Offsets, counts: npt.NDArray[np.int64]) -> None:
    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_chars = num_plain = num_digits = num_whitespace = num_brackets = num_link_chars = 0
        link_end = i
        while i < end:
            num_chars += 1
            byte = data[i]
            if byte < 0x80:
                kinds = _KINDS[byte]
                num_plain += kinds & _PLAIN != 0
                num_digits += kinds & _DIGIT != 0
                num_whitespace += kinds & _WHITESPACE != 0
                num_brackets += kinds & _BRACKET != 0
                if byte == _LOWER_H and i >= link_end:
                    link_end = _link_end(data, i, end)
                    num_link_chars += link_end - i
                i += 1
            else:
                code_point, width = code_point_at(data, i)
                num_brackets += code_point in _ANGLE_BRACKETS
                i += width
        counts[0, text] = num_chars
        counts[1, text] = num_plain
        counts[2, text] = num_digits
        counts[3, text] = num_whitespace
        counts[4, text] = num_brackets
        counts[5, text] = num_link_chars


@njit(nogil=True, cache=True)
def _link_end(data: Bytes, start: int, end: int) -> int:
    """The end of the link that begins at `start`; `start` for none."""
    i = _after(data, start, end, _HTTP)
    if i == start:
        return start
    if i < end and data[i] == _LOWER_S:
        i += 1
    host = _after(data, i, end, _AUTHORITY)
    if host == i:
        return start
    i = host
    while i < end and data[i] < 0x80:
        if _KINDS[data[i]] & _IN_LINK:
            i += 1
        elif data[i] == _PERCENT and i + 2 < end and _is_hexadecimal(data[i + 1]) and _is_hexadecimal(data[i + 2]):
            i += 3
        else:
            break
    return i if i > host else start


@njit(nogil=True, cache=True)
def _is_hexadecimal(byte: int) -> bool:
    return byte < 0x80 and _KINDS[byte] & _HEXADECIMAL != 0


@njit(nogil=True, cache=True)
def _after(data: Bytes, start: int, end: int, phrase: Bytes) -> int:
    """The end of the phrase where it stands at `start`; else `start`."""
    if end - start < len(phrase):
        return start
    for k in range(len(phrase)):
        if data[start + k] != phrase[k]:
            return start
    return start + len(phrase)
