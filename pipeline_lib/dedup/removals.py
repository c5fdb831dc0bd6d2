"""Who is removed for whose sake, over the whole corpus."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline_lib.kernels.bands import Indices, Verdicts, unite_pairs


@dataclass(kw_only=True)
class Removals:
    """What is decided about each of N documents, by index of the order of preference.

    Attributes:
        kept_by: int64 (N,): the kept document that removes this one; -1 for those that are kept.
        near: bool (N,): removed for similarity, not for equality.
        similarity: float64 (N,): of those that are removed.
        bands_shared: int32 (N,): with the kept document, of those that are removed for similarity, else 0.
        clusters: int64 (N,): a forest of documents that equal or resemble each other.
    """

    kept_by: Indices
    near: npt.NDArray[np.bool_]
    similarity: npt.NDArray[np.float64]
    bands_shared: npt.NDArray[np.int32]
    clusters: Indices

    @classmethod
    def of_equal_texts(cls, kept_by: Indices) -> "Removals":
        clusters = np.arange(len(kept_by))
        removed = np.flatnonzero(kept_by >= 0)
        unite_pairs(kept_by[removed], removed, clusters)
        return cls(
            kept_by=kept_by,
            near=np.zeros(len(kept_by), bool),
            similarity=(kept_by >= 0).astype(np.float64),
            bands_shared=np.zeros(len(kept_by), np.int32),
            clusters=clusters,
        )

    def add(self, documents: Indices, verdicts: Verdicts) -> None:
        """Enter verdicts over `documents`, whose indices the verdicts count from 0."""
        removed = verdicts.kept_by >= 0
        indices = documents[removed]
        self.kept_by[indices] = documents[verdicts.kept_by[removed]]
        self.near[indices] = True
        self.similarity[indices] = verdicts.similarity[removed]
        self.bands_shared[indices] = verdicts.bands_shared[removed]
        unite_pairs(documents[verdicts.clusters], documents, self.clusters)

    def pass_on_to_kept(self) -> None:
        """Where the kept one of equal texts was then removed as a near-duplicate, so are the others: with the same
        shingles, they are as similar to its witness as it is."""
        orphans = np.flatnonzero(self.kept_by >= 0)
        orphans = orphans[self.kept_by[self.kept_by[orphans]] >= 0]
        removers = self.kept_by[orphans]
        self.near[orphans] = True
        self.similarity[orphans] = self.similarity[removers]
        self.bands_shared[orphans] = self.bands_shared[removers]
        self.kept_by[orphans] = self.kept_by[removers]
