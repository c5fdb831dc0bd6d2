"""How training went: loss and throughput over the steps."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Cell, Column, Figure, Figures, Row, Section, Table
from pipeline_lib.report.quantities import count, duration, value
from pipeline_lib.report.readings import number
from storage.manifests import Manifest

_MAX_POINTS = 300
_TABLE_ROWS = 12

LogRows = Sequence[Mapping[str, Any]]


def read_log(path: Path) -> list[Mapping[str, Any]]:
    """The entries of a training log, one JSON object a line; lines that are none are passed over."""
    rows = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        if isinstance(row, Mapping) and number(row, "step") is not None:
            rows.append(row)
    return rows


def loss_points(log_rows: LogRows) -> list[dict[str, Any]]:
    """Step, loss and series (training, validation): means over equal spans of steps where there are many."""
    points = [{"step": step, "loss": loss, "series": "training"} for step, loss in _thinned(log_rows, "loss")]
    return points + [
        {"step": row["step"], "loss": number(row, "validation_loss"), "series": "validation"}
        for row in log_rows
        if number(row, "validation_loss") is not None
    ]


def loss_chart_png(log_rows: LogRows) -> bytes:
    """The loss curve as a picture.

    Args:
        log_rows: entries of a training log: step, loss, and validation_loss where one was taken.
    """
    return charts.png(charts.loss_curve(loss_points(log_rows)))


def training_section(train: Manifest, log_rows: LogRows) -> Section:
    figures = []
    points = loss_points(log_rows)
    if points:
        figures.append(_loss_figure(points))
    pace = _thinned(log_rows, "tokens_per_second")
    if pace:
        figures.append(_pace_figure(pace))
    return Section(
        name="training",
        title="Training",
        summary=_summary(train, log_rows),
        blocks=[Figures(figures=figures)] if figures else [],
    )


def _summary(train: Manifest, log_rows: LogRows) -> str:
    if not log_rows:
        return "No step was logged."
    last, metrics = log_rows[-1], train.metrics
    num_parameters, epochs = number(metrics, "parameters"), number(metrics, "epochs")
    seconds, pace = number(metrics, "seconds"), number(metrics, "tokens_per_second")
    validation = [found for row in log_rows if (found := number(row, "validation_loss")) is not None]
    pieces = [
        f"A decoder of {count(num_parameters)} parameters after " if num_parameters else "A decoder after ",
        f"{count(number(last, 'step'))} steps",
        f" over {count(number(last, 'tokens_seen'))} tokens" if number(last, "tokens_seen") else "",
        f", {value(epochs, digits=2)} epochs," if epochs else "",
        f" in {duration(seconds)}" if seconds else "",
        f" at {count(pace)} tokens per second" if pace else "",
        f". Loss on held-out text at the end: {value(validation[-1])} nats per token." if validation else ".",
    ]
    return "".join(pieces)


def _thinned(log_rows: LogRows, key: str) -> list[tuple[int, float]]:
    """(step, value) pairs, at most _MAX_POINTS: the mean of each span, at its last step."""
    pairs = [
        (int(row["step"]), found)
        for row in log_rows
        if (found := number(row, key)) is not None and number(row, "step") is not None
    ]
    span = -(-len(pairs) // _MAX_POINTS)
    return [
        (group[-1][0], sum(found for _, found in group) / len(group))
        for group in (pairs[start : start + span] for start in range(0, len(pairs), max(1, span)))
    ]


def _loss_figure(points: Sequence[Mapping[str, Any]]) -> Figure:
    validation = {point["step"]: point["loss"] for point in points if point["series"] == "validation"}
    training = [(point["step"], point["loss"]) for point in points if point["series"] == "training"]
    return Figure(
        name="loss",
        title="Loss",
        specification=charts.loss_curve(points),
        note="Natural logarithms. Training loss is that of each step's batch, averaged over neighbouring steps.",
        table=Table(
            columns=[Column(title=title, numeric=True) for title in ("Step", "Training", "Validation")],
            rows=[
                Row(cells=[Cell(text=count(step)), Cell(text=value(training_loss)), Cell(text=value(validation_loss))])
                for step, training_loss, validation_loss in _loss_rows(training, validation)
            ],
        ),
        wide=True,
    )


def _loss_rows(
    training: Sequence[tuple[int, float]], validation: Mapping[int, float]
) -> list[tuple[int, float | None, float | None]]:
    """Every validation with the training loss of about that step; without any, a few training losses."""
    if not validation:
        return [(step, loss, None) for step, loss in _few(training)]
    rows: list[tuple[int, float | None, float | None]] = []
    for step, loss in _few(sorted(validation.items())):
        near = min(training, key=lambda pair: abs(pair[0] - step), default=None)
        rows.append((step, near[1] if near else None, loss))
    return rows


def _few(pairs: Sequence[tuple[int, float]]) -> list[tuple[int, float]]:
    """The last pair, and as many before it, evenly spaced, as a table may have rows."""
    if len(pairs) <= _TABLE_ROWS:
        return list(pairs)
    return [pairs[round(at * (len(pairs) - 1) / (_TABLE_ROWS - 1))] for at in range(_TABLE_ROWS)]


def _pace_figure(pace: Sequence[tuple[int, float]]) -> Figure:
    rows = [{"step": step, "tokens_per_second": found, "series": "throughput"} for step, found in pace]
    return Figure(
        name="throughput",
        title="Throughput",
        specification=charts.curves(
            rows,
            x=("step", "Step", ",d"),
            y=("tokens_per_second", "Tokens per second", ",.0f"),
            series=["throughput"],
            zero=True,
            height=200,
        ),
        note="Without validation and checkpoints.",
        table=Table(
            columns=[Column(title=title, numeric=True) for title in ("Step", "Tokens per second")],
            rows=[Row(cells=[Cell(text=count(step)), Cell(text=count(found))]) for step, found in _few(pace)],
        ),
        wide=True,
    )
