"""Reading UTF-8 in place: code points, whitespace, lines, hashes of byte ranges, and a hash table.

Kernels trust their input to be whole UTF-8 (Arrow's `validate(full=True)` says so): they do not check it again.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import SPACE, Classes

_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xFF51AFD7ED558CCD)
_MIX_B = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT_33 = np.uint64(33)
_SHIFT_29 = np.uint64(29)
_SHIFT_32 = np.uint64(32)

_NEWLINE = 0x0A
_NEWLINES = np.uint64(0x0A0A0A0A0A0A0A0A)
_LOWEST_BITS = np.uint64(0x0101010101010101)
_UPPERMOST_BITS = np.uint64(0x8080808080808080)
_FIRST_PRINTABLE = np.uint64(0x2020202020202020)
_FIRST_VISIBLE = np.uint64(0x2121212121212121)

_KELVIN_BYTES = np.uint64(0xE2E2E2E2E2E2E2E2)  # the first byte of U+212A

_MIN_TABLE_BITS = 4


def frozen(data: Bytes, offsets: Offsets) -> tuple[Bytes, Offsets]:
    """The same arrays, read-only: a kernel compiles once for each combination of array types, and this leaves one."""
    data, offsets = data.view(), offsets.view()
    data.flags.writeable = False
    offsets.flags.writeable = False
    return data, offsets


@njit(nogil=True, cache=True)
def code_point_at(data: Bytes, i: int) -> tuple[int, int]:
    """The code point whose first byte is data[i], and how many bytes it takes."""
    first: Any = np.int64(data[i])  # int64 to numba, and to mypy what int is
    if first < 0x80:
        return first, 1
    if first < 0xE0:
        return (first & 0x1F) << 6 | (np.int64(data[i + 1]) & 0x3F), 2
    if first < 0xF0:
        return (first & 0x0F) << 12 | (np.int64(data[i + 1]) & 0x3F) << 6 | (np.int64(data[i + 2]) & 0x3F), 3
    return (
        (first & 0x07) << 18
        | (np.int64(data[i + 1]) & 0x3F) << 12
        | (np.int64(data[i + 2]) & 0x3F) << 6
        | (np.int64(data[i + 3]) & 0x3F)
    ), 4


@njit(nogil=True, cache=True)
def code_point_or_separator(data: Bytes, position: int, end: int) -> tuple[int, int]:
    """Code point and length of the multi-byte character at `position`; (0, 1), a separator, where there is none."""
    lead = int(data[position])
    length = 2 if lead < 0xE0 else 3 if lead < 0xF0 else 4
    if lead < 0xC0 or position + length > end:
        return 0, 1
    code = lead & (0x7F >> length)
    for at in range(position + 1, position + length):
        byte = int(data[at])
        if byte & 0xC0 != 0x80:
            return 0, 1
        code = (code << 6) | (byte & 0x3F)
    return (code, length) if code < 0x110000 else (0, 1)


@njit(nogil=True, cache=True)
def code_point_before(data: Bytes, i: int) -> tuple[int, int]:
    """The code point that ends just before data[i], and how many bytes it takes."""
    start = i - 1
    while data[start] & 0xC0 == 0x80:
        start -= 1
    return code_point_at(data, start)


@njit(nogil=True, cache=True)
def count_chars(data: Bytes, start: int, end: int) -> int:
    """Code points in the bytes [start, end)."""
    num_chars = 0
    for i in range(start, end):
        num_chars += data[i] & 0xC0 != 0x80
    return num_chars


@njit(nogil=True, cache=True)
def skip_space(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The first position in [start, end) that is no whitespace, or `end`."""
    while start < end:
        code_point, width = code_point_at(data, start)
        if not classes[code_point] & SPACE:
            break
        start += width
    return start


@njit(nogil=True, cache=True)
def skip_space_back(data: Bytes, start: int, end: int, classes: Classes) -> int:
    """The end of the last character in [start, end) that is no whitespace, or `start`."""
    while end > start:
        code_point, width = code_point_before(data, end)
        if not classes[code_point] & SPACE:
            break
        end -= width
    return end


@njit(nogil=True, cache=True)
def load_8_bytes(data: Bytes, i: int) -> np.uint64:
    """The bytes [i, i + 8) as one number, the first lowest.

    Written out like this, with an index that cannot be counted from the end, it compiles to one load.
    """
    k = np.uint64(i)
    return (
        np.uint64(data[k])
        | np.uint64(data[k + np.uint64(1)]) << np.uint64(8)
        | np.uint64(data[k + np.uint64(2)]) << np.uint64(16)
        | np.uint64(data[k + np.uint64(3)]) << np.uint64(24)
        | np.uint64(data[k + np.uint64(4)]) << np.uint64(32)
        | np.uint64(data[k + np.uint64(5)]) << np.uint64(40)
        | np.uint64(data[k + np.uint64(6)]) << np.uint64(48)
        | np.uint64(data[k + np.uint64(7)]) << np.uint64(56)
    )


@njit(nogil=True, cache=True)
def _bytes_before(stops: np.uint64) -> int:
    """How many bytes come before the first whose uppermost bit is set; no other bits are."""
    if stops == 0:
        return 8
    below = (stops & (~stops + np.uint64(1))) - np.uint64(1)  # all bits below the lowest one
    return int(np.int64(((below & _LOWEST_BITS) * _LOWEST_BITS) >> np.uint64(56))) - 1


@njit(nogil=True, cache=True)
def zero_bytes(eight_bytes: np.uint64) -> np.uint64:
    """Not 0 where one of the bytes is 0: of which one, the lowest bit that is set says."""
    return (eight_bytes - _LOWEST_BITS) & ~eight_bytes & _UPPERMOST_BITS


@njit(nogil=True, cache=True)
def count_printable_ascii(eight_bytes: np.uint64) -> int:
    """How many of the bytes, from the first on, are neither ASCII's controls nor part of a longer character.

    For lines: where it stops, a line may end.
    """
    # as in `count_visible_ascii`, with the space
    stops = ((eight_bytes - _FIRST_PRINTABLE) | eight_bytes) & _UPPERMOST_BITS
    return _bytes_before(stops)


@njit(nogil=True, cache=True)
def line_at(data: Bytes, start: int, end: int) -> tuple[int, int]:
    """Where the line that begins at `start` ends, and where the next begins; lines are those of str.splitlines."""
    i = start
    while i < end:
        if i + 8 <= end:
            num_printable = count_printable_ascii(load_8_bytes(data, i))
            i += num_printable
            if num_printable == 8:
                continue
        byte = data[i]
        if byte <= 0x1E:
            if byte == 0x0D and i + 1 < end and data[i + 1] == 0x0A:
                return i, i + 2
            if 0x0A <= byte <= 0x0D or byte >= 0x1C:
                return i, i + 1
        elif byte == 0xC2:
            if data[i + 1] == 0x85:  # U+0085
                return i, i + 2
        elif byte == 0xE2 and data[i + 1] == 0x80 and data[i + 2] & 0xFE == 0xA8:  # U+2028, U+2029
            return i, i + 3
        i += 1
    return end, end


@njit(nogil=True, cache=True)
def mix(value: np.uint64) -> np.uint64:
    """A bijection of 64 bits in which each bit of the input moves half of the output's."""
    value ^= value >> _SHIFT_33
    value *= _MIX_A
    value ^= value >> _SHIFT_29
    value *= _MIX_B
    return value ^ (value >> _SHIFT_32)


@njit(nogil=True, cache=True)
def store_8_bytes(data: Bytes, i: int, value: np.uint64) -> None:
    """The inverse of `load_8_bytes`, and one store."""
    k = np.uint64(i)
    data[k] = np.uint8(value)
    data[k + np.uint64(1)] = np.uint8(value >> np.uint64(8))
    data[k + np.uint64(2)] = np.uint8(value >> np.uint64(16))
    data[k + np.uint64(3)] = np.uint8(value >> np.uint64(24))
    data[k + np.uint64(4)] = np.uint8(value >> np.uint64(32))
    data[k + np.uint64(5)] = np.uint8(value >> np.uint64(40))
    data[k + np.uint64(6)] = np.uint8(value >> np.uint64(48))
    data[k + np.uint64(7)] = np.uint8(value >> np.uint64(56))


@njit(nogil=True, cache=True)
def count_ascii_alphanumerics(eight_bytes: np.uint64) -> int:
    """How many of the bytes, from the first on, are letters or digits of ASCII."""
    low = eight_bytes & ~_UPPERMOST_BITS  # sums of single bytes: their upper bits say what is at least as large
    small = low | np.uint64(0x20) * _LOWEST_BITS
    letters = (small + np.uint64(0x80 - 0x61) * _LOWEST_BITS) & ~(small + np.uint64(0x80 - 0x7B) * _LOWEST_BITS)
    digits = (low + np.uint64(0x80 - 0x30) * _LOWEST_BITS) & ~(low + np.uint64(0x80 - 0x3A) * _LOWEST_BITS)
    stops = ~((letters | digits) & ~eight_bytes) & _UPPERMOST_BITS
    return _bytes_before(stops)


@njit(nogil=True, cache=True)
def fold_ascii(data: Bytes, start: int, end: int, folded: Bytes, target: int) -> int:
    """Write [start, end) to `folded` from `target` on, A-Z in lower case and U+212A (the Kelvin sign) as k; returns
    where it ends. Lower-casing makes a-z of no other characters."""
    i = start
    while i < end:
        if i + 8 <= end:
            eight = load_8_bytes(data, i)
            if zero_bytes(eight ^ _KELVIN_BYTES) == 0:
                low = (
                    eight & ~_UPPERMOST_BITS
                )  # the upper bit of each byte's sum says whether it is at least A, or Z + 1
                at_least = low + np.uint64(0x80 - 0x41) * _LOWEST_BITS
                beyond = low + np.uint64(0x80 - 0x5B) * _LOWEST_BITS
                capital = at_least & ~beyond & ~eight & _UPPERMOST_BITS
                store_8_bytes(folded, target, eight | capital >> np.uint64(2))
                target += 8
                i += 8
                continue
        byte = data[i]
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
def count_visible_ascii(eight_bytes: np.uint64) -> int:
    """How many of the bytes, from the first on, are neither ASCII's space and controls nor part of a longer character.

    For words: where it stops, whitespace may begin.
    """
    # what is less than 0x21 borrows from its upper bit; borrows reach bytes after the first such one, and do not matter
    stops = ((eight_bytes - _FIRST_VISIBLE) | eight_bytes) & _UPPERMOST_BITS
    return _bytes_before(stops)


@njit(nogil=True, cache=True)
def absorb(state: np.uint64, eight_bytes: np.uint64) -> np.uint64:
    """A state that depends on all of both; its upper bits are well mixed, and `mix` makes all of them so."""
    state = (state ^ eight_bytes) * _MULTIPLIER
    return state ^ (state >> _SHIFT_32)


@njit(nogil=True, cache=True)
def hash_bytes(data: Bytes, start: int, end: int) -> np.uint64:
    """64-bit hash of the bytes [start, end). Equal hashes are taken for equal bytes: 1 chance in 10^19 a pair."""
    state = _MULTIPLIER
    i = start
    while i + 8 <= end:
        state = absorb(state, load_8_bytes(data, i))
        i += 8
    return _finish_hash(state, data, i, end, end - start)


@njit(nogil=True, cache=True)
def hash_line(data: Bytes, start: int, end: int) -> tuple[np.uint64, int]:
    """`hash_bytes` of [start, end) up to the first `\\n`, and where that stands, or `end`: one pass for both."""
    state = _MULTIPLIER
    i = start
    while i + 8 <= end:
        eight_bytes = load_8_bytes(data, i)
        if zero_bytes(eight_bytes ^ _NEWLINES):
            break
        state = absorb(state, eight_bytes)
        i += 8
    line_end = i
    while line_end < end and data[line_end] != _NEWLINE:
        line_end += 1
    return _finish_hash(state, data, i, line_end, line_end - start), line_end


@njit(nogil=True, cache=True)
def _finish_hash(state: np.uint64, data: Bytes, i: int, end: int, num_bytes: int) -> np.uint64:
    """The hash of `num_bytes`, of which `state` has absorbed all but [i, end), less than 8."""
    rest = np.uint64(0)
    while i < end:
        rest = rest << np.uint64(8) | np.uint64(data[i])
        i += 1
    return mix(absorb(state, rest) + np.uint64(num_bytes))


@njit(nogil=True, cache=True)
def table_mask(num_keys: int) -> int:
    """Size less one of a hash table that `num_keys` keys fill to a half at most; the size is a power of two."""
    bits = _MIN_TABLE_BITS
    while (1 << bits) < 2 * num_keys:
        bits += 1
    return (1 << bits) - 1


@njit(nogil=True, cache=True)
def clear_table(keys: npt.NDArray[np.uint64], mask: int) -> None:
    for slot in range(mask + 1):
        keys[slot] = 0


@njit(nogil=True, cache=True)
def find_or_insert(
    keys: npt.NDArray[np.uint64], values: npt.NDArray[np.int32], mask: int, key: np.uint64, value: int
) -> int:
    """The value that came with the key first: an earlier one, or this.

    Args:
        keys: the table, open addressing, 0 where free; `mask` is its size less one.
        key: well mixed (`mix`).
    """
    key |= np.uint64(1)  # 0 means a free slot
    slot = np.int64(key >> np.uint64(1)) & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return int(values[slot])
        slot = (slot + 1) & mask
    keys[slot] = key
    values[slot] = value
    return value
