"""Texts cut where no piece of the vocabulary can cross, so that each different segment is tokenized once.

SentencePiece's BPE takes as long for the thousandth "the" as for the first. No piece of our vocabularies has a space
after another character, and line break and tab are pieces of their own: before a run of spaces, and around those two,
no merge can happen, and the ids of a text are the ids of its segments, one after the other. Measured on 24.6 MB of
English with 8192 pieces: 12.5 to 14.6 MB/s a core, 3.5 MB/s without.
"""

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.kernels.arrow import Bytes, Offsets

Ids = npt.NDArray[np.int32]

_FNV_PRIME = np.uint64(0x100000001B3)
_FNV_START = np.uint64(0xCBF29CE484222325)
_S32 = np.uint64(32)


@njit(nogil=True, cache=True)
def _segment_end(data: Bytes, start: int, end: int) -> int:
    """Where the segment ends that starts at `start`: a line break, a tab, or spaces and then other characters.

    U+2581 (bytes E2 96 81) counts as a space: SentencePiece writes spaces so.
    """
    if data[start] == 0x0A or data[start] == 0x09:
        return start + 1
    position = start
    in_spaces = True
    while position < end:
        byte = data[position]
        if byte == 0x0A or byte == 0x09:
            break
        width = 0
        if byte == 0x20:
            width = 1
        elif byte == 0xE2 and position + 2 < end and data[position + 1] == 0x96 and data[position + 2] == 0x81:
            width = 3
        if width == 0:
            in_spaces = False
            width = 1
        elif not in_spaces:
            break
        position += width
    return position


@njit(nogil=True, cache=True)
def count_segments(data: Bytes, offsets: Offsets) -> Offsets:
    """Segments of each text, summed: text i has segments counts[i] .. counts[i + 1]."""
    counts = np.zeros(offsets.shape[0], np.int64)
    for i in range(offsets.shape[0] - 1):
        position, number = offsets[i], 0
        while position < offsets[i + 1]:
            position = _segment_end(data, position, offsets[i + 1])
            number += 1
        counts[i + 1] = counts[i] + number
    return counts


@njit(nogil=True, cache=True)
def find_distinct(
    data: Bytes, offsets: Offsets, text_segments: Offsets
) -> tuple[Ids, npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Number each segment by its content, in order of first appearance.

    Returns:
        numbers: int32, one a segment of all texts.
        starts, ends: int64, one a distinct segment: where in `data` it first stands.
    """
    numbers = np.empty(text_segments[-1], np.int32)
    starts = np.empty(1 << 12, np.int64)
    ends = np.empty(1 << 12, np.int64)
    hashes = np.empty(1 << 12, np.uint64)
    num_distinct = 0
    table = np.full(1 << 14, -1, np.int32)  # open addressing; the number of a distinct segment, or -1
    mask = np.uint64((1 << 14) - 1)
    segment = 0
    for i in range(offsets.shape[0] - 1):
        start = offsets[i]
        while start < offsets[i + 1]:
            end = _segment_end(data, start, offsets[i + 1])
            value = _FNV_START
            for position in range(start, end):
                value = (value ^ np.uint64(data[position])) * _FNV_PRIME
            value ^= value >> _S32
            slot = value & mask
            number = -1
            while table[slot] != -1:
                known = table[slot]
                if hashes[known] == value and ends[known] - starts[known] == end - start:
                    same = True
                    for k in range(end - start):
                        if data[starts[known] + k] != data[start + k]:
                            same = False
                            break
                    if same:
                        number = known
                        break
                slot = (slot + np.uint64(1)) & mask
            if number == -1:
                number = num_distinct
                if num_distinct == starts.shape[0]:
                    starts = np.concatenate((starts, np.empty_like(starts)))
                    ends = np.concatenate((ends, np.empty_like(ends)))
                    hashes = np.concatenate((hashes, np.empty_like(hashes)))
                starts[number], ends[number], hashes[number] = start, end, value
                table[slot] = number
                num_distinct += 1
                if 2 * num_distinct > table.shape[0]:
                    table = np.full(4 * table.shape[0], -1, np.int32)
                    mask = np.uint64(table.shape[0] - 1)
                    for known in range(num_distinct):
                        slot = hashes[known] & mask
                        while table[slot] != -1:
                            slot = (slot + np.uint64(1)) & mask
                        table[slot] = known
            numbers[segment] = number
            segment += 1
            start = end
    return numbers, starts[:num_distinct], ends[:num_distinct]


@njit(nogil=True, cache=True)
def join_ids(
    numbers: Ids, text_segments: Offsets, ids: Ids, id_offsets: Offsets, bos: int, eos: int
) -> tuple[Ids, Offsets]:
    num_texts = text_segments.shape[0] - 1
    token_offsets = np.zeros(num_texts + 1, np.int64)
    for i in range(num_texts):
        length = 2
        for segment in range(text_segments[i], text_segments[i + 1]):
            length += id_offsets[numbers[segment] + 1] - id_offsets[numbers[segment]]
        token_offsets[i + 1] = token_offsets[i] + length
    tokens = np.empty(token_offsets[num_texts], np.int32)
    for i in range(num_texts):
        position = token_offsets[i]
        tokens[position] = bos
        position += 1
        for segment in range(text_segments[i], text_segments[i + 1]):
            for k in range(id_offsets[numbers[segment]], id_offsets[numbers[segment] + 1]):
                tokens[position] = ids[k]
                position += 1
        tokens[position] = eos
    return tokens, token_offsets
