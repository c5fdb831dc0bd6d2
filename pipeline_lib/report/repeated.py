"""Repeated lines or paragraphs: how many were taken out, and which are in the most documents."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.report.blocks import Block, Cell, Column, Row, Section, Table
from pipeline_lib.report.drawing import recorded_privacy
from pipeline_lib.report.excerpts import one_line
from pipeline_lib.report.quantities import count, share, size
from pipeline_lib.survivors import apply_edits
from storage.manifests import PublishedStage
from storage.schemas import REPEATED_EXAMPLES

_NUM_SHOWN = 20
_TEXT_CHARS = 200


@dataclass(frozen=True, kw_only=True)
class Removed:
    """What the stage `lines` did, all parts together; `unit`: line or paragraph."""

    unit: str
    units: int
    units_removed: int
    bytes_removed: int
    documents_edited: int
    documents_dropped: int


def count_removed(lines: PublishedStage) -> Removed:
    parts = [part.metrics for part in lines.manifest.parts]
    names = ("units", "units_removed", "bytes_removed", "documents_edited")
    return Removed(
        unit=str(lines.manifest.parameters["unit"]),
        documents_dropped=sum(lines.manifest.account.dropped.values()),
        **{name: sum(int(metrics[name]) for metrics in parts) for name in names},
    )


def shown_units(inputs: Mapping[str, PublishedStage]) -> list[dict[str, Any]]:
    """Rows of REPEATED_EXAMPLES, those of the most documents first, with addresses masked as in the corpus."""
    repeated = inputs["repeated-lines"]
    (part,) = repeated.part_names
    examples = repeated.read("examples", part, REPEATED_EXAMPLES).slice(0, _NUM_SHOWN)
    # edits go by doc_id, and several examples may be of one document
    rows = pa.array([str(row) for row in range(examples.num_rows)], pa.string())
    texts = pa.table({"doc_id": rows, "text": examples["text"]})
    masked = apply_edits(texts, mask_addresses(texts, recorded_privacy(inputs)))
    shown: list[dict[str, Any]] = examples.set_column(
        examples.column_names.index("text"), "text", masked["text"]
    ).to_pylist()
    return shown


def repeated_section(removed: Removed, units: Sequence[Mapping[str, Any]]) -> Section:
    blocks: list[Block] = []
    if units:
        blocks.append(
            Table(
                title=f"{removed.unit.capitalize()}s of the most documents",
                columns=[
                    Column(title="Documents", numeric=True),
                    Column(title="Share", numeric=True),
                    Column(title="First seen on", narrow=True),
                    Column(title="Text"),
                ],
                rows=[
                    Row(
                        cells=[
                            Cell(text=count(row["documents"])),
                            Cell(text=share(row["documents"], row["scope_documents"])),
                            Cell(text=one_line(row["host"], 60), crawled=True),
                            Cell(text=one_line(row["text"], _TEXT_CHARS), crawled=True),
                        ]
                    )
                    for row in units
                ],
                note=(
                    "Share of the documents that were counted together: those of the host, or all. "
                    f"One {removed.unit} may stand for several that differ in case, punctuation or numbers."
                ),
            )
        )
    return Section(
        name="repeated",
        title=f"Repeated {removed.unit}s",
        summary=(
            f"{count(removed.units_removed)} of {count(removed.units)} {removed.unit}s were taken out of "
            f"{count(removed.documents_edited)} documents ({size(removed.bytes_removed)}), because too many documents "
            f"have them; {count(removed.documents_dropped)} documents were nothing else and were dropped."
            if units
            else f"No {removed.unit} is in too many documents."
        ),
        blocks=blocks,
    )
