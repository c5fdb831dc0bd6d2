"""Language: the label that extraction gave, and how sure it was (FineWeb keeps English above 0.65)."""

from dataclasses import dataclass
from typing import ClassVar

from pipeline_lib.filters.conditions import Condition, Membership, bounds, check_thresholds

SIGNALS = ("language_score",)


@dataclass(frozen=True, kw_only=True)
class LanguageRules:
    """Which languages stay.

    Defaults: FineWeb (datatrove's `LanguageFilter` in `examples/fineweb.py`). The score has to exceed `min_score`.
    Without any language named, all are allowed. What a score means depends on extraction's language model.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}
    MEASURED: ClassVar[tuple[str, ...]] = ()

    languages: tuple[str, ...] = ("en",)
    min_score: float | None = 0.65

    def __post_init__(self) -> None:
        check_thresholds(self)

    def conditions(self) -> tuple[Condition, ...]:
        score = bounds("language", [("low_score", "language_score", "<=", self.min_score)])
        if not self.languages:
            return score
        return (Membership(rule="language.other_language", column="language", allowed=self.languages), *score)
