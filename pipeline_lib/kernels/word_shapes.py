"""What words look like, as Dolma and NeMo Curator count it for their variants of Gopher's rules."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, frozen, hash_bytes
from pipeline_lib.kernels.word_bounds import next_word
from pipeline_lib.kernels.words import WordDefinition

Counts = npt.NDArray[np.int64]  # shape (texts,)

_HASH_SIGN = 0x23
_ELLIPSIS = 0x2026
# The words that Curator takes for an ellipsis.
_MARKS = [mark.encode() for mark in ("...", "…", "-»", "[...]", "(...)", "[…]")]
_ELLIPSES = np.frombuffer(b"".join(_MARKS), np.uint8)
_ELLIPSES_ENDS = np.cumsum([len(mark) for mark in _MARKS])
_FIRST_OF_ELLIPSES = (0x2E, 0xE2, 0x2D, 0x5B, 0x28)


@dataclass(frozen=True, kw_only=True)
class WordShapes:
    """One value a text."""

    num_words: Counts
    num_chars: Counts  # of all words
    longest_chars: Counts  # of the longest word
    median_chars: npt.NDArray[np.float64]  # half-way between the middle two of an even number; 0 without words
    num_alphabetic_words: Counts  # words with an alphabetic character
    num_listed_words: Counts  # words that are one of the listed, each occurrence counted
    num_symbol_words: Counts  # words with `#` or `…` anywhere
    num_mark_words: Counts  # ellipses, and words with more runs of `#` than half their characters


def word_shapes(
    data: Bytes, offsets: Offsets, listed_words: Sequence[str], words: WordDefinition = "whitespace"
) -> WordShapes:
    """Measure the words of each text; `listed_words` are matched exactly, case included."""
    listed = sorted({word.encode() for word in listed_words})
    listed_data, listed_offsets = frozen(
        np.frombuffer(b"".join(listed), np.uint8), np.cumsum([0, *map(len, listed)], dtype=np.int64)
    )
    counts = np.zeros((7, len(offsets) - 1), np.int64)
    medians = np.zeros(len(offsets) - 1, np.float64)
    _measure_words(
        *frozen(data, offsets), character_classes(), words == "punct", listed_data, listed_offsets, counts, medians
    )
    return WordShapes(
        num_words=counts[0],
        num_chars=counts[1],
        longest_chars=counts[2],
        median_chars=medians,
        num_alphabetic_words=counts[3],
        num_listed_words=counts[4],
        num_symbol_words=counts[5],
        num_mark_words=counts[6],
    )


@njit(nogil=True, cache=True)
def _measure_words(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    punct: bool,
    listed_data: Bytes,
    listed_offsets: Offsets,
    counts: npt.NDArray[np.int64],
    medians: npt.NDArray[np.float64],
) -> None:
    num_listed = listed_offsets.shape[0] - 1
    listed_hashes = np.empty(num_listed, np.uint64)
    longest_listed = 0
    for k in range(num_listed):
        listed_hashes[k] = hash_bytes(listed_data, listed_offsets[k], listed_offsets[k + 1])
        longest_listed = max(longest_listed, listed_offsets[k + 1] - listed_offsets[k])
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    lengths = np.empty(max_bytes, np.int32)

    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_words = num_chars = longest = num_alphabetic = num_found = num_symbol_words = num_mark_words = 0
        while True:
            start, i, word_chars = next_word(data, i, end, classes, punct)
            if word_chars == 0:
                break
            lengths[num_words] = word_chars
            num_words += 1
            num_chars += word_chars
            longest = max(longest, word_chars)
            alphabetic, num_hash_runs, has_symbol = _read_word(data, start, i, classes)
            num_alphabetic += alphabetic
            num_symbol_words += has_symbol
            num_mark_words += 2 * num_hash_runs > word_chars or _is_ellipsis(data, start, i)
            if i - start <= longest_listed:
                word_hash = hash_bytes(data, start, i)
                for k in range(num_listed):
                    num_found += word_hash == listed_hashes[k]
        counts[0, text] = num_words
        counts[1, text] = num_chars
        counts[2, text] = longest
        counts[3, text] = num_alphabetic
        counts[4, text] = num_found
        counts[5, text] = num_symbol_words
        counts[6, text] = num_mark_words
        if num_words:
            low = _length_at(lengths, num_words, (num_words - 1) // 2, longest)
            high = _length_at(lengths, num_words, num_words // 2, longest)
            medians[text] = (low + high) / 2


@njit(nogil=True, cache=True)
def _read_word(data: Bytes, start: int, end: int, classes: Classes) -> tuple[bool, int, bool]:
    """Whether a word has an alphabetic character, its runs of `#`, and whether it has `#` or `…`."""
    alphabetic = has_ellipsis = False
    num_hash_runs = 0
    after_hash = False
    i = start
    while i < end:
        code_point, width = code_point_at(data, i)
        alphabetic |= classes[code_point] & ALPHABETIC != 0
        has_ellipsis |= code_point == _ELLIPSIS
        is_hash = code_point == _HASH_SIGN
        num_hash_runs += is_hash and not after_hash
        after_hash = is_hash
        i += width
    return alphabetic, num_hash_runs, has_ellipsis or num_hash_runs > 0


@njit(nogil=True, cache=True)
def _is_ellipsis(data: Bytes, start: int, end: int) -> bool:
    """Whether a word is one of the ellipses: of 3 or 5 bytes all, and none begins with a letter or digit."""
    length = end - start
    if length not in (3, 5) or data[start] not in _FIRST_OF_ELLIPSES:
        return False
    for mark in range(len(_ELLIPSES_ENDS)):
        mark_start = _ELLIPSES_ENDS[mark - 1] if mark else 0
        if _ELLIPSES_ENDS[mark] - mark_start == length:
            k = 0
            while k < length and data[start + k] == _ELLIPSES[mark_start + k]:
                k += 1
            if k == length:
                return True
    return False


@njit(nogil=True, cache=True)
def _length_at(lengths: npt.NDArray[np.int32], num_words: int, rank: int, longest: int) -> int:
    """The length that stands at `rank`, from 0, of all lengths in order: found by halving, without sorting them."""
    low, high = 1, longest
    while low < high:
        middle = (low + high) // 2
        num_up_to = 0
        for k in range(num_words):
            num_up_to += lengths[k] <= middle
        if num_up_to > rank:
            high = middle
        else:
            low = middle + 1
    return low
