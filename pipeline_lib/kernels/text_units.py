"""The lines or paragraphs of texts, what makes two of them the same, and the cuts that take some of them out.

Two units are the same if their words are, as `shingles` sees words: case, accents, punctuation and spacing make no
difference, and a run of digits counts as one `0`. A unit without a word, such as a rule of dashes, is like no other.

Equality is that of 64-bit hashes. They depend on the text alone, and are no defence against someone who constructs
collisions.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.fold_tables import DIGIT, LETTER, SEPARATOR, SEQUENCE, SOLO, FoldTables, fold_tables
from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.kernels.utf8 import code_point_at, frozen, hash_bytes, mix

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

_NEWLINE, _SPACE = 0x0A, np.uint64(0x20)
_NUMBER = np.uint64(0x30)
_FACTOR = np.uint64(0x9E3779B97F4A7C15)  # 2^64 / golden ratio


@dataclass(frozen=True, kw_only=True)
class Units:
    """U units of N texts, in order; what is between them is blank.

    Attributes:
        offsets: int64 (N + 1,): text i has the units offsets[i] .. offsets[i + 1].
        starts, ends: int64 (U,): bytes from the start of the text; a unit begins and ends with a line.
        num_chars: int64 (U,): from the first visible character to the last.
        hashes: uint64 (U,): of the words; 0 where there are none.
    """

    offsets: Places
    starts: Places
    ends: Places
    num_chars: Places
    hashes: Hashes

    def texts(self) -> Places:
        """int64 (U,): which text each is of."""
        return np.repeat(np.arange(len(self.offsets) - 1), np.diff(self.offsets))


@dataclass(frozen=True, kw_only=True)
class Cuts:
    """E byte ranges, one a unit that goes, ordered by text and position, and where they leave nothing.

    Attributes:
        texts: int64 (E,): which text.
        starts, ends: int64 (E,): bytes from its start; what one ends with the next may begin with.
        emptied: bool (N,): texts all of whose units go; they have no cuts.
    """

    texts: Places
    starts: Places
    ends: Places
    emptied: Flags


def text_units(data: Bytes, offsets: Offsets, *, paragraphs: bool) -> Units:
    """The lines that are not blank, or the paragraphs: runs of such lines."""
    data, offsets = frozen(data, offsets)
    unit_offsets, columns, hashes = _find_units(data, offsets, paragraphs, fold_tables())
    starts, ends, num_chars = columns
    return Units(offsets=unit_offsets, starts=starts, ends=ends, num_chars=num_chars, hashes=hashes)


def cut_out(data: Bytes, offsets: Offsets, units: Units, goes: Flags) -> Cuts:
    """Take units out with their line breaks: between what stays is a line break where there was no blank line, else
    one blank line; before the first and behind the last is nothing.

    Args:
        goes: bool (U,): which units.
    """
    data, offsets = frozen(data, offsets)
    emptied = np.zeros(len(offsets) - 1, np.bool_)
    cuts = np.empty((3, np.count_nonzero(goes)), np.int64)
    num_cuts = _cut_units(data, offsets, units.offsets, units.starts, units.ends, goes, cuts, emptied)
    texts, starts, ends = cuts[:, :num_cuts]
    return Cuts(texts=texts, starts=starts, ends=ends, emptied=emptied)


@njit(nogil=True, cache=True)
def _find_units(data: Bytes, offsets: Offsets, paragraphs: bool, tables: FoldTables) -> tuple[Places, Places, Hashes]:
    num_texts = offsets.shape[0] - 1
    most = num_texts
    for i in range(offsets[0], offsets[num_texts]):
        most += data[i] == _NEWLINE
    unit_offsets = np.zeros(num_texts + 1, np.int64)
    columns = np.empty((3, most), np.int64)
    hashes = np.empty(most, np.uint64)
    num_units = 0
    for text in range(num_texts):
        base, end = offsets[text], offsets[text + 1]
        position = base
        open_unit = False
        state, num_chars, first_visible, last_visible = np.uint64(0), 0, 0, 0
        has_word, apart, in_number = False, False, False
        while position < end:
            line = position
            visible = False
            if not (paragraphs and open_unit):
                state, num_chars, first_visible, last_visible = np.uint64(0), 0, 0, 0
                has_word = False
            apart, in_number = True, False
            while position < end and data[position] != _NEWLINE:
                byte = int(data[position])
                if byte < 128:
                    folded = int(tables.ascii[byte])
                    kind = LETTER if folded >= 58 else SEPARATOR if folded == 0 else DIGIT
                    position += 1
                    seen = byte > 0x20
                else:
                    code, width = code_point_at(data, position)
                    kind = int(tables.kinds[code])
                    folded = int(tables.folded[code])
                    position += width
                    seen = True
                num_chars += 1
                if seen:
                    if last_visible == 0:
                        first_visible = num_chars
                    last_visible = num_chars
                    visible = True
                if kind == SEPARATOR:
                    apart, in_number = True, False
                    continue
                if kind == LETTER:
                    if apart:
                        state = (state ^ _SPACE) * _FACTOR
                    state = (state ^ np.uint64(folded)) * _FACTOR
                    has_word, apart, in_number = True, False, False
                elif kind == DIGIT:
                    if not in_number:
                        if apart:
                            state = (state ^ _SPACE) * _FACTOR
                        state = (state ^ _NUMBER) * _FACTOR
                    has_word, apart, in_number = True, False, True
                elif kind == SOLO:
                    state = (((state ^ _SPACE) * _FACTOR) ^ np.uint64(folded)) * _FACTOR
                    has_word, apart, in_number = True, True, False
                elif kind == SEQUENCE:
                    if apart:
                        state = (state ^ _SPACE) * _FACTOR
                    for at in range(folded + 1, folded + 1 + tables.sequences[folded]):
                        state = (state ^ np.uint64(tables.sequences[at])) * _FACTOR
                    has_word, apart, in_number = True, False, False
            if visible:
                if not (paragraphs and open_unit):
                    columns[0, num_units] = line - base
                    num_units += 1
                    open_unit = True
                columns[1, num_units - 1] = position - base
                columns[2, num_units - 1] = last_visible - first_visible + 1
                hashes[num_units - 1] = max(mix(state), np.uint64(1)) if has_word else np.uint64(0)
            else:
                open_unit = False
            position += 1
            num_chars += 1  # the line break, of a paragraph
        unit_offsets[text + 1] = num_units
    return unit_offsets, columns[:, :num_units].copy(), hashes[:num_units].copy()


@njit(nogil=True, cache=True)
def once_a_text(unit_offsets: Places, keys: Hashes, distinct: Hashes, texts: Places) -> int:
    """Write the distinct keys of each text, ascending, and which text they are of; 0 is no key.

    Args:
        unit_offsets: text i has the keys unit_offsets[i] .. unit_offsets[i + 1].
        distinct, texts: room for as many as there are keys.

    Returns:
        How many were written.
    """
    size = 0
    for text in range(unit_offsets.shape[0] - 1):
        first = size
        for unit in range(unit_offsets[text], unit_offsets[text + 1]):
            if keys[unit] != 0:
                distinct[size] = keys[unit]
                size += 1
        distinct[first:size].sort()
        last, size = size, first
        for at in range(first, last):
            if at == first or distinct[at] != distinct[size - 1]:
                distinct[size] = distinct[at]
                texts[size] = text
                size += 1
    return size


@njit(nogil=True, cache=True)
def _cut_units(
    data: Bytes,
    offsets: Offsets,
    unit_offsets: Places,
    starts: Places,
    ends: Places,
    goes: Flags,
    cuts: Places,
    emptied: Flags,
) -> int:
    num_cuts = 0
    for text in range(offsets.shape[0] - 1):
        base = offsets[text]
        first, last = unit_offsets[text], unit_offsets[text + 1]
        unit = first
        while unit < last:
            if not goes[unit]:
                unit += 1
                continue
            run = unit  # of units that go, between one that stays and the next
            while unit < last and goes[unit]:
                unit += 1
            if run == first and unit == last:
                emptied[text] = True
                break
            blank_line = False
            for each in range(run, min(unit + 1, last)):
                if each > first:
                    num_newlines = 0
                    for i in range(base + ends[each - 1], base + starts[each]):
                        num_newlines += data[i] == _NEWLINE
                    blank_line |= num_newlines > 1
            if run == first:
                cut_start = 0
            elif unit == last:
                cut_start = ends[run - 1]
            else:
                cut_start = ends[run - 1] + 1  # its line break stays
            if unit == last:
                cut_end = offsets[text + 1] - base
            elif run > first and blank_line:
                cut_end = starts[unit] - 1  # so does the one before the next: a blank line
            else:
                cut_end = starts[unit]
            for each in range(run, unit):
                cuts[0, num_cuts] = text
                cuts[1, num_cuts] = cut_start if each == run else starts[each]
                cuts[2, num_cuts] = cut_end if each == unit - 1 else starts[each + 1]
                num_cuts += 1
    return num_cuts


def hash_each(data: Bytes, offsets: Offsets) -> Hashes:
    """A hash of each text, uint64 (N,), never 0 but for the empty one."""
    hashes = np.empty(len(offsets) - 1, np.uint64)
    _hash_each(*frozen(data, offsets), hashes)
    return hashes


@njit(nogil=True, cache=True)
def _hash_each(data: Bytes, offsets: Offsets, hashes: Hashes) -> None:
    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        hashes[text] = max(hash_bytes(data, start, end), np.uint64(1)) if start < end else np.uint64(0)


@njit(nogil=True, cache=True)
def scoped_keys(unit_offsets: Places, hashes: Hashes, num_chars: Places, scopes: Hashes, min_chars: int) -> Hashes:
    """What stands for a unit within a scope, uint64 (U,): 0 where the unit has no word or fewer characters than
    `min_chars`, or where the text's scope is 0.

    Args:
        scopes: uint64 (N,): well mixed, or the same for all.
    """
    keys = np.zeros(len(hashes), np.uint64)
    for text in range(unit_offsets.shape[0] - 1):
        if scopes[text] == 0:
            continue
        for unit in range(unit_offsets[text], unit_offsets[text + 1]):
            if hashes[unit] != 0 and num_chars[unit] >= min_chars:
                keys[unit] = max(mix(hashes[unit] ^ scopes[text]), np.uint64(1))
    return keys
