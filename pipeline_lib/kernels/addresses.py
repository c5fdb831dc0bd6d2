"""Where a text may hold an e-mail or internet address: spans that `privacy.addresses` then looks at one by one.

All is ASCII; other bytes end an address, as they do in Chinese text without spaces. Time is linear in bytes, whatever
they are: no byte is looked at by more than a bounded number of spans.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets

Spans = npt.NDArray[np.int64]  # (spans, 3): row; start and end in bytes from the start of the row's text

_MAX_LOCAL, _MAX_DOMAIN = 64, 253  # bytes: RFC 5321 4.5.3.1, RFC 1035 2.3.4
_MAX_IPV6 = 45  # bytes of the longest spelling, RFC 4291 2.2
_WORD, _DIGIT, _HEX, _LOCAL, _DOMAIN = 1, 2, 4, 8, 16


def _byte_classes() -> Bytes:
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    digits = "0123456789"
    classes = np.zeros(256, np.uint8)
    for flag, characters in (
        (_WORD, letters + digits + "_"),
        (_DIGIT, digits),
        (_HEX, digits + "abcdefABCDEF"),
        # of what RFC 5322 allows before the @, what addresses have: the rest is quotation, markup or code around them
        (_LOCAL, letters + digits + "._%+-'&"),
        (_DOMAIN, letters + digits + ".-"),
    ):
        for character in characters:
            classes[ord(character)] |= flag
    return classes


_CLASSES = _byte_classes()


@njit(nogil=True, cache=True)
def find_emails(data: Bytes, offsets: Offsets) -> Spans:
    """An @ with what may be a local part of 1 to 64 bytes before it and a domain of two labels behind it.

    Spans may overlap where one @ follows another.
    """
    spans, num_spans = np.empty((64, 3), np.int64), 0
    for row in range(offsets.shape[0] - 1):
        start, end = offsets[row], offsets[row + 1]
        for at in range(start, end):
            if data[at] != 64:  # @
                continue
            first = at
            while first > start and at - first <= _MAX_LOCAL and _CLASSES[data[first - 1]] & _LOCAL:
                first -= 1
            if first == at or at - first > _MAX_LOCAL:
                continue
            last, dotted = at + 1, False
            while last < end and last - at <= _MAX_DOMAIN and _CLASSES[data[last]] & _DOMAIN:
                dotted |= data[last] == 46 and last > at + 1  # .
                last += 1
            if dotted:
                spans = _append(spans, num_spans, row, first - start, last - start)
                num_spans += 1
    return spans[:num_spans]


@njit(nogil=True, cache=True)
def find_ipv4(data: Bytes, offsets: Offsets) -> Spans:
    """Four numbers of one to three digits with dots between, that are no part of a word or of a longer such chain."""
    spans, num_spans = np.empty((64, 3), np.int64), 0
    for row in range(offsets.shape[0] - 1):
        start, end = offsets[row], offsets[row + 1]
        at = start
        while at < end:
            if not _CLASSES[data[at]] & _DIGIT:
                at += 1
                continue
            first, last, num_dots, digits, longest = at, at, 0, 0, 0
            while at < end and (data[at] == 46 or _CLASSES[data[at]] & _DIGIT):
                if data[at] == 46:
                    if data[at - 1] == 46:
                        break
                    num_dots += 1
                    digits = 0
                else:
                    digits += 1
                    longest = max(longest, digits)
                    last = at + 1
                at += 1
            if last < at:
                num_dots -= 1  # the one that ends the sentence
            if num_dots != 3 or longest > 3:
                continue
            if first > start and (data[first - 1] == 46 or _CLASSES[data[first - 1]] & _WORD):
                continue
            if last == at and last < end and _CLASSES[data[last]] & _WORD:
                continue
            spans = _append(spans, num_spans, row, first - start, last - start)
            num_spans += 1
    return spans[:num_spans]


@njit(nogil=True, cache=True)
def find_ipv6(data: Bytes, offsets: Offsets) -> Spans:
    """Up to 45 hexadecimal digits, colons and dots that are no part of a word, with `::` or seven colons."""
    spans, num_spans = np.empty((64, 3), np.int64), 0
    for row in range(offsets.shape[0] - 1):
        start, end = offsets[row], offsets[row + 1]
        at = start
        while at < end:
            if not (data[at] == 58 or _CLASSES[data[at]] & _HEX):
                at += 1
                continue
            first, num_colons, doubled = at, 0, False
            in_word = at > start and _CLASSES[data[at - 1]] & _WORD != 0
            while at < end and (data[at] == 58 or data[at] == 46 or _CLASSES[data[at]] & _HEX):
                if data[at] == 58:
                    doubled |= at > first and data[at - 1] == 58
                    num_colons += 1
                    if in_word:  # the end of a word such as `source:` is no part of the address behind it
                        first, num_colons, in_word = at + 1, 0, False
                at += 1
            last = at
            while last > first and (data[last - 1] == 46 or data[last - 1] == 58):
                last -= 1
            if last + 2 <= at and data[last] == 58 and data[last + 1] == 58:
                last += 2
            if last < end and last == at and _CLASSES[data[last]] & _WORD:
                continue
            if last - first > 1 and data[first] == 58 and data[first + 1] != 58:
                first += 1
                num_colons -= 1
            if (doubled or num_colons == 7) and 2 < last - first <= _MAX_IPV6:
                spans = _append(spans, num_spans, row, first - start, last - start)
                num_spans += 1
    return spans[:num_spans]


@njit(nogil=True, cache=True)
def _append(spans: Spans, num_spans: int, row: int, first: int, last: int) -> Spans:
    if num_spans == spans.shape[0]:
        larger = np.empty((2 * num_spans, 3), np.int64)
        larger[:num_spans] = spans
        spans = larger
    spans[num_spans, 0], spans[num_spans, 1], spans[num_spans, 2] = row, first, last
    return spans
