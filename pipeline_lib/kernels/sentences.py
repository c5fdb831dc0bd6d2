"""How many sentences a text has.

The rule, chosen to be one that a reader can apply by eye, needs no language model, and counts nearly as spaCy's
sentencizer does (which datatrove asks): within a line, a sentence ends with a word whose last character, closing quotes
and brackets aside, is an end mark, if a word with more than punctuation follows. A dot is no end mark after another
dot (`...`), nor after a single letter (`J.`, `e.g.`, `U.S.`); two capitals (`USA.`) are no single letter. A line of
anything but whitespace is at least one sentence; lines are what stands between `\\n`.

Known limits: `Mr. Smith` is two sentences, and scripts that put no space after a full stop have one sentence a line.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, END_MARK, PUNCTUATION, SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, count_ascii_alphanumerics, frozen, load_8_bytes

_NEWLINE = 0x0A
_DOT = 0x2E
_NONE = -1
_CLOSING = (0x22, 0x27, 0x29, 0x5D, 0x7D, 0xBB, 0x2019, 0x201D)  # " ' ) ] } » ’ ”


def count_sentences(data: Bytes, offsets: Offsets) -> npt.NDArray[np.int64]:
    """Sentences of each text, shape (texts,)."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    _count_sentences(*frozen(data, offsets), character_classes(), counts)
    return counts


@njit(nogil=True, cache=True)
def _count_sentences(data: Bytes, offsets: Offsets, classes: Classes, counts: npt.NDArray[np.int64]) -> None:
    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_sentences = 0
        ended = False  # the line has ended a sentence, and shown no word since
        new_line = True
        in_word = plain = False
        last = before = before_that = _NONE  # of the word: last character but closing ones, and the two before that
        previous = previous_but_one = _NONE  # characters of the word, closing ones too
        while i <= end:
            if in_word and i + 8 <= end:
                num_plain = count_ascii_alphanumerics(load_8_bytes(data, i))
                if num_plain > 2:  # at one step as if each had been looked at
                    plain = True
                    i += num_plain
                    last, _ = code_point_at(data, i - 1)
                    before, _ = code_point_at(data, i - 2)
                    before_that, _ = code_point_at(data, i - 3)
                    previous, previous_but_one = last, before
                    continue
            code_point, width = _NEWLINE, 1
            if i < end:
                code_point, width = code_point_at(data, i)
            i += width
            kind = classes[code_point]
            if not kind & SPACE:
                if not in_word:
                    in_word, plain = True, False
                    last = before = before_that = previous = previous_but_one = _NONE
                plain = plain or not kind & PUNCTUATION
                if code_point not in _CLOSING:
                    last, before, before_that = code_point, previous, previous_but_one
                previous, previous_but_one = code_point, previous
                continue
            if in_word:
                in_word = False
                if new_line or (ended and plain):
                    num_sentences += 1
                    ended = False
                new_line = False
                ended = ended or _ends_sentence(last, before, before_that, classes)
            if code_point == _NEWLINE:
                new_line, ended = True, False
        counts[text] = num_sentences


@njit(nogil=True, cache=True)
def _ends_sentence(last: int, before: int, before_that: int, classes: Classes) -> bool:
    """Whether a word ends a sentence if another follows; by its last character but closing ones, and those before."""
    if last == _NONE or not classes[last] & END_MARK:
        return False
    if last != _DOT or before == _NONE:
        return True
    if before == _DOT:
        return False
    if not classes[before] & ALPHABETIC:
        return True
    return before_that != _NONE and not classes[before_that] & PUNCTUATION
