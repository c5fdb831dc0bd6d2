"""How much of a text repeats itself: paragraphs, lines and word n-grams, as datatrove counts them for Gopher's rules.

Equality is that of 64-bit hashes. Most n-grams of most texts occur once, and need no exact count: a sketch, an array of
small counters that hashes share (Cormode and Muthukrishnan 2005, with one row), says at least how often each occurs.
Only those whose counter is high enough are then counted in a hash table.

The repeated n-grams are those that spell the same without spaces, so equal ones may be cut into other words. They have
their first bytes in common: only where the 16 bytes from a word on stand at another word too is there anything to walk.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.punct_words import next_word
from pipeline_lib.kernels.unicode_tables import SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import (
    absorb,
    clear_table,
    code_point_at,
    count_chars,
    count_visible_ascii,
    find_or_insert,
    frozen,
    hash_bytes,
    hash_line,
    load_8_bytes,
    mix,
    skip_space,
    skip_space_back,
    store_8_bytes,
    table_mask,
)
from pipeline_lib.kernels.words import WordDefinition

Counts = npt.NDArray[np.int64]  # shape (texts,)
_Hashes = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int32]
_Sketch = npt.NDArray[np.uint8]

TOP_NGRAMS = (2, 3, 4)
REPEATED_NGRAMS = (5, 6, 7, 8, 9, 10)

_SHORTEST_TOP, _LONGEST_TOP = TOP_NGRAMS[0], TOP_NGRAMS[-1]
_SHORTEST_REPEATED, _LONGEST_REPEATED = REPEATED_NGRAMS[0], REPEATED_NGRAMS[-1]
_FIRST_REPEATED_ROW = 6 + len(TOP_NGRAMS)
_NUM_ROWS = _FIRST_REPEATED_ROW + len(REPEATED_NGRAMS)

_NEWLINE = 0x0A
_FIRST_VISIBLE, _LAST_ASCII = 0x21, 0x7F
_WINDOW_STEP, _LONGEST_WINDOW = 16, 48
_SKETCH_MOST = 255  # where a counter stops
_COUNTERS_PER_HASH = 4  # at least: with more, fewer hashes share one, and more memory is touched
_ODD = np.uint64(0x9E3779B97F4A7C15)
_UPPERMOST_BITS = np.uint64(0x8080808080808080)
_ALL_BITS = np.uint64(0xFFFFFFFFFFFFFFFF)
_BEYOND_END = 16  # bytes after the last word: loads of 8 bytes may reach beyond it


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


def repetition(data: Bytes, offsets: Offsets, words: WordDefinition = "whitespace") -> Repetition:
    """Count what each text repeats; n runs over `TOP_NGRAMS` and `REPEATED_NGRAMS`."""
    counts = np.zeros((_NUM_ROWS, len(offsets) - 1), np.int64)
    _count_repetition(*frozen(data, offsets), character_classes(), words == "punct", counts)
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
def _count_repetition(
    data: Bytes, offsets: Offsets, classes: Classes, punct: bool, counts: npt.NDArray[np.int64]
) -> None:
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    max_pieces = (max_bytes if punct else max_bytes // 2) + 2  # words, or lines
    keys = np.empty(table_mask(max_pieces) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    packed = np.empty(max_bytes + _BEYOND_END, np.uint8)
    starts = np.empty(max_pieces + 1, np.int64)
    chars = np.empty(max_pieces + 1, np.int64)
    word_hashes = np.empty(max_pieces, np.uint64)
    ngrams = np.empty(max_pieces, np.uint64)
    found = np.empty(max_pieces, np.int32)
    occurrences = np.empty(max_pieces, np.int32)
    shared = np.empty(max_pieces, np.uint8)
    sketch = np.empty(1 << _sketch_bits(max_pieces), np.uint8)

    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        if start == end:
            continue
        num_lines = _cut_lines(data, start, end, starts, chars, word_hashes)
        counts[3, text] = num_lines
        counts[4, text], counts[5, text] = _repeated_pieces(data, num_lines, starts, chars, word_hashes, keys, values)
        inner = skip_space(data, start, end, classes)
        inner_end = skip_space_back(data, inner, end, classes)
        num_paragraphs = _join_lines(data, inner, inner_end, num_lines, starts, chars, word_hashes)
        counts[0, text] = num_paragraphs
        counts[1, text], counts[2, text] = _repeated_pieces(
            data, num_paragraphs, starts, chars, word_hashes, keys, values
        )

        if punct:
            num_words, ascii_only = _pack_punct_words(data, start, end, classes, packed, starts, word_hashes)
        else:
            num_words, ascii_only = _pack_words(data, start, end, classes, packed, starts, word_hashes)
        ends_of_chars = starts if ascii_only else chars
        if not ascii_only:
            _count_chars_before(packed, starts, num_words, chars)
        for k in range(_BEYOND_END):
            packed[starts[num_words] + k] = 0

        for word in range(num_words):
            ngrams[word] = word_hashes[word]
        first, times = 0, _SKETCH_MOST
        for n in range(_SHORTEST_TOP, min(_LONGEST_TOP, num_words) + 1):
            num_ngrams = num_words - n + 1
            for word in range(num_ngrams):
                ngrams[word] = ngrams[word] * _ODD + word_hashes[word + n - 1]
            if times > 1:
                first, times = _most_frequent(ngrams, num_ngrams, sketch, found, keys, values, occurrences)
            counts[6 + n - _SHORTEST_TOP, text] = times * (ends_of_chars[first + n] - ends_of_chars[first] + n - 1)

        num_candidates = _find_candidates(packed, starts, num_words, ngrams, sketch, keys, values, found, shared)
        if num_candidates:
            for n in range(_SHORTEST_REPEATED, _LONGEST_REPEATED + 1):
                counts[_FIRST_REPEATED_ROW + n - _SHORTEST_REPEATED, text] = _repeated_ngram_chars(
                    n, packed, starts, ends_of_chars, num_words, keys, values, found, num_candidates, shared
                )


@njit(nogil=True, cache=True)
def _cut_lines(data: Bytes, start: int, end: int, starts: Offsets, ends: Offsets, hashes: _Hashes) -> int:
    """Cut [start, end) at runs of `\\n`: where each piece starts and ends in `data`, and its hash; returns how many."""
    num_lines = 0
    i = start
    while True:
        starts[num_lines] = i
        hashes[num_lines], i = hash_line(data, i, end)
        ends[num_lines] = i
        num_lines += 1
        if i == end:
            return num_lines
        while i < end and data[i] == _NEWLINE:
            i += 1


@njit(nogil=True, cache=True)
def _join_lines(
    data: Bytes, start: int, end: int, num_lines: int, starts: Offsets, ends: Offsets, hashes: _Hashes
) -> int:
    """Make the lines the paragraphs of [start, end), which has no whitespace at its ends; returns how many."""
    num_paragraphs = 0
    previous_end = start
    for line in range(num_lines):
        line_start, line_end, line_hash = max(starts[line], start), min(ends[line], end), hashes[line]
        if line_start >= line_end:
            continue
        if line_start != starts[line] or line_end != ends[line]:
            line_hash = hash_bytes(data, line_start, line_end)
        if num_paragraphs and line_start - previous_end == 1:
            hashes[num_paragraphs - 1] = mix(hashes[num_paragraphs - 1] * _ODD + line_hash)
        else:
            starts[num_paragraphs] = line_start
            hashes[num_paragraphs] = line_hash
            num_paragraphs += 1
        ends[num_paragraphs - 1] = previous_end = line_end
    return max(num_paragraphs, 1)  # of nothing but whitespace, one empty piece is left


@njit(nogil=True, cache=True)
def _repeated_pieces(
    data: Bytes, num_pieces: int, starts: Offsets, ends: Offsets, hashes: _Hashes, keys: _Hashes, values: _Indices
) -> tuple[int, int]:
    """Pieces that occurred before, and their characters."""
    if num_pieces == 1:
        return 0, 0
    mask = table_mask(num_pieces)
    clear_table(keys, mask)
    num_repeated = repeated_chars = 0
    for piece in range(num_pieces):
        if find_or_insert(keys, values, mask, hashes[piece], piece) != piece:
            num_repeated += 1
            repeated_chars += count_chars(data, starts[piece], ends[piece])
    return num_repeated, repeated_chars


@njit(nogil=True, cache=True)
def _pack_words(
    data: Bytes, start: int, end: int, classes: Classes, packed: Bytes, starts: Offsets, hashes: _Hashes
) -> tuple[int, bool]:
    """Write the words of [start, end) to `packed` without what is between them; returns how many, and if all is ASCII.

    starts: where word w begins in `packed`; one more entry says where the last ends.
    hashes: of word w.
    """
    num_words = num_bytes = width = 0
    ascii_only = True
    i = skip_space(data, start, end, classes)
    while i < end:
        word_start = num_bytes
        while i < end:
            if i + 8 <= end:
                eight_bytes = load_8_bytes(data, i)
                store_8_bytes(packed, num_bytes, eight_bytes)
                num_visible = count_visible_ascii(eight_bytes)
                i += num_visible
                num_bytes += num_visible
                if num_visible == 8:
                    continue
            code_point, width = code_point_at(data, i)
            if classes[code_point] & SPACE:
                break
            ascii_only = ascii_only and width == 1
            for k in range(width):
                packed[num_bytes + k] = data[i + k]
            i += width
            num_bytes += width
        starts[num_words] = word_start
        hashes[num_words] = _hash_packed(packed, word_start, num_bytes)
        num_words += 1
        i += width  # the whitespace that ended the word
        if i < end and not _FIRST_VISIBLE <= data[i] <= _LAST_ASCII:  # a call costs more than most words
            i = skip_space(data, i, end, classes)
    starts[num_words] = num_bytes
    return num_words, ascii_only


@njit(nogil=True, cache=True)
def _pack_punct_words(
    data: Bytes, start: int, end: int, classes: Classes, packed: Bytes, starts: Offsets, hashes: _Hashes
) -> tuple[int, bool]:
    """The same for the words of `next_word`."""
    num_words = num_bytes = 0
    all_bytes = np.uint64(0)
    while True:
        word_start, start = next_word(data, start, end, classes)
        starts[num_words] = num_bytes
        if word_start == end:
            return num_words, all_bytes & _UPPERMOST_BITS == 0
        i, state = word_start, np.uint64(start - word_start)
        while i + 8 < start:
            eight_bytes = load_8_bytes(data, i)
            store_8_bytes(packed, num_bytes + i - word_start, eight_bytes)
            all_bytes |= eight_bytes
            state = absorb(state, eight_bytes)
            i += 8
        rest = np.uint64(0)
        if i + 8 <= end:
            rest = load_8_bytes(data, i) & (_ALL_BITS >> np.uint64(8 * (i + 8 - start)))
        else:
            for k in range(start - 1, i - 1, -1):
                rest = rest << np.uint64(8) | np.uint64(data[k])
        store_8_bytes(packed, num_bytes + i - word_start, rest)
        all_bytes |= rest
        hashes[num_words] = mix(absorb(state, rest))
        num_bytes += start - word_start
        num_words += 1


@njit(nogil=True, cache=True)
def _count_chars_before(packed: Bytes, starts: Offsets, num_words: int, chars: Offsets) -> None:
    """Set chars[w] to the characters before word w, and the last entry to all there are."""
    chars[0] = 0
    for word in range(num_words):
        chars[word + 1] = chars[word] + count_chars(packed, starts[word], starts[word + 1])


@njit(nogil=True, cache=True)
def _hash_packed(packed: Bytes, start: int, end: int) -> np.uint64:
    """64-bit hash of [start, end), at least one byte, of bytes behind which 8 more can be read."""
    state = np.uint64(end - start)
    i = start
    while i + 8 < end:
        state = absorb(state, load_8_bytes(packed, i))
        i += 8
    rest = load_8_bytes(packed, i) & (_ALL_BITS >> np.uint64(8 * (i + 8 - end)))
    return mix(absorb(state, rest))


@njit(nogil=True, cache=True)
def _sketch_bits(num_hashes: int) -> int:
    bits = 6
    while (1 << bits) < _COUNTERS_PER_HASH * num_hashes:
        bits += 1
    return bits


@njit(nogil=True, cache=True)
def _count_roughly(hashes: _Hashes, num_hashes: int, sketch: _Sketch) -> tuple[np.uint64, int]:
    """Count each hash in the counter that its upper bits name; returns the shift that leaves these, and the maximum."""
    bits = _sketch_bits(num_hashes)
    sketch[: 1 << bits] = 0
    shift = np.uint64(64 - bits)
    most = 0
    for i in range(num_hashes):
        counter = np.int64(hashes[i] >> shift)
        count = int(sketch[counter])
        count += count < _SKETCH_MOST
        sketch[counter] = count
        most = max(most, count)
    return shift, most


@njit(nogil=True, cache=True)
def _find_frequent(
    hashes: _Hashes, num_hashes: int, sketch: _Sketch, shift: np.uint64, least: int, found: _Indices
) -> int:
    """Write the positions of the hashes whose counter is `least` or more to `found`; returns how many."""
    num_found = 0
    for i in range(num_hashes):
        found[num_found] = i
        num_found += int(sketch[np.int64(hashes[i] >> shift)]) >= least
    return num_found


@njit(nogil=True, cache=True)
def _most_frequent(
    hashes: _Hashes,
    num_hashes: int,
    sketch: _Sketch,
    found: _Indices,
    keys: _Hashes,
    values: _Indices,
    occurrences: _Indices,
) -> tuple[int, int]:
    """Where the hash that occurs most often stands first, and how often it occurs; of several, the first."""
    shift, least = _count_roughly(hashes, num_hashes, sketch)
    while least > 1:
        num_found = _find_frequent(hashes, num_hashes, sketch, shift, least, found)
        mask = table_mask(num_found)
        clear_table(keys, mask)
        times = 1
        for k in range(num_found):
            occurrences[k] = 0
            earliest = find_or_insert(keys, values, mask, hashes[found[k]], k)
            occurrences[earliest] += 1
            times = max(times, int(occurrences[earliest]))
        if times >= least:  # else a hash with a lower counter may well occur as often
            k = 0
            while occurrences[k] != times:
                k += 1
            return found[k], times
        least = max(times, 2) if least > 2 else 1
    return 0, 1


@njit(nogil=True, cache=True)
def _find_candidates(
    packed: Bytes,
    starts: Offsets,
    num_words: int,
    windows: _Hashes,
    sketch: _Sketch,
    keys: _Hashes,
    values: _Indices,
    candidates: _Indices,
    shared: _Sketch,
) -> int:
    """The words at which an n-gram may begin that spells what another one spells; returns how many.

    shared[c]: how many bytes, in steps of 16 up to 48, are the same from candidate c and from some other word on. An
    n-gram of more bytes spells what no other spells.
    """
    end = starts[num_words]
    num_starts = num_windows = max(0, num_words - _SHORTEST_REPEATED + 1)
    while num_windows > 0 and starts[num_windows - 1] + _WINDOW_STEP > end:
        num_windows -= 1
    for word in range(num_windows):
        windows[word] = _extend_window(np.uint64(0), packed, starts[word])
    shift, _ = _count_roughly(windows, num_windows, sketch)
    num_candidates = 0
    for word in range(num_windows):
        is_short = starts[word + _SHORTEST_REPEATED] - starts[word] < _WINDOW_STEP
        candidates[num_candidates] = word
        num_candidates += is_short | (sketch[np.int64(windows[word] >> shift)] > 1)
    for word in range(num_windows, num_starts):
        candidates[num_candidates] = word
        num_candidates += 1

    shared[:num_candidates] = 0
    num_sharing = num_candidates
    for window in range(_WINDOW_STEP, _LONGEST_WINDOW + 1, _WINDOW_STEP):
        mask = table_mask(num_sharing)
        clear_table(keys, mask)
        num_sharing = 0
        for c in range(num_candidates):
            word = candidates[c]
            start = starts[word] + window - _WINDOW_STEP
            if start + _WINDOW_STEP > end:
                break
            if shared[c] < window - _WINDOW_STEP:
                continue
            if window > _WINDOW_STEP:
                windows[word] = _extend_window(windows[word], packed, start)
            earlier = find_or_insert(keys, values, mask, mix(windows[word]), c)
            if earlier != c:
                num_sharing += 1 + (shared[earlier] < window)
                shared[earlier] = shared[c] = window

    num_kept = 0
    for c in range(num_candidates):
        word = candidates[c]
        if shared[c] or starts[word + _SHORTEST_REPEATED] - starts[word] < _WINDOW_STEP:
            candidates[num_kept] = word
            shared[num_kept] = shared[c]
            num_kept += 1
    return num_kept


@njit(nogil=True, cache=True)
def _extend_window(state: np.uint64, packed: Bytes, start: int) -> np.uint64:
    """The hash of a window, made longer by the 16 bytes from `start` on."""
    return absorb(absorb(state, load_8_bytes(packed, start)), load_8_bytes(packed, start + 8))


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
    shared: _Sketch,
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
        if find_or_insert(keys, values, mask, _hash_packed(packed, start, end), c) != c:
            repeated_chars += chars[word + n] - chars[word]
            free_from = word + n
    return repeated_chars
