"""How much of a text repeats itself, as DCLM counts it: every occurrence of what occurs more than once.

Equality is that of 64-bit hashes. One pruning changes no result: a word n-gram can occur twice only if the (n-1)-grams
at both its ends do, so that longer n-grams are looked for only where shorter ones were found.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.dclm_characters import CharacterClasses, dclm_classes, next_dclm_word
from pipeline_lib.kernels.utf8 import (
    clear_table,
    count_chars,
    find_or_insert,
    frozen,
    hash_bytes,
    mix,
    skip_space,
    skip_space_back,
    table_mask,
)
from pipeline_lib.kernels.words import WordDefinition

Counts = npt.NDArray[np.int64]  # shape (texts,)
_Hashes = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int32]

TOP_NGRAMS = (2, 3, 4)
REPEATED_NGRAMS = (5, 6, 7, 8, 9, 10)

_LONGEST_TOP, _LONGEST = TOP_NGRAMS[-1], REPEATED_NGRAMS[-1]
_FIRST_NGRAM_ROW = 9
_NEWLINE = 0x0A
_WORD_SHIFT = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class DclmRepetition:
    """One value a text. Lines and paragraphs come without whitespace at their ends, and empty ones not at all."""

    num_lines: Counts  # cut at `\\n`
    num_repeated_lines: Counts  # lines that stand more than once, the first occurrence too
    line_chars: Counts
    repeated_line_chars: Counts
    num_paragraphs: Counts  # cut at `\\n\\n`
    num_repeated_paragraphs: Counts
    paragraph_chars: Counts
    repeated_paragraph_chars: Counts
    word_chars: Counts  # of words that begin with a letter or digit; n-grams are of these
    # by n: characters of all occurrences of the most frequent n-gram, of several the longest; 0 if none occurs twice
    top_ngram_chars: dict[int, Counts]
    # by n: characters of the words that are part of an n-gram that occurs more than once
    repeated_ngram_chars: dict[int, Counts]


def dclm_repetition(data: Bytes, offsets: Offsets, words: WordDefinition) -> DclmRepetition:
    """Count what each text repeats; n runs over `TOP_NGRAMS` and `REPEATED_NGRAMS`."""
    counts = np.zeros((_FIRST_NGRAM_ROW + _LONGEST - 1, len(offsets) - 1), np.int64)
    _count_repetition(*frozen(data, offsets), dclm_classes(), words == "punct", counts)
    return DclmRepetition(
        num_lines=counts[0],
        num_repeated_lines=counts[1],
        line_chars=counts[2],
        repeated_line_chars=counts[3],
        num_paragraphs=counts[4],
        num_repeated_paragraphs=counts[5],
        paragraph_chars=counts[6],
        repeated_paragraph_chars=counts[7],
        word_chars=counts[8],
        top_ngram_chars={n: counts[_FIRST_NGRAM_ROW + n - 2] for n in TOP_NGRAMS},
        repeated_ngram_chars={n: counts[_FIRST_NGRAM_ROW + n - 2] for n in REPEATED_NGRAMS},
    )


@njit(nogil=True, cache=True)
def _count_repetition(
    data: Bytes, offsets: Offsets, classes: CharacterClasses, punct: bool, counts: npt.NDArray[np.int64]
) -> None:
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    max_words = (max_bytes if punct else max_bytes // 2) + 1
    keys = np.empty(table_mask(max_words) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    hashes = np.empty(max_words, np.uint64)
    chars = np.empty(max_words + 1, np.int64)
    ids = np.empty(max_words, np.int32)
    places = np.empty(max_words, np.int32)
    occurrences = np.empty(max_words, np.int32)

    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        _count_segments(data, start, end, 1, classes, keys, values, occurrences, counts[0:4, text])
        _count_segments(data, start, end, 2, classes, keys, values, occurrences, counts[4:8, text])

        num_words = 0
        chars[0] = 0
        i = start
        while True:
            word, i, word_chars = next_dclm_word(data, i, end, classes, punct)
            if word == end:
                break
            hashes[num_words] = hash_bytes(data, word, i)
            num_words += 1
            chars[num_words] = chars[num_words - 1] + word_chars
        counts[8, text] = chars[num_words]

        mask = table_mask(num_words)
        clear_table(keys, mask)
        num_ids = 0
        for word in range(num_words):
            found = find_or_insert(keys, values, mask, hashes[word], num_ids)
            if found == num_ids:
                occurrences[num_ids] = 0
                num_ids += 1
            occurrences[found] += 1
            ids[word] = found
            places[word] = word
        num_places = _keep_repeated(num_words, ids, places, occurrences)
        for n in range(2, _LONGEST + 1):
            num_places, num_ids = _number_ngrams(num_places, ids, places, occurrences, keys, values)
            row = _FIRST_NGRAM_ROW + n - 2
            if n <= _LONGEST_TOP:
                counts[row, text] = _top_chars(n, num_places, num_ids, ids, places, occurrences, chars)
            num_places = _keep_repeated(num_places, ids, places, occurrences)
            if num_places == 0:
                break
            if n > _LONGEST_TOP:
                counts[row, text] = _covered_chars(n, num_places, places, chars)


@njit(nogil=True, cache=True)
def _count_segments(
    data: Bytes,
    start: int,
    end: int,
    num_newlines: int,
    classes: CharacterClasses,
    keys: _Hashes,
    values: _Indices,
    occurrences: _Indices,
    counts: npt.NDArray[np.int64],
) -> None:
    """Cut [start, end) at each `num_newlines` `\\n`; counts: segments, repeated ones, characters, those of repeated."""
    most = 1
    for i in range(start, end):
        most += data[i] == _NEWLINE
    mask = table_mask(min(most, (end - start) // 2 + 1))
    clear_table(keys, mask)
    num_ids = 0
    while start < end:
        cut = start
        while cut < end and not (data[cut] == _NEWLINE and (num_newlines == 1 or _is_newline(data, cut + 1, end))):
            cut += 1
        first = skip_space(data, start, cut, classes)
        last = skip_space_back(data, first, cut, classes)
        if first < last:
            chars = count_chars(data, first, last)
            found = find_or_insert(keys, values, mask, hash_bytes(data, first, last), num_ids)
            if found == num_ids:
                occurrences[num_ids] = 0
                num_ids += 1
            occurrences[found] += 1
            times = 2 if occurrences[found] == 2 else occurrences[found] > 2  # the second brings the first with it
            counts[0] += 1
            counts[1] += times
            counts[2] += chars
            counts[3] += times * chars
        start = cut + num_newlines


@njit(nogil=True, cache=True)
def _is_newline(data: Bytes, i: int, end: int) -> bool:
    return i < end and data[i] == _NEWLINE


@njit(nogil=True, cache=True)
def _number_ngrams(
    num_places: int, ids: _Indices, places: _Indices, occurrences: _Indices, keys: _Hashes, values: _Indices
) -> tuple[int, int]:
    """From (n-1)-grams that occur twice or more to the n-grams made of two of them, and how often each occurs.

    places: the words that such (n-1)-grams begin at, in order, and then such n-grams.
    ids: numbers of the (n-1)-grams by place, and then those of the n-grams.

    Returns:
        How many places, and how many different n-grams.
    """
    mask = table_mask(num_places)
    clear_table(keys, mask)
    num_ngrams = num_ids = 0
    for k in range(num_places - 1):
        place = places[k]
        if places[k + 1] != place + 1:
            continue
        key = mix(np.uint64(ids[place]) << _WORD_SHIFT | np.uint64(ids[place + 1]))
        found = find_or_insert(keys, values, mask, key, num_ids)
        if found == num_ids:
            occurrences[num_ids] = 0
            num_ids += 1
        occurrences[found] += 1
        ids[place] = found
        places[num_ngrams] = place
        num_ngrams += 1
    return num_ngrams, num_ids


@njit(nogil=True, cache=True)
def _keep_repeated(num_places: int, ids: _Indices, places: _Indices, occurrences: _Indices) -> int:
    """Leave the places of what occurs twice or more."""
    num_kept = 0
    for k in range(num_places):
        if occurrences[ids[places[k]]] > 1:
            places[num_kept] = places[k]
            num_kept += 1
    return num_kept


@njit(nogil=True, cache=True)
def _top_chars(
    n: int, num_places: int, num_ids: int, ids: _Indices, places: _Indices, occurrences: _Indices, chars: Offsets
) -> int:
    times = 0
    for k in range(num_ids):
        times = max(times, occurrences[k])
    if times < 2:
        return 0
    longest = 0
    for k in range(num_places):
        place = places[k]
        if occurrences[ids[place]] == times:
            longest = max(longest, chars[place + n] - chars[place])
    return longest * times


@njit(nogil=True, cache=True)
def _covered_chars(n: int, num_places: int, places: _Indices, chars: Offsets) -> int:
    """Characters of the words in [place, place + n) of any place."""
    covered = 0
    upto = 0
    for k in range(num_places):
        place = max(int(places[k]), upto)
        upto = int(places[k]) + n
        covered += chars[upto] - chars[place]
    return covered
