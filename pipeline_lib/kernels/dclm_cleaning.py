"""Where DCLM's cleaning takes text away: web addresses, internet addresses, and newlines beyond so many in a row.

Each step looks at what the one before left. The matches are those of the regular expressions in DCLM's
`url_removal_modifier`, found from their dots: no backtracking, and time linear in bytes.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.dclm_characters import (
    CharacterClasses,
    CodePoints,
    dclm_classes,
    ignored_case,
    is_word_character,
)
from pipeline_lib.kernels.unicode_tables import SPACE
from pipeline_lib.kernels.utf8 import (
    clear_table,
    code_point_at,
    code_point_before,
    find_or_insert,
    frozen,
    hash_bytes,
    mix,
    table_mask,
)

Spans = npt.NDArray[np.int64]  # (spans, 4): text; start and end in bytes within it; one of the numbers below
URL, IP, NEWLINES = range(3)

_MAX_LABEL_CHARS = 256  # before the dot of the top-level domain
_MAX_SPACES = 10  # before an address
_NEWLINE = 0x0A
_DOT, _COLON, _SLASH = 0x2E, 0x3A, 0x2F
_ZERO, _TWO, _NINE = 0x30, 0x32, 0x39
_LABEL, _REST = 1, 2
_HTTPS = np.frombuffer(b"https", np.uint8)
_HTTP = np.frombuffer(b"http", np.uint8)
_FTP = np.frombuffer(b"ftp", np.uint8)


def _byte_classes() -> Bytes:
    alphanumeric = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
    classes = np.zeros(256, np.uint8)
    for flag, characters in (
        (_LABEL, alphanumeric + "-@:%._+~#="),  # before the top-level domain
        (_REST, alphanumeric + "-@:%._+~#=()?&/"),  # after it
    ):
        for character in characters:
            classes[ord(character)] |= flag
    return classes


_CLASSES = _byte_classes()


class _Domains(NamedTuple):
    """Top-level domains as hash tables."""

    keys: npt.NDArray[np.uint64]  # of their bytes
    folded_keys: npt.NDArray[np.uint64]  # of their code points, whatever the case
    is_byte: npt.NDArray[np.bool_]  # (256,): bytes that begin a character of one
    max_bytes: int
    max_chars: int


def cleaning_spans(
    data: Bytes,
    offsets: Offsets,
    *,
    top_level_domains: Sequence[str],
    remove_urls: bool,
    only_where_domain_begins_text: bool,
    remove_ips: bool,
    max_newlines: int | None,
) -> Spans:
    """The bytes to take away, ordered by text and position; neighbours of one kind are one span; None: no such step."""
    data, offsets = frozen(data, offsets)
    return _find_spans(
        data,
        offsets,
        dclm_classes(),
        ignored_case(),
        _domain_tables(top_level_domains),
        remove_urls,
        only_where_domain_begins_text,
        remove_ips,
        -1 if max_newlines is None else max_newlines,
    )


def _domain_tables(top_level_domains: Sequence[str]) -> _Domains:
    names = sorted(set(top_level_domains))
    encoded = [name.encode() for name in names]
    is_byte = np.zeros(256, np.bool_)
    for name in names:
        for character in name:
            is_byte[character.encode()[0]] = True
    keys, folded_keys = _hash_domains(
        np.frombuffer(b"".join(encoded), np.uint8),
        np.cumsum([0, *map(len, encoded)], dtype=np.int64),
        np.array([ord(character) for name in names for character in name], np.int32),
        np.cumsum([0, *map(len, names)], dtype=np.int64),
        ignored_case(),
    )
    return _Domains(keys, folded_keys, is_byte, max(map(len, encoded), default=0), max(map(len, names), default=0))


@njit(nogil=True, cache=True)
def _hash_domains(
    data: Bytes, offsets: Offsets, code_points: CodePoints, char_offsets: Offsets, folded: CodePoints
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.uint64]]:
    num_domains = offsets.shape[0] - 1
    mask = table_mask(num_domains)
    keys, folded_keys = np.empty(mask + 1, np.uint64), np.empty(mask + 1, np.uint64)
    values = np.empty(mask + 1, np.int32)
    clear_table(keys, mask)
    clear_table(folded_keys, mask)
    for k in range(num_domains):
        find_or_insert(keys, values, mask, hash_bytes(data, offsets[k], offsets[k + 1]), k)
        state = np.uint64(0)
        for i in range(char_offsets[k], char_offsets[k + 1]):
            state = mix(state ^ np.uint64(folded[code_points[i]] + 1))
        find_or_insert(folded_keys, values, mask, state, k)
    return keys, folded_keys


@njit(nogil=True, cache=True)
def _is_in_table(keys: npt.NDArray[np.uint64], key: np.uint64) -> bool:
    mask = keys.shape[0] - 1
    key |= np.uint64(1)
    slot = np.int64(key >> np.uint64(1)) & mask
    while keys[slot] != 0:
        if keys[slot] == key:
            return True
        slot = (slot + 1) & mask
    return False


@njit(nogil=True, cache=True)
def _find_spans(
    data: Bytes,
    offsets: Offsets,
    classes: CharacterClasses,
    folded: CodePoints,
    domains: _Domains,
    remove_urls: bool,
    only_where_domain_begins_text: bool,
    remove_ips: bool,
    max_newlines: int,
) -> Spans:
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    taken_by = np.empty(max_bytes, np.int8)  # by byte of the text: the step that takes it away, or -1
    left = np.empty(max_bytes, np.uint8)  # what steps so far left of the text, and where those bytes stand in it
    places = np.empty(max_bytes, np.int64)
    spans, num_spans = np.empty((64, 4), np.int64), 0

    for text in range(offsets.shape[0] - 1):
        start, num_bytes = offsets[text], offsets[text + 1] - offsets[text]
        for i in range(num_bytes):
            left[i] = data[start + i]
            places[i] = i
            taken_by[i] = -1
        num_left = num_bytes
        if remove_urls and (not only_where_domain_begins_text or _begins_with_domain(left, num_left, folded, domains)):
            _take_urls(left, num_left, classes, domains, places, taken_by)
            num_left = _pack(left, num_left, places, taken_by)
        if remove_ips:
            _take_ips(left, num_left, classes, places, taken_by)
            num_left = _pack(left, num_left, places, taken_by)
        if max_newlines >= 0:
            _take_newlines(left, num_left, max_newlines, places, taken_by)

        i = 0
        while i < num_bytes:
            step = taken_by[i]
            if step < 0:
                i += 1
                continue
            first = i
            while i < num_bytes and taken_by[i] == step:
                i += 1
            if num_spans == spans.shape[0]:
                larger = np.empty((2 * num_spans, 4), np.int64)
                larger[:num_spans] = spans
                spans = larger
            spans[num_spans, 0], spans[num_spans, 1], spans[num_spans, 2] = text, first, i
            spans[num_spans, 3] = step
            num_spans += 1
    return spans[:num_spans]


@njit(nogil=True, cache=True)
def _pack(left: Bytes, num_left: int, places: Offsets, taken_by: npt.NDArray[np.int8]) -> int:
    """Close the gaps that a step made; returns how many bytes are left."""
    target = 0
    while target < num_left and taken_by[places[target]] < 0:
        target += 1
    for i in range(target, num_left):
        if taken_by[places[i]] < 0:
            left[target] = left[i]
            places[target] = places[i]
            target += 1
    return target


@njit(nogil=True, cache=True)
def _begins_with_domain(data: Bytes, end: int, folded: CodePoints, domains: _Domains) -> bool:
    """Whether the first characters spell a top-level domain, in either case."""
    state = np.uint64(0)
    i = num_chars = 0
    while i < end and num_chars < domains.max_chars:
        code_point, width = code_point_at(data, i)
        state = mix(state ^ np.uint64(folded[code_point] + 1))
        if _is_in_table(domains.folded_keys, state):
            return True
        i += width
        num_chars += 1
    return False


@njit(nogil=True, cache=True)
def _take_urls(
    data: Bytes,
    end: int,
    classes: CharacterClasses,
    domains: _Domains,
    places: Offsets,
    taken_by: npt.NDArray[np.int8],
) -> None:
    floor = 0  # where the last address ended
    dot = 0
    while dot < end:
        if data[dot] != _DOT or dot == floor or not _CLASSES[data[dot - 1]] & _LABEL:
            dot += 1
            continue
        after = _after_domain(data, dot, end, classes, domains)
        if after == dot:
            dot += 1
            continue
        label = dot
        while label > floor and dot - label < _MAX_LABEL_CHARS and _CLASSES[data[label - 1]] & _LABEL:
            label -= 1
        # of several such dots, an address takes the last
        last = dot + 1
        while last < end and last - label <= _MAX_LABEL_CHARS and _CLASSES[data[last - 1]] & _LABEL:
            if data[last] == _DOT:
                after_last = _after_domain(data, last, end, classes, domains)
                if after_last > last:
                    after = after_last
            last += 1
        begin = label
        if label == floor or not _CLASSES[data[label - 1]] & _LABEL:
            begin = _skip_spaces_back(data, floor, _scheme_start(data, floor, label), classes)
        while after < end and _CLASSES[data[after]] & _REST:
            after += 1
        for i in range(begin, after):
            taken_by[places[i]] = URL
        floor = dot = after


@njit(nogil=True, cache=True)
def _after_domain(data: Bytes, dot: int, end: int, classes: CharacterClasses, domains: _Domains) -> int:
    """Where the longest top-level domain ends that stands behind the dot and ends with a word; `dot` for none."""
    after = dot
    i = dot + 1
    while i < end and i - dot <= domains.max_bytes and domains.is_byte[data[i]]:
        code_point, width = code_point_at(data, i)
        i += width
        ends_word = is_word_character(code_point, classes)
        if i < end:
            code_point, _ = code_point_at(data, i)
            ends_word = ends_word != is_word_character(code_point, classes)
        if ends_word and _is_in_table(domains.keys, hash_bytes(data, dot + 1, i)):
            after = i
    return after


@njit(nogil=True, cache=True)
def _scheme_start(data: Bytes, floor: int, start: int) -> int:
    """Where `https://`, `http://` or `ftp://` begins that ends at `start`; `start` for none."""
    if start - floor < 6 or data[start - 3] != _COLON or data[start - 2] != _SLASH or data[start - 1] != _SLASH:
        return start
    for scheme in (_HTTPS, _HTTP, _FTP):
        first = start - 3 - len(scheme)
        if first >= floor:
            same = 0
            while same < len(scheme) and data[first + same] == scheme[same]:
                same += 1
            if same == len(scheme):
                return first
    return start


@njit(nogil=True, cache=True)
def _skip_spaces_back(data: Bytes, floor: int, start: int, classes: CharacterClasses) -> int:
    """Where the whitespace before `start` begins, or its last ten characters."""
    for _ in range(_MAX_SPACES):
        if start == floor:
            break
        code_point, width = code_point_before(data, start)
        if not classes[code_point] & SPACE:
            break
        start -= width
    return start


@njit(nogil=True, cache=True)
def _take_ips(
    data: Bytes, end: int, classes: CharacterClasses, places: Offsets, taken_by: npt.NDArray[np.int8]
) -> None:
    floor = 0
    i = 0
    while i < end:
        if not _is_digit(data[i]) or (i > 0 and _is_digit(data[i - 1])):
            i += 1
            continue
        after = _after_ip(data, i, end)
        if after == i or _follows_word(data, i, classes):
            i += 1
            continue
        begin = _scheme_start(data, floor, i)
        if _follows_word(data, begin, classes):
            begin = i
        begin = _skip_spaces_back(data, floor, begin, classes)
        while after < end and _CLASSES[data[after]] & _REST:
            after += 1
        for k in range(begin, after):
            taken_by[places[k]] = IP
        floor = i = after


@njit(nogil=True, cache=True)
def _is_digit(byte: int) -> bool:
    return _ZERO <= byte <= _NINE


@njit(nogil=True, cache=True)
def _follows_word(data: Bytes, i: int, classes: CharacterClasses) -> bool:
    if i == 0:
        return False
    code_point, _ = code_point_before(data, i)
    return is_word_character(code_point, classes)


@njit(nogil=True, cache=True)
def _after_ip(data: Bytes, start: int, end: int) -> int:
    """Behind the first digit of the last of four numbers below 300 with dots between; `start` for none."""
    i = start
    for _ in range(3):
        first = i
        while i < end and i - first < 4 and _is_digit(data[i]):
            i += 1
        num_digits = i - first
        if num_digits == 0 or num_digits > 3 or (num_digits == 3 and data[first] > _TWO):
            return start
        if i >= end or data[i] != _DOT:
            return start
        i += 1
    return i + 1 if i < end and _is_digit(data[i]) else start


@njit(nogil=True, cache=True)
def _take_newlines(data: Bytes, end: int, max_newlines: int, places: Offsets, taken_by: npt.NDArray[np.int8]) -> None:
    num_newlines = 0
    for i in range(end):
        if data[i] != _NEWLINE:
            num_newlines = 0
            continue
        num_newlines += 1
        if num_newlines > max_newlines:
            taken_by[places[i]] = NEWLINES
