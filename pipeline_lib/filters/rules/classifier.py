"""A user's own quality classifier as a rule: the probability that a text is like those it was taught to be good."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from pipeline_lib.classifier.model import KIND, load
from pipeline_lib.classifier.model_folder import stated_digest
from pipeline_lib.classifier.training import TrainedClassifier, score
from pipeline_lib.filters.conditions import Condition, Signals, bounds, check_thresholds
from pipeline_lib.filters.texts import Texts

SIGNALS = ("classifier_score",)


@dataclass(frozen=True, kw_only=True)
class ClassifierRules:
    """The least score that a text must have, by the classifier of folder `model`; without one there is no such rule.

    Default: 0.5, where a text is more like the good ones than not. `pipeline_lib.classifier.training` tells how
    FineWeb-Edu and DCLM chose; a text without a word scores 0.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ("model",)

    model: str | None = None
    min_score: float | None = 0.5

    def __post_init__(self) -> None:
        check_thresholds(self)
        if self.min_score is not None and self.min_score > 1:
            raise ValueError(f"min_score={self.min_score}: a score is a probability, at most 1")

    def conditions(self) -> tuple[Condition, ...]:
        if self.model is None:
            return ()
        return bounds("classifier", [("low_score", "classifier_score", "<", self.min_score)])


def model_digest(rules: ClassifierRules) -> str | None:
    """What identifies the model beyond its folder's name; None without a model.

    Raises:
        NoSuchModel: the folder is not there, or is no classifier.
    """
    return None if rules.model is None else stated_digest(Path(rules.model), KIND)


def measure(texts: Texts, rules: ClassifierRules) -> Signals:
    """The score of each text; no signals without a model. Raises NoSuchModel."""
    if rules.model is None:
        return {}
    classifier = _loaded(rules.model, stated_digest(Path(rules.model), KIND))
    return {"classifier_score": score(*texts.buffers, classifier)}


@lru_cache(maxsize=2)
def _loaded(folder: str, digest: str) -> TrainedClassifier:
    """Once a process and model: `digest` tells a folder's models apart."""
    return load(Path(folder))
