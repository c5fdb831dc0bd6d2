"""The documents a stage still has to deal with: the extracted text, with the edits and without the drops so far."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.arrow import string_buffers, string_column
from pipeline_lib.kernels.splice import splice
from storage.manifests import PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, EDITS

# The stages that decide about documents or edit their text, in the order in which a run has them; `withdrawn` only
# where a document was withdrawn, those from `semantic` to `decontaminate` only where the recipe asks for them. A stage
# may do both.
TRAIL = ("extract", "signals", "judge", "withdrawn", "dedup", "semantic", "lines", "decontaminate", "privacy")

DROPPING_TABLES = {"decisions": DECISIONS, "duplicates": DUPLICATES}


class MisplacedEdit(ValueError):
    """An edit that does not fit the text it is for."""


@dataclass(frozen=True, kw_only=True)
class Trail:
    """What has happened to the documents of a crawl so far, in order: where the text is, who edited it, who dropped.

    Edits are positions in the text as the edits before them left it: `edits` is applied from first to last.
    """

    documents: PublishedStage
    edits: Sequence[PublishedStage] = field(default_factory=tuple)
    drops: Sequence[PublishedStage] = field(default_factory=tuple)


def trail_of(stages: Mapping[str, PublishedStage]) -> Trail:
    """The trail through those of a run's stages that are there, in the run's order; other stages are passed over."""
    after = tuple(stages[name] for name in TRAIL[1:] if name in stages)
    return Trail(documents=stages["extract"], edits=after, drops=after)


def read_survivors(trail: Trail, part: str, columns: Sequence[str] | None = None) -> pa.Table:
    """The surviving documents of a part, in source order, with edited text: all columns of `DOCUMENTS`, or some."""
    wanted = list(columns) if columns is not None else DOCUMENTS.names
    documents = trail.documents.read(
        "documents", part, DOCUMENTS, columns=sorted({"doc_id", *wanted}, key=DOCUMENTS.names.index)
    )
    documents = without_dropped(documents, trail, part)
    if "text" in wanted:
        for stage in trail.edits:
            if stage.has("edits", part):
                documents = apply_edits(documents, stage.read("edits", part, EDITS))
    return documents.select(wanted)


def without_dropped(documents: pa.Table, trail: Trail, part: str) -> pa.Table:
    """The rows that no stage of the trail has dropped."""
    for stage in trail.drops:
        for table, schema in DROPPING_TABLES.items():
            if stage.has(table, part):
                dropped = stage.read(table, part, schema, columns=["doc_id"])["doc_id"]
                documents = documents.filter(
                    pc.invert(pc.is_in(documents["doc_id"], value_set=dropped.combine_chunks()))
                )
    return documents


def apply_edits(documents: pa.Table, edits: pa.Table) -> pa.Table:
    """Documents with the edits made in their text, step after step; edits for documents that are not there are passed
    over.

    Raises:
        MisplacedEdit: edits of a document and step overlap, are out of order, or reach beyond its text.
    """
    rows = pc.index_in(edits["doc_id"], value_set=documents["doc_id"].combine_chunks())
    edits = edits.set_column(0, "row", rows).filter(pc.is_valid(rows))
    for step in sorted(pc.unique(edits["step"]).to_pylist()):
        documents = _apply_step(documents, edits.filter(pc.equal(edits["step"], step)))
    return documents


def _apply_step(documents: pa.Table, edits: pa.Table) -> pa.Table:
    row = edits["row"].to_numpy().astype(np.int64)
    order = np.argsort(row, kind="stable")
    row = row[order]
    edits = edits.take(pa.array(order))
    starts = edits["start"].to_numpy().astype(np.int64)
    ends = edits["end"].to_numpy().astype(np.int64)
    data, offsets = string_buffers(documents["text"])
    lengths = np.diff(offsets)[row]
    same_document = row[1:] == row[:-1]
    if (
        bool(np.any(starts < 0))
        or bool(np.any(ends < starts))
        or bool(np.any(ends > lengths))
        or bool(np.any(starts[1:][same_document] < ends[:-1][same_document]))
    ):
        raise MisplacedEdit(
            "edits overlap, are out of order, or reach beyond the text: made for another text than this"
        )
    edit_offsets = np.searchsorted(row, np.arange(documents.num_rows + 1)).astype(np.int64)
    replacement_data, replacement_offsets = string_buffers(edits["replacement"])
    text = string_column(*splice(data, offsets, edit_offsets, starts, ends, replacement_data, replacement_offsets))
    return documents.set_column(documents.column_names.index("text"), documents.schema.field("text"), text)
