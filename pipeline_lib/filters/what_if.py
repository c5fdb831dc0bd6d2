"""What other thresholds would keep, from stored signals alone: counts, overlaps, curves, and documents at the line.

Signals are read once, part by part, and nothing is kept of them but counts and the few documents that are shown.
"""

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import polars as pl

from pipeline_lib.filters.conditions import Bound, Comparison, Condition
from pipeline_lib.kernels.seeded_hash import Hashes, seeded_hash

Mask = npt.NDArray[np.bool_]
Numbers = npt.NDArray[np.float64]

_KEY, _ROW, _PART, _DOC = "_key", "_row", "_part", "doc_id"
_BROKEN = "_broken"
_VOLUME = ("num_bytes", "num_chars")
_QUANTILES = (0.01, *(step / 20 for step in range(1, 20)), 0.99)
_EVEN_STEPS = 17
_AROUND = (0.25, 0.5, 0.75, 0.9, 1.1, 1.25, 1.5, 2.0)  # times the threshold


@dataclass(frozen=True, kw_only=True)
class Volume:
    """So many documents, and their text as it was extracted."""

    documents: int
    bytes: int
    characters: int


@dataclass(frozen=True, kw_only=True)
class RuleCost:
    """What one rule costs.

    Attributes:
        drops: what it drops, for people.
        breaks: documents that break it.
        first: those of them that break no rule before it: what it is the reason for.
        only: those of them that break no other rule: what would stay without it.
    """

    rule: str
    drops: str
    threshold: float | None
    breaks: int
    first: int
    only: int


@dataclass(frozen=True, kw_only=True)
class Overlap:
    """Documents that break both of two rules. `share_of_smaller`: of those that break the rule that fewer break."""

    rule: str
    other: str
    documents: int
    share_of_smaller: float


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """With this threshold, and all other rules as they are, so many documents would stay."""

    threshold: float
    kept: int


@dataclass(frozen=True, kw_only=True)
class Curve:
    """What stays as a function of one rule's threshold; thresholds ascend, and the rule's own is among them."""

    rule: str
    signal: str
    comparison: Comparison
    threshold: float
    points: tuple[CurvePoint, ...]


@dataclass(frozen=True, kw_only=True)
class Found:
    """A document: the row of its part, and what a rule saw of it."""

    doc_id: str
    part: str
    row: int
    rule: str
    value: float | None
    evidence: str | None


@dataclass(frozen=True, kw_only=True)
class Line:
    """Documents on both sides of a rule's threshold that no other rule drops, the nearest first.

    Where a rule has no threshold, `outside` are drawn by a seeded hash, and `inside` is empty.
    """

    rule: str
    drops: str
    inside: tuple[Found, ...]
    outside: tuple[Found, ...]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a list of conditions keeps, and what each of them costs, in the order in which they are asked."""

    kept: Volume
    rules: tuple[RuleCost, ...]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """Two lists of conditions over the same documents.

    Attributes:
        overlaps: of the rules of `after` that most documents break, the pair that most break first.
        dropped, kept: documents whose fate changes, drawn by a seeded hash, with the rule that drops or dropped them.
    """

    total: Volume
    before: Verdict
    after: Verdict
    newly_dropped: Volume
    newly_kept: Volume
    overlaps: tuple[Overlap, ...]
    curves: tuple[Curve, ...]
    lines: tuple[Line, ...]
    dropped: tuple[Found, ...]
    kept: tuple[Found, ...]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """What is looked for beside the counts.

    Attributes:
        lines: rules of which documents on both sides of the line are looked for.
        samples: documents on each side, and of each changed fate.
        overlaps: of so many rules, those that most documents break.
    """

    lines: tuple[str, ...] = ()
    samples: int = 3
    overlaps: int = 12
    seed: int = 0


def compare(
    parts: Iterable[tuple[str, pl.DataFrame]],
    before: Sequence[Condition],
    after: Sequence[Condition],
    *,
    grids: Mapping[str, Numbers],
    wanted: Wanted,
) -> Outcome:
    """What two lists of conditions keep of the same documents, and what stands near the lines of the second.

    Args:
        parts: names and `needed_columns`, one row a document. The answer does not depend on how documents are divided.
        grids: by rule of `after`, the thresholds of its curve; see `curve_grids`.
    """
    asked = [*before, *(condition for condition in after if condition not in before)]
    places_before = [asked.index(condition) for condition in before]
    places_after = [asked.index(condition) for condition in after]
    kept_before, kept_after = _Tally(before), _Tally(after)
    total, newly_dropped, newly_kept = _Sum(), _Sum(), _Sum()
    dropped, kept = _Nearest(wanted.samples), _Nearest(wanted.samples)
    both = np.zeros((len(after), len(after)), np.int64)
    hanging = _Hanging(after, grids, wanted)
    for part, frame in parts:
        volume = [frame[name].to_numpy() for name in _VOLUME]
        broken = _broken(frame, asked)
        broken_after = [broken[at] for at in places_after]
        first_before, _ = kept_before.add([broken[at] for at in places_before], frame.height)
        first_after, num_broken = kept_after.add(broken_after, frame.height)
        both += _break_both(broken_after, frame.height)
        stayed, stays = first_before == len(before), first_after == len(after)
        lost, won = stayed & ~stays, stays & ~stayed
        total.add(np.ones(frame.height, np.bool_), *volume)
        for each, chosen in (
            (kept_before.kept, stayed),
            (kept_after.kept, stays),
            (newly_dropped, lost),
            (newly_kept, won),
        ):
            each.add(chosen, *volume)
        for nearest, chosen, first in ((dropped, lost, first_after), (kept, won, first_before)):
            rows = np.flatnonzero(chosen)
            if len(rows):
                key = _hashes(frame, rows, wanted.seed, "what-if fate")
                nearest.add(part, rows, key, frame.with_columns(pl.Series(_BROKEN, first)))
        hanging.add(part, frame, broken_after, num_broken)
    return Outcome(
        total=total.volume(),
        before=kept_before.verdict(),
        after=kept_after.verdict(),
        newly_dropped=newly_dropped.volume(),
        newly_kept=newly_kept.volume(),
        overlaps=_overlaps(kept_after, both, wanted.overlaps),
        curves=hanging.curves(),
        lines=hanging.lines(),
        dropped=_named(dropped.drawn(), after),
        kept=_named(kept.drawn(), before),
    )


def needed_columns(conditions: Iterable[Condition]) -> list[str]:
    """What `compare` reads of the documents."""
    return [_DOC, *sorted({*_VOLUME, *(column for condition in conditions for column in condition.columns)})]


def changed_rules(before: Sequence[Condition], after: Sequence[Condition]) -> tuple[str, ...]:
    """The rules of `after` that `before` does not ask, or asks with another threshold."""
    return tuple(condition.rule for condition in after if condition not in before)


def curve_grids(
    sample: pl.DataFrame, before: Sequence[Condition], after: Sequence[Condition], rules: Collection[str] | None = None
) -> dict[str, Numbers]:
    """The thresholds of the curves of `after`, by rule: where the documents lie whose fate hangs on that rule alone.

    Args:
        sample: `needed_columns` of some documents.
        rules: those whose curves are wanted; None: all.
    """
    broken = _broken(sample, after)
    num_broken = np.sum(broken, axis=0, dtype=np.int64) if broken else np.zeros(sample.height, np.int64)
    thresholds = {condition.rule: condition.threshold for condition in before}
    grids = {}
    for condition, breaks in zip(after, broken, strict=True):
        if isinstance(condition, Bound) and (rules is None or condition.rule in rules):
            values = sample[condition.signal].to_numpy()[num_broken == breaks]
            earlier = thresholds.get(condition.rule)
            grid = curve_thresholds(values, [condition.threshold, *([] if earlier is None else [earlier])])
            if len(grid):
                grids[condition.rule] = grid
    return grids


def curve_thresholds(values: Numbers, always: Sequence[float]) -> Numbers:
    """Thresholds worth asking about for a signal: its quantiles, even steps between them, and a little more and less
    than those of `always`, in three digits that a person can type; and `always` as they are.

    Ascending; empty where the signal says no more than yes or no.
    """
    values = values[np.isfinite(values)]
    if len(np.unique(values)) < 3:
        return np.empty(0)
    quantiles = np.quantile(values, _QUANTILES)
    around = np.outer(always, _AROUND).ravel()
    around = around[(around >= values.min()) & (around <= values.max())]
    asked = np.concatenate([quantiles, np.linspace(quantiles[0], quantiles[-1], _EVEN_STEPS), around])
    if np.all(values == np.floor(values)):
        asked = np.round(asked)
    return np.unique([*(float(f"{each:.3g}") for each in asked), *always])


@dataclass
class _Sum:
    documents: int = 0
    bytes: float = 0.0  # whole numbers: exact in float64
    characters: float = 0.0

    def add(self, chosen: Mask, num_bytes: Numbers, num_chars: Numbers) -> None:
        self.documents += int(np.count_nonzero(chosen))
        self.bytes += float(num_bytes[chosen].sum())
        self.characters += float(num_chars[chosen].sum())

    def volume(self) -> Volume:
        return Volume(documents=self.documents, bytes=round(self.bytes), characters=round(self.characters))


class _Tally:
    """Counts of one list of conditions."""

    def __init__(self, conditions: Sequence[Condition]) -> None:
        number = len(conditions)
        self.conditions = conditions
        self.kept = _Sum()
        self.first = np.zeros(number, np.int64)
        self.only = np.zeros(number, np.int64)
        self.breaks = np.zeros(number, np.int64)

    def add(self, broken: Sequence[Mask], height: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint16]]:
        """Count a part; returns the number of the first broken condition (or as many as there are: none), and how many
        are broken, of each document."""
        first = np.full(height, len(broken), np.int64)
        number = np.zeros(height, np.uint16)
        for at in range(len(broken) - 1, -1, -1):
            first[broken[at]] = at
            number += broken[at]
        self.first += np.bincount(first, minlength=len(broken) + 1)[: len(broken)]
        self.only += np.bincount(first[number == 1], minlength=len(broken))
        self.breaks += np.array([np.count_nonzero(each) for each in broken], np.int64)
        return first, number

    def verdict(self) -> Verdict:
        costs = [
            RuleCost(
                rule=condition.rule,
                drops=condition.drops(),
                threshold=condition.threshold,
                breaks=int(self.breaks[at]),
                first=int(self.first[at]),
                only=int(self.only[at]),
            )
            for at, condition in enumerate(self.conditions)
        ]
        return Verdict(kept=self.kept.volume(), rules=tuple(costs))


def _break_both(broken: Sequence[Mask], height: int) -> npt.NDArray[np.int64]:
    """Documents that break both of two conditions: a bit a document, counted in words of 64."""
    packed = np.zeros((len(broken), 8 * -(-height // 64)), np.uint8)
    for at, each in enumerate(broken):
        packed[at, : -(-height // 8)] = np.packbits(each)
    bits = packed.view(np.uint64)
    counts = [np.bitwise_count(bits & row).sum(axis=1, dtype=np.int64) for row in bits]
    return np.array(counts, np.int64).reshape(len(broken), len(broken))


class _Nearest:
    """The `number` rows with the smallest key, ties by doc_id, of all that were shown."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.best: pl.DataFrame | None = None

    def add(
        self, part: str, rows: npt.NDArray[np.int64], key: npt.NDArray[np.float64] | Hashes, columns: pl.DataFrame
    ) -> None:
        """`rows` of a part, their keys, and the columns of all documents of the part, `doc_id` among them."""
        if not len(rows) or not self.number:
            return
        if len(rows) > self.number:
            near = key <= np.partition(key, self.number - 1)[self.number - 1]
            rows, key = rows[near], key[near]
        found = columns[rows].with_columns(pl.Series(_KEY, key), pl.Series(_ROW, rows), pl.lit(part).alias(_PART))
        joined = found if self.best is None else pl.concat([self.best, found])
        self.best = joined.bottom_k(self.number, by=[_KEY, _DOC])

    def drawn(self) -> pl.DataFrame | None:
        return None if self.best is None else self.best.sort([_KEY, _DOC])


class _Hanging:
    """What is counted and found of the documents that break at most one rule: all that one threshold can move."""

    def __init__(self, conditions: Sequence[Condition], grids: Mapping[str, Numbers], wanted: Wanted) -> None:
        self.conditions = conditions
        self.grids = grids
        self.wanted = wanted
        self.steps = {rule: np.zeros(len(grid) + 1, np.int64) for rule, grid in grids.items()}
        self.inside = {rule: _Nearest(wanted.samples) for rule in wanted.lines}
        self.outside = {rule: _Nearest(wanted.samples) for rule in wanted.lines}

    def add(self, part: str, frame: pl.DataFrame, broken: Sequence[Mask], num_broken: npt.NDArray[np.uint16]) -> None:
        rows = np.flatnonzero(num_broken <= 1)
        num_broken = num_broken[rows]
        for condition, everywhere in zip(self.conditions, broken, strict=True):
            if condition.rule not in self.grids and condition.rule not in self.inside:
                continue
            breaks = everywhere[rows]
            own = num_broken == breaks
            if not isinstance(condition, Bound):
                chosen = rows[breaks]
                key = _hashes(frame, chosen, self.wanted.seed, "what-if line")
                self.outside[condition.rule].add(part, chosen, key, frame)
                continue
            values = frame[condition.signal].to_numpy()[rows]
            if condition.rule in self.grids:
                self.steps[condition.rule] += _steps(values[own], self.grids[condition.rule], condition.comparison)
            if condition.rule in self.inside:
                distance = np.abs(values - condition.threshold)
                near = own & ~np.isnan(distance)
                for side, nearest in ((near & ~breaks, self.inside), (near & breaks, self.outside)):
                    nearest[condition.rule].add(part, rows[side], distance[side], frame)

    def curves(self) -> tuple[Curve, ...]:
        return tuple(
            _curve(condition, self.grids[condition.rule], self.steps[condition.rule])
            for condition in self.conditions
            if isinstance(condition, Bound) and condition.rule in self.grids
        )

    def lines(self) -> tuple[Line, ...]:
        by_rule = {condition.rule: condition for condition in self.conditions}
        return tuple(
            Line(
                rule=rule,
                drops=by_rule[rule].drops(),
                inside=_seen(self.inside[rule].drawn(), by_rule[rule]),
                outside=_seen(self.outside[rule].drawn(), by_rule[rule]),
            )
            for rule in self.wanted.lines
        )


def _broken(frame: pl.DataFrame, conditions: Sequence[Condition]) -> list[Mask]:
    found = frame.select(condition.broken().alias(str(at)) for at, condition in enumerate(conditions))
    return [column.to_numpy() for column in found.get_columns()]


def _steps(values: Numbers, grid: Numbers, comparison: Comparison) -> npt.NDArray[np.int64]:
    """By i: how many values are above exactly the first i thresholds; at `<` a value on a threshold is above it."""
    side: Literal["left", "right"] = "right" if comparison == "<" else "left"
    return np.bincount(np.searchsorted(grid, values, side=side), minlength=len(grid) + 1)


def _curve(bound: Bound, grid: Numbers, steps: npt.NDArray[np.int64]) -> Curve:
    below = np.cumsum(steps)[:-1]  # by threshold: values that are not above it
    kept = below if bound.comparison == ">" else steps.sum() - below
    return Curve(
        rule=bound.rule,
        signal=bound.signal,
        comparison=bound.comparison,
        threshold=bound.threshold,
        points=tuple(CurvePoint(threshold=float(at), kept=int(number)) for at, number in zip(grid, kept, strict=True)),
    )


def _overlaps(tally: _Tally, both: npt.NDArray[np.int64], number: int) -> tuple[Overlap, ...]:
    breaks = tally.breaks
    order = sorted(np.flatnonzero(breaks).tolist(), key=lambda at: (-breaks[at], at))[:number]
    pairs = [
        Overlap(
            rule=tally.conditions[at].rule,
            other=tally.conditions[other].rule,
            documents=int(both[at, other]),
            share_of_smaller=float(both[at, other] / breaks[other]),
        )
        for place, at in enumerate(order)
        for other in order[place + 1 :]
    ]
    return tuple(sorted(pairs, key=lambda pair: (-pair.documents, pair.rule, pair.other)))


def _hashes(frame: pl.DataFrame, rows: npt.NDArray[np.int64], seed: int, purpose: str) -> Hashes:
    return seeded_hash(frame[_DOC].gather(rows).to_arrow(), seed, purpose)


def _seen(frame: pl.DataFrame | None, condition: Condition) -> tuple[Found, ...]:
    """The rows with what a condition saw of them."""
    if frame is None:
        return ()
    rows = frame.select(_DOC, _PART, _ROW, value=condition.value(), evidence=condition.evidence())
    return tuple(
        Found(doc_id=doc_id, part=part, row=row, rule=condition.rule, value=_finite(value), evidence=evidence)
        for doc_id, part, row, value, evidence in rows.iter_rows()
    )


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _named(frame: pl.DataFrame | None, conditions: Sequence[Condition]) -> tuple[Found, ...]:
    """The rows with the rule whose number they carry, and what that saw of them."""
    if frame is None:
        return ()
    return tuple(
        found for at in range(frame.height) for found in _seen(frame[at : at + 1], conditions[frame[_BROKEN][at]])
    )
