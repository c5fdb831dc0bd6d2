"""What a recipe says about the report page."""

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True, kw_only=True)
class ReportParameters:
    """How much of a run the page shows. The page's size depends on these, not on the corpus.

    Attributes:
        num_samples: documents of the corpus.
        samples_per_rule: documents that each rule dropped, and records that extraction passed over for each reason.
        num_clusters: duplicate clusters, of each a pair.
        excerpt_chars: of each document.
        top_languages, top_hosts: names in charts and tables; the others are one line.
        num_signals: charts of signals, those first whose rules drop most.
        signal_documents: documents drawn for these charts.
        seed: which documents are drawn.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    num_samples: int = 8
    samples_per_rule: int = 2
    num_clusters: int = 6
    excerpt_chars: int = 600
    top_languages: int = 12
    top_hosts: int = 20
    num_signals: int = 12
    signal_documents: int = 20_000
    seed: int = 0

    def __post_init__(self) -> None:
        for name, number in vars(self).items():
            if name != "seed" and number < 1:
                raise ValueError(f"{name}={number}: expected at least 1")
        if self.excerpt_chars < 20:
            raise ValueError(f"excerpt_chars={self.excerpt_chars}: fewer than 20 characters show nothing of a document")
