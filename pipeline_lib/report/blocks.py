"""What the page is made of: sections, and the blocks they hold. The templates know how each looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pipeline_lib.report.excerpts import Segments

Tone = Literal["kept", "dropped", "plain"]


@dataclass(frozen=True, kw_only=True)
class Column:
    """A column of a table: `numeric` ones are set flush right, `narrow` ones leave the room to the others."""

    title: str
    numeric: bool = False
    narrow: bool = False


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell, over `span` columns. `bar` is the share, 0 to 1, of a bar drawn beside the text."""

    text: str
    bar: float | None = None
    tone: Tone = "plain"
    code: bool = False
    span: int = 1
    crawled: bool = False  # comes from a page: its direction of writing is its own


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row; `inner` rows are parts of the row above them."""

    cells: Sequence[Cell]
    inner: bool = False


@dataclass(frozen=True, kw_only=True)
class Table:
    columns: Sequence[Column]
    rows: Sequence[Row]
    title: str = ""
    note: str = ""
    folded: bool = False
    kind: Literal["table"] = "table"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A chart (a Vega-Lite specification without colours) and the table that says the same."""

    name: str
    title: str
    specification: Mapping[str, Any]
    table: Table
    note: str = ""
    wide: bool = False


@dataclass(frozen=True, kw_only=True)
class Figures:
    """Charts that stand side by side where there is room."""

    figures: Sequence[Figure]
    small: bool = False
    kind: Literal["figures"] = "figures"


@dataclass(frozen=True, kw_only=True)
class Tile:
    """One figure to read from afar."""

    label: str
    value: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A document or a record, and what was measured or decided over it as (name, value) in `details`."""

    url: str
    title: str = ""
    text: str = ""
    details: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class SampleGroup:
    """Samples of one kind, such as those that one rule dropped; a `title` folds them away under it."""

    samples: Sequence[Sample]
    title: str = ""
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Samples:
    """`command` shows all documents of which these are some."""

    title: str
    groups: Sequence[SampleGroup]
    tone: Tone
    note: str = ""
    command: str = ""
    kind: Literal["samples"] = "samples"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One document of a pair: its text in segments, each with whether the other lacks it."""

    verdict: str
    url: str
    segments: Segments
    tone: Tone


@dataclass(frozen=True, kw_only=True)
class Pair:
    title: str
    details: Sequence[tuple[str, str]]
    sides: tuple[Side, Side]


@dataclass(frozen=True, kw_only=True)
class Pairs:
    title: str
    pairs: Sequence[Pair]
    note: str = ""
    command: str = ""
    kind: Literal["pairs"] = "pairs"


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """What the model wrote after a prompt, and how."""

    prompt: str
    text: str
    details: Sequence[tuple[str, str]] = ()


@dataclass(frozen=True, kw_only=True)
class Continuations:
    title: str
    continuations: Sequence[Continuation]
    note: str = ""
    kind: Literal["continuations"] = "continuations"


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Text for machines, folded away."""

    title: str
    text: str
    kind: Literal["listing"] = "listing"


Block = Table | Figures | Samples | Pairs | Continuations | Listing


@dataclass(frozen=True, kw_only=True)
class Section:
    name: str
    title: str
    summary: str
    blocks: Sequence[Block] = field(default_factory=tuple)
