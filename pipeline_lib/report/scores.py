"""What the model is worth: bits per byte beside general compressors, and what it writes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import (
    Block,
    Cell,
    Column,
    Continuation,
    Continuations,
    Figure,
    Figures,
    Row,
    Section,
    Table,
)
from pipeline_lib.report.excerpts import one_line, visible
from pipeline_lib.report.quantities import count, size, value
from pipeline_lib.report.readings import number, reading
from storage.manifests import Manifest

_PROMPT_CHARS = 300
_COMPRESSORS = (("xz -9", "xz_bits_per_byte"), ("gzip -9", "gzip_bits_per_byte"))


@dataclass(frozen=True, kw_only=True)
class Score:
    """Bits per byte of one way to write the held-out text down, with a 95 % interval where there is one."""

    name: str
    bits_per_byte: float
    interval: tuple[float, float] | None = None


def scores_of(evaluate: Manifest) -> list[Score]:
    """The model first, then the compressors; what was not measured is left out."""
    metrics = evaluate.metrics
    scores = []
    model = number(metrics, "val_bits_per_byte")
    if model is not None:
        scores.append(Score(name="this model", bits_per_byte=model, interval=_interval(metrics)))
    for name, key in _COMPRESSORS:
        found = number(metrics, key)
        if found is not None:
            scores.append(Score(name=name, bits_per_byte=found))
    return scores


def evaluation_section(evaluate: Manifest, excerpt_chars: int) -> Section:
    scores = scores_of(evaluate)
    blocks: list[Block] = []
    if scores:
        blocks.append(Figures(figures=[_figure(scores)]))
    continuations = _continuations(evaluate.metrics, excerpt_chars)
    if continuations:
        blocks.append(
            Continuations(
                title="What the model writes",
                continuations=continuations,
                note="Prompts in bold. Each is continued twice: by the likeliest tokens, and by drawn ones.",
            )
        )
    return Section(name="evaluation", title="Evaluation", summary=_summary(evaluate.metrics, scores), blocks=blocks)


def _summary(metrics: Mapping[str, Any], scores: list[Score]) -> str:
    documents, num_bytes = number(metrics, "documents"), number(metrics, "bytes")
    text = "Bits that one byte of held-out text takes; fewer are better."
    if documents and num_bytes:
        text += f" Measured on {count(documents)} documents with {size(num_bytes)}, the same for all."
    if len(scores) > 1 and scores[0].name == "this model":
        best = min(scores[1:], key=lambda score: score.bits_per_byte)
        if best.bits_per_byte > 0:
            ratio = scores[0].bits_per_byte / best.bits_per_byte
            better = "less" if ratio < 1 else "more"
            text += f" The model takes {abs(1 - ratio):.0%} {better} than {best.name}.".replace("%", " %")
    return text


def _figure(scores: list[Score]) -> Figure:
    rows = [
        {
            "name": score.name,
            "bits_per_byte": score.bits_per_byte,
            "fate": "model" if score.name == "this model" else "compressor",
            "low": score.interval[0] if score.interval else None,
            "high": score.interval[1] if score.interval else None,
            "end": max(score.bits_per_byte, score.interval[1] if score.interval else 0),
        }
        for score in scores
    ]
    return Figure(
        name="scores",
        title="Bits per byte of held-out text",
        specification=charts.intervals(rows, x=("bits_per_byte", "Bits per byte", ".3f"), y="name"),
        note="The line over the model's bar is a 95 % interval, over documents." if rows[0]["low"] is not None else "",
        table=Table(
            columns=[
                Column(title="Written by"),
                Column(title="Bits per byte", numeric=True),
                Column(title="95 % interval", numeric=True),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=score.name),
                        Cell(text=f"{score.bits_per_byte:.4f}"),
                        Cell(text="{:.4f} to {:.4f}".format(*score.interval) if score.interval else ""),
                    ]
                )
                for score in scores
            ],
        ),
        wide=True,
    )


def _interval(metrics: Mapping[str, Any]) -> tuple[float, float] | None:
    ends = reading(metrics, "val_bits_per_byte_interval")
    if not isinstance(ends, list | tuple) or len(ends) != 2:
        return None
    low, high = (number({"end": end}, "end") for end in ends)
    return None if low is None or high is None else (low, high)


def _continuations(metrics: Mapping[str, Any], excerpt_chars: int) -> list[Continuation]:
    samples = reading(metrics, "samples")
    if not isinstance(samples, list):
        return []
    return [
        Continuation(
            prompt=one_line(str(reading(sample, "prompt")), _PROMPT_CHARS) if reading(sample, "prompt") else "",
            text=visible(str(reading(sample, "continuation")))[: 4 * excerpt_chars],
            details=_details(sample),
        )
        for sample in samples
        if isinstance(reading(sample, "continuation"), str)
    ]


def _details(sample: Mapping[str, Any]) -> list[tuple[str, str]]:
    details = []
    if isinstance(choice := reading(sample, "choice"), str):
        details.append(("tokens", visible(choice)))
    if (temperature := number(sample, "temperature")) is not None and temperature > 0:
        details.append(("temperature", value(temperature)))
    if reading(sample, "stopped_by") == "end_of_text":
        details.append(("ended", "by itself"))
    return details
