"""Words as duplicates see them, the hashed word n-grams (shingles) of a document, and what is made of them in one pass:
sets, MinHash signatures (Broder 1997), and a hash of the whole text.

A word is a run of folded characters (`fold_tables`); bytes that are no UTF-8 separate words. Shingles count a run of
digits as one `0`: a date or a counter does not make two pages different. The hash of the whole text keeps the digits.

A word hash is a multiplicative hash of its code points, a shingle hash a polynomial over n word hashes that rolls from
word to word. All depend on the text alone. They are no defence against someone who constructs collisions; by chance,
two of a million different shingles agree with odds of 1 in 30 million, two of 10^12 different texts with odds of
1 in 10^14.

A change of what is hashed, or of `utf8.mix`, changes the values that stores hold.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.fold_tables import DIGIT, LETTER, SEPARATOR, SEQUENCE, SOLO, FoldTables
from pipeline_lib.kernels.utf8 import code_point_or_separator, mix

Hashes = npt.NDArray[np.uint64]
Values = npt.NDArray[np.uint32]

EMPTY_VALUE = 0xFFFFFFFF  # all values of the signature of no shingles, as in datasketch

_MAX_BUCKET_BITS = 14
_MOVES_PER_VALUE = 32

_BATCH = 512  # words or shingles at a time: what the inner loops touch stays in the first-level cache

# odd constants of well spread bits: 2^64 / golden ratio, and those of the finalizers of MurmurHash3 and SplitMix64
_CHARACTER = np.uint64(0x9E3779B97F4A7C15)
_WORD = np.uint64(0xFF51AFD7ED558CCD)
_HIGH, _LOW = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_23, _SHIFT_32, _SHIFT_41 = (np.uint64(bits) for bits in (23, 32, 41))
_FINALIZE_1, _FINALIZE_2 = np.uint32(0x85EBCA6B), np.uint32(0xC2B2AE35)
_SHIFT32_13, _SHIFT32_16 = np.uint32(13), np.uint32(16)


def permutations(num_permutations: int, seed: int) -> tuple[Values, Values]:
    """Factors (odd) and summands of h -> factor * h + summand mod 2^32, uint32 (num_permutations,) each.

    Those of datasketch 2, `MinHash(num_perm, seed, scheme="affine32")`; NumPy keeps RandomState's stream for good.
    """
    generator = np.random.RandomState(seed)
    factors = generator.randint(0, 1 << 31, num_permutations, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    summands = generator.randint(0, 1 << 32, num_permutations, dtype=np.uint32)
    return factors, summands


@njit(nogil=True, cache=True)
def fingerprint(
    data: Bytes,
    offsets: Offsets,
    ngram: int,
    factors: Values,
    summands: Values,
    tables: FoldTables,
    signatures: Values,
    num_shingles: npt.NDArray[np.int32],
    text_hashes: Hashes,
) -> None:
    """Signature and text hash of N texts.

    Args:
        data, offsets: the texts.
        ngram: words a shingle; texts with fewer words have no shingles.
        factors, summands: uint32 (P,), see `permutations`.
        signatures: uint32 (N, P): overwritten with the minima over the upper 32 bits of the shingle hashes, or with
            EMPTY_VALUE where there are no shingles.
        num_shingles: int32 (N,): overwritten with the number of shingles, repeats counted.
        text_hashes: uint64 (N, 2): overwritten with 128 bits of the words with their digits; both 0 without a word.
    """
    reader = _reader(ngram)
    batch = np.empty(_BATCH, np.uint32)
    for i in range(offsets.shape[0] - 1):
        position, end = offsets[i], offsets[i + 1]
        signature = signatures[i]
        signature[:] = np.uint32(EMPTY_VALUE)
        _begin(reader)
        while position < end:
            position, filled = _read_shingles(data, position, end, tables, reader, _SHIFT_32, batch)
            _lower(signature, batch, filled, factors, summands)
        num_shingles[i] = _finish(reader, text_hashes[i])


@njit(nogil=True, cache=True)
def shingle_values(
    data: Bytes,
    offsets: Offsets,
    ngram: int,
    tables: FoldTables,
    values: Values,
    ends: Offsets,
    text_hashes: Hashes,
) -> None:
    """What signatures are made of, for those who make them elsewhere: the upper 32 bits of all shingle hashes.

    Args:
        data, offsets: the texts, N of them.
        ngram: words a shingle.
        values: uint32, with room for a shingle every two bytes of text, each text's bytes rounded up: overwritten with
            the shingles of one text after another, repeats and all.
        ends: int64 (N,): overwritten with where in `values` the shingles of each text end.
        text_hashes: uint64 (N, 2): overwritten as by `fingerprint`.
    """
    reader = _reader(ngram)
    written = 0
    for i in range(offsets.shape[0] - 1):
        position, end = offsets[i], offsets[i + 1]
        _begin(reader)
        while position < end:
            position, filled = _read_shingles(data, position, end, tables, reader, _SHIFT_32, values[written:])
            written += filled
        ends[i] = written
        _finish(reader, text_hashes[i])


@njit(nogil=True, cache=True)
def shingle_sets(
    data: Bytes,
    offsets: Offsets,
    rows: npt.NDArray[np.int64],
    num_shingles: npt.NDArray[np.int32],
    ngram: int,
    tables: FoldTables,
    starts: Offsets,
    sizes: npt.NDArray[np.int64],
    shingles: Hashes,
) -> None:
    """Write the sorted distinct shingle hashes of texts `rows` into `shingles`.

    Args:
        data, offsets: the texts.
        rows: int64 (R,): which of them.
        num_shingles: int32 (R,): how many shingles each has, repeats counted, according to `fingerprint`.
        ngram: words a shingle.
        starts: int64 (R,): where in `shingles` the num_shingles places of each begin.
        sizes: int64 (R,): overwritten with the size of each set; -1 where the text has another number of shingles.
        shingles: uint64: the sets; the places beyond a set's size hold leftovers.
    """
    reader = _reader(ngram)
    batch = np.empty(_BATCH, np.uint64)
    spare = np.empty(num_shingles.max() if num_shingles.shape[0] else 0, np.uint64)
    counts = np.empty((1 << _MAX_BUCKET_BITS) + 1, np.int32)
    for i in range(rows.shape[0]):
        position, end = offsets[rows[i]], offsets[rows[i] + 1]
        room, total = num_shingles[i], 0
        _begin(reader)
        while position < end:
            position, filled = _read_shingles(data, position, end, tables, reader, np.uint64(0), batch)
            for j in range(min(filled, room - total)):
                shingles[starts[i] + total + j] = batch[j]
            total += filled
        sizes[i] = _sort_distinct(shingles[starts[i] : starts[i] + room], spare, counts) if total == room else -1


class _Reader(NamedTuple):
    """A text while its shingles are read.

    Attributes:
        ring: uint64 (ngram,): the last words.
        hashes: uint64 (3,): of the words in the ring, and the two halves of the hash of all words.
        counts: int64 (2,): words so far, and the place in the ring of the next.
        leading_power: uint64 (1,): the factor of the word that leaves the ring.
        words, text_words: room for a batch.
    """

    ring: Hashes
    hashes: Hashes
    counts: npt.NDArray[np.int64]
    leading_power: Hashes
    words: Hashes
    text_words: Hashes


@njit(nogil=True, cache=True)
def _reader(ngram: int) -> _Reader:
    leading_power = np.ones(1, np.uint64)
    for _ in range(ngram):
        leading_power[0] *= _WORD
    return _Reader(
        np.zeros(ngram, np.uint64),
        np.zeros(3, np.uint64),
        np.zeros(2, np.int64),
        leading_power,
        np.empty(_BATCH, np.uint64),
        np.empty((_BATCH, 2), np.uint64),
    )


@njit(nogil=True, cache=True)
def _begin(reader: _Reader) -> None:
    """Forget the text before."""
    reader.ring[:] = np.uint64(0)
    reader.hashes[:] = np.uint64(0)
    reader.counts[:] = 0


@njit(nogil=True, cache=True)
def _read_shingles(
    data: Bytes,
    position: int,
    end: int,
    tables: FoldTables,
    reader: _Reader,
    shift: np.uint64,
    shingles: Hashes | Values,
) -> tuple[int, int]:
    """Where to go on in the text data[:end], and how many shingle hashes were read: at most _BATCH.

    Args:
        shingles: overwritten with the hashes, shifted to the right; an array of 32 bits takes the lower ones.
    """
    position, num_words = read_words(data, position, end, tables, reader.words, reader.text_words)
    ring, words, text_words = reader.ring, reader.words, reader.text_words
    rolled, high, low = reader.hashes
    total, at = reader.counts
    leading_power = reader.leading_power[0]
    ngram = ring.shape[0]
    filled = 0
    for j in range(num_words):
        word = words[j]
        high = (((high << _SHIFT_23) | (high >> _SHIFT_41)) ^ text_words[j, 0]) * _HIGH
        low = (low + text_words[j, 1]) * _CHARACTER
        rolled = rolled * _WORD + word - ring[at] * leading_power
        ring[at] = word
        at = at + 1 if at + 1 < ngram else 0
        total += 1
        if total >= ngram:
            shingles[filled] = mix(rolled) >> shift
            filled += 1
    reader.hashes[0], reader.hashes[1], reader.hashes[2] = rolled, high, low
    reader.counts[0], reader.counts[1] = total, at
    return position, filled


@njit(nogil=True, cache=True)
def _finish(reader: _Reader, text_hash: Hashes) -> int:
    """Write the hash of the whole text; returns how many shingles it had, repeats counted."""
    total: int = reader.counts[0]
    text_hash[0] = mix(reader.hashes[1]) if total else np.uint64(0)
    text_hash[1] = mix(reader.hashes[2]) if total else np.uint64(0)
    ngram: int = reader.ring.shape[0]
    return max(0, total - ngram + 1)


@njit(nogil=True, cache=True)
def read_words(
    data: Bytes, position: int, end: int, tables: FoldTables, words: Hashes, text_words: Hashes
) -> tuple[int, int]:
    """Hashes of the next words of data[position:end], as many as there is room for.

    Returns:
        Where to go on, and the number of words: `words` with runs of digits as one 0; the two independent halves of
        `text_words` with the digits as they are.
    """
    room = words.shape[0] - 1  # a character that is a word of its own ends another one too
    filled = 0
    word, high, low = np.uint64(0), np.uint64(0), np.uint64(0)
    in_word, in_number = False, False
    while filled < room:
        if position >= end:
            kind, folded = SEPARATOR, 0
        else:
            byte = int(data[position])
            if byte < 128:
                folded = int(tables.ascii[byte])
                kind = LETTER if folded >= 58 else SEPARATOR if folded == 0 else DIGIT
                position += 1
            else:
                code, length = code_point_or_separator(data, position, end)
                kind = int(tables.kinds[code])
                folded = int(tables.folded[code])
                position += length
        character = np.uint64(folded)
        if kind == LETTER:
            word = (word ^ character) * _CHARACTER
            high = (high + character) * _HIGH
            low = (low ^ (character * _WORD)) * _LOW
            in_word, in_number = True, False
        elif kind in (SEPARATOR, SOLO):
            if in_word:
                words[filled] = mix(word)
                text_words[filled, 0], text_words[filled, 1] = mix(high), mix(low)
                filled += 1
                word, high, low = np.uint64(0), np.uint64(0), np.uint64(0)
                in_word, in_number = False, False
            if kind == SOLO:
                words[filled] = mix(character * _CHARACTER)
                text_words[filled, 0] = mix(character * _HIGH)
                text_words[filled, 1] = mix((character * _WORD) * _LOW)
                filled += 1
            elif position >= end:
                break
        elif kind == DIGIT:
            if not in_number:
                word = (word ^ np.uint64(48)) * _CHARACTER
            high = (high + character) * _HIGH
            low = (low ^ (character * _WORD)) * _LOW
            in_word, in_number = True, True
        elif kind == SEQUENCE:
            for at in range(folded + 1, folded + 1 + tables.sequences[folded]):
                character = np.uint64(tables.sequences[at])
                word = (word ^ character) * _CHARACTER
                high = (high + character) * _HIGH
                low = (low ^ (character * _WORD)) * _LOW
            in_word, in_number = True, False
    return position, filled


@njit(nogil=True, cache=True)
def _sort_distinct(values: Hashes, spare: Hashes, counts: npt.NDArray[np.int32]) -> int:
    """Sort hashes in place, the distinct ones in front; returns how many they are.

    Hashes are spread evenly: scattered by their upper bits into about as many buckets as there are values, they are all
    but sorted, and each needs few moves to its place. Where they are not spread so, they are sorted by comparison.

    Args:
        spare: uint64, at least as long: overwritten.
        counts: int32 (2^_MAX_BUCKET_BITS + 1,): overwritten.
    """
    num_values = values.shape[0]
    if num_values > 8:
        bits = 3
        while (1 << bits) < num_values and bits < _MAX_BUCKET_BITS:
            bits += 1
        shift = np.uint64(64 - bits)
        counts[: (1 << bits) + 1] = 0
        for i in range(num_values):
            counts[np.int64(values[i] >> shift) + 1] += 1
        for bucket in range(1, 1 << bits):
            counts[bucket] += counts[bucket - 1]
        for i in range(num_values):
            own = np.int64(values[i] >> shift)
            spare[counts[own]] = values[i]
            counts[own] += 1
    else:
        spare[:num_values] = values
    kept, moves = 0, 0
    for i in range(num_values):
        value = spare[i]
        at = kept
        while at > 0 and values[at - 1] > value:
            at -= 1
        if at > 0 and values[at - 1] == value:
            continue
        moves += kept - at
        if moves > _MOVES_PER_VALUE * num_values:
            return _sort_by_comparison(values, spare)
        for place in range(kept, at, -1):
            values[place] = values[place - 1]
        values[at] = value
        kept += 1
    return kept


@njit(nogil=True, cache=True)
def _sort_by_comparison(values: Hashes, spare: Hashes) -> int:
    """Write the distinct ones of spare[:len(values)] in order to the front of `values`; returns how many they are."""
    values[:] = spare[: values.shape[0]]
    values.sort()
    kept = 0
    for i in range(values.shape[0]):
        if i == 0 or values[i] != values[kept - 1]:
            values[kept] = values[i]
            kept += 1
    return kept


@njit(nogil=True, cache=True)
def _lower(signature: Values, batch: Values, filled: int, factors: Values, summands: Values) -> None:
    """Lower the signature to the minima over the first `filled` shingles, eight at a time; overwrites the batch."""
    for j in range(filled):
        batch[j] = _finalize(batch[j])
    padded = (filled + 7) // 8 * 8  # with repeats of the last, which change no minimum
    for j in range(filled, padded):
        batch[j] = batch[filled - 1]
    for j in range(0, padded, 8):
        h0, h1, h2, h3 = batch[j], batch[j + 1], batch[j + 2], batch[j + 3]
        h4, h5, h6, h7 = batch[j + 4], batch[j + 5], batch[j + 6], batch[j + 7]
        for k in range(factors.shape[0]):
            factor, summand = factors[k], summands[k]
            low = min(np.uint32(factor * h0 + summand), np.uint32(factor * h1 + summand))
            low = min(low, min(np.uint32(factor * h2 + summand), np.uint32(factor * h3 + summand)))
            high = min(np.uint32(factor * h4 + summand), np.uint32(factor * h5 + summand))
            high = min(high, min(np.uint32(factor * h6 + summand), np.uint32(factor * h7 + summand)))
            signature[k] = min(signature[k], min(low, high))


@njit(nogil=True, cache=True)
def _finalize(value: np.uint32) -> np.uint32:
    """The finalizer of 32-bit MurmurHash3, which datasketch applies before it permutes."""
    value = np.uint32(value ^ (value >> _SHIFT32_16))
    value = np.uint32(value * _FINALIZE_1)
    value = np.uint32(value ^ (value >> _SHIFT32_13))
    value = np.uint32(value * _FINALIZE_2)
    return np.uint32(value ^ (value >> _SHIFT32_16))
