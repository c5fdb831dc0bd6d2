"""Word n-grams that a text repeats, as Dolma and NeMo Curator count them for their variants of Gopher's rules.

Words are numbered by their 64-bit hashes. An n-gram can occur twice only if the (n-1)-grams at both its ends do, and is
told by their two numbers: n-grams that occur once are neither looked up nor numbered.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.unicode_tables import Classes, character_classes
from pipeline_lib.kernels.utf8 import clear_table, find_or_insert, frozen, hash_bytes, mix, table_mask
from pipeline_lib.kernels.word_bounds import next_word
from pipeline_lib.kernels.words import WordDefinition

Counts = npt.NDArray[np.int64]  # shape (texts,)
_Hashes = npt.NDArray[np.uint64]
_Indices = npt.NDArray[np.int32]

TOP_NGRAMS = (2, 3, 4)
REPEATED_NGRAMS = (5, 6, 7, 8, 9, 10)

_LONGEST_TOP, _LONGEST = TOP_NGRAMS[-1], REPEATED_NGRAMS[-1]
_WORD_SHIFT = np.uint64(32)
_SPACE = np.uint8(0x20)


@dataclass(frozen=True, kw_only=True)
class DolmaNgrams:
    """One value a text, by n; characters are those of words."""

    word_chars: Counts
    top_chars: dict[int, Counts]  # of all occurrences of the most frequent n-gram (of several, the first to occur)
    all_chars: dict[int, Counts]  # of all n-grams: words that are part of several count several times
    repeated_chars: dict[int, Counts]  # of n-grams that occur twice or more, all occurrences, counted likewise


@dataclass(frozen=True, kw_only=True)
class CuratorNgrams:
    """One value a text, by n."""

    # Characters that go where the most frequent n-gram (of several, the first to occur), spelled with one space between
    # its words, is cut out of the text wherever it stands: in longer words too, but not across line breaks.
    top_chars: dict[int, Counts]
    # Of the second and later occurrences of n-grams, what is not part of the one before: the characters of those words,
    # and a space for each word but, of a whole n-gram, for one.
    repeated_chars: dict[int, Counts]


def dolma_ngrams(data: Bytes, offsets: Offsets, words: WordDefinition = "whitespace") -> DolmaNgrams:
    """Count the characters of n-grams as Dolma does; n runs over `TOP_NGRAMS` and `REPEATED_NGRAMS`."""
    num_texts = len(offsets) - 1
    counts = np.zeros((1 + _LONGEST + 1, num_texts), np.int64)  # row n; the last: characters of words
    all_chars = np.zeros((_LONGEST + 1, num_texts), np.int64)
    _count_dolma(*frozen(data, offsets), character_classes(), words == "punct", counts, all_chars)
    return DolmaNgrams(
        word_chars=counts[-1],
        top_chars={n: counts[n] for n in TOP_NGRAMS},
        all_chars={n: all_chars[n] for n in REPEATED_NGRAMS},
        repeated_chars={n: counts[n] for n in REPEATED_NGRAMS},
    )


def curator_ngrams(data: Bytes, offsets: Offsets, words: WordDefinition = "whitespace") -> CuratorNgrams:
    """Count the characters of n-grams as NeMo Curator does; n runs over `TOP_NGRAMS` and `REPEATED_NGRAMS`."""
    counts = np.zeros((_LONGEST + 1, len(offsets) - 1), np.int64)
    _count_curator(*frozen(data, offsets), character_classes(), words == "punct", counts)
    return CuratorNgrams(
        top_chars={n: counts[n] for n in TOP_NGRAMS},
        repeated_chars={n: counts[n] for n in REPEATED_NGRAMS},
    )


@njit(nogil=True, cache=True)
def _most_words(offsets: Offsets, punct: bool) -> int:
    """An upper bound of the words of one text: a byte each, and one between them unless punctuation stands apart."""
    max_bytes = 0
    for text in range(offsets.shape[0] - 1):
        max_bytes = max(max_bytes, offsets[text + 1] - offsets[text])
    return max_bytes + 1 if punct else max_bytes // 2 + 1


@njit(nogil=True, cache=True)
def _find_words(
    data: Bytes,
    start: int,
    end: int,
    classes: Classes,
    punct: bool,
    starts: Offsets,
    ends: Offsets,
    chars: Offsets,
) -> int:
    """Where the words of [start, end) are; returns how many. chars[w]: characters of the words before w."""
    num_words = 0
    chars[0] = 0
    i = start
    while True:
        word_start, i, word_chars = next_word(data, i, end, classes, punct)
        if word_chars == 0:
            return num_words
        starts[num_words] = word_start
        ends[num_words] = i
        chars[num_words + 1] = chars[num_words] + word_chars
        num_words += 1


@njit(nogil=True, cache=True)
def _number_words(
    data: Bytes,
    starts: Offsets,
    ends: Offsets,
    num_words: int,
    keys: _Hashes,
    values: _Indices,
    ids: _Indices,
    occurrences: _Indices,
) -> None:
    """Set ids[w] to a number for the word at w, equal for equal words; -1 where it occurs once."""
    mask = table_mask(num_words)
    clear_table(keys, mask)
    num_ids = 0
    for word in range(num_words):
        number = find_or_insert(keys, values, mask, hash_bytes(data, starts[word], ends[word]), num_ids)
        if number == num_ids:
            occurrences[num_ids] = 0
            num_ids += 1
        occurrences[number] += 1
        ids[word] = number
    for word in range(num_words):
        if occurrences[ids[word]] == 1:
            ids[word] = -1


@njit(nogil=True, cache=True)
def _number_ngrams(
    num_ngrams: int, keys: _Hashes, values: _Indices, ids: _Indices, occurrences: _Indices
) -> tuple[int, int]:
    """Put the numbers of n-grams in the place of those of (n-1)-grams, -1 where one occurs once.

    Returns:
        The word at which the most frequent n-gram begins first, and how often it occurs: (0, 1) where none repeats.
    """
    num_candidates = 0
    for word in range(num_ngrams):
        num_candidates += ids[word] >= 0 and ids[word + 1] >= 0
    mask = table_mask(num_candidates)
    clear_table(keys, mask)
    num_ids = 0
    times = 1
    for word in range(num_ngrams):
        if ids[word] >= 0 and ids[word + 1] >= 0:
            key = mix(np.uint64(ids[word]) << _WORD_SHIFT | np.uint64(ids[word + 1]) + np.uint64(1))
            number = find_or_insert(keys, values, mask, key, num_ids)
            if number == num_ids:
                occurrences[num_ids] = 0
                num_ids += 1
            occurrences[number] += 1
            times = max(times, occurrences[number])
            ids[word] = number
        else:
            ids[word] = -1
    first = 0
    for word in range(num_ngrams - 1, -1, -1):
        if ids[word] >= 0:
            if occurrences[ids[word]] == 1:
                ids[word] = -1
            elif occurrences[ids[word]] == times:
                first = word
    return first, times


@njit(nogil=True, cache=True)
def _count_dolma(
    data: Bytes,
    offsets: Offsets,
    classes: Classes,
    punct: bool,
    counts: npt.NDArray[np.int64],
    all_chars: npt.NDArray[np.int64],
) -> None:
    most = _most_words(offsets, punct)
    starts, ends, chars = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most + 1, np.int64)
    ids, occurrences = np.empty(most, np.int32), np.empty(most, np.int32)
    keys = np.empty(table_mask(most) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    for text in range(offsets.shape[0] - 1):
        num_words = _find_words(data, offsets[text], offsets[text + 1], classes, punct, starts, ends, chars)
        counts[_LONGEST + 1, text] = chars[num_words]
        _number_words(data, starts, ends, num_words, keys, values, ids, occurrences)
        repeats = True
        for n in range(2, min(_LONGEST, num_words) + 1):
            num_ngrams = num_words - n + 1
            if repeats:
                first, times = _number_ngrams(num_ngrams, keys, values, ids, occurrences)
                repeats = times > 1
            if n <= _LONGEST_TOP:
                if not repeats:
                    first, times = 0, 1
                counts[n, text] = times * (chars[first + n] - chars[first])
            else:
                repeated = total = 0
                for word in range(num_ngrams):
                    ngram_chars = chars[word + n] - chars[word]
                    total += ngram_chars
                    if repeats and ids[word] >= 0:
                        repeated += ngram_chars
                counts[n, text] = repeated
                all_chars[n, text] = total


@njit(nogil=True, cache=True)
def _count_curator(data: Bytes, offsets: Offsets, classes: Classes, punct: bool, counts: npt.NDArray[np.int64]) -> None:
    most = _most_words(offsets, punct)
    starts, ends, chars = np.empty(most, np.int64), np.empty(most, np.int64), np.empty(most + 1, np.int64)
    ids, occurrences, seen_in = np.empty(most, np.int32), np.empty(most, np.int32), np.empty(most, np.int32)
    keys = np.empty(table_mask(most) + 1, np.uint64)
    values = np.empty(keys.shape[0], np.int32)
    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        num_words = _find_words(data, start, end, classes, punct, starts, ends, chars)
        _number_words(data, starts, ends, num_words, keys, values, ids, occurrences)
        for word in range(num_words):
            seen_in[word] = 0
        repeats = True
        for n in range(2, min(_LONGEST, num_words) + 1):
            num_ngrams = num_words - n + 1
            first = 0
            if repeats:
                first, times = _number_ngrams(num_ngrams, keys, values, ids, occurrences)
                repeats = times > 1
            if n <= _LONGEST_TOP:
                needle = _spell(data, starts, ends, first, n)
                times = _occurrences(data, start, end, needle)
                counts[n, text] = times * (chars[first + n] - chars[first] + n - 1)
            elif repeats:
                repeated = covered = 0  # covered: words of this n-gram that are part of one counted before
                for word in range(num_ngrams):
                    if ids[word] >= 0:
                        if seen_in[ids[word]] == n:
                            repeated += chars[word + n] - chars[word + covered] + min(n - covered, n - 1)
                            covered = n
                        seen_in[ids[word]] = n
                    covered = max(covered - 1, 0)
                counts[n, text] = repeated


@njit(nogil=True, cache=True)
def _spell(data: Bytes, starts: Offsets, ends: Offsets, word: int, n: int) -> Bytes:
    """The n words from `word` on with one space between them."""
    num_bytes = n - 1
    for k in range(word, word + n):
        num_bytes += ends[k] - starts[k]
    spelled = np.empty(num_bytes, np.uint8)
    at = 0
    for k in range(word, word + n):
        if k > word:
            spelled[at] = _SPACE
            at += 1
        for i in range(starts[k], ends[k]):
            spelled[at] = data[i]
            at += 1
    return spelled


@njit(nogil=True, cache=True)
def _occurrences(data: Bytes, start: int, end: int, needle: Bytes) -> int:
    """How often the needle stands in [start, end), not overlapping, in time linear in both (Knuth-Morris-Pratt)."""
    length = needle.shape[0]
    fallback = np.zeros(length, np.int64)  # by how many bytes match: how many do if the next one does not
    matching = 0
    for i in range(1, length):
        while matching and needle[i] != needle[matching]:
            matching = fallback[matching - 1]
        matching += needle[i] == needle[matching]
        fallback[i] = matching
    times = matching = 0
    for i in range(start, end):
        byte = data[i]
        while matching and byte != needle[matching]:
            matching = fallback[matching - 1]
        matching += byte == needle[matching]
        if matching == length:
            times += 1
            matching = 0
    return times
