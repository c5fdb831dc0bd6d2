"""Calibration, what is measured of it, and thresholds by share."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline_lib.classifier.calibration import area_under_curve, fit_calibration, quality, quantile_threshold


def drawn(slope: float, intercept: float, count: int) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(3)
    logits = generator.normal(5.0, 2.0, count)
    return logits, generator.random(count) < 1 / (1 + np.exp(-(slope * logits + intercept)))


@pytest.mark.parametrize(("slope", "intercept"), [(1.0, 0.0), (0.3, -3.0), (4.0, -20.0)])
def test_the_curve_that_labels_were_drawn_from_is_found_again(slope: float, intercept: float) -> None:
    logits, labels = drawn(slope, intercept, 20_000)
    found = fit_calibration(logits, labels)
    assert found.slope == pytest.approx(slope, rel=0.1)
    assert found.intercept == pytest.approx(intercept, rel=0.1, abs=0.15)
    assert quality(found.probabilities(logits), labels).expected_calibration_error < 0.02


@pytest.mark.parametrize(
    ("logits", "labels"),
    [
        ([-1.0, 1.0], [False, True]),  # separable: the softened targets keep the curve finite
        ([1.0, 1.0, 1.0], [True, False, True]),  # nothing to tell them apart by
        ([-1e30, 1e30, 0.0], [True, False, True]),
    ],
)
def test_odd_samples_still_give_probabilities(logits: list[float], labels: list[bool]) -> None:
    found = fit_calibration(np.array(logits), np.array(labels))
    probabilities = found.probabilities(np.array(logits))
    assert ((probabilities > 0) & (probabilities < 1)).all()


def test_logits_that_say_nothing_give_the_base_rate() -> None:
    labels = np.arange(1000) < 300
    found = fit_calibration(np.zeros(1000), labels)
    assert found.probabilities(np.zeros(1))[0] == pytest.approx(0.3, abs=0.005)


@given(st.lists(st.tuples(st.integers(-3, 3), st.booleans()), min_size=2, max_size=30))
def test_area_under_the_curve_counts_pairs(pairs: list[tuple[int, bool]]) -> None:
    positive = [score for score, label in pairs if label]
    negative = [score for score, label in pairs if not label]
    if positive and negative:
        wins = sum((p > n) + (p == n) / 2 for p in positive for n in negative)
        scores, labels = np.array([float(score) for score, _ in pairs]), np.array([label for _, label in pairs])
        assert area_under_curve(scores, labels) == pytest.approx(wins / len(positive) / len(negative))


def test_quality_of_a_sample_worked_by_hand() -> None:
    found = quality(np.array([0.9, 0.9, 0.2, 0.6]), np.array([True, False, False, True]))
    assert (found.num_texts, found.base_rate, found.auc) == (4, 0.5, 0.625)
    assert (found.accuracy, found.balanced_accuracy) == (0.75, 0.75)
    assert found.expected_calibration_error == pytest.approx((0.8 + 0.2 + 0.4) / 4)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=50), st.floats(0.01, 1))
def test_a_threshold_keeps_that_share_and_no_more_than_ties_force(values: list[float], keep_ratio: float) -> None:
    scores = np.array(values)
    wanted = max(1, int(np.ceil(keep_ratio * len(scores))))
    least = quantile_threshold(scores, keep_ratio)
    assert (scores > least).sum() < wanted <= (scores >= least).sum()
    most = quantile_threshold(scores, keep_ratio, "lowest")
    assert (scores < most).sum() < wanted <= (scores <= most).sum()


@pytest.mark.parametrize(
    ("scores", "keep_ratio"), [([], 0.1), ([0.1, float("nan")], 0.1), ([0.1], 0.0), ([0.1], 1.1), ([0.1], float("nan"))]
)
def test_a_share_of_nothing_is_refused(scores: list[float], keep_ratio: float) -> None:
    with pytest.raises(ValueError, match="expected"):
        quantile_threshold(np.array(scores), keep_ratio)
