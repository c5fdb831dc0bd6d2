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
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, END_MARK, PUNCTUATION, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, code_point_before, frozen, skip_space, skip_word

_NEWLINE = 0x0A
_DOT = 0x2E
_CLOSING = (0x22, 0x27, 0x29, 0x5D, 0x7D, 0xBB, 0x2019, 0x201D)  # " ' ) ] } » ’ ”


def count_sentences(data: Bytes, offsets: Offsets) -> npt.NDArray[np.int64]:
    """Sentences of each text, shape (texts,)."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    _count_sentences(*frozen(data, offsets), character_classes(), counts)
    return counts


@njit(nogil=True, cache=True)
def _count_sentences(data: Bytes, offsets: Offsets, classes: Classes, counts: npt.NDArray[np.int64]) -> None:
    for text in range(offsets.shape[0] - 1):
        end = offsets[text + 1]
        i = skip_space(data, offsets[text], end, classes)
        num_sentences = int(i < end)
        ended = False
        while i < end:
            word_end = skip_word(data, i, end, classes)
            if _shows_more_than_punctuation(data, i, word_end, classes):
                num_sentences += ended
                ended = False
            ended = ended or _ends_sentence(data, i, word_end, classes)
            i = skip_space(data, word_end, end, classes)
            if i < end and _has_newline(data, word_end, i):
                num_sentences += 1
                ended = False
        counts[text] = num_sentences


@njit(nogil=True, cache=True)
def _has_newline(data: Bytes, start: int, end: int) -> bool:
    for i in range(start, end):  # noqa: SIM110 (numba compiles no generator expressions)
        if data[i] == _NEWLINE:
            return True
    return False


@njit(nogil=True, cache=True)
def _shows_more_than_punctuation(data: Bytes, start: int, end: int, classes: Classes) -> bool:
    while start < end:
        code_point, width = code_point_at(data, start)
        if not classes[code_point] & PUNCTUATION:
            return True
        start += width
    return False


@njit(nogil=True, cache=True)
def _ends_sentence(data: Bytes, start: int, end: int, classes: Classes) -> bool:
    """Whether the word [start, end) ends a sentence if another follows."""
    last, width = code_point_before(data, end)
    while last in _CLOSING:
        end -= width
        if end == start:
            return False
        last, width = code_point_before(data, end)
    if not classes[last] & END_MARK:
        return False
    end -= width
    if last != _DOT or end == start:
        return True
    before, width = code_point_before(data, end)
    if before == _DOT:
        return False
    end -= width
    if not classes[before] & ALPHABETIC:
        return True
    if end == start:
        return False
    before_letter, _ = code_point_before(data, end)
    return not classes[before_letter] & PUNCTUATION
