"""Word n-grams of evaluation items: an index of them, and where texts have them.

Words are those that duplicates see (`shingles`), with their digits as they are: a run of folded characters, so that
case, accents, punctuation and whitespace hide nothing; a character of a script without spaces is a word.

The index is a hash table with open addressing, behind a Bloom filter that turns away nearly all n-grams that are no
item's with one look into memory. Hashes only lead to where a word-by-word comparison is made: what is found is there,
whatever collides. Memory: about 80 bytes a distinct n-gram, the text of the items included (measured: 7,473 items of
GSM8K, 611,000 n-grams, 48 MB).
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.fold_tables import DIGIT, IGNORED, LETTER, SEPARATOR, SEQUENCE, SOLO, FoldTables
from pipeline_lib.kernels.utf8 import code_point_or_separator, mix

Integers = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.int32]
Hashes = npt.NDArray[np.uint64]

# columns of what `find_item_ngrams` and `match_pieces` write
ROW, WORD, GRAM, START, END = range(5)
PIECE, MATCHED, RUN = 1, 2, 5

_CHARACTER = np.uint64(0xBF58476D1CE4E5B9)  # odd constants of well spread bits, as in `shingles`
_WORD = np.uint64(0xFF51AFD7ED558CCD)
_BATCH = 512  # words at a time: what the inner loops touch stays in the first-level cache
_GRAMS_A_WORD = 4  # of the filter, or fewer
_ONE, _SHIFT_6, _LOW_6 = np.uint64(1), np.uint64(6), np.uint64(63)


class ItemNgrams(NamedTuple):
    """P pieces of items, their G distinct n-grams, and how to find these.

    Attributes:
        text: uint8, the pieces' UTF-8, one after the other.
        starts, ends: int64 (G,): where in `text` the words of each n-gram are.
        lengths: int32 (L,), ascending: how many words n-grams have.
        slots: int32, a power of two of them: an n-gram by hash, or -1.
        hashes: uint64, as many: the hash of the n-gram in the slot.
        bits: uint64: for each of the lengths a power of two of words. The upper bits of an n-gram's hash say in which
            word, the lower ones which two bits of it are set.
        bit_starts: int64 (L,): where in `bits` those of each length begin.
        shifts: uint64 (L,): by how much a hash is shifted to give the number of a word.
    """

    text: Bytes
    starts: Integers
    ends: Integers
    lengths: Numbers
    slots: Numbers
    hashes: Hashes
    bits: Hashes
    bit_starts: Integers
    shifts: Hashes


def index_ngrams(
    data: Bytes, offsets: Offsets, words: Integers, ngram: int, tables: FoldTables
) -> tuple[ItemNgrams, Numbers, Offsets]:
    """Index the n-grams of pieces; those without a letter, such as a row of numbers, are left out.

    Args:
        data, offsets: the P pieces.
        words: int64 (P,): how many words each has (`count_item_words`).
        ngram: words an n-gram; a piece with fewer is one n-gram of all its words.

    Returns:
        The index; for each n-gram in turn the pieces that have it, one entry a place; and (G + 1,) where each n-gram's
        entries begin.
    """
    sizes = np.minimum(words, ngram)
    places = np.where(words > 0, words - sizes + 1, 0)
    num_places = int(places.sum())
    num_slots = 1 << max(4, (2 * num_places - 1).bit_length())
    slots, hashes = np.full(num_slots, -1, np.int32), np.zeros(num_slots, np.uint64)
    starts, ends = np.empty(num_places, np.int64), np.empty(num_places, np.int64)
    gram_of, piece_of = np.empty(num_places, np.int32), np.empty(num_places, np.int32)
    num_grams, num_used = _insert_all(
        data, offsets, sizes, ngram, tables, slots, hashes, starts, ends, gram_of, piece_of
    )
    order = np.argsort(gram_of[:num_used], kind="stable")
    bounds = np.searchsorted(gram_of[:num_used][order], np.arange(num_grams + 1)).astype(np.int64)
    gram_sizes = np.empty(num_grams, np.int32)
    gram_sizes[gram_of[:num_used]] = sizes[piece_of[:num_used]]
    lengths, counts = np.unique(gram_sizes, return_counts=True)
    widths = [max(1, (int(count) // _GRAMS_A_WORD).bit_length()) for count in counts]
    num_words = np.array([1 << width for width in widths], np.int64)
    index = ItemNgrams(
        text=data,
        starts=starts[:num_grams].copy(),
        ends=ends[:num_grams].copy(),
        lengths=lengths,
        slots=slots,
        hashes=hashes,
        bits=np.zeros(int(num_words.sum()), np.uint64),
        bit_starts=np.cumsum(num_words) - num_words,
        shifts=np.array([64 - width for width in widths], np.uint64),
    )
    _set_bits(read_only(index), index.bits, gram_sizes)
    return read_only(index), piece_of[:num_used][order], bounds


def read_only(index: ItemNgrams) -> ItemNgrams:
    """The same arrays, read-only: kernels compile once."""
    return ItemNgrams(**{name: _read_only(array) for name, array in index._asdict().items()})


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


@njit(nogil=True, cache=True)
def count_item_words(data: Bytes, offsets: Offsets, tables: FoldTables) -> Integers:
    """Words of each text, int64 (N,)."""
    counts = np.zeros(offsets.shape[0] - 1, np.int64)
    for i in range(counts.shape[0]):
        position, end = offsets[i], offsets[i + 1]
        while True:
            _, _, start, _, position = _next_word(data, position, end, tables)
            if start < 0:
                break
            counts[i] += 1
    return counts


def find_item_ngrams(data: Bytes, offsets: Offsets, index: ItemNgrams, tables: FoldTables) -> Integers:
    """Every place of the texts where an n-gram of the index stands.

    Returns:
        int64 (H, 5), ordered by text, word, n-gram: which text, the number of the n-gram's first word in it, which
        n-gram, and the bytes [start, end) of the text that it spans.
    """
    found = _find_all(data, offsets, index, tables)
    return found[np.lexsort((found[:, GRAM], found[:, WORD], found[:, ROW]))]


@njit(nogil=True, cache=True)
def _find_all(data: Bytes, offsets: Offsets, index: ItemNgrams, tables: FoldTables) -> Integers:
    num_lengths = index.lengths.shape[0]
    kept = int(index.lengths[-1]) - 1 if num_lengths else 0  # words of the batch before that n-grams reach back to
    words = np.empty(_BATCH, np.uint64)
    begins, stops = np.empty(kept + _BATCH, np.int64), np.empty(kept + _BATCH, np.int64)
    sums = np.zeros(kept + _BATCH + 1, np.uint64)
    values, at = np.empty(_BATCH, np.uint64), np.empty(_BATCH, np.int64)
    found = np.empty((256, 5), np.int64)
    num_found = 0
    for i in range(offsets.shape[0] - 1):
        position, end = offsets[i], offsets[i + 1]
        before, passed = 0, 0  # words kept in front, and words that are there no more
        while position < end and num_lengths:
            position, num_words = _read_words(data, position, end, tables, words, begins[before:], stops[before:])
            for j in range(num_words):
                sums[before + j + 1] = sums[before + j] * _WORD + words[j]
            filled = before + num_words
            for k in range(num_lengths):
                size = int(index.lengths[k])
                power, shift, bits = _power(size), index.shifts[k], index.bits[index.bit_starts[k] :]
                num_values = 0
                for last in range(max(before, size - 1), filled):
                    value = sums[last + 1] - sums[last + 1 - size] * power
                    two = _two_bits(value)
                    values[num_values], at[num_values] = value, last + 1 - size
                    num_values += int((bits[value >> shift] & two) == two)
                for v in range(num_values):
                    first = at[v]
                    begin, stop = begins[first], stops[first + size - 1]
                    gram = _find(index, values[v], data, begin, stop, tables)
                    if gram >= 0:
                        if num_found == found.shape[0]:
                            found = np.concatenate((found, np.empty_like(found)))
                        found[num_found, ROW], found[num_found, WORD] = i, passed + first
                        found[num_found, GRAM] = gram
                        found[num_found, START], found[num_found, END] = begin - offsets[i], stop - offsets[i]
                        num_found += 1
            first_kept = max(0, filled - kept)
            for j in range(first_kept, filled):
                begins[j - first_kept], stops[j - first_kept] = begins[j], stops[j]
                sums[j - first_kept] = sums[j]
            sums[filled - first_kept] = sums[filled]
            before, passed = filled - first_kept, passed + first_kept
    return found[:num_found]


@njit(nogil=True, cache=True)
def match_pieces(
    hits: Integers, pieces: Numbers, bounds: Offsets, counted: npt.NDArray[np.bool_], num_pieces: int
) -> Integers:
    """What each text has of each piece.

    Args:
        hits: as `find_item_ngrams` gives them.
        pieces, bounds: as `index_ngrams` gives them.
        counted: bool (G,): which n-grams count; a text has the others as if it had them not.

    Returns:
        int64 (M, 6): which text; which piece; at how many of the piece's places the text has what stands there; and of
        the longest passage of the text, each of whose n-grams stands somewhere in the piece, the bytes [start, end) and
        the number of n-grams. Of passages of equal length the first. Ordered by text.
    """
    num_grams = bounds.shape[0] - 1
    seen = np.full(num_grams, -1, np.int64)  # the text that had each n-gram last
    touched_by = np.full(num_pieces, -1, np.int64)
    matched, run, longest = (
        np.zeros(num_pieces, np.int64),
        np.zeros(num_pieces, np.int64),
        np.zeros(num_pieces, np.int64),
    )
    last_word, run_start = np.zeros(num_pieces, np.int64), np.zeros(num_pieces, np.int64)
    best_start, best_end = np.zeros(num_pieces, np.int64), np.zeros(num_pieces, np.int64)
    touched = np.empty(num_pieces, np.int64)
    out = np.empty((64, 6), np.int64)
    num_out, num_touched = 0, 0
    for h in range(hits.shape[0]):
        row, gram, word = hits[h, ROW], hits[h, GRAM], hits[h, WORD]
        if counted[gram]:
            new = seen[gram] != row
            seen[gram] = row
            for at in range(bounds[gram], bounds[gram + 1]):
                piece = pieces[at]
                if touched_by[piece] != row:
                    touched_by[piece] = row
                    touched[num_touched] = piece
                    num_touched += 1
                    matched[piece], run[piece], longest[piece], last_word[piece] = 0, 0, 0, -2
                matched[piece] += new
                if last_word[piece] == word:
                    continue
                if last_word[piece] == word - 1:
                    run[piece] += 1
                else:
                    run[piece] = 1
                    run_start[piece] = hits[h, START]
                last_word[piece] = word
                if run[piece] > longest[piece]:
                    longest[piece] = run[piece]
                    best_start[piece], best_end[piece] = run_start[piece], hits[h, END]
        if h + 1 == hits.shape[0] or hits[h + 1, ROW] != row:
            for k in range(num_touched):
                piece = touched[k]
                if num_out == out.shape[0]:
                    out = np.concatenate((out, np.empty_like(out)))
                out[num_out, ROW], out[num_out, PIECE], out[num_out, MATCHED] = row, piece, matched[piece]
                out[num_out, START], out[num_out, END] = best_start[piece], best_end[piece]
                out[num_out, RUN] = longest[piece]
                num_out += 1
            num_touched = 0
    return out[:num_out]


@njit(nogil=True, cache=True)
def passages(
    data: Bytes, offsets: Offsets, rows: Integers, starts: Integers, ends: Integers, max_bytes: int
) -> tuple[Bytes, Offsets]:
    """The bytes [start, end) of texts `rows` as a column of their own, each cut before a character at `max_bytes`."""
    out_offsets = np.zeros(rows.shape[0] + 1, np.int64)
    for k in range(rows.shape[0]):
        begin = offsets[rows[k]] + starts[k]
        stop = offsets[rows[k]] + ends[k]
        if stop - begin > max_bytes:
            stop = begin + max_bytes
            while stop > begin and data[stop] & 0xC0 == 0x80:
                stop -= 1
        out_offsets[k + 1] = out_offsets[k] + stop - begin
    out = np.empty(out_offsets[-1], np.uint8)
    for k in range(rows.shape[0]):
        begin = offsets[rows[k]] + starts[k]
        size = out_offsets[k + 1] - out_offsets[k]
        out[out_offsets[k] : out_offsets[k + 1]] = data[begin : begin + size]
    return out, out_offsets


@njit(nogil=True, cache=True)
def _insert_all(
    data: Bytes,
    offsets: Offsets,
    sizes: Integers,
    ngram: int,
    tables: FoldTables,
    slots: Numbers,
    hashes: Hashes,
    starts: Integers,
    ends: Integers,
    gram_of: Numbers,
    piece_of: Numbers,
) -> tuple[int, int]:
    """Fill the table; returns how many distinct n-grams there are, and how many places were used."""
    sums, begins = np.zeros(ngram + 1, np.uint64), np.zeros(ngram + 1, np.int64)
    letters = np.zeros(ngram + 1, np.int64)  # words with a letter so far
    num_grams, num_used = 0, 0
    mask = slots.shape[0] - 1
    for i in range(offsets.shape[0] - 1):
        position, end, size = offsets[i], offsets[i + 1], sizes[i]
        power = _power(size)
        total, num_letters = 0, 0
        rolled = np.uint64(0)
        sums[0], letters[0] = rolled, 0
        while size > 0:
            word, has_letter, start, stop, position = _next_word(data, position, end, tables)
            if start < 0:
                break
            begins[total % (ngram + 1)] = start
            rolled = rolled * _WORD + word
            num_letters += has_letter
            total += 1
            sums[total % (ngram + 1)], letters[total % (ngram + 1)] = rolled, num_letters
            before = (total - size) % (ngram + 1)
            if total < size or num_letters == letters[before]:
                continue
            value = rolled - sums[before] * power
            slot = np.int64(mix(value) & np.uint64(mask))
            gram = -1
            while slots[slot] >= 0:
                known = slots[slot]
                if hashes[slot] == value and _same_words(
                    data, begins[before], stop, data, starts[known], ends[known], tables
                ):
                    gram = known
                    break
                slot = (slot + 1) & mask
            if gram < 0:
                gram = num_grams
                slots[slot], hashes[slot] = gram, value
                starts[gram], ends[gram] = begins[before], stop
                num_grams += 1
            gram_of[num_used], piece_of[num_used] = gram, i
            num_used += 1
    return num_grams, num_used


@njit(nogil=True, cache=True)
def _set_bits(index: ItemNgrams, bits: Hashes, sizes: Numbers) -> None:
    """Set the bits of all n-grams; `sizes`: how many words each has."""
    for slot in range(index.slots.shape[0]):
        gram = index.slots[slot]
        if gram >= 0:
            k = np.searchsorted(index.lengths, sizes[gram])
            value = index.hashes[slot]
            bits[index.bit_starts[k] + np.int64(value >> index.shifts[k])] |= _two_bits(value)


@njit(nogil=True, cache=True)
def _two_bits(value: np.uint64) -> np.uint64:
    """Which bits of its word in the filter an n-gram sets."""
    return (_ONE << (value & _LOW_6)) | (_ONE << ((value >> _SHIFT_6) & _LOW_6))


@njit(nogil=True, cache=True)
def _find(index: ItemNgrams, value: np.uint64, data: Bytes, start: int, end: int, tables: FoldTables) -> int:
    """The n-gram of the index with the words of data[start:end], whose hash is `value`, or -1."""
    mask = index.slots.shape[0] - 1
    slot = np.int64(mix(value) & np.uint64(mask))
    while index.slots[slot] >= 0:
        gram = index.slots[slot]
        if index.hashes[slot] == value and _same_words(
            data, start, end, index.text, index.starts[gram], index.ends[gram], tables
        ):
            return int(gram)
        slot = (slot + 1) & mask
    return -1


@njit(nogil=True, cache=True)
def _read_words(
    data: Bytes, position: int, end: int, tables: FoldTables, words: Hashes, begins: Integers, stops: Integers
) -> tuple[int, int]:
    """The next words of data[position:end] as `_next_word` gives them, as many as there is room for: hashes, and the
    bytes they span. Returns where to go on, and the number of words."""
    room = words.shape[0] - 1  # a character that is a word of its own ends another one too
    filled, start = 0, -1
    word = np.uint64(0)
    while filled < room:
        length = 1
        if position >= end:
            kind, folded = SEPARATOR, 0
        else:
            byte = int(data[position])
            if byte < 128:
                folded = int(tables.ascii[byte])
                if folded != 0:
                    word = (word + np.uint64(folded)) * _CHARACTER
                    start = position if start < 0 else start
                    position += 1
                    continue
                kind = SEPARATOR
            else:
                code, length = code_point_or_separator(data, position, end)
                kind, folded = int(tables.kinds[code]), int(tables.folded[code])
        if kind in (SEPARATOR, SOLO):
            if start >= 0:
                words[filled], begins[filled], stops[filled] = mix(word), start, position
                filled += 1
                word, start = np.uint64(0), -1
            if kind == SOLO:
                words[filled] = mix((word + np.uint64(folded)) * _CHARACTER)
                begins[filled], stops[filled] = position, position + length
                filled += 1
            elif position >= end:
                break
        elif kind in (LETTER, DIGIT):
            word = (word + np.uint64(folded)) * _CHARACTER
            start = position if start < 0 else start
        elif kind == SEQUENCE:
            for at in range(folded + 1, folded + 1 + tables.sequences[folded]):
                word = (word + np.uint64(tables.sequences[at])) * _CHARACTER
            start = position if start < 0 else start
        position += length
    return position, filled


@njit(nogil=True, cache=True)
def _next_word(data: Bytes, position: int, end: int, tables: FoldTables) -> tuple[np.uint64, bool, int, int, int]:
    """The next word of data[position:end]: its hash, whether it has a letter, the bytes [start, stop) it spans, and
    where to go on. Start is -1 where there is none."""
    word = np.uint64(0)
    has_letter = False
    start, stop = -1, position
    while position < end:
        byte = int(data[position])
        if byte < 128:
            folded = int(tables.ascii[byte])
            kind = LETTER if folded >= 58 else SEPARATOR if folded == 0 else DIGIT
            length = 1
        else:
            code, length = code_point_or_separator(data, position, end)
            kind = int(tables.kinds[code])
            folded = int(tables.folded[code])
        if kind in (SEPARATOR, SOLO):
            if start >= 0:
                break
            if kind == SOLO:
                value = mix((word + np.uint64(folded)) * _CHARACTER)
                return value, True, position, position + length, position + length
        elif kind in (LETTER, DIGIT):
            word = (word + np.uint64(folded)) * _CHARACTER
            has_letter |= kind == LETTER
            start = position if start < 0 else start
        elif kind == SEQUENCE:
            for at in range(folded + 1, folded + 1 + tables.sequences[folded]):
                word = (word + np.uint64(tables.sequences[at])) * _CHARACTER
            has_letter = True
            start = position if start < 0 else start
        position += length
        stop = position
    return mix(word), has_letter, start, stop, position


@njit(nogil=True, cache=True)
def _same_words(
    one: Bytes, one_at: int, one_end: int, other: Bytes, other_at: int, other_end: int, tables: FoldTables
) -> bool:
    """Whether both spans have the same words."""
    if one_end - one_at == other_end - other_at:
        same = 0
        while same < one_end - one_at and one[one_at + same] == other[other_at + same]:
            same += 1
        if same == one_end - one_at:
            return True
    while True:
        _, _, one_start, one_stop, one_at = _next_word(one, one_at, one_end, tables)
        _, _, other_start, other_stop, other_at = _next_word(other, other_at, other_end, tables)
        if one_start < 0 or other_start < 0:
            return one_start < 0 and other_start < 0
        one_inside, other_inside = 0, 0
        while True:
            one_code, one_start, one_inside = _next_code(one, one_start, one_stop, one_inside, tables)
            other_code, other_start, other_inside = _next_code(other, other_start, other_stop, other_inside, tables)
            if one_code != other_code:
                return False
            if one_code < 0:
                break


@njit(nogil=True, cache=True)
def _next_code(data: Bytes, position: int, stop: int, inside: int, tables: FoldTables) -> tuple[int, int, int]:
    """The next folded code point of a word, -1 at its end, and where to go on: a position, and how far into the
    sequence that the character there folds to."""
    while position < stop:
        code, length = int(data[position]), 1
        if code >= 128:
            code, length = code_point_or_separator(data, position, stop)
        kind, folded = int(tables.kinds[code]), int(tables.folded[code])
        if kind == SEQUENCE:
            inside += 1
            value = int(tables.sequences[folded + inside])
            if inside == tables.sequences[folded]:
                return value, position + length, 0
            return value, position, inside
        position += length
        if kind not in (IGNORED, SEPARATOR):
            return folded, position, 0
    return -1, position, 0


@njit(nogil=True, cache=True)
def _power(size: int) -> np.uint64:
    """The factor of the sum before an n-gram."""
    result = np.uint64(1)
    for _ in range(size):
        result *= _WORD
    return result
