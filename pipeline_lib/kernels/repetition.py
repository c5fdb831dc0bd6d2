"""How much of a text repeats itself: paragraphs, lines and word n-grams, as datatrove counts them for Gopher's rules.

Equality is that of 64-bit hashes. Two prunings change no result: a word n-gram can occur twice only if the
(n-1)-grams at both its ends do; and a run of words can spell what another spells only if its first bytes stand at the
start of another word too.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import (
    clear_table,
    code_point_at,
    count_chars,
    find_or_insert,
    frozen,
    hash_bytes,
    load_8_bytes,
    mix,
    skip_space,
    skip_space_back,
    table_mask,
)

Counts = npt.NDArray[np.int64]  # shape (texts,)
_Hashes = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int32]

TOP_NGRAMS = (2, 3, 4)
REPEATED_NGRAMS = (5, 6, 7, 8, 9, 10)

_SHORTEST_TOP, _LONGEST_TOP = TOP_NGRAMS[0], TOP_NGRAMS[-1]
_SHORTEST_REPEATED, _LONGEST_REPEATED = REPEATED_NGRAMS[0], REPEATED_NGRAMS[-1]
_FIRST_REPEATED_ROW = 6 + len(TOP_NGRAMS)
_NUM_ROWS = _FIRST_REPEATED_ROW + len(REPEATED_NGRAMS)

_NEWLINE = 0x0A
_WINDOW_STEP, _LONGEST_WINDOW = 16, 48
_ODD = np.uint64(0x9E3779B97F4A7C15)  # a quick hash is enough where a collision costs time only
_WORD_SHIFT = np.uint64(32)


@dataclass(frozen=True, kw_only=True)
class Repetition:
    """One value a text. *Repeated* is what occurred before: the second and later occurrences."""

    num_paragraphs: Counts  # of the text without whitespace at its ends, cut at two or more `\\n`; 0 for the empty text
    num_repeated_paragraphs: Counts
    repeated_paragraph_chars: Counts
    num_lines: Counts  # cut at one or more `\\n`; what stands before the first and after the last counts, even if empty
    num_repeated_lines: Counts
    repeated_line_chars: Counts
    # by n: characters of all occurrences of the most frequent n-gram (of several, the first to occur), with one space
    # between words; it may well have occurred just once
    top_ngram_chars: dict[int, Counts]
    # by n: characters, without spaces, of n-grams that spell what an earlier n-gram spelled; going on after their end
    repeated_ngram_chars: dict[int, Counts]


def repetition(data: Bytes, offsets: Offsets) -> Repetition:
    """Count what each text repeats; n runs over `TOP_NGRAMS` and `REPEATED_NGRAMS`."""
    counts = np.zeros((_NUM_ROWS, len(offsets) - 1), np.int64)
    _count_repetition(*frozen(data, offsets), character_classes(), counts)
    return Repetition(
        num_paragraphs=counts[0],
        num_repeated_paragraphs=counts[1],
        repeated_paragraph_chars=counts[2],
        num_lines=counts[3],
        num_repeated_lines=counts[4],
        repeated_line_chars=counts[5],
        top_ngram_chars={n: counts[6 + k] for k, n in enumerate(TOP_NGRAMS)},
        repeated_ngram_chars={n: counts[_FIRST_REPEATED_ROW + k] for k, n in enumerate(REPEATED_NGRAMS)},
    )


@njit(nogil=True, cache=True)
def _count_repetition(data: Bytes, offsets: Offsets, classes: Classes, counts: npt.NDArray[np.int64]) -> None:
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    max_words = max_bytes // 2 + 1
    keys = np.empty(table_mask(max_words + 2) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    packed = np.empty(max_bytes, np.uint8)
    starts = np.empty(max_words + 1, np.int64)
    chars = np.empty(max_words + 1, np.int64)
    ids = np.empty(max_words + 1, np.int32)
    occurrences = np.empty(max_words, np.int32)
    candidates = np.empty(max_words, np.int32)
    shared = np.empty(max_words, np.uint8)

    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        if start == end:
            continue
        counts[3, text], counts[4, text], counts[5, text] = _repeated_pieces(data, start, end, 1, keys, values)
        inner = skip_space(data, start, end, classes)
        inner_end = skip_space_back(data, inner, end, classes)
        counts[0, text], counts[1, text], counts[2, text] = _repeated_pieces(data, inner, inner_end, 2, keys, values)

        num_words = _pack_words(data, start, end, classes, packed, starts, chars)
        _number_repeated_words(packed, starts, num_words, keys, values, ids, occurrences)
        for n in range(_SHORTEST_TOP, _LONGEST_TOP + 1):
            if num_words >= n:
                first, times = _top_ngram(n, num_words, keys, values, ids, occurrences)
                counts[6 + n - _SHORTEST_TOP, text] = times * (chars[first + n] - chars[first] + n - 1)

        num_candidates = _find_candidates(packed, starts, num_words, keys, values, candidates, shared)
        if num_candidates:
            for n in range(_SHORTEST_REPEATED, _LONGEST_REPEATED + 1):
                counts[_FIRST_REPEATED_ROW + n - _SHORTEST_REPEATED, text] = _repeated_ngram_chars(
                    n, packed, starts, chars, num_words, keys, values, candidates, num_candidates, shared
                )


@njit(nogil=True, cache=True)
def _repeated_pieces(
    data: Bytes, start: int, end: int, min_newlines: int, keys: _Hashes, values: _Indices
) -> tuple[int, int, int]:
    """Cut [start, end) at `min_newlines` or more `\\n`: pieces, those that occurred before, the characters of those."""
    num_newlines = 0
    for i in range(start, end):
        num_newlines += data[i] == _NEWLINE
    mask = table_mask(min(num_newlines, (end - start) // 2 + 1) + 1)
    clear_table(keys, mask)

    num_pieces = num_repeated = repeated_chars = 0
    piece = start
    while True:
        cut, next_piece = _next_cut(data, piece, end, min_newlines)
        if find_or_insert(keys, values, mask, hash_bytes(data, piece, cut), num_pieces) != num_pieces:
            num_repeated += 1
            repeated_chars += count_chars(data, piece, cut)
        num_pieces += 1
        if cut == end:
            return num_pieces, num_repeated, repeated_chars
        piece = next_piece


@njit(nogil=True, cache=True)
def _next_cut(data: Bytes, start: int, end: int, min_newlines: int) -> tuple[int, int]:
    """Where the first run of at least `min_newlines` `\\n` in [start, end) begins and ends; (end, end): nowhere."""
    i = start
    while i < end:
        if data[i] == _NEWLINE:
            run_start = i
            while i < end and data[i] == _NEWLINE:
                i += 1
            if i - run_start >= min_newlines:
                return run_start, i
        else:
            i += 1
    return end, end


@njit(nogil=True, cache=True)
def _pack_words(
    data: Bytes, start: int, end: int, classes: Classes, packed: Bytes, starts: Offsets, chars: Offsets
) -> int:
    """Write the words of [start, end) to `packed` without what is between them; returns how many.

    starts, chars: where word w begins in `packed`, in bytes and in characters; one more entry says where the last ends.
    """
    num_words = num_bytes = num_chars = 0
    starts[0] = chars[0] = 0
    i = start
    while i < end:
        code_point, width = code_point_at(data, i)
        if not classes[code_point] & SPACE:
            packed[num_bytes] = data[i]
            for k in range(1, width):
                packed[num_bytes + k] = data[i + k]
            num_bytes += width
            num_chars += 1
        elif num_bytes > starts[num_words]:
            num_words += 1
            starts[num_words] = num_bytes
            chars[num_words] = num_chars
        i += width
    if num_bytes > starts[num_words]:
        num_words += 1
        starts[num_words] = num_bytes
        chars[num_words] = num_chars
    return num_words


@njit(nogil=True, cache=True)
def _number_repeated_words(
    packed: Bytes,
    starts: Offsets,
    num_words: int,
    keys: _Hashes,
    values: _Indices,
    ids: _Indices,
    occurrences: _Indices,
) -> None:
    """Set ids[w] to a number for the word at w, equal for equal words; -1 where it occurs once, and at the end."""
    mask = table_mask(num_words)
    clear_table(keys, mask)
    num_ids = 0
    for word in range(num_words):
        key = hash_bytes(packed, starts[word], starts[word + 1])
        ids[word] = find_or_insert(keys, values, mask, key, num_ids)
        if ids[word] == num_ids:
            occurrences[num_ids] = 0
            num_ids += 1
        occurrences[ids[word]] += 1
    for word in range(num_words):
        if occurrences[ids[word]] == 1:
            ids[word] = -1
    ids[num_words] = -1


@njit(nogil=True, cache=True)
def _top_ngram(
    n: int, num_words: int, keys: _Hashes, values: _Indices, ids: _Indices, occurrences: _Indices
) -> tuple[int, int]:
    """The n-gram that occurs most often: the word it begins at, and how often.

    ids: numbers of the (n-1)-grams that occur twice or more, else -1; those of the n-grams take their place.
    """
    num_ngrams = num_words - n + 1
    num_candidates = 0
    for word in range(num_ngrams):
        num_candidates += ids[word] >= 0 and ids[word + 1] >= 0
    if num_candidates == 0:
        for word in range(num_ngrams):
            ids[word] = -1
        return 0, 1
    mask = table_mask(num_candidates)
    clear_table(keys, mask)
    num_ids = 0
    for word in range(num_ngrams):
        if ids[word] >= 0 and ids[word + 1] >= 0:
            key = mix(np.uint64(ids[word]) << _WORD_SHIFT | np.uint64(ids[word + 1]) + np.uint64(1))
            ids[word] = find_or_insert(keys, values, mask, key, num_ids)
            if ids[word] == num_ids:
                occurrences[num_ids] = 0
                num_ids += 1
            occurrences[ids[word]] += 1
        else:
            ids[word] = -1

    times = 0
    for k in range(num_ids):
        times = max(times, occurrences[k])
    first = 0
    for word in range(num_ngrams - 1, -1, -1):
        if ids[word] >= 0:
            if occurrences[ids[word]] == times:
                first = word
            if occurrences[ids[word]] == 1:
                ids[word] = -1
    return first if times > 1 else 0, times


@njit(nogil=True, cache=True)
def _find_candidates(
    packed: Bytes,
    starts: Offsets,
    num_words: int,
    keys: _Hashes,
    values: _Indices,
    candidates: _Indices,
    shared: npt.NDArray[np.uint8],
) -> int:
    """The words at which an n-gram may begin that spells what another one spells; returns how many.

    shared[c]: how many bytes, in steps of 16 up to 48, are the same from candidate c and from some other word on. An
    n-gram of more bytes spells what no other spells.
    """
    for word in range(num_words):
        shared[word] = 0
    num_sharing = num_words
    for window in range(_WINDOW_STEP, _LONGEST_WINDOW + 1, _WINDOW_STEP):
        mask = table_mask(num_sharing)
        clear_table(keys, mask)
        num_sharing = 0
        for word in range(num_words):
            start = starts[word]
            if start + window > starts[num_words]:
                break
            if shared[word] < window - _WINDOW_STEP:
                continue
            key = np.uint64(window)
            for i in range(start, start + window, 8):
                key = key * _ODD ^ load_8_bytes(packed, i)
            earlier = find_or_insert(keys, values, mask, mix(key), word)
            if earlier != word:
                num_sharing += 1 + (shared[earlier] < window)
                shared[earlier] = shared[word] = window
    num_candidates = 0
    for word in range(num_words - _SHORTEST_REPEATED + 1):
        if shared[word] or starts[word + _SHORTEST_REPEATED] - starts[word] < _WINDOW_STEP:
            candidates[num_candidates] = word
            shared[num_candidates] = shared[word]
            num_candidates += 1
    return num_candidates


@njit(nogil=True, cache=True)
def _repeated_ngram_chars(
    n: int,
    packed: Bytes,
    starts: Offsets,
    chars: Offsets,
    num_words: int,
    keys: _Hashes,
    values: _Indices,
    candidates: _Indices,
    num_candidates: int,
    shared: npt.NDArray[np.uint8],
) -> int:
    """Characters of n-grams that spell what an earlier one spelled, each beginning after the last such ended."""
    mask = table_mask(num_candidates)
    clear_table(keys, mask)
    repeated_chars = 0
    free_from = 0  # words before this are part of a repeated n-gram
    for c in range(num_candidates):
        word = int(candidates[c])
        if word + n > num_words:
            break
        start, end = starts[word], starts[word + n]
        if word < free_from or min(end - start, _LONGEST_WINDOW) >= shared[c] + _WINDOW_STEP:
            continue
        if find_or_insert(keys, values, mask, hash_bytes(packed, start, end), c) != c:
            repeated_chars += chars[word + n] - chars[word]
            free_from = word + n
    return repeated_chars
