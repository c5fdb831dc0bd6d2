"""Conditions as data: which columns they look at, on which side of which threshold a document is broken."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Literal, Protocol, TypeVar

import numpy as np
import numpy.typing as npt
import polars as pl

Signals = dict[str, npt.NDArray[np.float64]]  # by name, one value a text

Comparison = Literal["<", "<=", ">"]

_NO_VALUE = pl.lit(None, pl.Float64)
_NO_EVIDENCE = pl.lit(None, pl.String)


class Condition(Protocol):
    """What a rule asks of a document: one row of the signals, with `language` beside them."""

    @property
    def rule(self) -> str:
        """Rule set and reason, such as gopher_quality.too_few_words."""

    @property
    def columns(self) -> tuple[str, ...]:
        """What the condition looks at."""

    @property
    def threshold(self) -> float | None: ...

    def broken(self) -> pl.Expr:
        """Boolean, never null."""

    def value(self) -> pl.Expr:
        """Float64: what is compared with the threshold; null where that is no number."""

    def evidence(self) -> pl.Expr:
        """String: what broke the rule, where it is no number; else null."""

    def drops(self) -> str:
        """What is dropped, for people: such as `num_words < 50`."""


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Broken where `signal` `comparison` `threshold`."""

    rule: str
    signal: str
    comparison: Comparison
    threshold: float

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.signal,)

    def broken(self) -> pl.Expr:
        signal = pl.col(self.signal)
        if self.comparison == "<":
            return signal < self.threshold
        if self.comparison == "<=":
            return signal <= self.threshold
        return signal > self.threshold

    def value(self) -> pl.Expr:
        return pl.col(self.signal)

    def evidence(self) -> pl.Expr:
        return _NO_EVIDENCE

    def drops(self) -> str:
        return f"{self.signal} {self.comparison} {self.threshold:.6g}"


@dataclass(frozen=True, kw_only=True)
class Membership:
    """Broken where `column`, a text, is none of `allowed`; the text is the evidence."""

    rule: str
    column: str
    allowed: tuple[str, ...]

    @property
    def columns(self) -> tuple[str, ...]:
        return (self.column,)

    @property
    def threshold(self) -> None:
        return None

    def broken(self) -> pl.Expr:
        return ~pl.col(self.column).is_in(list(self.allowed))

    def value(self) -> pl.Expr:
        return _NO_VALUE

    def evidence(self) -> pl.Expr:
        return pl.col(self.column)

    def drops(self) -> str:
        return f"{self.column} not one of {', '.join(self.allowed)}"


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
    values = vars(rules)
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        if not math.isfinite(value) or value < 0:
            raise ValueError(f"{name}={value}: expected a number from 0 on, or null to switch the rule off")
        if name.endswith("_ratio") and value > 1:
            raise ValueError(f"{name}={value}: a ratio is at most 1; null switches the rule off")
        if name.startswith("min_"):
            most = values.get("max_" + name.removeprefix("min_"))
            if most is not None and value > most:
                raise ValueError(
                    f"{name}={value} exceeds max_{name.removeprefix('min_')}={most}: every page would be dropped"
                )


class RuleSet(Protocol):
    """The parameters of a rule set: a frozen dataclass of thresholds, and of what shapes its signals."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    MEASURED: ClassVar[tuple[str, ...]]  # the fields that change signals or texts; all others only decide

    def conditions(self) -> tuple[Condition, ...]: ...


Rules = TypeVar("Rules", bound=RuleSet)


def measured_part(rules: Rules) -> Rules:
    """The rules with all that only decides switched off: equal where the same is measured."""
    return replace(
        rules,
        **{
            each.name: _switched_off(each.default, getattr(rules, each.name))
            for each in fields(rules)
            if each.name not in rules.MEASURED
        },
    )


def _switched_off(default: Any, value: Any) -> Any:
    if isinstance(value, bool):
        return False
    return default if isinstance(default, str | tuple) else None


def ratio(part: npt.NDArray[np.int64], whole: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """part / whole, and 0 where the whole is 0."""
    return np.divide(part, whole, out=np.zeros(len(part), np.float64), where=whole != 0)
