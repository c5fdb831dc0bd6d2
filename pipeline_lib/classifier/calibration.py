"""From a linear score to a probability, what can be said of its quality, and thresholds that keep a share of texts."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from numba import njit

from pipeline_lib.classifier.exponential import logistic

Scores = npt.NDArray[np.float64]
Labels = npt.NDArray[np.bool_]

_MAX_STEPS = 100
_NUM_BINS = 15


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """probability = 1 / (1 + exp(-(slope * logit + intercept)))"""

    slope: float
    intercept: float

    def probabilities(self, logits: Scores) -> Scores:
        """float64 (N,), in 0..1; 0 where the logit is NaN: a text without a word has nothing that speaks for it."""
        probabilities = np.zeros(len(logits), np.float64)
        _apply(logits, self.slope, self.intercept, probabilities)
        return probabilities


def fit_calibration(logits: Scores, labels: Labels) -> Calibration:
    """Platt's sigmoid (Platt 1999) with his softened targets, fitted by Newton's method (Lin et al. 2007).

    Args:
        logits: float64 (N,), finite; of texts that had no part in training.
        labels: bool (N,): both kinds occur.
    """
    spread = float(np.ptp(logits)) or 1.0
    centre = float(logits.min())
    num_positive = int(labels.sum())
    targets = np.where(
        labels, (num_positive + 1) / (num_positive + 2), 1 / (len(labels) - num_positive + 2)
    ).astype(np.float64)  # fmt: skip
    slope, intercept = _newton((logits - centre) / spread, targets)
    return Calibration(slope=slope / spread, intercept=intercept - slope * centre / spread)


@dataclass(frozen=True, kw_only=True)
class Quality:
    """How well probabilities fit labels, on texts that neither training nor calibration saw."""

    num_texts: int
    base_rate: float  # share of positive texts
    auc: float  # chance that a positive text scores above a negative one; a tie counts half
    accuracy: float  # at 0.5
    balanced_accuracy: float  # the mean of the two classes'
    expected_calibration_error: float  # Guo et al. 2017 (arXiv:1706.04599): 15 bins of equal width


def quality(probabilities: Scores, labels: Labels) -> Quality:
    """Both kinds of labels occur."""
    right = (probabilities >= 0.5) == labels
    bins = np.minimum((probabilities * _NUM_BINS).astype(np.int64), _NUM_BINS - 1)
    gaps = np.bincount(bins, weights=probabilities - labels, minlength=_NUM_BINS)
    return Quality(
        num_texts=len(labels),
        base_rate=float(labels.mean()),
        auc=area_under_curve(probabilities, labels),
        accuracy=float(right.mean()),
        balanced_accuracy=float((right[labels].mean() + right[~labels].mean()) / 2),
        expected_calibration_error=float(np.abs(gaps).sum() / len(labels)),
    )


def area_under_curve(scores: Scores, labels: Labels) -> float:
    """Area under the receiver operating characteristic: Mann and Whitney's statistic over the number of pairs."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    num_positive = int(labels.sum())
    above = float(ranks[labels].sum()) - num_positive * (num_positive + 1) / 2
    return above / (num_positive * (len(labels) - num_positive))


def quantile_threshold(scores: Scores, keep_ratio: float, best: Literal["highest", "lowest"] = "highest") -> float:
    """The bound that keeps that share of the texts: `min_score` where the highest are best, else `max_…`.

    Texts whose score is the bound are kept, so that ties keep some more. DCLM (Li et al. 2024, arXiv:2406.11794)
    keeps the tenth with the highest scores; CCNet (Wenzek et al. 2020, arXiv:1911.00359) calls the 30 % with the lowest
    perplexity head, and those up to 60 % middle.

    Raises:
        ValueError: there are no scores, some are NaN, or keep_ratio is not above 0 and at most 1.
    """
    if not 0 < keep_ratio <= 1:
        raise ValueError(f"keep_ratio={keep_ratio}: expected a share above 0 and at most 1")
    if len(scores) == 0 or np.isnan(scores).any():
        raise ValueError(f"expected scores that are numbers, found {np.isnan(scores).sum()} NaN among {len(scores)}")
    num_kept = max(1, math.ceil(keep_ratio * len(scores)))
    place = len(scores) - num_kept if best == "highest" else num_kept - 1
    return float(np.sort(scores)[place])


@njit(nogil=True, cache=True)
def _apply(logits: Scores, slope: float, intercept: float, probabilities: Scores) -> None:
    for i in range(logits.shape[0]):
        if not np.isnan(logits[i]):
            probabilities[i] = logistic(slope * logits[i] + intercept)


@njit(nogil=True, cache=True)
def _gradient(logits: Scores, targets: Scores, slope: float, intercept: float) -> tuple[float, float]:
    by_slope, by_intercept = 0.0, 0.0
    for i in range(logits.shape[0]):
        gap = logistic(slope * logits[i] + intercept) - targets[i]
        by_slope += gap * logits[i]
        by_intercept += gap
    return by_slope, by_intercept


@njit(nogil=True, cache=True)
def _newton(logits: Scores, targets: Scores) -> tuple[float, float]:
    """The minimum of a convex function of two variables: steps are halved until the gradient shrinks."""
    slope, intercept = 0.0, 0.0
    for _ in range(_MAX_STEPS):
        g0, g1 = _gradient(logits, targets, slope, intercept)
        if g0 * g0 + g1 * g1 < 1e-20 * logits.shape[0]:
            break
        h00, h01, h11 = 1e-9, 0.0, 1e-9  # a little more than zero where all logits are the same
        for i in range(logits.shape[0]):
            p = logistic(slope * logits[i] + intercept)
            curvature = p * (1.0 - p)
            h00 += curvature * logits[i] * logits[i]
            h01 += curvature * logits[i]
            h11 += curvature
        determinant = h00 * h11 - h01 * h01
        d0 = (h11 * g0 - h01 * g1) / determinant
        d1 = (h00 * g1 - h01 * g0) / determinant
        step = 1.0
        while step > 1e-10:
            n0, n1 = _gradient(logits, targets, slope - step * d0, intercept - step * d1)
            if n0 * n0 + n1 * n1 < g0 * g0 + g1 * g1:
                break
            step *= 0.5
        if step <= 1e-10:
            break
        slope -= step * d0
        intercept -= step * d1
    return slope, intercept
