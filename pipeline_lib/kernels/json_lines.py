"""JSON Lines in place: where in a line the values of a few fields stand, and texts without their escapes.

Lines are checked wholly against RFC 8259 (UTF-8 included), for what says where a value ends is the same as what says
whether it is one. Beyond it, the numbers NaN, Infinity and -Infinity are taken, which Python's own writer makes.

These kernels call each other, so they stand in one file: see shingles.py.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.utf8 import load_8_bytes, store_8_bytes, zero_bytes

Kinds = npt.NDArray[np.uint8]
Spans = npt.NDArray[np.int64]

# What a line has for a field.
NO_OBJECT, MISSING, NULL, TEXT, ESCAPED_TEXT, NUMBER, BOOLEAN, NESTED = range(8)

MAX_DEPTH = 1000  # of lists and objects in each other; parsers by recursion end at about that

_QUOTE, _BACKSLASH, _COLON, _COMMA, _MINUS, _PLUS, _DOT, _ZERO, _NINE = (ord(sign) for sign in '"\\:,-+.09')
_OPEN_OBJECT, _CLOSE_OBJECT, _OPEN_LIST, _CLOSE_LIST = (ord(sign) for sign in "{}[]")
_NEWLINE = 0x0A
_LOWER_E, _UPPER_E, _LOWER_U = (ord(sign) for sign in "eEu")
_REPLACEMENT_CHARACTER = 0xFFFD  # for a half of a surrogate pair, which UTF-8 cannot hold

_LOWEST_BITS = np.uint64(0x0101010101010101)
_UPPERMOST_BITS = np.uint64(0x8080808080808080)
_QUOTES, _BACKSLASHES = np.uint64(_QUOTE) * _LOWEST_BITS, np.uint64(_BACKSLASH) * _LOWEST_BITS
_SPACES, _NEWLINES = np.uint64(0x20) * _LOWEST_BITS, np.uint64(_NEWLINE) * _LOWEST_BITS

_TRUE, _FALSE, _NULL = (np.frombuffer(word, np.uint8) for word in (b"true", b"false", b"null"))
_NAN, _INFINITY = (np.frombuffer(word, np.uint8) for word in (b"NaN", b"Infinity"))


@njit(nogil=True, cache=True)
def find_lines(data: Bytes) -> tuple[Offsets, Offsets]:
    """Where lines start, and where they end after their line break, if they have one: int64 (N,) each.

    Lines of nothing but ASCII's whitespace are left out.
    """
    size = data.shape[0]
    starts, ends = np.empty(1024, np.int64), np.empty(1024, np.int64)
    num_lines, i = 0, 0
    while i < size:
        start = i
        while i < size:
            if i + 8 <= size and zero_bytes(load_8_bytes(data, i) ^ _NEWLINES) == 0:
                i += 8
                continue
            i += 1
            if data[i - 1] == _NEWLINE:
                break
        visible = start
        while visible < i and (data[visible] == 0x20 or 0x09 <= data[visible] <= 0x0D):
            visible += 1
        if visible == i:
            continue
        if num_lines == starts.shape[0]:
            starts, ends = _twice_as_long(starts), _twice_as_long(ends)
        starts[num_lines], ends[num_lines] = start, i
        num_lines += 1
    return starts[:num_lines].copy(), ends[:num_lines].copy()


@njit(nogil=True, cache=True)
def _twice_as_long(array: Offsets) -> Offsets:
    longer = np.empty(2 * array.shape[0], array.dtype)
    longer[: array.shape[0]] = array
    return longer


@njit(nogil=True, cache=True)
def find_fields(
    data: Bytes, starts: Offsets, ends: Offsets, names: Bytes, name_offsets: Offsets, kinds: Kinds, spans: Spans
) -> None:
    """Find the values of F fields in N lines, each an object. Where a name comes twice, the last one counts.

    Args:
        data, starts, ends: the lines, int64 (N,) each.
        names, name_offsets: the UTF-8 names of the fields.
        kinds: uint8 (F, N): overwritten with what each value is; NO_OBJECT in all fields of a line that is none.
        spans: int64 (F, N, 2): overwritten with where a TEXT (between its quotes) or NUMBER starts and ends in `data`.
    """
    open_objects = np.empty(MAX_DEPTH + 1, np.bool_)
    longest = 0
    for field in range(name_offsets.shape[0] - 1):
        longest = max(longest, name_offsets[field + 1] - name_offsets[field])
    key = np.empty(_MAX_ESCAPE * longest + 8, np.uint8)
    for line in range(starts.shape[0]):
        kinds[:, line] = MISSING
        spans[:, line] = 0
        start, end = starts[line], ends[line]
        if not (
            _read_line(data, start, end, names, name_offsets, kinds, spans, line, open_objects, key)
            and _is_utf8(data, start, end)
        ):
            kinds[:, line] = NO_OBJECT


@njit(nogil=True, cache=True)
def copy_values(data: Bytes, kinds: Kinds, spans: Spans, wanted: Kinds, target: Bytes, offsets: Offsets) -> int:
    """Copy the values of one field, texts without their escapes; returns how many bytes they take.

    Args:
        kinds: uint8 (N,); spans: int64 (N, 2): from `find_fields`.
        wanted: uint8: the kinds that are copied, of TEXT, ESCAPED_TEXT and NUMBER; others become empty.
        target: uint8, of at least the length of all spans.
        offsets: int64 (N + 1,): overwritten with where in `target` each value starts and ends.
    """
    is_wanted = np.zeros(256, np.bool_)
    for kind in wanted:
        is_wanted[kind] = True
    at = 0
    offsets[0] = 0
    for row in range(kinds.shape[0]):
        start, end = spans[row, 0], spans[row, 1]
        if not is_wanted[kinds[row]]:
            pass
        elif kinds[row] == ESCAPED_TEXT:
            at = _unescape(data, start, end, target, at)
        else:
            target[at : at + end - start] = data[start:end]
            at += end - start
        offsets[row + 1] = at
    return at


@njit(nogil=True, cache=True)
def copy_ranges(data: Bytes, bounds: Spans, target: Bytes) -> None:
    """Copy ranges of bytes one after another.

    Args:
        bounds: int64 (R, 2): where each starts and ends.
        target: uint8, as long as all of them.
    """
    at = 0
    for i in range(bounds.shape[0]):
        size = bounds[i, 1] - bounds[i, 0]
        target[at : at + size] = data[bounds[i, 0] : bounds[i, 1]]
        at += size


_MAX_ESCAPE = 6  # bytes that one byte of text may be spelled with


@njit(nogil=True, cache=True)
def _read_line(
    data: Bytes,
    i: int,
    end: int,
    names: Bytes,
    name_offsets: Offsets,
    kinds: Kinds,
    spans: Spans,
    line: int,
    open_objects: npt.NDArray[np.bool_],
    key: Bytes,
) -> bool:
    """Enter the fields of the line [i, end); False where it is no object."""
    i = _skip_space(data, i, end)
    if i >= end or data[i] != _OPEN_OBJECT:
        return False
    depth, field = 0, -1
    while True:
        # here stands a value
        first, start, kind = data[i], i, NESTED
        opens = False
        if first == _QUOTE:
            start = i + 1
            i, is_escaped = _text_end(data, start, end)
            if i < 0:
                return False
            kind = ESCAPED_TEXT if is_escaped else TEXT
        elif first in (_OPEN_OBJECT, _OPEN_LIST):
            opens = True
        elif first == _MINUS or _ZERO <= first <= _NINE:
            i = _number_end(data, i, end)
            kind = NUMBER
        elif first == _TRUE[0]:
            i = _word_end(data, i, end, _TRUE)
            kind = BOOLEAN
        elif first == _FALSE[0]:
            i = _word_end(data, i, end, _FALSE)
            kind = BOOLEAN
        elif first == _NULL[0]:
            i = _word_end(data, i, end, _NULL)
            kind = NULL
        elif first == _NAN[0]:
            i = _word_end(data, i, end, _NAN)
            kind = NUMBER
        elif first == _INFINITY[0]:
            i = _word_end(data, i, end, _INFINITY)
            kind = NUMBER
        else:
            return False
        if i < 0:
            return False
        if depth == 1 and field >= 0:
            kinds[field, line] = kind
            spans[field, line, 0], spans[field, line, 1] = start, i
            if kind not in (TEXT, ESCAPED_TEXT, NUMBER):
                spans[field, line, 1] = start
        if kind in (TEXT, ESCAPED_TEXT):
            i += 1  # the quote
        if opens:
            if depth == MAX_DEPTH:
                return False
            depth += 1
            open_objects[depth] = first == _OPEN_OBJECT
            i = _skip_space(data, i + 1, end)
            is_empty = i < end and data[i] == (_CLOSE_OBJECT if open_objects[depth] else _CLOSE_LIST)
        if not opens or is_empty:
            while True:  # what is complete is closed
                i = _skip_space(data, i, end)
                if i >= end:
                    return False
                if data[i] != (_CLOSE_OBJECT if open_objects[depth] else _CLOSE_LIST):
                    break
                depth -= 1
                i += 1
                if depth == 0:
                    return _skip_space(data, i, end) == end
            if data[i] != _COMMA:
                return False
            i = _skip_space(data, i + 1, end)
        if open_objects[depth]:
            if i >= end or data[i] != _QUOTE:
                return False
            start = i + 1
            i, is_escaped = _text_end(data, start, end)
            if i < 0:
                return False
            field = -1
            if depth == 1:
                field = _field_of(data, start, i, is_escaped, names, name_offsets, key)
            i = _skip_space(data, i + 1, end)
            if i >= end or data[i] != _COLON:
                return False
            i = _skip_space(data, i + 1, end)
        if i >= end:
            return False


@njit(nogil=True, cache=True)
def _field_of(
    data: Bytes, start: int, end: int, is_escaped: bool, names: Bytes, name_offsets: Offsets, key: Bytes
) -> int:
    """Which field the key [start, end) names; -1: none."""
    if is_escaped:
        if end - start > key.shape[0]:
            return -1  # longer than any name could be spelled
        start, end, data = 0, _unescape(data, start, end, key, 0), key
    for field in range(name_offsets.shape[0] - 1):
        first = name_offsets[field]
        if name_offsets[field + 1] - first != end - start:
            continue
        same = 0
        while same < end - start and data[start + same] == names[first + same]:
            same += 1
        if same == end - start:
            return field
    return -1


@njit(nogil=True, cache=True)
def _skip_space(data: Bytes, i: int, end: int) -> int:
    while i < end and (data[i] == 0x20 or data[i] == 0x09 or data[i] == 0x0A or data[i] == 0x0D):
        i += 1
    return i


@njit(nogil=True, cache=True)
def _text_end(data: Bytes, i: int, end: int) -> tuple[int, bool]:
    """Where the quote stands that ends the text from `i` on, and whether there are escapes before; -1: nowhere, or the
    text is not as it should be."""
    is_escaped = False
    while i < end:
        if i + 8 <= end:
            eight = load_8_bytes(data, i)
            controls = (eight - _SPACES) & ~eight & _UPPERMOST_BITS
            if controls | zero_bytes(eight ^ _QUOTES) | zero_bytes(eight ^ _BACKSLASHES) == 0:
                i += 8
                continue
        byte = data[i]
        if byte == _QUOTE:
            return i, is_escaped
        if byte < 0x20:
            return -1, is_escaped
        if byte == _BACKSLASH:
            is_escaped = True
            i += 1
            if i >= end:
                return -1, is_escaped
            if data[i] == _LOWER_U:
                if i + 4 >= end or _hexadecimal(data, i + 1) < 0:
                    return -1, is_escaped
                i += 4
            elif _escaped(data[i]) < 0:
                return -1, is_escaped
        i += 1
    return -1, is_escaped


@njit(nogil=True, cache=True)
def _number_end(data: Bytes, i: int, end: int) -> int:
    """Where the number from `i` on ends; -1: it is none."""
    if data[i] == _MINUS:
        i += 1
        if i < end and data[i] == _INFINITY[0]:
            return _word_end(data, i, end, _INFINITY)
    if i < end and data[i] == _ZERO:
        i += 1
    else:
        i = _digits_end(data, i, end)
    if i >= 0 and i < end and data[i] == _DOT:
        i = _digits_end(data, i + 1, end)
    if i >= 0 and i < end and (data[i] == _LOWER_E or data[i] == _UPPER_E):
        i += 1
        if i < end and (data[i] == _PLUS or data[i] == _MINUS):
            i += 1
        i = _digits_end(data, i, end)
    return i


@njit(nogil=True, cache=True)
def _digits_end(data: Bytes, i: int, end: int) -> int:
    """Where the digits from `i` on end; -1: there is none."""
    start = i
    while i < end and _ZERO <= data[i] <= _NINE:
        i += 1
    return i if i > start else -1


@njit(nogil=True, cache=True)
def _word_end(data: Bytes, i: int, end: int, word: Bytes) -> int:
    """Where the word ends that stands at `i`; -1: another one stands there."""
    if i + word.shape[0] > end:
        return -1
    for at in range(word.shape[0]):
        if data[i + at] != word[at]:
            return -1
    return int(i + word.shape[0])


@njit(nogil=True, cache=True)
def _unescape(data: Bytes, i: int, end: int, target: Bytes, at: int) -> int:
    """Write the text [i, end), which `_text_end` has checked, to `target` from `at` on; returns where it ends."""
    while i < end:
        if i + 8 <= end and at + 8 <= target.shape[0]:
            eight = load_8_bytes(data, i)
            if zero_bytes(eight ^ _BACKSLASHES) == 0:
                store_8_bytes(target, at, eight)
                at += 8
                i += 8
                continue
        byte = data[i]
        if byte != _BACKSLASH:
            target[at] = byte
            at += 1
            i += 1
        elif data[i + 1] != _LOWER_U:
            target[at] = _escaped(data[i + 1])
            at += 1
            i += 2
        else:
            code = _hexadecimal(data, i + 2)
            i += 6
            if 0xD800 <= code < 0xDC00 and i + 6 <= end and data[i] == _BACKSLASH and data[i + 1] == _LOWER_U:
                low = _hexadecimal(data, i + 2)
                if 0xDC00 <= low < 0xE000:
                    code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00)
                    i += 6
            if 0xD800 <= code < 0xE000:
                code = _REPLACEMENT_CHARACTER
            at = _write_code_point(code, target, at)
    return at


@njit(nogil=True, cache=True)
def _escaped(sign: int) -> int:
    """The character that a backslash before `sign` stands for; -1: none."""
    if sign in (_QUOTE, _BACKSLASH, 0x2F):  # /
        return int(sign)
    if sign == 0x62:  # b
        return 0x08
    if sign == 0x66:  # f
        return 0x0C
    if sign == 0x6E:  # n
        return 0x0A
    if sign == 0x72:  # r
        return 0x0D
    if sign == 0x74:  # t
        return 0x09
    return -1


@njit(nogil=True, cache=True)
def _hexadecimal(data: Bytes, i: int) -> int:
    """The number of the four digits from `i` on; -1: not all are digits."""
    number = 0
    for at in range(i, i + 4):
        digit = int(data[at])
        if 0x30 <= digit <= 0x39:
            digit -= 0x30
        elif 0x41 <= digit <= 0x46:
            digit -= 0x37
        elif 0x61 <= digit <= 0x66:
            digit -= 0x57
        else:
            return -1
        number = number << 4 | digit
    return number


@njit(nogil=True, cache=True)
def _write_code_point(code: int, target: Bytes, at: int) -> int:
    if code < 0x80:
        target[at] = code
        return at + 1
    if code < 0x800:
        target[at] = 0xC0 | code >> 6
        target[at + 1] = 0x80 | (code & 0x3F)
        return at + 2
    if code < 0x10000:
        target[at] = 0xE0 | code >> 12
        target[at + 1] = 0x80 | (code >> 6 & 0x3F)
        target[at + 2] = 0x80 | (code & 0x3F)
        return at + 3
    target[at] = 0xF0 | code >> 18
    target[at + 1] = 0x80 | (code >> 12 & 0x3F)
    target[at + 2] = 0x80 | (code >> 6 & 0x3F)
    target[at + 3] = 0x80 | (code & 0x3F)
    return at + 4


@njit(nogil=True, cache=True)
def _is_utf8(data: Bytes, i: int, end: int) -> bool:
    """Whether [i, end) is UTF-8: shortest forms only, no surrogates, nothing beyond U+10FFFF (Unicode, table 3-7)."""
    while i < end:
        if i + 8 <= end and load_8_bytes(data, i) & _UPPERMOST_BITS == 0:
            i += 8
            continue
        first = data[i]
        if first < 0x80:
            i += 1
            continue
        if 0xC2 <= first < 0xE0:
            length = 2
        elif 0xE0 <= first < 0xF0:
            length = 3
        elif 0xF0 <= first < 0xF5:
            length = 4
        else:
            return False
        if i + length > end:
            return False
        second = data[i + 1]
        if (
            (first == 0xE0 and second < 0xA0)
            or (first == 0xED and second >= 0xA0)
            or (first == 0xF0 and second < 0x90)
            or (first == 0xF4 and second >= 0x90)
        ):
            return False
        for at in range(i + 1, i + length):
            if data[at] & 0xC0 != 0x80:
                return False
        i += length
    return True
