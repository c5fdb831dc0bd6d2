"""Words as a tokenizer of written language cuts them: punctuation stands apart.

Nearly what spaCy's rules for English (`spacy.blank("en")`, which datatrove 0.10 counts words with) make of a text,
without its lists of exceptions:

A *mark* is a punctuation mark or a symbol; all else but whitespace is of words. A word is a run of such characters, a
mark, or a run of one and the same of ``. - / | \\ ^ ~ @``; such a run, other than of several dots, begins the word that
follows where it stands between whitespace and this (``/etc``, ``-1``, ``.htaccess``). Marks between two characters of
words do not end a word (``3.14``, ``1,000``, ``a.b@c.org``, ``10:30``, ``word(s``), but for these: a hyphen between two
letters or two digits; a dash, tilde or comma between two letters; one of ``: < > = /`` before a letter; a dot between a
small and a capital letter; and, also among several marks, ``..``, ``--``, ``…``, pictures and the like. A dot after a
single letter belongs to it (``J.``, ``U.S.``). English contractions are cut before ``n't``, ``'s``, ``'d``, ``'m``,
``'re``, ``'ve`` and ``'ll``. From ``://`` on, and in what begins with ``www.``, nothing ends a word but whitespace, and
the marks before that.
"""

from numba import njit

from pipeline_lib.kernels.arrow import Bytes
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, DECIMAL, PUNCTUATION, SPACE, Classes
from pipeline_lib.kernels.utf8 import code_point_at, count_ascii_alphanumerics, load_8_bytes

# Ranges of symbols besides what the tables call punctuation: what is no letter or digit there is a mark.
_SYMBOLS = (
    *((0xA1, 0xA7), (0xA9, 0xA9), (0xAE, 0xAE), (0xB0, 0xB0), (0xB7, 0xB7), (0xBF, 0xBF), (0x2010, 0x2027)),
    *((0x2030, 0x205E), (0x20A0, 0x20CF), (0x2100, 0x2BFF), (0x2E00, 0x303F), (0xFE30, 0xFE6F), (0x1F000, 0x1FAFF)),
)
# Symbols that stand apart even within a word: `…`, broken bar, copyright, registered, degree, arrows and pictures.
_APART = (
    (0x2026, 0x2026),
    (0xA6, 0xA6),
    (0xA9, 0xA9),
    (0xAE, 0xAE),
    (0xB0, 0xB0),
    (0x2190, 0x2BFF),
    (0x1F000, 0x1FAFF),
)

_APOSTROPHES = (0x27, 0x2019)
_COMMA, _HYPHEN, _DOT, _SLASH, _COLON = 0x2C, 0x2D, 0x2E, 0x2F, 0x3A
_DASHES = (0x2013, 0x2014, 0x7E)  # – — ~
_CUT_BEFORE_LETTERS = (0x3A, 0x3C, 0x3E, 0x3D, 0x2F)  # : < > = /
_RUNS = (0x2E, 0x2D, 0x2F, 0x7C, 0x5C, 0x5E, 0x7E, 0x40)  # . - / | \ ^ ~ @


@njit(nogil=True, cache=True, inline="always")  # a call for each word costs a tenth of the time
def next_word(data: Bytes, i: int, end: int, classes: Classes) -> tuple[int, int]:
    """The first word in [i, end): where it starts and ends; (end, end) where there is none.

    `i` is the start of the text, or the end of the word before.
    """
    searched_from = i
    first, width = 0x20, 0
    while i < end:
        first, width = code_point_at(data, i)
        if not classes[first] & SPACE:
            break
        i += width
    if i == end:
        return end, end

    start = i
    if _is_mark(first, classes):
        i += width
        if first in _APOSTROPHES:
            return start, i + _contraction(data, i, end, classes)
        if first not in _RUNS:
            return start, i
        while i < end and data[i] == first:
            i += 1
        several_dots = first == _DOT and i - start > 1
        if start == searched_from or several_dots or not _is_of_word(data, i, end, classes):
            return start, i
        first, width = code_point_at(data, i)

    before, before_start = first, i  # the last character of words, and where it starts
    i += width
    while i < end:
        if i + 8 <= end:
            num_plain = count_ascii_alphanumerics(load_8_bytes(data, i))
            if num_plain:
                i += num_plain
                before_start = i - 1
                before, _ = code_point_at(data, before_start)
                if num_plain == 8:
                    continue
        mark, width = code_point_at(data, i)
        if classes[mark] & SPACE:
            break
        if not _is_mark(mark, classes):
            before, before_start = mark, i
            i += width
            continue

        # marks [i, j), followed by a character of words or not
        j, apart = i, False
        previous = 0
        while j < end:
            after, after_width = code_point_at(data, j)
            if not _is_mark(after, classes):
                break
            apart = apart or _stands_apart(after) or (after == previous and after in (_DOT, _HYPHEN))
            previous = after
            j += after_width
        if mark == _COLON and j - i >= 3 and data[i + 1] == _SLASH and data[i + 2] == _SLASH:
            return start, _end_of_address(data, i + 3, end, classes)
        if not _is_of_word(data, j, end, classes):
            after_letter = mark == _DOT and not apart and classes[before] & ALPHABETIC
            if after_letter and (before_start == start or data[before_start - 1] == _DOT):
                i += 1
            break
        if apart:
            break
        after, after_width = code_point_at(data, j)
        if j - i == width:  # one mark
            if mark in _APOSTROPHES:
                ends_with_t = (after | 0x20) == 0x74 and not _is_of_word(data, j + 1, end, classes)
                if ends_with_t and (before | 0x20) == 0x6E:  # n't
                    return (start, before_start) if before_start > start else (start, j + 1)
                if _contraction(data, j, end, classes):
                    break
            elif mark == _DOT and i - start == 3 and _is_www(data, start):
                return start, _end_of_address(data, j, end, classes)
            elif _cuts(before, mark, after, classes):
                break
        before, before_start = after, j
        i = j + after_width
    return start, i


@njit(nogil=True, cache=True)
def _is_mark(code_point: int, classes: Classes) -> bool:
    kind = classes[code_point]
    if kind & PUNCTUATION:
        return not kind & SPACE
    if code_point < 0xA1 or kind & (ALPHABETIC | DECIMAL | SPACE):
        return False
    return _is_within(code_point, _SYMBOLS)


@njit(nogil=True, cache=True)
def _stands_apart(code_point: int) -> bool:
    return code_point >= 0xA6 and _is_within(code_point, _APART)


@njit(nogil=True, cache=True)
def _is_within(code_point: int, ranges: tuple[tuple[int, int], ...]) -> bool:
    for first, last in ranges:  # noqa: SIM110 (numba compiles no generator expressions)
        if first <= code_point <= last:
            return True
    return False


@njit(nogil=True, cache=True)
def _is_of_word(data: Bytes, i: int, end: int, classes: Classes) -> bool:
    """Whether a character of words stands at `i`."""
    if i >= end:
        return False
    code_point, _ = code_point_at(data, i)
    return not classes[code_point] & SPACE and not _is_mark(code_point, classes)


@njit(nogil=True, cache=True)
def _cuts(before: int, mark: int, after: int, classes: Classes) -> bool:
    """Whether a single mark between two characters of words ends the first."""
    in_both = classes[before] & classes[after]
    if mark == _HYPHEN:
        return bool(in_both & (ALPHABETIC | DECIMAL) != 0)
    if mark == _COMMA or mark in _DASHES:
        return bool(in_both & ALPHABETIC != 0)
    if mark in _CUT_BEFORE_LETTERS:
        return bool(classes[after] & ALPHABETIC != 0)
    return mark == _DOT and 0x61 <= before <= 0x7A and 0x41 <= after <= 0x5A


@njit(nogil=True, cache=True)
def _contraction(data: Bytes, i: int, end: int, classes: Classes) -> int:
    """Letters of the contraction that stands at `i`, after an apostrophe: s, d, m, re, ve, ll; 0 where none does."""
    if i >= end:
        return 0
    first = data[i] | 0x20
    if first in (0x73, 0x64, 0x6D):
        return 0 if _is_of_word(data, i + 1, end, classes) else 1
    second = data[i + 1] | 0x20 if i + 1 < end else 0
    if (first in (0x72, 0x76) and second == 0x65) or (first == 0x6C and second == 0x6C):
        return 0 if _is_of_word(data, i + 2, end, classes) else 2
    return 0


@njit(nogil=True, cache=True)
def _is_www(data: Bytes, i: int) -> bool:
    return bool(data[i] | 0x20 == 0x77 and data[i + 1] | 0x20 == 0x77 and data[i + 2] | 0x20 == 0x77)


@njit(nogil=True, cache=True)
def _end_of_address(data: Bytes, i: int, end: int, classes: Classes) -> int:
    """The end of what stands between `i` and the next whitespace, without the marks before that."""
    stop = i
    while i < end:
        code_point, width = code_point_at(data, i)
        if classes[code_point] & SPACE:
            break
        i += width
        if not _is_mark(code_point, classes):
            stop = i
    return stop
