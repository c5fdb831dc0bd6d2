"""What each rule costs: alone, beside the others, with another threshold, and which documents stand at its line."""

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline_lib.filters.conditions import Condition
from pipeline_lib.filters.stored_signals import Place, read_columns, read_documents, read_some
from pipeline_lib.filters.what_if import (
    Curve,
    Found,
    Line,
    Outcome,
    RuleCost,
    Wanted,
    compare,
    curve_grids,
    needed_columns,
)
from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Block, Cell, Column, Figure, Figures, Pair, Pairs, Row, Side, Table
from pipeline_lib.report.excerpts import excerpt, one_line
from pipeline_lib.report.quantities import NOTHING, count, share, value
from pipeline_lib.report.rules import conditions_of
from storage.manifests import PublishedStage

_MAX_BARS = 16
_MAX_OVERLAPS = 12
_MAX_CURVES = 6
_MAX_LINES = 4
_URL_CHARS = 160
_EVIDENCE_CHARS = 80
_LARGE = 60  # thresholds that span more than this factor are drawn on a logarithmic axis
_DROPPED = {"<": "Dropped below", "<=": "Dropped up to", ">": "Dropped above"}
_ONLY, _FIRST, _LATER = "only it", "it first, and others", "an earlier rule first"


def what_if_blocks(inputs: Mapping[str, PublishedStage], *, samples: int, seed: int, excerpt_chars: int) -> list[Block]:
    """Pictures of the rules of a judged run, and documents on both sides of the lines that drop most; none where a
    stage is missing or no document was judged."""
    if not {"extract", "signals", "judge"} <= inputs.keys():
        return []
    judge = inputs["judge"].manifest
    conditions = conditions_of(judge)
    dropped = judge.account.dropped
    names = [condition.rule for condition in conditions]
    effective = sorted((rule for rule in names if dropped.get(rule)), key=lambda rule: -dropped[rule])
    outcome = _look(inputs, conditions, effective, samples, seed)
    if not outcome.total.documents:
        return []
    costs = [cost for cost in outcome.after.rules if cost.breaks]
    figures = [_costs_figure(costs), _overlap_figure(costs, outcome)]
    curves = {curve.rule: curve for curve in outcome.curves}
    retention = [_curve_figure(curves[rule], outcome.total.documents) for rule in effective if rule in curves][
        :_MAX_CURVES
    ]
    pairs = _pairs(inputs, outcome.lines, excerpt_chars)
    return [
        *([Figures(figures=[figure for figure in figures if figure is not None])] if costs else []),
        *([Figures(figures=retention, small=True)] if retention else []),
        *([pairs] if pairs is not None else []),
    ]


def _look(
    inputs: Mapping[str, PublishedStage],
    conditions: Sequence[Condition],
    effective: Sequence[str],
    samples: int,
    seed: int,
) -> Outcome:
    columns = needed_columns(conditions)
    grids = curve_grids(read_some(inputs, columns), conditions, conditions, effective)
    lines = [rule for rule in effective if rule in grids][:_MAX_LINES]  # what says yes or no has nothing near its line
    return compare(
        read_columns(inputs, columns),
        conditions,
        conditions,
        grids=grids,
        wanted=Wanted(lines=tuple(lines), samples=samples, overlaps=_MAX_OVERLAPS, seed=seed),
    )


def _costs_figure(costs: Sequence[RuleCost]) -> Figure:
    shown = sorted(costs, key=lambda cost: -cost.breaks)[:_MAX_BARS]
    rows = [
        {"rule": cost.rule, "how": how, "documents": documents}
        for cost in shown
        for how, documents in ((_ONLY, cost.only), (_FIRST, cost.first - cost.only), (_LATER, cost.breaks - cost.first))
    ]
    return Figure(
        name="rule-costs",
        title="What each rule costs",
        specification=charts.nested_bars(
            rows,
            x=("documents", "Documents that break it", ",d"),
            y="rule",
            segment="how",
            segments=[_ONLY, _FIRST, _LATER],
        ),
        note="Without a rule, those would stay that only it drops; the others another rule drops all the same.",
        wide=True,
        table=Table(
            columns=[
                Column(title="Rule"),
                *(Column(title=title, numeric=True) for title in ("Break it", "Dropped by it", "By it only")),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=cost.rule, code=True),
                        *(Cell(text=count(number)) for number in (cost.breaks, cost.first, cost.only)),
                    ]
                )
                for cost in shown
            ],
        ),
    )


def _overlap_figure(costs: Sequence[RuleCost], outcome: Outcome) -> Figure | None:
    breaks = {cost.rule: cost.breaks for cost in costs}
    both = {(pair.rule, pair.other): pair.documents for pair in outcome.overlaps}
    both |= {(other, rule): documents for (rule, other), documents in both.items()}
    names = sorted({rule for rule, _ in both}, key=lambda rule: (-breaks[rule], rule))
    if not names:
        return None
    rows: list[dict[str, Any]] = [
        {
            "rule": rule,
            "also": other,
            "documents": both.get((rule, other), breaks[rule]),
            "share": both.get((rule, other), breaks[rule]) / breaks[rule],
        }
        for rule in names
        for other in names
    ]
    return Figure(
        name="rule-overlap",
        title="Which rules drop the same documents",
        specification=charts.heat_map(
            rows, x="also", y="rule", heat=("share", "Share", ".1%"), hover=[("documents", "Documents", ",d")]
        ),
        note="Of the documents that break the rule at the left, the share that breaks the one below, too.",
        wide=True,
        table=Table(
            columns=[
                Column(title="Pair of rules"),
                Column(title="Break both", numeric=True),
                Column(title="Of the fewer", numeric=True),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=f"{pair.rule}, {pair.other}", code=True),
                        Cell(text=count(pair.documents)),
                        Cell(text=share(pair.share_of_smaller, 1)),
                    ]
                )
                for pair in outcome.overlaps
                if pair.documents
            ],
        ),
    )


def _curve_figure(curve: Curve, documents: int) -> Figure:
    rule_set, _, reason = curve.rule.partition(".")
    first, last = curve.points[0].threshold, curve.points[-1].threshold
    return Figure(
        name=f"retention-{curve.rule}",
        title=f"Kept, by threshold of {reason.replace('_', ' ')}",
        specification=charts.threshold_curve(
            [{"threshold": point.threshold, "kept": point.kept / documents} for point in curve.points],
            x=("threshold", _DROPPED[curve.comparison], ".4~g"),
            y=("kept", "Kept of all", ".2%"),
            threshold=curve.threshold,
            logarithmic=first >= 1 and last > _LARGE * first,
        ),
        note=f"{rule_set}: the line is at {value(curve.threshold)}; all other rules as they are.",
        table=Table(
            columns=[Column(title=title, numeric=True) for title in ("Threshold", "Kept", "Of all")],
            rows=[
                Row(
                    cells=[
                        Cell(text=value(point.threshold)),
                        Cell(text=count(point.kept)),
                        Cell(text=share(point.kept, documents)),
                    ]
                )
                for point in curve.points
            ],
        ),
    )


def _pairs(inputs: Mapping[str, PublishedStage], lines: Sequence[Line], excerpt_chars: int) -> Pairs | None:
    """The nearest document inside a line beside the nearest outside, then the second ones."""
    met = [
        (line, inside, outside) for line in lines for inside, outside in zip(line.inside, line.outside, strict=False)
    ]
    documents = read_documents(inputs, {(each.part, each.row) for _, *sides in met for each in sides})
    pairs = [
        Pair(
            title=line.rule,
            details=[("drops", line.drops)],
            sides=(
                _side(inside, documents, excerpt_chars, is_kept=True),
                _side(outside, documents, excerpt_chars, is_kept=False),
            ),
        )
        for line, inside, outside in met
    ]
    if not pairs:
        return None
    return Pairs(
        title="Just inside and just outside the line",
        note=(
            "Documents that no other rule drops, nearest to the threshold; the beginning of the extracted text, with "
            "addresses masked."
        ),
        pairs=pairs,
    )


def _side(found: Found, documents: Mapping[Place, Mapping[str, str]], excerpt_chars: int, *, is_kept: bool) -> Side:
    document = documents[found.part, found.row]
    seen = NOTHING if found.value is None else value(found.value, 6)
    if found.evidence is not None:
        seen = one_line(found.evidence, _EVIDENCE_CHARS)
    return Side(
        verdict=f"{'Kept' if is_kept else 'Dropped'}: {seen}",
        url=one_line(document["url"], _URL_CHARS),
        segments=((excerpt(document["text"], excerpt_chars // 2), False),),
        tone="kept" if is_kept else "dropped",
    )
