"""What counts as a repeated line or paragraph."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal

from storage.parameters import SHAPES_NOTHING

_MIN_MEMORY_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class UnitParameters:
    """What shapes the counts of units: all that has to be counted anew when it changes.

    Attributes:
        unit: `line`, or `paragraph`: a run of lines that are not blank. Lines: what CCNet (Wenzek et al. 2020,
            arXiv:1911.00359) compares.
        scope: units are counted over the pages of each `host`, or over the whole `corpus`, as CCNet does it shard by
            shard. Host: what is on many pages of one site is its frame. Over a whole crawl, removing every line but
            its first occurrence made FineWeb's models worse than removing none (Penedo et al. 2024, arXiv:2406.17557).
        min_chars: shorter units are never counted nor taken out, measured from the first visible character to the
            last. 20: shorter lines that many pages of a site have are mostly not its frame but the headings of its
            kind of page (`Parameters`, `See also`) and pieces of code and tables (`True`, `int main()`). Of the lines
            that would go from the pages that we test on, many of them manuals, more than nine tenths are shorter. Ours.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    unit: Literal["line", "paragraph"] = "line"
    scope: Literal["host", "corpus"] = "host"
    min_chars: int = 20

    def __post_init__(self) -> None:
        if self.unit not in ("line", "paragraph"):
            raise ValueError(f"unit={self.unit!r} is none of line, paragraph")
        if self.scope not in ("host", "corpus"):
            raise ValueError(f"scope={self.scope!r} is none of host, corpus")
        if self.min_chars < 1:
            raise ValueError(f"min_chars={self.min_chars}: expected at least 1, which leaves no unit out")


@dataclass(frozen=True, kw_only=True)
class RepeatedLinesParameters:
    """Which lines or paragraphs are taken out of all documents that have them.

    Two units are the same if their words are: case, accents, punctuation and spaces make no difference, and a number
    is like any other, as CCNet does it (it replaces each digit by 0, we each run of digits).

    Attributes:
        enabled: whether a run does this at all.
        unit, scope, min_chars: see `UnitParameters`.
        max_documents: a unit of more documents than this is repeated. Ours: of fewer than five pages, what three share
            may as well be a quotation. 1 is CCNet's.
        min_share: with scope `host`, of at least this share of the host's documents, too: what is on every fifth page
            of a site is the site's, and what some of thousands of pages quote is theirs. Ours; at 0.1, phrases that a
            manual needs often (`Traceback (most recent call last):`) go, too.
        keep_first: one document keeps its unit: the one that was fetched first, of those the one whose doc_id has the
            smallest hash, and in it the first place. CCNet keeps the first that it reads. Off: a site's frame is wanted
            on no page.
        memory_bytes: how much memory the counts of all parts may take when they are added up. Ours.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    enabled: bool = False
    unit: Literal["line", "paragraph"] = "line"
    scope: Literal["host", "corpus"] = "host"
    min_chars: int = 20
    max_documents: int = 4
    min_share: float = 0.2
    keep_first: bool = False
    memory_bytes: int = field(default=1 << 30, metadata=SHAPES_NOTHING)

    def __post_init__(self) -> None:
        if self.max_documents < 1:
            raise ValueError(
                f"max_documents={self.max_documents}: expected at least 1, which takes out what two documents share"
            )
        if not 0.0 <= self.min_share <= 1.0:
            raise ValueError(f"min_share={self.min_share}: a share is 0 to 1; 0 leaves the decision to max_documents")
        if self.memory_bytes < _MIN_MEMORY_BYTES:
            raise ValueError(f"memory_bytes={self.memory_bytes}: expected at least {_MIN_MEMORY_BYTES}; 1 GiB is usual")
        self.units()

    def units(self) -> UnitParameters:
        """What the counts depend on: another line counts nothing anew."""
        return UnitParameters(unit=self.unit, scope=self.scope, min_chars=self.min_chars)
