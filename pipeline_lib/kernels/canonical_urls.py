"""Hashes of canonical URLs: `dedup.canonical_url` for whole columns, without a Python object a URL.

Time is linear in the bytes of a URL, whatever they are, but for the arguments of its query, which are sorted.

A change of what is hashed, or of `utf8.mix`, changes the values that stores hold.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.kernels.url_arguments import (
    DROPPED_NAMES,
    DROPPED_PREFIXES,
    ITS_PAIR,
    PAIRED_NAME,
    SESSION_NAMES,
    SESSION_VALUE_CHARS,
)
from pipeline_lib.kernels.utf8 import load_8_bytes, mix

Places = npt.NDArray[np.int64]

_NO_URL = -1
_SLASH, _QUESTION, _HASH, _PERCENT, _AT, _COLON, _DOT, _SEMICOLON, _AMPERSAND, _EQUALS, _BANG, _BRACKET = (
    b"/?#%@:.;&=!["
)
_KEPT, _UNRESERVED, _HOST, _DIGIT, _ALPHANUMERIC, _IPV6 = 1, 2, 4, 8, 16, 32  # classes of bytes
_ORDINARY, _DROPPED, _SESSION, _PAIRED, _PAIR = range(5)  # kinds of arguments

_HIGH_1, _HIGH_2 = np.uint64(0x9E3779B97F4A7C15), np.uint64(0xBF58476D1CE4E5B9)
_LOW_1, _LOW_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0x94D049BB133111EB)
_SHIFT_27, _SHIFT_29, _SHIFT_31, _SHIFT_33, _SHIFT_35, _SHIFT_37 = (
    np.uint64(bits) for bits in (27, 29, 31, 33, 35, 37)
)
_FNV_START, _FNV_FACTOR = 0xCBF29CE484222325, 0x100000001B3


def canonical_url_hashes(urls: pa.Array | pa.ChunkedArray) -> Hashes:
    """128 bits of each URL's canonical form, uint64 (N, 2); zeros for what is no URL of http or https, and for null.

    URLs whose forms differ have equal hashes with odds of 1 in 3 * 10^38 a pair, unless somebody constructs them.
    """
    data, offsets = string_buffers(pc.fill_null(urls, ""))
    hashes = np.zeros((len(offsets) - 1, 2), np.uint64)
    _hash_urls(data, offsets, hashes)
    return hashes


def _byte_classes() -> Bytes:
    digits, letters = b"0123456789", b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
    classes = np.zeros(256, np.uint8)
    for flag, members in (
        (_KEPT, digits + letters + b"-._~!$&'()*+,;=:@/?"),
        (_UNRESERVED, digits + letters + b"-._~"),
        (_HOST, digits + letters + b"-._~%" + bytes(range(0x80, 0x100))),
        (_DIGIT, digits),
        (_ALPHANUMERIC, digits + letters),
        (_IPV6, digits + b"abcdefABCDEF:."),
    ):
        classes[np.frombuffer(members, np.uint8)] |= flag
    return classes


def _hex_values() -> npt.NDArray[np.int16]:
    values = np.full(256, -1, np.int16)
    for value, digit in enumerate(b"0123456789abcdef"):
        values[digit] = value
        values[bytes([digit]).upper()[0]] = value
    return values


def _name_hash(name: str) -> int:
    """FNV-1a; which name it is, is decided by it alone: none of the names that occur has the hash of one of ours."""
    value = _FNV_START
    for byte in name.encode("ascii"):
        value = (value ^ byte) * _FNV_FACTOR % (1 << 64)
    return value


def _names() -> tuple[Hashes, Bytes]:
    """Hashes of the names that mean something, ascending, and their kinds."""
    kinds = {
        **dict.fromkeys(DROPPED_NAMES, _DROPPED),
        **dict.fromkeys(SESSION_NAMES, _SESSION),
        PAIRED_NAME: _PAIRED,
        ITS_PAIR: _PAIR,
    }
    by_hash = sorted((_name_hash(name), kind) for name, kind in kinds.items())
    hashes, ordered = zip(*by_hash, strict=True)
    return np.array(hashes, np.uint64), np.array(ordered, np.uint8)


def _bounds(names: Sequence[str]) -> Places:
    return np.cumsum([0, *map(len, names)])


_CLASSES = _byte_classes()
_HEX_VALUES = _hex_values()
_HEX_DIGITS = np.frombuffer(b"0123456789ABCDEF", np.uint8)
_NAME_HASHES, _NAME_KINDS = _names()
_PREFIXES = np.frombuffer("".join(DROPPED_PREFIXES).encode(), np.uint8)
_PREFIX_BOUNDS = _bounds(DROPPED_PREFIXES)
_SESSION_LENGTHS = np.array(SESSION_VALUE_CHARS, np.int64)


@njit(nogil=True, cache=True)
def _hash_urls(data: Bytes, offsets: Offsets, hashes: Hashes) -> None:
    most_bytes = most_arguments = 0
    for row in range(offsets.shape[0] - 1):
        num_arguments = 1
        for i in range(offsets[row], offsets[row + 1]):
            num_arguments += data[i] == _AMPERSAND
        most_arguments = max(most_arguments, num_arguments)
        most_bytes = max(most_bytes, offsets[row + 1] - offsets[row])
    clean = np.empty(most_bytes, np.uint8)
    # every byte may become an escape of three; an empty path becomes a slash
    canonical, arguments = np.empty(3 * most_bytes + 1, np.uint8), np.empty(3 * most_bytes, np.uint8)
    places = np.empty((most_arguments, 3), np.int64)  # start, end of name, end
    orders = np.empty((2, most_arguments), np.int64)
    for row in range(offsets.shape[0] - 1):
        num_bytes = _clean(data, offsets[row], offsets[row + 1], clean)
        size = _canonicalise(clean, num_bytes, canonical, arguments, places, orders)
        if size != _NO_URL:
            hashes[row, 0], hashes[row, 1] = hash_128(canonical, size)


@njit(nogil=True, cache=True)
def hash_128(data: Bytes, size: int) -> tuple[np.uint64, np.uint64]:
    """Two hashes of data[:size] that have nothing in common but the bytes."""
    high, low = _HIGH_2, _LOW_2
    i = 0
    while i < size:
        if i + 8 <= size:
            eight = load_8_bytes(data, i)
        else:
            eight = np.uint64(0)
            for k in range(size - 1, i - 1, -1):
                eight = eight << np.uint64(8) | np.uint64(data[k])
        spread = eight * _HIGH_1
        high = (high << _SHIFT_27 | high >> _SHIFT_37) ^ (spread ^ spread >> _SHIFT_31)
        high *= _HIGH_2
        spread = eight * _LOW_1
        low = (low << _SHIFT_35 | low >> _SHIFT_29) + (spread ^ spread >> _SHIFT_33)
        low *= _LOW_2
        i += 8
    high += np.uint64(size)
    low ^= np.uint64(size)
    return mix(high + mix(low)), mix(low ^ mix(high))


@njit(nogil=True, cache=True)
def _clean(data: Bytes, start: int, end: int, clean: Bytes) -> int:
    """Copy a URL without controls and spaces around it, and without tabs and line breaks within; returns its size."""
    while start < end and data[start] <= 0x20:
        start += 1
    while start < end and data[end - 1] <= 0x20:
        end -= 1
    size = 0
    for i in range(start, end):
        byte = data[i]
        if byte != 0x09 and byte != 0x0A and byte != 0x0D:
            clean[size] = byte
            size += 1
    return size


@njit(nogil=True, cache=True)
def _canonicalise(url: Bytes, end: int, target: Bytes, arguments: Bytes, places: Places, orders: Places) -> int:
    """Write the canonical form of url[:end]; returns its size, or _NO_URL."""
    start = _skip_scheme(url, end)
    if start == _NO_URL:
        return _NO_URL
    fragment = start
    while fragment < end and url[fragment] != _HASH:
        fragment += 1
    query = start
    while query < fragment and url[query] != _QUESTION:
        query += 1
    path = start
    while path < query and url[path] != _SLASH:
        path += 1
    size = _write_authority(url, start, path, target)
    if size == _NO_URL:
        return _NO_URL
    size = _write_path(url, path, query, target, size)
    size = _write_query(url, query + 1, fragment, target, size, arguments, places, orders)
    if fragment + 2 < end and url[fragment + 1] == _BANG:
        target[size] = _HASH
        size = _escape(url, fragment + 1, end, target, size + 1)
    return size


@njit(nogil=True, cache=True)
def _lower(byte: int) -> int:
    return byte | 0x20 if 0x41 <= byte <= 0x5A else byte


@njit(nogil=True, cache=True)
def _skip_scheme(url: Bytes, end: int) -> int:
    if end < 7 or not (
        _lower(url[0]) == 0x68 and _lower(url[1]) == 0x74 and _lower(url[2]) == 0x74 and _lower(url[3]) == 0x70
    ):
        return _NO_URL
    i = 5 if _lower(url[4]) == 0x73 else 4
    if i + 3 > end or url[i] != _COLON or url[i + 1] != _SLASH or url[i + 2] != _SLASH:
        return _NO_URL
    return i + 3


@njit(nogil=True, cache=True)
def _escape(source: Bytes, start: int, end: int, target: Bytes, size: int) -> int:
    """Write source[start:end] with normal escapes behind target[:size]; returns the new size."""
    i = start
    while i < end:
        byte = source[i]
        if byte == _PERCENT and i + 2 < end:
            high, low = _HEX_VALUES[source[i + 1]], _HEX_VALUES[source[i + 2]]
            if high >= 0 and low >= 0:
                byte = np.uint8(16 * high + low)
                i += 3
                if _CLASSES[byte] & _UNRESERVED:
                    target[size] = byte
                    size += 1
                    continue
                target[size], target[size + 1], target[size + 2] = _PERCENT, _HEX_DIGITS[high], _HEX_DIGITS[low]
                size += 3
                continue
        i += 1
        if _CLASSES[byte] & _KEPT:
            target[size] = byte
            size += 1
        else:
            target[size] = _PERCENT
            target[size + 1], target[size + 2] = _HEX_DIGITS[byte >> 4], _HEX_DIGITS[byte & 15]
            size += 3
    return size


@njit(nogil=True, cache=True)
def _write_authority(url: Bytes, start: int, end: int, target: Bytes) -> int:
    for i in range(end - 1, start - 1, -1):
        if url[i] == _AT:
            start = i + 1
            break
    bracketed = start < end and url[start] == _BRACKET
    host_end = start
    if bracketed:
        host_end += 1
        while host_end < end and _CLASSES[url[host_end]] & _IPV6:
            host_end += 1
        if host_end == start + 1 or host_end == end or url[host_end] != 0x5D:  # ]
            return _NO_URL
        host_end += 1
    else:
        while host_end < end and _CLASSES[url[host_end]] & _HOST:
            host_end += 1
    if host_end < end and url[host_end] != _COLON:
        return _NO_URL
    port_start = min(host_end + 1, end)
    port = 0
    for i in range(port_start, end):
        if not _CLASSES[url[i]] & _DIGIT:
            return _NO_URL
        port = min(10 * port + url[i] - 0x30, 1 << 20)
    if port > 0xFFFF:
        return _NO_URL
    while port_start < end and url[port_start] == 0x30:
        port_start += 1

    if bracketed:
        for i in range(start, host_end):
            target[i - start] = _lower(url[i])
        size = host_end - start
    else:
        size = _write_host(url, start, host_end, target)
    if size <= 0:
        return _NO_URL
    if port != 0 and port != 80 and port != 443:
        target[size] = _COLON
        size += 1
        for i in range(port_start, end):
            target[size] = url[i]
            size += 1
    return size


@njit(nogil=True, cache=True)
def _write_host(url: Bytes, start: int, end: int, target: Bytes) -> int:
    size = _escape(url, start, end, target, 0)
    i = 0
    while i < size:
        byte = target[i]
        target[i] = _lower(byte)
        i += 3 if byte == _PERCENT else 1
    while size > 0 and target[size - 1] == _DOT:
        size -= 1
    first = 0
    while True:
        behind = _skip_www(target, first, size)
        if behind == first:
            break
        first = behind
    for i in range(first, size):
        target[i - first] = target[i]
    return size - first


@njit(nogil=True, cache=True)
def _skip_www(host: Bytes, start: int, end: int) -> int:
    """Where the host goes on behind `www.` or `www2.`, where a domain of two labels follows; else `start`."""
    if end - start < 4 or host[start] != 0x77 or host[start + 1] != 0x77 or host[start + 2] != 0x77:
        return start
    i = start + 3
    while i < end and _CLASSES[host[i]] & _DIGIT:
        i += 1
    if i + 1 >= end or host[i] != _DOT or host[i + 1] == _DOT:
        return start
    for k in range(i + 2, end):
        if host[k] == _DOT:
            return i + 1
    return start


@njit(nogil=True, cache=True)
def _write_path(url: Bytes, start: int, end: int, target: Bytes, size: int) -> int:
    """Append the path url[start:end], which begins with a slash or is empty."""
    base = size
    i = start
    while i < end:  # at a slash
        segment_end = i + 1
        while segment_end < end and url[segment_end] != _SLASH:
            segment_end += 1
        target[size] = _SLASH
        step = size + 1
        step_end = _escape(url, i + 1, segment_end, target, step)
        step_end = _drop_parameters(target, step, step_end)
        if step_end - step == 2 and target[step] == _DOT and target[step + 1] == _DOT:
            while size > base and target[size - 1] != _SLASH:
                size -= 1
            size = max(size - 1, base)
        elif not (step_end - step == 1 and target[step] == _DOT) and not _is_session_step(target, step, step_end):
            size = step_end
        i = segment_end
    while size > base and target[size - 1] == _SLASH:
        size -= 1
    if size == base:
        target[size] = _SLASH
        size += 1
    return size


@njit(nogil=True, cache=True)
def _drop_parameters(text: Bytes, start: int, end: int) -> int:
    """Take tracking and sessions out of a step with parameters (`name;parameter=value`); returns its new end."""
    i = start
    while i < end and text[i] != _SEMICOLON:
        i += 1
    size = i
    while i < end:  # at a semicolon
        parameter_end = i + 1
        while parameter_end < end and text[parameter_end] != _SEMICOLON:
            parameter_end += 1
        kind = _kind_of(text, i + 1, _name_end(text, i + 1, parameter_end), parameter_end)
        if kind in (_ORDINARY, _PAIRED):
            for k in range(i, parameter_end):
                text[size] = text[k]
                size += 1
        i = parameter_end
    return size


@njit(nogil=True, cache=True)
def _is_session_step(text: Bytes, start: int, end: int) -> bool:
    """`(S(`, 24 letters and digits, `))`."""
    if (
        end - start != 29
        or text[start] != 0x28
        or _lower(text[start + 1]) != 0x73
        or text[start + 2] != 0x28
        or text[end - 2] != 0x29
        or text[end - 1] != 0x29
    ):
        return False
    i = start + 3
    while i < end - 2 and _CLASSES[text[i]] & _ALPHANUMERIC:
        i += 1
    return i == end - 2


@njit(nogil=True, cache=True)
def _name_end(text: Bytes, start: int, end: int) -> int:
    while start < end and text[start] != _EQUALS:
        start += 1
    return start


@njit(nogil=True, cache=True)
def _write_query(
    url: Bytes, start: int, end: int, target: Bytes, size: int, arguments: Bytes, places: Places, orders: Places
) -> int:
    num_arguments = argument_end = 0
    paired = False
    i = start
    while i < end:
        raw_end = i
        while raw_end < end and url[raw_end] != _AMPERSAND:
            raw_end += 1
        if raw_end > i:
            argument = argument_end
            argument_end = _escape(url, i, raw_end, arguments, argument)
            name_end = _name_end(arguments, argument, argument_end)
            kind = _kind_of(arguments, argument, name_end, argument_end)
            paired |= kind == _PAIR
            if kind in (_ORDINARY, _PAIRED):
                places[num_arguments, 0], places[num_arguments, 1] = argument, name_end
                places[num_arguments, 2] = argument_end
                num_arguments += 1
            else:
                argument_end = argument
        i = raw_end + 1

    separator = _QUESTION
    turn = _sort_by_name(arguments, places, orders, num_arguments)
    for k in range(num_arguments):
        start, name_end, end = places[orders[turn, k]]
        if paired and _kind_of(arguments, start, name_end, end) == _PAIRED:
            continue
        target[size] = separator
        target[size + 1 : size + 1 + end - start] = arguments[start:end]
        size += 1 + end - start
        separator = _AMPERSAND
    return size


@njit(nogil=True, cache=True)
def _sort_by_name(text: Bytes, places: Places, orders: Places, count: int) -> int:
    """Stable merge sort of the arguments; returns in which of the two orders the result is."""
    for k in range(count):
        orders[0, k] = k
    turn, width = 0, 1
    while width < count:
        for left in range(0, count, 2 * width):
            middle, right = min(left + width, count), min(left + 2 * width, count)
            i, j = left, middle
            for k in range(left, right):
                if j == right or (i < middle and not _is_before(text, places, orders[turn, j], orders[turn, i])):
                    orders[1 - turn, k] = orders[turn, i]
                    i += 1
                else:
                    orders[1 - turn, k] = orders[turn, j]
                    j += 1
        turn, width = 1 - turn, 2 * width
    return turn


@njit(nogil=True, cache=True)
def _is_before(text: Bytes, places: Places, one: int, other: int) -> bool:
    """Whether the name of one argument sorts before that of the other, by bytes."""
    i, i_end = places[one, 0], places[one, 1]
    j, j_end = places[other, 0], places[other, 1]
    while i < i_end and j < j_end:
        if text[i] != text[j]:
            return bool(text[i] < text[j])
        i += 1
        j += 1
    return bool(i == i_end and j < j_end)


@njit(nogil=True, cache=True)
def _kind_of(text: Bytes, start: int, name_end: int, end: int) -> int:
    """What the argument text[start:end] is, whose name ends at `name_end`."""
    while name_end - start >= 4 and (
        text[start] == 0x61 and text[start + 1] == 0x6D and text[start + 2] == 0x70 and text[start + 3] == _SEMICOLON
    ):
        start += 4
    for each in range(_PREFIX_BOUNDS.shape[0] - 1):
        first, last = _PREFIX_BOUNDS[each], _PREFIX_BOUNDS[each + 1]
        if name_end - start >= last - first:
            k = first
            while k < last and _PREFIXES[k] == _lower(text[start + k - first]):
                k += 1
            if k == last:
                return _DROPPED
    value = np.uint64(_FNV_START)
    for i in range(start, name_end):
        value = (value ^ np.uint64(_lower(text[i]))) * np.uint64(_FNV_FACTOR)
    at = np.searchsorted(_NAME_HASHES, value)
    if at == _NAME_HASHES.shape[0] or _NAME_HASHES[at] != value:
        return _ORDINARY
    kind = int(_NAME_KINDS[at])
    if kind == _SESSION:
        return _DROPPED if _is_session_value(text, name_end + 1, end) else _ORDINARY
    return kind


@njit(nogil=True, cache=True)
def _is_session_value(text: Bytes, start: int, end: int) -> bool:
    usual, has_digit = False, False
    for length in _SESSION_LENGTHS:
        usual |= end - start == length
    if not usual:
        return False
    for i in range(start, end):
        if not _CLASSES[text[i]] & _ALPHANUMERIC:
            return False
        has_digit |= _CLASSES[text[i]] & _DIGIT != 0
    return has_digit
