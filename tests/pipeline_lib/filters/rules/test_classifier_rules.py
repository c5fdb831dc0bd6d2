"""The rule set `classifier`: its boundary, its model, and what it says without one."""

from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from pipeline_lib.classifier.model import save
from pipeline_lib.classifier.training import ClassifierParameters, TrainedClassifier, train
from pipeline_lib.filters.conditions import measured_part
from pipeline_lib.filters.rules.classifier import SIGNALS, ClassifierRules, measure, model_digest
from pipeline_lib.filters.texts import Texts
from storage.wrong_request import WrongRequest


def texts(*values: str) -> Texts:
    return Texts(pa.chunked_array([pa.array(values, pa.large_string())]))


@pytest.fixture(scope="module")
def trained() -> TrainedClassifier:
    good = texts(*(f"grain comes in sacks {number}" for number in range(300)))
    bad = texts(*(f"cheap pills click here {number}" for number in range(300)))
    return train([good.column], [bad.column], ClassifierParameters(bucket_bits=10))


@pytest.fixture
def folder(trained: TrainedClassifier, tmp_path: Path) -> str:
    save(trained, tmp_path / "mine")
    return str(tmp_path / "mine")


def test_the_signal_is_the_probability_of_good_text(folder: str) -> None:
    signals = measure(texts("sacks of grain", "click for pills", ""), ClassifierRules(model=folder))
    assert tuple(signals) == SIGNALS
    good, bad, empty = signals["classifier_score"]
    assert good > 0.75
    assert bad < 0.25
    assert empty == 0


def test_a_score_of_the_least_is_kept_and_one_below_is_not() -> None:
    (condition,) = ClassifierRules(model="any", min_score=0.5).conditions()
    scores = pl.DataFrame({"classifier_score": [0.5, np.nextafter(0.5, 0)]})
    assert scores.select(broken=condition.broken())["broken"].to_list() == [False, True]
    assert condition.rule == "classifier.low_score"


def test_without_a_model_nothing_is_measured_or_asked() -> None:
    rules = ClassifierRules()
    assert measure(texts("a"), rules) == {}
    assert rules.conditions() == ()
    assert model_digest(rules) is None


def test_without_a_threshold_the_score_is_measured_and_decides_nothing(folder: str) -> None:
    rules = measured_part(ClassifierRules(model=folder))
    assert rules == ClassifierRules(model=folder, min_score=None)
    assert rules.conditions() == ()
    assert len(measure(texts("a", "b"), rules)["classifier_score"]) == 2


def test_another_model_under_the_same_name_is_seen(folder: str, trained: TrainedClassifier) -> None:
    rules = ClassifierRules(model=folder)
    before = measure(texts("sacks of grain"), rules)["classifier_score"][0], model_digest(rules)
    backwards = TrainedClassifier(
        parameters=trained.parameters, weights=-trained.weights, calibration=trained.calibration, metrics={}
    )
    save(backwards, Path(folder))
    after = measure(texts("sacks of grain"), rules)["classifier_score"][0], model_digest(rules)
    assert after[0] < 0.25 < 0.75 < before[0]
    assert before[1] != after[1]


def test_a_model_that_is_none_is_a_wrong_request(tmp_path: Path) -> None:
    for place, match in ((tmp_path / "nowhere", "no such folder"), (tmp_path, "no classifier.json in it")):
        rules = ClassifierRules(model=str(place))
        with pytest.raises(WrongRequest, match=match):
            measure(texts("a"), rules)
        with pytest.raises(WrongRequest, match=match):
            model_digest(rules)


@pytest.mark.parametrize("min_score", [1.1, -0.1, float("nan")])
def test_a_threshold_that_is_no_probability_is_refused(min_score: float) -> None:
    with pytest.raises(ValueError, match="min_score"):
        ClassifierRules(model="any", min_score=min_score)
