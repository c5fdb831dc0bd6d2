"""The funnel: what went into each stage, what came out, and what was dropped by which reason."""

from collections.abc import Mapping, Sequence
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
    "dedup",
    "privacy",
    "corpus",
    "tokenizer",
    "encode",
    "tokens",
    "train",
    "evaluate",
    "export",
)
# Stages that decide which documents are in the corpus; the others measure, or use it.
_DECIDING = ("extract", "judge", "dedup", "corpus")


def in_order(names: Mapping[str, Any]) -> list[str]:
    """Stage names in the order of the walk."""
    return sorted(names, key=lambda name: (STAGES.index(name) if name in STAGES else len(STAGES), name))


def funnel_rows(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """One row a stage, in the order of the walk, of JSON values.

    Keys: stage, unit_in, in, unit_out, out, dropped, dropped_ratio (of in), reasons (counts, largest first),
    published_bytes (of all its files, compressed as they are), seconds (of work).
    """
    rows = []
    for name in in_order(manifests):
        manifest = manifests[name]
        account = manifest.account
        dropped = sum(account.dropped.values())
        rows.append(
            {
                "stage": name,
                "unit_in": account.unit_in,
                "in": account.documents_in,
                "unit_out": account.unit_out,
                "out": account.documents_out,
                "dropped": dropped,
                "dropped_ratio": dropped / account.documents_in if account.documents_in else 0.0,
                "reasons": dict(_largest_first(account.dropped)),
                "published_bytes": sum(record.bytes for record in manifest.files()),
                "seconds": manifest.seconds,
            }
        )
    return rows


def reason_rows(manifests: Mapping[str, Manifest]) -> list[dict[str, Any]]:
    """One row a stage and reason: stage, reason, count, ratio (of what went into the stage)."""
    return [
        {"stage": row["stage"], "reason": reason, "count": number, "ratio": number / row["in"]}
        for row in funnel_rows(manifests)
        for reason, number in row["reasons"].items()
    ]


def funnel_section(manifests: Mapping[str, Manifest], volumes: Mapping[str, Volume]) -> Section:
    """Charts of what the deciding stages dropped, and a table of every stage."""
    rows = funnel_rows(manifests)
    deciding = [row for row in rows if row["stage"] in _DECIDING]
    blocks: list[Block] = []
    if deciding:
        blocks.append(Figures(figures=[_funnel_figure(deciding), *_reasons_figure(deciding)]))
    blocks.append(_stage_table(rows, volumes))
    return Section(
        name="funnel",
        title="Funnel",
        summary="At every stage, what went in is what came out plus what was dropped, reason by reason.",
        blocks=blocks,
    )


def _funnel_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    bars = []
    for row in rows:
        bars.append({"stage": row["stage"], "fate": "kept", "count": row["out"], "reason": "kept"})
        bars += [
            {"stage": row["stage"], "fate": "dropped", "count": number, "reason": reason}
            for reason, number in row["reasons"].items()
            if number
        ]
    return Figure(
        name="funnel",
        title="Kept and dropped, stage by stage",
        specification=charts.stacked_bars(
            bars,
            x=("count", "Records or documents", ",d"),
            y=("stage", None),
            order=[row["stage"] for row in rows],
            segment="reason",
        ),
        note="Extraction takes WARC records, of which requests and metadata are no pages; the others take documents.",
        table=Table(
            columns=[Column(title="Stage"), *(Column(title=title, numeric=True) for title in ("In", "Kept", "Dropped"))],
            rows=[
                Row(cells=[Cell(text=row["stage"]), *(Cell(text=count(row[key])) for key in ("in", "out", "dropped"))])
                for row in rows
            ],
        ),
        wide=True,
    )


def _reasons_figure(rows: Sequence[Mapping[str, Any]]) -> list[Figure]:
    reasons = [
        {"reason": reason, "stage": row["stage"], "count": number, "ratio": number / row["in"]}
        for row in rows
        if row["unit_in"] == "documents"
        for reason, number in row["reasons"].items()
        if number
    ]
    reasons.sort(key=lambda each: (-each["count"], each["stage"], each["reason"]))
    if not reasons:
        return []
    return [
        Figure(
            name="reasons",
            title="Why documents were dropped",
            specification=charts.bars(
                reasons,
                x=("count", "Documents", ",d"),
                y=("reason", None),
                hover=[("stage", "Stage", None), ("ratio", "Of the stage's input", ".2%")],
                tone="dropped",
            ),
            table=Table(
                columns=[
                    Column(title="Reason"),
                    Column(title="Stage"),
                    Column(title="Documents", numeric=True),
                    Column(title="Of its input", numeric=True),
                ],
                rows=[
                    Row(
                        cells=[
                            Cell(text=each["reason"], code=True),
                            Cell(text=each["stage"]),
                            Cell(text=count(each["count"])),
                            Cell(text=share(each["ratio"], 1)),
                        ]
                    )
                    for each in reasons
                ],
            ),
            wide=True,
        )
    ]


def _stage_table(rows: Sequence[Mapping[str, Any]], volumes: Mapping[str, Volume]) -> Table:
    listed = []
    for row in rows:
        volume = volumes.get(row["stage"])
        listed.append(
            Row(
                cells=[
                    Cell(text=row["stage"]),
                    Cell(text=_counted(row["in"], row["unit_in"])),
                    Cell(text=_counted(row["out"], row["unit_out"])),
                    Cell(
                        text=count(row["dropped"]) if row["dropped"] else "",
                    ),
                    Cell(
                        text=share(row["dropped"], row["in"]) if row["dropped"] else "",
                        bar=row["dropped_ratio"] if row["dropped"] else None,
                        tone="dropped",
                    ),
                    Cell(text=size(volume.bytes_in) if volume else ""),
                    Cell(text=size(volume.bytes_out) if volume else ""),
                    Cell(text=duration(row["seconds"])),
                ]
            )
        )
        if len(row["reasons"]) == 0:
            continue
        for reason, number in row["reasons"].items():
            num_bytes = volume.dropped.get(reason) if volume else None
            listed.append(
                Row(
                    inner=True,
                    cells=[
                        Cell(text=reason, code=True),
                        Cell(text=""),
                        Cell(text=""),
                        Cell(text=count(number)),
                        Cell(text=share(number, row["in"]), bar=number / row["in"] if row["in"] else 0, tone="dropped"),
                        Cell(text="" if num_bytes is None else f"\u2212{size(num_bytes)}"),
                        Cell(text=""),
                        Cell(text=""),
                    ],
                )
            )
        if volume is not None and volume.edited:
            listed.append(_edited_row(volume.edited))
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
        rows=listed,
        note=(
            "Bytes are compressed WARC records on their way into extraction, and UTF-8 text from there on. "
            "Work is the sum over all parts, so with several workers more than the time that passed."
        ),
    )


def _edited_row(num_bytes: int) -> Row:
    blank = Cell(text="")
    return Row(
        inner=True,
        cells=[
            Cell(text="edits in kept documents"),
            blank,
            blank,
            blank,
            blank,
            Cell(text=f"\u2212{size(num_bytes)}"),
            blank,
            blank,
        ],
    )


def _counted(number: int, unit: str) -> str:
    return f"{count(number)} {unit}"


def _largest_first(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))
