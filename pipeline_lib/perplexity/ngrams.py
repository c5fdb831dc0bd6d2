"""An n-gram model over bytes, so for any language: interpolated Witten-Bell (Witten and Bell 1991, Chen and Goodman
1998).

With C(g) occurrences of an n-gram g, T(h) different bytes kept after a context h, and R(h) occurrences of h that no
kept n-gram follows (they ended a text, or what followed was too rare to keep),

    P(c | h) = (C(hc) + (T(h) + R(h)) P(c | h')) / (C(h) + T(h))

where h' is h without its first byte; below the single byte stands 1/256. The sum over all c is 1 for every context, so
that bits per byte are what a coder would need. Counts are exact (`counting.py`): there are no collisions. What keeps
the model small is that n-grams below some count are left out; their share goes to the shorter contexts.
"""

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from numba import njit

from pipeline_lib.classifier.calibration import quantile_threshold
from pipeline_lib.classifier.texts import joined, seeded, share, text_hashes
from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from pipeline_lib.kernels.utf8 import frozen
from pipeline_lib.perplexity.counting import MAX_ORDER, Counts, Keys, count_ngrams, first_slot, gram_key
from storage.wrong_request import WrongRequest

BITS_OF_NOTHING = 8.0  # of a text without a byte: what a byte costs when nothing is known

_LENGTH_SHIFT = np.uint64(56)
_EIGHT = np.uint64(8)
_LOW_BYTES = np.uint64((1 << 56) - 1)
_TINY = 1e-150
_LOG_TERMS = 20
_INVERSE_LN2 = 1.4426950408889634


class NothingToCount(WrongRequest):
    """No text to learn from, or none within the limit."""


class BrokenNgrams(ValueError):
    """Counts that no texts can have."""


@dataclass(frozen=True, kw_only=True)
class NgramParameters:
    """How an n-gram model is made.

    Attributes:
        order: bytes of the longest n-gram.
        max_ngrams: how many n-grams are kept, the more frequent ones; 2^20 are 12 MB on disk and 32 MB in memory.
        max_bytes: of text, repeats left out: texts from the first that does not fit on are counted and left out.
            Counting prose takes some 15 times as much memory, counting noise up to 150 times.
        held_out_ratio: share of texts that are not counted but tell how good the model is.
        seed: of which these are.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    order: int = 6
    max_ngrams: int = 1 << 20
    max_bytes: int = 64 << 20
    held_out_ratio: float = 0.05
    seed: int = 0

    def __post_init__(self) -> None:
        if not 1 <= self.order <= MAX_ORDER:
            raise ValueError(f"order={self.order}: expected 1 to {MAX_ORDER}")
        if not 256 <= self.max_ngrams <= 1 << 28:
            raise ValueError(f"max_ngrams={self.max_ngrams}: expected 256 to {1 << 28}")
        if not 1 <= self.max_bytes < 1 << 32:
            raise ValueError(f"max_bytes={self.max_bytes}: expected 1 to {(1 << 32) - 1}")
        if not 0 <= self.held_out_ratio < 1:
            raise ValueError(f"held_out_ratio={self.held_out_ratio}: expected a share from 0 on and below 1")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed={self.seed}: expected a whole number from 0 to 2^63")


@dataclass(frozen=True, kw_only=True)
class NgramMetrics:
    """All texts in = counted + held out + repeated + over the limit. Figures of held-out texts are null without any."""

    num_texts: int
    num_counted: int
    num_held_out: int
    num_repeated: int  # further copies of a text
    num_over_limit: int
    num_counted_bytes: int
    num_ngrams: int
    min_count: int  # of the kept n-grams longer than a byte
    held_out_bits_per_byte: float | None  # all held-out texts together
    held_out_percentile_30: float | None  # of the texts' bits per byte: CCNet's head ends here
    held_out_percentile_60: float | None  # and its middle here


@dataclass(frozen=True, kw_only=True)
class NgramModel:
    """The counts (what `save` writes), and the table that scoring looks n-grams up in."""

    order: int
    keys: Keys  # (n-grams,), ascending
    counts: Counts
    table: "NgramTable"
    metrics: dict[str, object]  # NgramMetrics as JSON


@dataclass(frozen=True)
class NgramTable:
    """Open addressing over 2^bits slots of 16 bytes, each: key (0: free), probability, factor of backing off."""

    bits: int
    slots: npt.NDArray[np.uint64]  # (2^bits, 2)


def train(texts: Iterable[pa.ChunkedArray], parameters: NgramParameters) -> NgramModel:
    """Count the texts and make a model of them.

    Raises:
        NothingToCount: there is no text.
        TypeError, ValueError: a column that is not whole text.
    """
    column, metrics = _taken(texts, parameters.max_bytes)
    data, offsets = string_buffers(column)
    is_held_out = share(seeded(text_hashes(data, offsets), parameters.seed)) < parameters.held_out_ratio
    rows, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    num_bytes = int((offsets[rows + 1] - offsets[rows]).sum())
    if num_bytes == 0:
        raise NothingToCount(
            f"no text to count: {metrics['num_texts']} texts were given, {metrics['num_over_limit']} of them beyond "
            f"max_bytes={parameters.max_bytes}, {len(held_out)} held out"
        )
    keys, counts, min_count = _kept_ngrams(data, offsets, rows, parameters)
    table = build_table(keys, counts, parameters.order)
    bits = np.zeros(len(held_out), np.float64)
    sizes = offsets[held_out + 1] - offsets[held_out]
    if len(held_out):
        bits = bits_per_byte(data, offsets, table, parameters.order)[held_out]
    scored = int(sizes.sum()) > 0
    complete = NgramMetrics(
        **metrics,
        num_counted=len(rows),
        num_held_out=len(held_out),
        num_counted_bytes=num_bytes,
        num_ngrams=len(keys),
        min_count=min_count,
        held_out_bits_per_byte=float((bits * sizes).sum() / sizes.sum()) if scored else None,
        held_out_percentile_30=quantile_threshold(bits, 0.3, "lowest") if scored else None,
        held_out_percentile_60=quantile_threshold(bits, 0.6, "lowest") if scored else None,
    )
    return NgramModel(order=parameters.order, keys=keys, counts=counts, table=table, metrics=asdict(complete))


def build_table(keys: Keys, counts: Counts, order: int) -> NgramTable:
    """Raises BrokenNgrams: the counts are not those of a set of texts, with rare n-grams left out."""
    lengths = keys >> _LENGTH_SHIFT
    if (
        len(keys) != len(counts)
        or len(keys) == 0
        or not (keys[1:] > keys[:-1]).all()
        or lengths[0] != 1
        or lengths[-1] > order
        or not (counts > 0).all()
    ):
        raise BrokenNgrams(f"expected ascending n-grams of 1 to {order} bytes, each with a count, found others")
    bits = max(10, int(2 * (len(keys) + 256) - 1).bit_length())
    slots = np.zeros((1 << bits, 2), np.uint64)
    if not _fill(keys, counts, bits, slots, slots.view(np.float32), np.zeros(1 << bits, np.uint32)):
        raise BrokenNgrams("an n-gram's beginning or end has no count of its own, or a smaller one")
    return NgramTable(bits=bits, slots=slots)


def bits_per_byte(data: Bytes, offsets: Offsets, table: NgramTable, order: int) -> npt.NDArray[np.float64]:
    """What each text needs per byte, in bits, float64 (N,): a text's first bytes are predicted from those before them
    in the same text. BITS_OF_NOTHING for a text without a byte."""
    bits = np.full(len(offsets) - 1, BITS_OF_NOTHING, np.float64)
    _score(*frozen(data, offsets), table.slots, table.slots.view(np.float32), table.bits, order, bits)
    return bits


def _taken(texts: Iterable[pa.ChunkedArray], max_bytes: int) -> tuple[pa.ChunkedArray, dict[str, int]]:
    """Different texts up to the limit, and how many there were of all others."""
    taken = []
    seen = np.zeros(0, np.uint64)
    num_texts = num_repeated = num_over_limit = total = 0
    for given in texts:
        column = joined([given])
        num_texts += len(column)
        if num_over_limit:
            num_over_limit += len(column)
            continue
        data, offsets = string_buffers(column)
        hashes = text_hashes(data, offsets)
        _, first = np.unique(hashes, return_index=True)
        is_new = np.zeros(len(hashes), np.bool_)
        is_new[first] = True
        is_new &= ~np.isin(hashes, seen)
        ends = total + np.cumsum(np.where(is_new, np.diff(offsets), 0))
        fitting = int(np.searchsorted(ends, max_bytes, side="right"))
        is_new[fitting:] = False
        num_over_limit += len(column) - fitting
        num_repeated += fitting - int(is_new.sum())
        total = int(ends[fitting - 1]) if fitting else total
        seen = np.union1d(seen, hashes[is_new])
        taken += column.filter(pa.array(is_new)).chunks
    column = pa.chunked_array(taken, pa.large_string())
    return column, {"num_texts": num_texts, "num_repeated": num_repeated, "num_over_limit": num_over_limit}


def _kept_ngrams(
    data: Bytes, offsets: Offsets, rows: npt.NDArray[np.int64], parameters: NgramParameters
) -> tuple[Keys, Counts, int]:
    """Keys and counts, and the least count that was kept.

    An n-gram occurs no more often than its beginning and its end: with it, these are kept.
    """
    found = [count_ngrams(data, offsets, rows, length) for length in range(1, parameters.order + 1)]
    keys = np.concatenate([keys for keys, _ in found])
    counts = np.concatenate([counts for _, counts in found])
    num_single = len(found[0][0])
    longer = counts[num_single:]
    room = parameters.max_ngrams - num_single
    min_count = 1
    if len(longer) > room:
        min_count = int(np.partition(longer, len(longer) - room - 1)[len(longer) - room - 1]) + 1
    kept = counts >= min_count
    kept[:num_single] = True
    return keys[kept], counts[kept], min_count


@njit(nogil=True, cache=True)
def _find(slots: npt.NDArray[np.uint64], bits: int, key: np.uint64) -> int:
    """The slot of a key, or -1."""
    slot = first_slot(key, bits)
    mask = (1 << bits) - 1
    while slots[slot, 0] != key:
        if slots[slot, 0] == 0:
            return -1
        slot = (slot + 1) & mask
    return slot


@njit(nogil=True, cache=True)
def _insert(slots: npt.NDArray[np.uint64], bits: int, key: np.uint64) -> int:
    slot = first_slot(key, bits)
    mask = (1 << bits) - 1
    while slots[slot, 0] != 0 and slots[slot, 0] != key:
        slot = (slot + 1) & mask
    slots[slot, 0] = key
    return slot


@njit(nogil=True, cache=True)
def _fill(
    keys: Keys,
    counts: Counts,
    bits: int,
    slots: npt.NDArray[np.uint64],
    values: npt.NDArray[np.float32],
    slot_counts: Counts,
) -> bool:
    """Fill the table, shorter n-grams first; False where the counts contradict each other.

    values: float32 (2^bits, 4): the same memory as `slots`; columns 2 and 3 are probability and backing off.
    """
    num_single = 0
    total = np.int64(0)
    while num_single < keys.shape[0] and keys[num_single] >> _LENGTH_SHIFT == 1:
        total += counts[num_single]
        num_single += 1
    for byte in range(256):  # those that never occurred, too
        slot = _insert(slots, bits, gram_key(np.uint64(byte), 1))
        values[slot, 2] = np.float32(num_single / 256.0 / (total + num_single))
        values[slot, 3] = 1.0
    for i in range(num_single):
        slot = _insert(slots, bits, keys[i])
        values[slot, 2] = np.float32((counts[i] + num_single / 256.0) / (total + num_single))
        slot_counts[slot] = counts[i]

    start = num_single
    while start < keys.shape[0]:  # all n-grams of one context stand together
        length = int(keys[start] >> _LENGTH_SHIFT)
        context = (keys[start] & _LOW_BYTES) >> _EIGHT
        end = start
        kept_total = np.int64(0)
        while end < keys.shape[0] and (
            keys[end] >> _LENGTH_SHIFT == np.uint64(length) and (keys[end] & _LOW_BYTES) >> _EIGHT == context
        ):
            kept_total += counts[end]
            end += 1
        context_slot = _find(slots, bits, gram_key(context, length - 1))
        if context_slot < 0 or kept_total > slot_counts[context_slot]:
            return False
        num_kept = end - start
        denominator = float(slot_counts[context_slot] + num_kept)
        passed_on = float(num_kept + slot_counts[context_slot] - kept_total)
        values[context_slot, 3] = np.float32(passed_on / denominator)
        for i in range(start, end):
            shorter = _find(slots, bits, gram_key(keys[i], length - 1))
            if shorter < 0 or slot_counts[shorter] < counts[i]:
                return False
            slot = _insert(slots, bits, keys[i])
            values[slot, 2] = np.float32((counts[i] + passed_on * values[shorter, 2]) / denominator)
            values[slot, 3] = 1.0
            slot_counts[slot] = counts[i]
        start = end
    return True


@njit(nogil=True, cache=True)
def _score(
    data: Bytes,
    offsets: Offsets,
    slots: npt.NDArray[np.uint64],
    values: npt.NDArray[np.float32],
    bits: int,
    order: int,
    bits_of_texts: npt.NDArray[np.float64],
) -> None:
    before = np.ones(order + 1, np.float64)  # by length, the backing off of the contexts that end before the byte
    now = np.ones(order + 1, np.float64)
    for text in range(offsets.shape[0] - 1):
        start, end = offsets[text], offsets[text + 1]
        if start == end:
            continue
        product, exponent = 1.0, 0  # of all probabilities: product * 2^exponent
        history = np.uint64(0)
        num_contexts = 0  # contexts of 1 to so many bytes are known
        for i in range(start, end):
            history = history << _EIGHT | np.uint64(data[i])
            probability = 1.0
            found = 0
            for length in range(1, num_contexts + 2):  # an n-gram is known only if its beginning is
                slot = _find(slots, bits, gram_key(history, length))
                if slot < 0:
                    break
                found = length
                probability = np.float64(values[slot, 2])
                now[length] = np.float64(values[slot, 3])
            for length in range(found, num_contexts + 1):
                probability *= before[length]
            before, now = now, before
            num_contexts = min(found, order - 1)
            product *= probability
            if product < _TINY:
                product, shift = math.frexp(product)
                exponent += shift
        product, shift = math.frexp(product)
        bits_of_texts[text] = -(_log2(product) + exponent + shift) / (end - start)


@njit(nogil=True, cache=True)
def _log2(x: float) -> float:
    """For x in [0.5, 1], from sums and products alone: libraries differ in the last bits."""
    ratio = (x - 1.0) / (x + 1.0)
    square = ratio * ratio
    total = 0.0
    for term in range(_LOG_TERMS, -1, -1):
        total = total * square + 1.0 / (2 * term + 1)
    return 2.0 * ratio * total * _INVERSE_LN2
