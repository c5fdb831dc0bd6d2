"""What the classifier sees of a text: its words and pairs of neighbouring words, each hashed into a bucket.

After fastText (Joulin et al. 2016, arXiv:1607.01759, section 2.2). Words are compared without case and without accents
(`pipeline_lib.kernels.fold_tables`). Whitespace ends words; with `split_punctuation` a mark is a word of its own, else
it is part of the word around it. Characters of scripts without spaces between words are words of their own. Characters
that folding drops (marks, format characters) are not there at all.

A bucket is shared by all that hash into it. With 2^20 buckets, of the two million different features of some 100 MB of
English most share one with another; training then gives the bucket to the more telling one.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.classifier.exponential import logistic
from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.fold_tables import DIGIT, IGNORED, LETTER, SEPARATOR, SEQUENCE, SOLO, FoldTables, fold_tables
from pipeline_lib.kernels.unicode_tables import SPACE, Classes, character_classes
from pipeline_lib.kernels.utf8 import code_point_at, frozen, mix

Buckets = npt.NDArray[np.uint32]
Weights = npt.NDArray[np.float32]  # (buckets + 1,): the last one is the bias

_CHARACTER = np.uint64(0x9E3779B97F4A7C15)
_PAIR = np.uint64(0xBF58476D1CE4E5B9)


def bucket_lists(
    data: Bytes, offsets: Offsets, *, bucket_bits: int, bigrams: bool, split_punctuation: bool
) -> list[npt.NDArray[np.uint32]]:
    """The buckets of each text, repeats and order kept: for looking at, not for speed."""
    data, offsets = frozen(data, offsets)
    features = _room(offsets)
    found = []
    for text in range(len(offsets) - 1):
        count = write_buckets(
            data, offsets[text], offsets[text + 1], fold_tables(), character_classes(), bucket_bits, bigrams,
            split_punctuation, features,
        )  # fmt: skip
        found.append(features[:count].copy())
    return found


def mean_weights(
    data: Bytes, offsets: Offsets, weights: Weights, *, bucket_bits: int, bigrams: bool, split_punctuation: bool
) -> npt.NDArray[np.float64]:
    """The mean weight of each text's features plus the bias, float64 (N,); NaN for a text without a word."""
    logits = np.empty(len(offsets) - 1, np.float64)
    data, offsets = frozen(data, offsets)
    weights = weights.view()
    weights.flags.writeable = False
    _mean_weights(
        data, offsets, fold_tables(), character_classes(), bucket_bits, bigrams, split_punctuation, weights,
        _room(offsets), logits,
    )  # fmt: skip
    return logits


def train_epoch(
    data: Bytes,
    offsets: Offsets,
    order: npt.NDArray[np.int64],
    labels: npt.NDArray[np.bool_],
    class_weights: tuple[float, float],
    weights: Weights,
    squares: Weights,
    *,
    rates: tuple[float, float],
    bucket_bits: int,
    bigrams: bool,
    split_punctuation: bool,
) -> None:
    """One pass of stochastic gradient descent with AdaGrad's step sizes (Duchi et al. 2011) over the texts in `order`.

    Args:
        order: int64 (M,): which texts, in which order.
        labels: bool (N,): whether each text is positive.
        class_weights: of negative and positive texts' losses.
        weights: float32 (buckets + 1,): changed.
        squares: float32 (buckets + 1,): sums of squared gradients: changed.
        rates: learning rate at the pass's start and end; linear between.
    """
    data, offsets = frozen(data, offsets)
    _train_epoch(
        data, offsets, order, labels, class_weights[0], class_weights[1], rates[0], rates[1], fold_tables(),
        character_classes(), bucket_bits, bigrams, split_punctuation, _room(offsets), weights, squares,
    )  # fmt: skip


def _room(offsets: Offsets) -> Buckets:
    """For the features of the longest text: at most two a byte. Pages that nothing is written to take no memory."""
    longest = int(np.diff(offsets).max(initial=0))
    return np.empty(2 * longest + 2, np.uint32)


@njit(nogil=True, cache=True)
def write_buckets(
    data: Bytes,
    start: int,
    end: int,
    tables: FoldTables,
    classes: Classes,
    bucket_bits: int,
    bigrams: bool,
    split_punctuation: bool,
    features: Buckets,
) -> int:
    """Write the buckets of data[start:end] to `features`; returns how many they are."""
    shift = np.uint64(64 - bucket_bits)
    count = 0
    word, before = np.uint64(0), np.uint64(0)
    in_word, has_before = False, False
    i = start
    while i <= end:
        folded: Any = 0
        is_space = i == end
        kind = SEPARATOR
        code_point: Any = 0
        if is_space:
            i += 1
        else:
            byte = data[i]
            if byte < 128:
                code_point = np.int64(byte)
                folded = np.int64(tables.ascii[byte])
                kind = SEPARATOR if folded == 0 else LETTER
                is_space = byte <= 32 and classes[byte] & SPACE != 0
                i += 1
            else:
                code_point, width = code_point_at(data, i)
                kind = int(tables.kinds[code_point])
                folded = np.int64(tables.folded[code_point])
                is_space = classes[code_point] & SPACE != 0
                i += width
        if kind in (LETTER, DIGIT):
            word = (word ^ np.uint64(folded)) * _CHARACTER
            in_word = True
            continue
        if kind == IGNORED:
            continue
        if kind == SEQUENCE:
            for at in range(folded + 1, folded + 1 + tables.sequences[folded]):
                word = (word ^ np.uint64(tables.sequences[at])) * _CHARACTER
            in_word = True
            continue
        alone = not is_space and (kind == SOLO or split_punctuation)
        if not is_space and not alone:  # a mark within a word
            word = (word ^ np.uint64(code_point)) * _CHARACTER
            in_word = True
            continue
        for part in range(2):  # the word that ends here, and then the character that stands alone
            if part == 0 and in_word:
                hashed = mix(word)
            elif part == 1 and alone:
                hashed = mix(np.uint64(folded if kind == SOLO else code_point) * _CHARACTER)
            else:
                continue
            features[count] = np.uint32(hashed >> shift)
            count += 1
            if bigrams:
                if has_before:
                    features[count] = np.uint32(mix(before * _PAIR + hashed) >> shift)
                    count += 1
                before, has_before = hashed, True
        word, in_word = np.uint64(0), False
    return count


@njit(nogil=True, cache=True)
def _mean_weights(
    data: Bytes,
    offsets: Offsets,
    tables: FoldTables,
    classes: Classes,
    bucket_bits: int,
    bigrams: bool,
    split_punctuation: bool,
    weights: Weights,
    features: Buckets,
    logits: npt.NDArray[np.float64],
) -> None:
    for text in range(offsets.shape[0] - 1):
        count = write_buckets(
            data, offsets[text], offsets[text + 1], tables, classes, bucket_bits, bigrams, split_punctuation, features
        )
        logits[text] = _logit(weights, features, count) if count else np.nan


@njit(nogil=True, cache=True)
def _logit(weights: Weights, features: Buckets, count: int) -> float:
    total = 0.0
    for i in range(count):
        total += np.float64(weights[features[i]])
    return total / count + np.float64(weights[weights.shape[0] - 1])


@njit(nogil=True, cache=True)
def _train_epoch(
    data: Bytes,
    offsets: Offsets,
    order: npt.NDArray[np.int64],
    labels: npt.NDArray[np.bool_],
    negative_weight: float,
    positive_weight: float,
    first_rate: float,
    last_rate: float,
    tables: FoldTables,
    classes: Classes,
    bucket_bits: int,
    bigrams: bool,
    split_punctuation: bool,
    features: Buckets,
    weights: Weights,
    squares: Weights,
) -> None:
    bias = weights.shape[0] - 1
    for step in range(order.shape[0]):
        text = order[step]
        count = write_buckets(
            data, offsets[text], offsets[text + 1], tables, classes, bucket_bits, bigrams, split_punctuation, features
        )
        if count == 0:
            continue
        rate = first_rate + (last_rate - first_rate) * (step / order.shape[0])
        probability = logistic(_logit(weights, features, count))
        slope = positive_weight * (probability - 1.0) if labels[text] else negative_weight * probability
        squares[bias] += np.float32(slope * slope)
        if squares[bias] > 0.0:
            weights[bias] -= np.float32(rate * slope / np.sqrt(np.float64(squares[bias])))
        features[:count].sort()  # a feature that occurs k times is one feature of value k / count
        i = 0
        while i < count:
            bucket = features[i]
            first = i
            while i < count and features[i] == bucket:
                i += 1
            gradient = slope * ((i - first) / count)
            squares[bucket] += np.float32(gradient * gradient)
            if squares[bucket] > 0.0:  # not so where the square is too small for a float32
                weights[bucket] -= np.float32(rate * gradient / np.sqrt(np.float64(squares[bucket])))
