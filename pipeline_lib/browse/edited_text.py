"""A document's text with everything that stages did to it: what went, what came in its place, and which rule asked.

Stages edit one after another, each the text as the one before left it (`storage.schemas.EDITS`). Here all of it is laid
over the extracted text, so that it can be read in one go.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pipeline_lib.survivors import MisplacedEdit

Kind = Literal["same", "removed", "added", "masked"]


@dataclass(frozen=True, kw_only=True)
class Edit:
    """The bytes [start, end) of the UTF-8 text, as the steps before left it, become `replacement`."""

    start: int
    end: int
    replacement: str
    rule: str


@dataclass(frozen=True, kw_only=True)
class Step:
    """The edits of one editor of a stage, ordered by start, none overlapping another.

    `hides`: what it takes out is nobody's to read, and is not shown.
    """

    stage: str
    edits: Sequence[Edit]
    hides: bool = False


@dataclass(frozen=True, kw_only=True)
class Editor:
    """A rule of a stage, and what it did to the text: the number of edits, bytes taken out and put in."""

    stage: str
    rule: str
    edits: int
    removed_bytes: int
    added_bytes: int


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Text that went through the mill alike; `editor` is the index of whoever removed, added or masked it."""

    text: str
    kind: Kind
    editor: int | None

    @property
    def body(self) -> str:
        """The text without the white space at its end."""
        return self.text.rstrip()

    @property
    def tail(self) -> str:
        return self.text[len(self.body) :]


@dataclass(frozen=True, kw_only=True)
class EditedText:
    """Pieces in the order of the text. Without the added ones they are what was extracted, without the removed ones
    what is left, both but for what is masked."""

    pieces: Sequence[Piece]
    editors: Sequence[Editor]


@dataclass(frozen=True)
class _Span:
    content: bytes
    origin: int  # byte of the extracted text at which it begins; -1: an edit brought it
    added_by: int | None = None
    removed_by: int | None = None

    def cut(self, start: int, end: int, removed_by: int | None = None) -> "_Span":
        origin = self.origin + start if self.origin >= 0 else -1
        return replace(self, content=self.content[start:end], origin=origin, removed_by=removed_by)


def lay_edits(text: str, steps: Sequence[Step], private: Sequence[Edit] = (), private_stage: str = "") -> EditedText:
    """
    Args:
        private: edits of the *extracted* text that hide what is nobody's to read, wherever no step did: in what rules
            took out before the addresses were masked, and in documents that were dropped before.
        private_stage: the stage in whose name they hide.

    Raises:
        MisplacedEdit: edits of a step overlap, are out of order, or reach beyond the text.
    """
    numbers: dict[tuple[str, str], int] = {}
    done: list[list[int]] = []  # by editor: edits, bytes removed, bytes added
    hiding: set[int] = set()

    def number_of(stage: str, rule: str) -> int:
        number = numbers.setdefault((stage, rule), len(numbers))
        if number == len(done):
            done.append([0, 0, 0])
        return number

    spans = [_Span(content=text.encode("utf-8", "surrogatepass"), origin=0)]
    for step in steps:
        editors = []
        for edit in step.edits:
            editor = number_of(step.stage, edit.rule)
            editors.append(editor)
            done[editor][0] += 1
            done[editor][1] += edit.end - edit.start
            done[editor][2] += len(edit.replacement.encode())
            if step.hides:
                hiding.add(editor)
        spans = list(_edited(spans, step.edits, editors))
    masked = [(edit, number_of(private_stage, edit.rule)) for edit in private]
    pieces: list[Piece] = []
    for piece in _shown(spans, masked, hiding, done):
        last = pieces[-1] if pieces else None
        if last is not None and (last.kind, last.editor) == (piece.kind, piece.editor) and piece.kind != "masked":
            pieces[-1] = replace(last, text=last.text + piece.text)
        elif piece.text:
            pieces.append(piece)
    return EditedText(
        pieces=pieces,
        editors=[
            Editor(stage=stage, rule=rule, edits=edits, removed_bytes=removed, added_bytes=added)
            for (stage, rule), (edits, removed, added) in zip(numbers, done, strict=True)
        ],
    )


def text_after(text: str, steps: Sequence[Step]) -> str:
    """The text as the steps leave it."""
    content = text.encode("utf-8", "surrogatepass")
    for step in steps:
        spans = _edited([_Span(content=content, origin=0)], step.edits, [0] * len(step.edits))
        content = b"".join(span.content for span in spans if span.removed_by is None)
    return content.decode("utf-8", "replace")


def _edited(spans: Sequence[_Span], edits: Sequence[Edit], editors: Sequence[int]) -> Iterator[_Span]:
    """The spans with one step's edits made in those that are left of the text."""
    at = position = before = 0
    for span in spans:
        if span.removed_by is not None:
            yield span
            continue
        length, cursor = len(span.content), 0
        while at < len(edits):
            edit, editor = edits[at], editors[at]
            if edit.start < before or edit.end < edit.start:
                raise MisplacedEdit("edits overlap or are out of order: made for another text than this")
            if edit.start > position + length or (edit.start == position + length and edit.end > edit.start):
                break  # it begins behind this span
            start, stop = max(edit.start - position, cursor), min(edit.end - position, length)
            if start > cursor:
                yield span.cut(cursor, start)
            if stop > start:
                yield span.cut(start, stop, removed_by=editor)
            cursor = max(cursor, start, stop)
            if edit.end > position + length:
                break  # it goes on in the next span
            if edit.replacement:
                yield _Span(content=edit.replacement.encode(), origin=-1, added_by=editor)
            before, at = edit.end, at + 1
        if cursor < length:
            yield span.cut(cursor, length)
        position += length
    for edit, editor in zip(edits[at:], editors[at:], strict=True):
        if edit.start != position or edit.end != position or not edit.replacement:
            raise MisplacedEdit("edits reach beyond the text: made for another text than this")
        yield _Span(content=edit.replacement.encode(), origin=-1, added_by=editor)


def _shown(
    spans: Sequence[_Span], private: Sequence[tuple[Edit, int]], hiding: set[int], done: list[list[int]]
) -> Iterator[Piece]:
    first = 0
    shown: set[int] = set()
    for span in spans:
        if span.removed_by in hiding:
            continue
        if span.origin < 0:
            kind: Kind = "removed" if span.removed_by is not None else "masked" if span.added_by in hiding else "added"
            by = span.removed_by if span.removed_by is not None else span.added_by
            yield Piece(text=_decoded(span.content), kind=kind, editor=by)
            continue
        while first < len(private) and private[first][0].end <= span.origin:
            first += 1
        at, end = span.origin, span.origin + len(span.content)
        kind = "same" if span.removed_by is None else "removed"
        number = first
        while number < len(private) and private[number][0].start < end:
            edit, editor = private[number]
            if edit.start > at:
                yield Piece(text=_decoded(span.content[at - span.origin : edit.start - span.origin]), kind=kind,
                            editor=span.removed_by)  # fmt: skip
            if number not in shown:  # of an address in several spans, the first stands for all
                shown.add(number)
                done[editor][0] += 1
                done[editor][1] += edit.end - edit.start
                done[editor][2] += len(edit.replacement.encode())
                yield Piece(text=edit.replacement, kind="masked", editor=editor)
            at = min(edit.end, end)
            number += 1
        if at < end:
            yield Piece(text=_decoded(span.content[at - span.origin :]), kind=kind, editor=span.removed_by)


def _decoded(content: bytes) -> str:
    return content.decode("utf-8", "replace")
