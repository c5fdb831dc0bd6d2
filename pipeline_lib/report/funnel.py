"""The funnel: what went into each stage, what came out, and what was dropped by which reason."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline_lib.report import charts
from pipeline_lib.report.blocks import Block, Cell, Column, Figure, Figures, Row, Section, Table
from pipeline_lib.report.quantities import count, duration, share, size
from pipeline_lib.report.volumes import Volume
from storage.manifests import Manifest

# The order of the walk; a stage that is not named here comes after these, by name.
STAGES = (
    "crawl",
    "fetch",
    "extract",
    "signals",
    "judge",
    "signatures",
    "withdrawn",
    "dedup",
    "embeddings",
    "semantic",
    "line-counts",
    "repeated-lines",
    "lines",
    "evaluation-items",
    "overlaps",
    "common-ngrams",
    "decontaminate",
    "privacy",
    "corpus",
    "index",
    "tokenizer",
    "encode",
    "tokens",
    "contamination",
    "train",
    "evaluate",
    "export",
)
# Stages that decide which documents are in the corpus; the others measure, or use it.
_DECIDING = ("extract", "judge", "withdrawn", "dedup", "semantic", "lines", "decontaminate", "corpus")
_MAX_BARS = 24
_MINUS = "\u2212"


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Stage names in the order of the walk."""
    return sorted(names, key=lambda name: (STAGES.index(name) if name in STAGES else len(STAGES), name))


@dataclass(frozen=True, kw_only=True)
class StageFlow:
    """What one stage took, gave and dropped. `reasons`: largest first."""

    stage: str
    taken: int
    unit_in: str
    given: int
    unit_out: str
    reasons: Mapping[str, int]
    published_bytes: int
    seconds: float

    @property
    def dropped(self) -> int:
        return sum(self.reasons.values())


def stage_flows(manifests: Mapping[str, Manifest]) -> list[StageFlow]:
    """The stages in the order of the walk."""
    return [
        StageFlow(
            stage=name,
            taken=manifests[name].account.documents_in,
            unit_in=manifests[name].account.unit_in,
            given=manifests[name].account.documents_out,
            unit_out=manifests[name].account.unit_out,
            reasons=dict(sorted(manifests[name].account.dropped.items(), key=lambda item: (-item[1], item[0]))),
            published_bytes=sum(record.bytes for record in manifests[name].files()),
            seconds=manifests[name].seconds,
        )
        for name in in_order(manifests)
    ]


def funnel_rows(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """One row a stage, for a table of another program.

    Keys: stage, in, unit_in, out, unit_out, dropped, dropped_percent (of in), reasons (one line of text, largest
    first), published_bytes (of all its files), seconds (of work).
    """
    return [
        {
            "stage": flow.stage,
            "in": flow.taken,
            "unit_in": flow.unit_in,
            "out": flow.given,
            "unit_out": flow.unit_out,
            "dropped": flow.dropped,
            "dropped_percent": round(100 * flow.dropped / flow.taken, 2) if flow.taken else 0.0,
            "reasons": ", ".join(f"{reason}: {number:,}" for reason, number in flow.reasons.items() if number),
            "published_bytes": flow.published_bytes,
            "seconds": flow.seconds,
        }
        for flow in stage_flows(manifests)
    ]


def funnel_section(manifests: Mapping[str, Manifest], volumes: Mapping[str, Volume]) -> Section:
    """Charts of what the deciding stages dropped, and a table of every stage."""
    flows = stage_flows(manifests)
    deciding = [flow for flow in flows if flow.stage in _DECIDING]
    figures = [figure for figure in (_funnel_figure(deciding), _reasons_figure(deciding)) if figure is not None]
    blocks: list[Block] = [Figures(figures=figures)] if figures else []
    return Section(
        name="funnel",
        title="Funnel",
        summary="At every stage, what went in is what came out plus what was dropped, reason by reason.",
        blocks=[*blocks, _stage_table(flows, volumes)],
    )


def _funnel_figure(flows: Sequence[StageFlow]) -> Figure | None:
    if not flows:
        return None
    bars = []
    for flow in flows:
        bars.append({"stage": flow.stage, "fate": "kept", "count": flow.given, "reason": "kept"})
        bars += [
            {"stage": flow.stage, "fate": "dropped", "count": number, "reason": reason}
            for reason, number in flow.reasons.items()
            if number
        ]
    return Figure(
        name="funnel",
        title="Kept and dropped, stage by stage",
        specification=charts.stacked_bars(bars, x=("count", "Records or documents", ",d"), y="stage", segment="reason"),
        note="Extraction takes WARC records, of which requests and metadata are no pages; the others take documents.",
        table=Table(
            columns=[
                Column(title="Stage"),
                *(Column(title=title, numeric=True) for title in ("In", "Kept", "Dropped")),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=flow.stage),
                        *(Cell(text=count(number)) for number in (flow.taken, flow.given, flow.dropped)),
                    ]
                )
                for flow in flows
            ],
        ),
        wide=True,
    )


def _reasons_figure(flows: Sequence[StageFlow]) -> Figure | None:
    """Of documents only: most WARC records are requests and metadata, and would dwarf all else."""
    reasons: list[dict[str, Any]] = [
        {"reason": reason, "stage": flow.stage, "count": number, "ratio": number / flow.taken}
        for flow in flows
        if flow.unit_in == "documents"
        for reason, number in flow.reasons.items()
        if number
    ]
    reasons.sort(key=lambda row: -row["count"])
    if not reasons:
        return None
    return Figure(
        name="reasons",
        title="Why documents were dropped",
        specification=charts.bars(
            reasons[:_MAX_BARS],
            x=("count", "Documents", ",d"),
            y="reason",
            hover=[("stage", "Stage", None), ("ratio", "Of what went in", ".2%")],
            tone="dropped",
            dotted_names=True,
        ),
        note=f"The {_MAX_BARS} largest of {len(reasons)} reasons." if len(reasons) > _MAX_BARS else "",
        table=Table(
            columns=[
                Column(title="Reason"),
                Column(title="Stage"),
                Column(title="Documents", numeric=True),
                Column(title="Of what went in", numeric=True),
            ],
            rows=[
                Row(
                    cells=[
                        Cell(text=row["reason"], code=True),
                        Cell(text=row["stage"]),
                        Cell(text=count(row["count"])),
                        Cell(text=share(row["ratio"], 1)),
                    ]
                )
                for row in reasons
            ],
        ),
        wide=True,
    )


def _stage_table(flows: Sequence[StageFlow], volumes: Mapping[str, Volume]) -> Table:
    rows = []
    for flow in flows:
        volume = volumes.get(flow.stage)
        rows.append(
            Row(
                cells=[
                    Cell(text=flow.stage),
                    Cell(text=f"{count(flow.taken)} {flow.unit_in}"),
                    Cell(text=f"{count(flow.given)} {flow.unit_out}"),
                    *_dropped_cells(flow.dropped, flow.taken),
                    Cell(text=size(volume.bytes_in) if volume else ""),
                    Cell(text=size(volume.bytes_out) if volume else ""),
                    Cell(text=duration(flow.seconds)),
                ]
            )
        )
        rows += [
            _inner_row(reason, number, flow.taken, volume.dropped.get(reason) if volume else None)
            for reason, number in flow.reasons.items()
            if number
        ]
        if volume is not None and volume.edited:
            rows.append(_inner_row("edits in texts", 0, flow.taken, volume.edited))
    return Table(
        title="All stages",
        columns=[
            Column(title="Stage"),
            Column(title="In", numeric=True),
            Column(title="Out", numeric=True),
            Column(title="Dropped", numeric=True),
            Column(title="Of what went in"),
            Column(title="Bytes in", numeric=True),
            Column(title="Bytes out", numeric=True),
            Column(title="Work", numeric=True),
        ],
        rows=rows,
        note=(
            "Bytes are compressed WARC records on their way into extraction, and UTF-8 text from there on. "
            "Work is added up over all parts: with several workers it is more than the time that passed."
        ),
    )


def _inner_row(reason: str, number: int, taken: int, num_bytes: int | None) -> Row:
    lost = "" if num_bytes is None else f"{_MINUS if num_bytes >= 0 else '+'}{size(abs(num_bytes))}"
    blank = Cell(text="")
    # a reason takes the columns of what went in and out, which it has not
    return Row(
        inner=True,
        cells=[
            Cell(text=reason, code=True, span=3),
            *_dropped_cells(number, taken),
            blank,
            Cell(text=lost),
            blank,
        ],
    )


def _dropped_cells(number: int, taken: int) -> list[Cell]:
    if not number:
        return [Cell(text=""), Cell(text="")]
    return [Cell(text=count(number)), Cell(text=share(number, taken), bar=number / taken, tone="dropped")]
