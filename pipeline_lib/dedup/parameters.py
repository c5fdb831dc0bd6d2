"""What decides which documents count as duplicates, and which of them stays."""

from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

Criterion = Literal["longest", "earliest", "latest"]


@dataclass(frozen=True, kw_only=True)
class SignatureParameters:
    """What shapes signatures: all that has to be computed anew when it changes.

    Attributes:
        ngram: words a shingle. 5: FineWeb (Penedo et al. 2024, arXiv:2406.17557).
        num_permutations: values a signature. 112: FineWeb.
        seed: of the permutations, as in datasketch; 1 is its default and datatrove's.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ngram: int = 5
    num_permutations: int = 112
    seed: int = 1

    def __post_init__(self) -> None:
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
        threshold: a document is removed only where its exact Jaccard similarity to a kept one is at least this. 0.8:
            Gopher (Rae et al. 2021, arXiv:2112.11446, A.1.1); FineWeb's bands alone have their midpoint at 0.72.
        keep: who of similar documents stays, first criterion first: `longest` text, `earliest` or `latest` fetch
            (documents without a time come last). What is still equal, the smaller doc_id decides.
        exact: remove documents whose words, digits included, are the same.
        near: remove documents that are as similar as the threshold.
        max_candidates: kept documents that a document is compared with at most, and that a band key remembers; only
            sites with hundreds of pages that share a band without being similar enough ever reach it. Ours.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    ngram: int = 5
    bands: int = 14
    rows: int = 8
    seed: int = 1
    threshold: float = 0.8
    keep: tuple[Criterion, ...] = ("longest", "earliest")
    exact: bool = True
    near: bool = True
    max_candidates: int = 256

    def __post_init__(self) -> None:
        if self.bands < 1 or self.rows < 1:
            raise ValueError(
                f"bands={self.bands}, rows={self.rows}: expected at least 1 of each; 14 bands of 8 is usual"
            )
        if not 0.0 < self.threshold <= 1.0:
            raise ValueError(f"threshold={self.threshold}: a similarity is above 0 and at most 1; 0.8 is usual")
        unknown = [criterion for criterion in self.keep if criterion not in get_args(Criterion)]
        if unknown:
            raise ValueError(f"keep={self.keep}: {unknown[0]!r} is none of {', '.join(get_args(Criterion))}")
        if len(set(self.keep)) < len(self.keep) or {"earliest", "latest"} <= set(self.keep):
            raise ValueError(f"keep={self.keep}: a later criterion repeats or contradicts an earlier one")
        if self.max_candidates < 1:
            raise ValueError(f"max_candidates={self.max_candidates}: expected at least 1; 256 is usual")
        self.signatures()

    @property
    def num_permutations(self) -> int:
        return self.bands * self.rows

    def signatures(self) -> SignatureParameters:
        """What the signatures stage needs of these: other thresholds or orders sign nothing anew."""
        return SignatureParameters(ngram=self.ngram, num_permutations=self.num_permutations, seed=self.seed)
