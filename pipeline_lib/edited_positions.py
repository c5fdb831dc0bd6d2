"""From a place in an edited text back to the text before: the inverse of `survivors.apply_edits` for places."""

from collections.abc import Iterable, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.survivors import Trail
from storage.schemas import EDITS

Edit = tuple[int, int, int]  # the bytes [start, end) became so many


def extracted_span(span: tuple[int, int], steps: Iterable[Sequence[Edit]]) -> tuple[int, int]:
    """The bytes of the extracted text that became the bytes [start, end) of the final one.

    What an edit wrote comes from all of what it replaced; what an edit took away within the span is part of it.

    Args:
        steps: the edits of the document, step after step as they were made; those of a step ordered by start.
    """
    start, end = span
    for edits in reversed(list(steps)):
        end = _byte_before(end - 1, edits)[1] if end > start else -1
        start = _byte_before(start, edits)[0]
        end = max(start, end)
    return start, end


def edit_steps(trail: Trail, part: str, doc_id: str) -> list[list[Edit]]:
    """The edits of one document on the trail, step after step, in the order in which they were made."""
    steps: list[list[Edit]] = []
    for stage in trail.edits:
        if not stage.has("edits", part):
            continue
        rows = pc.indices_nonzero(pc.equal(stage.read("edits", part, EDITS, ["doc_id"])["doc_id"], doc_id))
        made = _made(stage.read_rows("edits", part, EDITS, rows.to_pylist()))
        steps += [made[step] for step in sorted(made)]
    return steps


def _made(edits: pa.Table) -> dict[int, list[Edit]]:
    made: dict[int, list[Edit]] = {}
    for row in edits.to_pylist():
        made.setdefault(row["step"], []).append((row["start"], row["end"], len(row["replacement"].encode())))
    return made


def _byte_before(position: int, edits: Sequence[Edit]) -> tuple[int, int]:
    """The bytes that one byte of the text after a step was made of."""
    shift = 0  # how much further on a byte stood before the step
    for start, end, length in edits:
        written = start - shift
        if position < written:
            break
        if position < written + length:
            return start, end
        shift += (end - start) - length
    return position + shift, position + shift + 1
