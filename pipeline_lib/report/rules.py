"""The rules that documents were judged by, and how the signals that they look at are distributed."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.filters.conditions import Bound, Condition, Membership
from pipeline_lib.filters.stage import read_signals, recorded_filters
from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Cell, Column, Figure, Figures, Row, Table
from pipeline_lib.report.drawing import draw
from pipeline_lib.report.quantities import count, share, value
from pipeline_lib.report.readings import number
from storage.manifests import Manifest, PublishedStage

_NUM_BINS = 40
_ALLOWED = {"<": "\u2265", "<=": ">", ">": "\u2264"}  # what is not broken
_LARGE = 60  # a signal that spans more than this factor is drawn on a logarithmic axis


@dataclass(frozen=True, kw_only=True)
class Distribution:
    """A signal over the drawn documents: counts between edges, and the thresholds of its rules in that range."""

    edges: Sequence[float]
    counts: Sequence[int]
    thresholds: Sequence[float]
    logarithmic: bool
    median: float


def conditions_of(judge: Manifest) -> tuple[Condition, ...]:
    """The conditions that a judge stage asked, in order, from the parameters that it recorded."""
    return recorded_filters(judge).conditions()


def draw_signals(signals: PublishedStage, names: Sequence[str], *, number: int, seed: int) -> pa.Table | None:
    """The named signals of `number` documents, drawn by a seeded hash."""
    tables = ((record.part, read_signals(signals, record.part, names)) for record in signals.manifest.files("signals"))
    return draw(tables, number=number, seed=seed, purpose="report signals")


def distribution(values: npt.NDArray[np.float64], thresholds: Sequence[float]) -> Distribution | None:
    """A histogram that shows the middle 99 % of the values, and the thresholds where they are not far away.

    What is beyond is counted in the first and last bin. None where there are less than three different values: such a
    signal says yes or no.
    """
    values = values[np.isfinite(values)]
    if len(np.unique(values)) < 3:
        return None
    low, high = (float(edge) for edge in np.quantile(values, [0.005, 0.995]))
    if low == high:
        low, high = float(values.min()), float(values.max())
    span = high - low
    near = [line for line in thresholds if low - span <= line <= high + span]
    low, high = min([low, *near]), max([high, *near])
    logarithmic = low >= 0 and high > _LARGE * max(1.0, low)
    if logarithmic:
        low = max(1.0, low)
        edges = np.geomspace(low, high, _NUM_BINS + 1)
    else:
        edges = np.linspace(low, high, _NUM_BINS + 1)
    edges[0], edges[-1] = low, high  # not what rounding left of them
    counts, _ = np.histogram(np.clip(values, low, high), edges)
    return Distribution(
        edges=edges.tolist(),
        counts=counts.tolist(),
        thresholds=sorted({line for line in near if low <= line <= high}),
        logarithmic=logarithmic,
        median=float(np.median(values)),
    )


def distribution_figures(
    judge: Manifest, signals: PublishedStage, *, num_documents: int, max_figures: int, seed: int
) -> Figures | None:
    """Charts of the signals whose rules drop most."""
    dropped = judge.account.dropped
    bounds: dict[str, list[Bound]] = {}
    for condition in conditions_of(judge):
        if isinstance(condition, Bound):
            bounds.setdefault(condition.signal, []).append(condition)
    names = sorted(bounds, key=lambda name: -sum(dropped.get(bound.rule, 0) for bound in bounds[name]))
    drawn = draw_signals(signals, names, number=num_documents, seed=seed)
    if drawn is None:
        return None
    figures: list[Figure] = []
    for name in names:
        found = distribution(drawn[name].to_numpy(), [bound.threshold for bound in bounds[name]])
        if found is not None and len(figures) < max_figures:
            figures.append(_distribution_figure(bounds[name][0], found, drawn.num_rows, signals.manifest))
    return Figures(figures=figures, small=True) if figures else None


def rules_table(judge: Manifest) -> Table:
    """Every rule with its threshold, the documents that break it, and those that it was the first to drop."""
    documents = judge.account.documents_in
    broken = _broken(judge)
    rows = []
    for condition in conditions_of(judge):
        first = judge.account.dropped.get(condition.rule, 0)
        num_broken = broken.get(condition.rule)
        rows.append(
            Row(
                cells=[
                    Cell(text=condition.rule, code=True),
                    Cell(text=_requirement(condition)),
                    Cell(text=count(num_broken)),
                    Cell(
                        text="" if num_broken is None else share(num_broken, documents),
                        bar=None if num_broken is None or not documents else num_broken / documents,
                        tone="dropped",
                    ),
                    Cell(text=count(first)),
                ]
            )
        )
    return Table(
        title="Rules, in the order in which they are asked",
        columns=[
            Column(title="Rule"),
            Column(title="Stays with"),
            Column(title="Break it", numeric=True),
            Column(title="Of all"),
            Column(title="Dropped by it", numeric=True),
        ],
        rows=rows,
        note="A document is dropped by the first rule that it breaks; it may break others too.",
    )


def _broken(judge: Manifest) -> dict[str, int]:
    broken: dict[str, int] = {}
    for part in judge.parts:
        for rule in part.metrics.get("broken", {}):
            broken[rule] = broken.get(rule, 0) + int(number(part.metrics, "broken", rule) or 0)
    return broken


def _requirement(condition: Condition) -> str:
    if isinstance(condition, Bound):
        return f"{_without_rule_set(condition)} {_ALLOWED[condition.comparison]} {value(condition.threshold)}"
    if isinstance(condition, Membership):
        return f"{condition.column} one of {', '.join(condition.allowed)}"
    return f"not {condition.drops()}"


def _without_rule_set(bound: Bound) -> str:
    """The signal's name, without the name of the rule set where that stands before it in the rule, too."""
    short = bound.signal.removeprefix(f"{bound.rule.partition('.')[0]}_")
    return short if "_" in short else bound.signal


def _distribution_figure(bound: Bound, found: Distribution, drawn: int, signals: Manifest) -> Figure:
    bins: list[dict[str, Any]] = [
        {"from": found.edges[at], "to": found.edges[at + 1], "count": counted}
        for at, counted in enumerate(found.counts)
    ]
    name = _without_rule_set(bound)
    lines = " and ".join(value(line) for line in found.thresholds) or "outside this range"
    notes = [f"median {value(found.median, 3)}", f"threshold {lines}"]
    documents = signals.account.documents_in
    if drawn < documents:
        notes.append(f"{count(drawn)} of {count(documents)} documents")
    return Figure(
        name=f"signal-{bound.signal}",
        title=name.replace("num_", "number of ").replace("_", " ").capitalize(),
        specification=charts.histogram(
            bins, x=_unit(name), y="Documents", lines=found.thresholds, logarithmic=found.logarithmic, height=150
        ),
        table=Table(
            columns=[Column(title=title, numeric=True) for title in ("From", "To", "Documents")],
            rows=[
                Row(
                    cells=[
                        Cell(text=value(each["from"])),
                        Cell(text=value(each["to"])),
                        Cell(text=count(each["count"])),
                    ]
                )
                for each in bins
                if each["count"]
            ],
        ),
        note=f"{bound.rule.partition('.')[0]}: {', '.join(notes)}.",
    )


def _unit(name: str) -> str:
    """What a signal counts, by its name."""
    if name.endswith("_ratio"):
        return "Ratio"
    return name.removeprefix("num_").replace("_", " ").capitalize()
