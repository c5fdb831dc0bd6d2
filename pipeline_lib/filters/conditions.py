"""Conditions as data: which signal, which side of which threshold, and what a document is called that is there."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

Signals = dict[str, npt.NDArray[np.float64]]  # by name, one value a text

Comparison = Literal["<", "<=", ">"]


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Broken where `signal` `comparison` `threshold`."""

    rule: str  # rule set and reason, such as gopher_quality.too_few_words
    signal: str
    comparison: Comparison
    threshold: float

    def broken(self) -> pl.Expr:
        signal = pl.col(self.signal)
        if self.comparison == "<":
            return signal < self.threshold
        if self.comparison == "<=":
            return signal <= self.threshold
        return signal > self.threshold


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Broken where `column`, a text, is none of `allowed`; the text is the evidence."""

    rule: str
    column: str
    allowed: tuple[str, ...]

    @property
    def threshold(self) -> None:
        return None

    def broken(self) -> pl.Expr:
        return ~pl.col(self.column).is_in(list(self.allowed))


Condition = Bound | Membership


def bounds(rule_set: str, table: Iterable[tuple[str, str, Comparison, float | None]]) -> tuple[Bound, ...]:
    """Bounds from rows of reason, signal, comparison and threshold; a row without a threshold is switched off."""
    return tuple(
        Bound(rule=f"{rule_set}.{reason}", signal=signal, comparison=comparison, threshold=float(threshold))
        for reason, signal, comparison, threshold in table
        if threshold is not None
    )


def check_thresholds(rules: object) -> None:
    """Refuse numbers below zero or not finite, ratios above one, and a `min_x` above its `max_x`.

    Raises:
        ValueError: names the field, and says what is wrong with it.
    """
    fields = vars(rules)
    for name, value in fields.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name}={value}: expected a number from 0 on, or null to switch the rule off")
        if name.endswith("_ratio") and value > 1:
            raise ValueError(f"{name}={value}: a ratio is at most 1; null switches the rule off")
        if name.startswith("min_"):
            most = fields.get("max_" + name.removeprefix("min_"))
            if most is not None and value > most:
                raise ValueError(
                    f"{name}={value} exceeds max_{name.removeprefix('min_')}={most}: every page would be dropped"
                )


def ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part), np.float64), where=whole != 0)
