"""Statistics of words, by either definition of a word."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.unicode_tables import ALPHABETIC, PUNCTUATION, SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, count_ascii_alphanumerics, frozen, load_8_bytes

Counts = npt.NDArray[np.int64]  # shape (texts,)

# `whitespace`: what str.split gives. `punct`: what `punct_words` says, with punctuation marks as words of their own.
WordDefinition = Literal["whitespace", "punct"]

_LETTER_BITS = np.uint64(0x4040404040404040)  # that digits do not have
_HASH_SIGN = 0x23
_DOT = 0x2E
_ELLIPSIS = 0x2026
_EMPTY_HASH = np.uint64(0xCBF29CE484222325)
_ODD = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True, kw_only=True)
class WordStatistics:
    """One value a text."""

    num_words: Counts
    num_plain_words: Counts  # words with a character that is no punctuation
    plain_word_chars: Counts  # characters of those, their punctuation included
    num_alphabetic_words: Counts  # words with an alphabetic character
    num_listed_words: Counts  # how many of the listed words occur at least once
    num_hash_signs: Counts  # of the text, however it is cut into words
    num_ellipses: Counts  # of the text: `...`, not overlapping, and `…`
    longest_word_chars: Counts


def word_statistics(
    data: Bytes, offsets: Offsets, listed_words: Sequence[str], words: WordDefinition = "whitespace"
) -> WordStatistics:
    """Count the words of each text; `listed_words` are matched exactly, case included."""
    listed = sorted({word.encode() for word in listed_words})
    listed_data, listed_offsets = frozen(
        np.frombuffer(b"".join(listed), np.uint8), np.cumsum([0, *map(len, listed)], dtype=np.int64)
    )
    counts = np.zeros((8, len(offsets) - 1), np.int64)
    _count_words(*frozen(data, offsets), character_classes(), words == "punct", listed_data, listed_offsets, counts)
    return WordStatistics(
        num_words=counts[0],
        num_plain_words=counts[1],
        plain_word_chars=counts[2],
        num_alphabetic_words=counts[3],
        num_listed_words=counts[4],
        num_hash_signs=counts[5],
        num_ellipses=counts[6],
        longest_word_chars=counts[7],
    )


@njit(nogil=True, cache=True)
def _count_words(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    punct: bool,
    listed_data: Bytes,
    listed_offsets: Offsets,
    counts: npt.NDArray[np.int64],
) -> None:
    num_listed = listed_offsets.shape[0] - 1
    listed_hashes = np.empty(num_listed, np.uint64)
    longest_listed = 0
    for k in range(num_listed):
        i, listed_end = listed_offsets[k], listed_offsets[k + 1]
        listed_hash = _EMPTY_HASH
        while i < listed_end:
            code_point, width = code_point_at(listed_data, i)
            listed_hash = _add_character(listed_hash, code_point)
            i += width
        listed_hashes[k] = listed_hash
        longest_listed = max(longest_listed, listed_end - listed_offsets[k])
    found_in = np.zeros(num_listed, np.int64)  # the number, from 1, of the last text that had listed word k

    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_words = num_plain = plain_chars = num_alphabetic = num_found = num_hash_signs = num_ellipses = 0
        num_dots = longest = 0
        while i < end:
            word_start, word_end = i, end  # or where whitespace stands
            if punct:
                word_start, word_end = next_word(data, i, end, classes)
                if word_start > i:
                    num_dots = 0
                    i = word_start
                word_bytes = word_end - word_start
                if word_bytes <= 8 and word_start + 8 <= end:
                    eight = load_8_bytes(data, word_start)
                    if count_ascii_alphanumerics(eight) >= word_bytes > 0:  # most words: no look at each character
                        num_dots = 0
                        num_words += 1
                        num_plain += 1
                        plain_chars += word_bytes
                        longest = max(longest, word_bytes)
                        num_alphabetic += _has_ascii_letter(eight, word_bytes)
                        if word_bytes <= longest_listed:
                            word_hash = _EMPTY_HASH
                            for k in range(word_start, word_end):
                                code_point, _ = code_point_at(data, k)
                                word_hash = _add_character(word_hash, code_point)
                            for k in range(num_listed):
                                if word_hash == listed_hashes[k] and found_in[k] != text + 1:
                                    found_in[k] = text + 1
                                    num_found += 1
                        i = word_end
                        continue
            word_chars = 0
            word_hash = _EMPTY_HASH
            seen = 0  # classes of all characters of the word
            plain = False
            while i < word_end:
                code_point, width = code_point_at(data, i)
                kind = classes[code_point]
                if kind & SPACE:
                    num_dots = 0
                    break
                word_chars += 1
                word_hash = _add_character(word_hash, code_point)
                seen |= kind
                if kind & PUNCTUATION:
                    if code_point == _DOT:
                        num_dots += 1
                        if num_dots == 3:
                            num_ellipses += 1
                            num_dots = 0
                    else:
                        num_dots = 0
                        num_hash_signs += code_point == _HASH_SIGN
                        num_ellipses += code_point == _ELLIPSIS
                else:
                    num_dots = 0
                    plain = True
                i += width
            if word_chars:
                num_words += 1
                longest = max(longest, word_chars)
                num_alphabetic += seen & ALPHABETIC != 0
                if plain:
                    num_plain += 1
                    plain_chars += word_chars
                if i - word_start <= longest_listed:
                    for k in range(num_listed):
                        if word_hash == listed_hashes[k] and found_in[k] != text + 1:
                            found_in[k] = text + 1
                            num_found += 1
            if i < word_end:
                i += width  # the whitespace that ended the word
        counts[0, text] = num_words
        counts[1, text] = num_plain
        counts[2, text] = plain_chars
        counts[3, text] = num_alphabetic
        counts[4, text] = num_found
        counts[5, text] = num_hash_signs
        counts[6, text] = num_ellipses
        counts[7, text] = longest


@njit(nogil=True, cache=True)
def _add_character(state: np.uint64, code_point: int) -> np.uint64:
    """The hash of a word, one character longer; costs less than a second look at the word."""
    return (state ^ np.uint64(code_point)) * _ODD


@njit(nogil=True, cache=True)
def _has_ascii_letter(eight_bytes: np.uint64, num_bytes: int) -> bool:
    """Whether there is a letter among the first of eight bytes, which are letters and digits of ASCII."""
    return bool((eight_bytes & _LETTER_BITS) << np.uint64(8 * (8 - num_bytes)) != 0)


def count_words(data: Bytes, offsets: Offsets, words: WordDefinition = "whitespace") -> Counts:
    """Words of each text."""
    counts = np.zeros(len(offsets) - 1, np.int64)
    _count_words_only(*frozen(data, offsets), character_classes(), words == "punct", counts)
    return counts


@njit(nogil=True, cache=True)
def _count_words_only(
    data: Bytes, offsets: Offsets, classes: Classes, punct: bool, counts: npt.NDArray[np.int64]
) -> None:
    for text in range(offsets.shape[0] - 1):
        i, end = offsets[text], offsets[text + 1]
        num_words = 0
        after_space = True
        while i < end:
            if punct:
                start, i = next_word(data, i, end, classes)
                num_words += start < end
                continue
            code_point, width = code_point_at(data, i)
            is_space = classes[code_point] & SPACE != 0
            num_words += after_space and not is_space
            after_space = is_space
            i += width
        counts[text] = num_words
