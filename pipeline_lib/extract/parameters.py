"""How pages are read: the parameters of the extract stage."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from pipeline_lib.extract.opt_outs import OptOutParameters

Extractor = Literal["hybrid", "resiliparse", "trafilatura", "union"]


@dataclass(frozen=True, kw_only=True)
class ExtractParameters:
    """What counts as a page, and how its main text is found.

    Attributes:
        extractor: `hybrid` chooses blocks of the page with a small model (`block_model`) and asks trafilatura only
            where they are suspiciously little, which is next to never; `resiliparse` and `trafilatura` are those
            libraries' own answers; `union` is the hybrid's, and where that is nothing or suspiciously little, the
            longest of all three.
            Measured by `make bench` on 500 pages of the Web Content Extraction Benchmark (Foley, CC-BY-4.0), mean word
            F1 on the half of them, by site, that the model was not trained or tuned on: 0.846 for the hybrid, 0.823 for
            trafilatura, 0.759 for resiliparse, and 0.808 for resiliparse with trafilatura where it finds less than a
            tenth of the visible text. The hybrid is 24 times as fast as trafilatura there, resiliparse 15 times.
        min_main_ratio: "suspiciously little": chosen blocks with less than this part of the page's characters.
        max_body_bytes: a record with a longer body is not read, and a compressed body is not inflated beyond it.
        max_page_bytes: longer pages are rejected, as received or in UTF-8; 5 MiB is where Common Crawl cuts pages since
            March 2025.
        max_depth: deeper pages are rejected; 512 is where Blink, the engine of Chromium, stops nesting elements. The
            highest estimate for 7,353 real pages is 140, and all but two stay below 50. None: only time and memory
            limit them.
        max_trafilatura_tags: trafilatura is not asked about pages with more tags, and resiliparse's answer stands. It
            takes 25 to 50 microseconds a tag, but square time on some pages: 1.1 s for 4,000 tags, 12 s for 16,000.
        max_page_seconds: of CPU time, for all that is done to one page; a page that takes longer is rejected. Pages
            that pass the limits above take milliseconds, and the slowest shapes known take 5 s: the verdict on a page
            should not depend on the machine, so the budget is far from both.
        max_page_memory_bytes: resident memory of the process that reads pages, its own 300 MB included; a page that
            needs more is rejected. A parser takes about 1 KB an element, and there is room for one in every three bytes
            of the longest page.
        verify_digests: a record whose bytes do not have the digests that its header states is fetched once more, if it
            came from a server, and rejected as `bad_digest` if they still do not.
        language_sample_bytes: language is told from so many bytes of the text.
        text_field: the column or key that holds the text of JSON Lines and Parquet sources.
        opt_outs: whose pages stay out because they said so.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    extractor: Extractor = "hybrid"
    min_main_ratio: float = 0.02
    max_body_bytes: int = 32 << 20
    max_page_bytes: int = 5 << 20
    max_depth: int | None = 512
    max_trafilatura_tags: int = 10_000
    max_page_seconds: float = 30.0
    max_page_memory_bytes: int = 2 << 30
    verify_digests: bool = True
    language_sample_bytes: int = 1_500
    text_field: str = "text"
    opt_outs: OptOutParameters = field(default_factory=OptOutParameters)

    def __post_init__(self) -> None:
        if self.extractor not in get_args(Extractor):
            raise ValueError(f"extractor={self.extractor!r}: expected {', '.join(get_args(Extractor))}")
        if not 0.0 <= self.min_main_ratio <= 1.0:
            raise ValueError(f"min_main_ratio={self.min_main_ratio}: expected a part of the whole, 0 to 1")
        if self.max_depth is not None and self.max_depth >= 1024:
            raise ValueError(
                f"max_depth={self.max_depth}: depth is not counted further than 1024; expected less, or null for any"
            )
        if not 0.0 < self.max_page_seconds < 1e6:
            raise ValueError(f"max_page_seconds={self.max_page_seconds}: expected seconds of CPU time, above 0")
        for name in ("max_page_memory_bytes", "max_body_bytes", "max_page_bytes", "max_depth", "language_sample_bytes"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"{name}={value}: every page would be rejected; expected at least 1")
        if self.max_trafilatura_tags < 0:
            raise ValueError(f"max_trafilatura_tags={self.max_trafilatura_tags}: expected 0 or more")
        if self.max_page_bytes > self.max_body_bytes:
            raise ValueError(
                f"max_page_bytes={self.max_page_bytes} exceeds max_body_bytes={self.max_body_bytes}: "
                "no body of that length is read"
            )
