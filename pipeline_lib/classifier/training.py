"""Training a quality classifier from texts that are good and texts that are not.

Two ways of use that made well-known corpora:

- FineWeb-Edu (Penedo et al. 2024, arXiv:2406.17557): annotators score a sample of pages; `positive` are those that got
  3 or more of 5, `negative` the rest; keep what scores at least 0.5.
- DCLM (Li et al. 2024, arXiv:2406.11794): `positive` are texts like instructions and good answers, `negative` a random
  sample of the crawl; keep the tenth of the crawl that scores highest. In DCLM's own model that is a score above
  0.018112; in another model it is `quantile_threshold` (`calibration.py`) of a sample's scores and 0.1.
"""

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.classifier.calibration import Calibration, Quality, fit_calibration, quality
from pipeline_lib.classifier.features import Weights, mean_weights, train_epoch
from pipeline_lib.classifier.texts import joined, seeded, share, text_hashes
from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from storage.wrong_request import WrongRequest

_MIN_TEXTS = 10  # of each kind, in each of the two held-out halves: below that, their figures say nothing


class TooFewTexts(WrongRequest):
    """Not enough texts of one kind to learn from and to check on."""


@dataclass(frozen=True, kw_only=True)
class ClassifierParameters:
    """How a classifier sees texts and how it learns.

    Attributes:
        bucket_bits: 2^bits buckets for features: 20 are 4 MB of weights.
        bigrams: whether pairs of neighbouring words are features, besides words.
        split_punctuation: whether a punctuation mark is a word of its own, else part of the word around it.
        epochs: passes over the training texts.
        learning_rate: at the start; falls evenly to zero at the end. A text is the mean of
            many weights, so that these grow far above 1: of 0.1 to 50, 5 was best on reviews and posts (area under
            the curve 0.945 against 0.914 at 1).
        held_out_ratio: share of texts not learnt from: one half calibrates, the other tells how good the scores are.
        seed: of the split and of the order of training.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    bucket_bits: int = 20
    bigrams: bool = True
    split_punctuation: bool = True
    epochs: int = 5
    learning_rate: float = 5.0
    held_out_ratio: float = 0.2
    seed: int = 0

    def __post_init__(self) -> None:
        if not 8 <= self.bucket_bits <= 28:
            raise ValueError(f"bucket_bits={self.bucket_bits}: expected 8 to 28 (28 are 1 GB of weights)")
        if self.epochs < 1:
            raise ValueError(f"epochs={self.epochs}: expected at least 1")
        if not 0 < self.learning_rate < float("inf"):
            raise ValueError(f"learning_rate={self.learning_rate}: expected a number above 0")
        if not 0 < self.held_out_ratio < 1:
            raise ValueError(f"held_out_ratio={self.held_out_ratio}: expected a share above 0 and below 1")
        if not 0 <= self.seed < 1 << 63:
            raise ValueError(f"seed={self.seed}: expected a whole number from 0 to 2^63")


@dataclass(frozen=True, kw_only=True)
class ClassifierMetrics:
    """What training was given, and how good the scores are; all texts in = conflicting + repeated + without words +
    training + calibration + test."""

    num_positive: int  # as given
    num_negative: int
    num_conflicting: int  # texts that stand on both sides, every copy counted: left out
    num_repeated: int  # further copies of a text on one side: left out
    num_without_words: int  # left out
    num_training: int
    num_calibration: int
    num_training_bytes: int
    training_base_rate: float  # share of positive texts
    test: Quality


@dataclass(frozen=True, kw_only=True)
class TrainedClassifier:
    """Weights and calibration; `score` uses it, `save` and `load` (`model.py`) keep it."""

    parameters: ClassifierParameters
    weights: Weights  # (buckets + 1,): the last one is the bias
    calibration: Calibration
    metrics: dict[str, object]  # ClassifierMetrics as JSON

    def logits(self, data: Bytes, offsets: Offsets) -> npt.NDArray[np.float64]:
        """float64 (N,), before calibration; NaN for a text without a word."""
        return _logits(data, offsets, self.weights, self.parameters)


def score(data: Bytes, offsets: Offsets, classifier: TrainedClassifier) -> npt.NDArray[np.float64]:
    """The probability that each text is positive, float64 (N,) in 0..1; 0 for a text without a word.

    It holds for texts mixed as in training: where positive ones are rarer than there, it is too high, in the same
    order.
    """
    return classifier.calibration.probabilities(classifier.logits(data, offsets))


def train(
    positive: Iterable[pa.ChunkedArray], negative: Iterable[pa.ChunkedArray], parameters: ClassifierParameters
) -> TrainedClassifier:
    """Train, calibrate and test a classifier: the same for the same texts, in whatever order they come.

    The texts of both sides are held in memory as Arrow columns, nothing else grows with them but 40 bytes a text.
    Both sides weigh the same, however many texts they have.

    Raises:
        TooFewTexts: a side has too few texts after the ones are left out that cannot be used.
        TypeError, ValueError: a column that is not whole text.
    """
    sides = [joined(positive), joined(negative)]
    column = pa.chunked_array([chunk for side in sides for chunk in side.chunks], pa.large_string())
    labels = np.arange(len(column)) < len(sides[0])
    data, offsets = string_buffers(column)
    hashes = text_hashes(data, offsets)
    distinct, first, inverse, counts = np.unique(hashes, return_index=True, return_inverse=True, return_counts=True)
    num_positive_copies = np.bincount(inverse, weights=labels, minlength=len(distinct))
    conflicting = (num_positive_copies > 0) & (num_positive_copies < counts)
    usable = first[~conflicting]
    with_words = ~np.isnan(_logits(data, offsets, np.zeros((1 << parameters.bucket_bits) + 1, np.float32), parameters))
    num_without_words = int((~with_words[usable]).sum())
    usable = usable[with_words[usable]]

    place = seeded(hashes[usable], parameters.seed)
    usable = usable[np.argsort(place, kind="stable")]
    split = share(seeded(hashes[usable], parameters.seed + 1))
    held_out = split < parameters.held_out_ratio
    calibrating = held_out & (split < parameters.held_out_ratio / 2)
    training, calibration, test = usable[~held_out], usable[calibrating], usable[held_out & ~calibrating]
    for part, name in ((training, "to learn from"), (calibration, "to calibrate on"), (test, "to test on")):
        for wanted, side in ((True, "positive"), (False, "negative")):
            found = int((labels[part] == wanted).sum())
            if found < _MIN_TEXTS:
                raise TooFewTexts(
                    f"{found} different {side} texts {name}, of {int((labels[usable] == wanted).sum())} usable ones; "
                    f"at least {_MIN_TEXTS} are needed: give more texts, or a larger held_out_ratio than "
                    f"{parameters.held_out_ratio}"
                )

    weights = _trained_weights(data, offsets, training, labels, parameters)
    logits = _logits(data, offsets, weights, parameters)
    fitted = fit_calibration(logits[calibration], labels[calibration])
    metrics = ClassifierMetrics(
        num_positive=len(sides[0]),
        num_negative=len(sides[1]),
        num_conflicting=int(counts[conflicting].sum()),
        num_repeated=int((counts[~conflicting] - 1).sum()),
        num_without_words=num_without_words,
        num_training=len(training),
        num_calibration=len(calibration),
        num_training_bytes=int((offsets[training + 1] - offsets[training]).sum()),
        training_base_rate=float(labels[training].mean()),
        test=quality(fitted.probabilities(logits[test]), labels[test]),
    )
    return TrainedClassifier(parameters=parameters, weights=weights, calibration=fitted, metrics=asdict(metrics))


def _trained_weights(
    data: Bytes,
    offsets: Offsets,
    training: npt.NDArray[np.int64],
    labels: npt.NDArray[np.bool_],
    parameters: ClassifierParameters,
) -> Weights:
    positive_rate = float(labels[training].mean())
    weights = np.zeros((1 << parameters.bucket_bits) + 1, np.float32)
    squares = np.zeros_like(weights)
    for epoch in range(parameters.epochs):
        train_epoch(
            data,
            offsets,
            training,
            labels,
            (0.5 / (1 - positive_rate), 0.5 / positive_rate),
            weights,
            squares,
            rates=(
                parameters.learning_rate * (1 - epoch / parameters.epochs),
                parameters.learning_rate * (1 - (epoch + 1) / parameters.epochs),
            ),
            bucket_bits=parameters.bucket_bits,
            bigrams=parameters.bigrams,
            split_punctuation=parameters.split_punctuation,
        )
    return weights


def _logits(
    data: Bytes, offsets: Offsets, weights: Weights, parameters: ClassifierParameters
) -> npt.NDArray[np.float64]:
    return mean_weights(
        data,
        offsets,
        weights,
        bucket_bits=parameters.bucket_bits,
        bigrams=parameters.bigrams,
        split_punctuation=parameters.split_punctuation,
    )
