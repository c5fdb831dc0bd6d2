"""What decides which documents count as duplicates, and which of them stays."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, get_args

from pipeline_lib.dedup.banding import Banding, banding_for
from pipeline_lib.torch_devices import DeviceChoice, check_device_choice
from storage.parameters import SHAPES_NOTHING

Criterion = Literal["quality", "longest", "earliest", "latest", "source"]
Similarity = Literal["jaccard", "containment"]


@dataclass(frozen=True, kw_only=True)
class SignatureParameters:
    """What shapes signatures: all that has to be computed anew when it changes.

    Attributes:
        ngram: words a shingle. 5: FineWeb (Penedo et al. 2024, arXiv:2406.17557).
        num_permutations: values a signature. 112: FineWeb.
        seed: of the permutations, as in datasketch; 1 is its default and datatrove's.
        device: where minima are computed: `auto` is a GPU where there is one; the signatures are the same.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ngram: int = 5
    num_permutations: int = 112
    seed: int = 1
    device: DeviceChoice = field(default="auto", metadata=SHAPES_NOTHING)

    def __post_init__(self) -> None:
        check_device_choice(self.device)
        if not 1 <= self.ngram <= 1000:
            raise ValueError(f"ngram={self.ngram}: a shingle has 1 to 1000 words; 5 is usual")
        if not 1 <= self.num_permutations <= 1 << 16:
            raise ValueError(f"num_permutations={self.num_permutations}: expected 1 to 65536; 112 is usual")
        if not 0 <= self.seed < 1 << 32:
            raise ValueError(f"seed={self.seed}: expected 0 to 2^32 - 1")


@dataclass(frozen=True, kw_only=True)
class DedupParameters:
    """What is a duplicate, and who is kept.

    Attributes:
        ngram, seed: see `SignatureParameters`.
        bands, rows: documents are candidates where the signatures agree in all rows of a band. 14 bands of 8 rows:
            FineWeb (arXiv:2406.17557); of pairs at similarity 0.8 they find 92 %, at 0.9 all but 1 in 2600.
        recall: where it is set, bands and rows follow from it, and those given are not used: the cheapest that find a
            pair at exactly the threshold with at least this probability (see `banding_for`). 0.99 at 0.8 takes 288
            permutations.
        threshold: a document is removed only where its exact similarity to a kept one is at least this. 0.8: Gopher
            (Rae et al. 2021, arXiv:2112.11446, A.1.1); FineWeb's bands alone have their midpoint at 0.72.
        similarity: of the sets A and B of shingles, A those of the document to be removed: `jaccard`, |A and B| /
            |A or B|, or `containment`, |A and B| / |A|, for what is quoted whole in a longer text. Candidates come from
            bands either way, and bands go by Jaccard similarity: of documents that are contained in one k times as
            long, they find as many as of those of Jaccard similarity 1 / k.
        keep: who of similar documents stays, first criterion first: highest `quality`, `longest` text, `earliest` or
            `latest` fetch, or the first `source` (documents without a quality or a time come last in it). What is still
            equal, the hash of the text decides, then the smaller doc_id.
        quality_signal: the signal that `quality` goes by, one of those that the run's filters measure: more is better.
        source_priority: globs over warc_path, for `source`: the first that matches ranks a document, and one that none
            matches comes last.
        exact: remove documents whose words, digits included, are the same.
        url: remove documents whose canonical URL is the same.
        near: remove documents that are as similar as the threshold.
        max_candidates: kept documents that a document is compared with at most, and that a band key remembers; only
            sites with hundreds of pages that share a band without being similar enough ever reach it. Ours.
        device: where signatures are computed: `auto` is a GPU where there is one. Sets of shingles are compared there
            only for `cuda`. The decisions are the same.
        memory_bytes: how much memory the work may take, beside what is read of one part at a time. What it cannot do
            with less, about 130 bytes a document, is checked when the documents are counted. Ours: 2 GiB, for 16
            million documents.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ngram: int = 5
    bands: int = 14
    rows: int = 8
    recall: float | None = None
    seed: int = 1
    threshold: float = 0.8
    similarity: Similarity = "jaccard"
    keep: tuple[Criterion, ...] = ("longest", "earliest")
    quality_signal: str | None = None
    source_priority: tuple[str, ...] = ()
    exact: bool = True
    url: bool = True
    near: bool = True
    max_candidates: int = 256
    device: DeviceChoice = field(default="auto", metadata=SHAPES_NOTHING)
    memory_bytes: int = field(default=2 << 30, metadata=SHAPES_NOTHING)

    def __post_init__(self) -> None:
        if self.bands < 1 or self.rows < 1:
            raise ValueError(
                f"bands={self.bands}, rows={self.rows}: expected at least 1 of each; 14 bands of 8 is usual"
            )
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold={self.threshold}: a similarity is above 0 and at most 1; 0.8 is usual")
        if self.recall is not None and not 0.0 < self.recall < 1.0:
            raise ValueError(f"recall={self.recall}: a probability is above 0 and below 1; 0.99 finds nearly all")
        if self.similarity not in get_args(Similarity):
            raise ValueError(f"similarity={self.similarity!r} is none of {', '.join(get_args(Similarity))}")
        self._check_keep()
        if self.max_candidates < 1:
            raise ValueError(f"max_candidates={self.max_candidates}: expected at least 1; 256 is usual")
        if self.memory_bytes < 1:
            raise ValueError(f"memory_bytes={self.memory_bytes}: expected at least 1; 2147483648, 2 GiB, is usual")
        self.signatures()

    def _check_keep(self) -> None:
        unknown = [criterion for criterion in self.keep if criterion not in get_args(Criterion)]
        if unknown:
            raise ValueError(f"keep={self.keep}: {unknown[0]!r} is none of {', '.join(get_args(Criterion))}")
        if len(set(self.keep)) < len(self.keep) or {"earliest", "latest"} <= set(self.keep):
            raise ValueError(f"keep={self.keep}: a later criterion repeats or contradicts an earlier one")
        if ("quality" in self.keep) != (self.quality_signal is not None):
            raise ValueError(
                f"keep={self.keep}, quality_signal={self.quality_signal}: give both or neither, for instance "
                "keep=quality,longest and quality_signal=classifier_score"
            )
        if ("source" in self.keep) != bool(self.source_priority):
            raise ValueError(
                f"keep={self.keep}, source_priority={self.source_priority}: give both or neither, for instance "
                "keep=source,longest and source_priority=*wikipedia*"
            )

    def banding(self) -> Banding:
        """The bands and rows that are used: those that `recall` asks for, or those given."""
        if self.recall is None:
            return Banding(bands=self.bands, rows=self.rows)
        return banding_for(self.threshold, self.recall)

    def signatures(self) -> SignatureParameters:
        """What the signatures stage needs of these: other thresholds or orders sign nothing anew."""
        return SignatureParameters(
            ngram=self.ngram,
            num_permutations=self.banding().num_permutations,
            seed=self.seed,
            device=self.device,
        )
