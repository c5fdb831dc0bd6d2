"""Exact and near-duplicates of any documents: found, verified, and none removed without a kept witness.

1. Documents are put in one order of preference (`DedupParameters.keep`, then doc_id), whatever part they come from.
2. Of documents with the same words the best stays.
3. Documents that share a band of their signatures are candidates; the candidates hang together in components.
4. Within each component, best first, a document is removed if a *kept* candidate has an exact Jaccard similarity of at
   least the threshold; the witness is the most similar one. A removed document removes no other: there are no chains.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.dedup.candidates import batches_of_components, candidate_components, equal_texts
from pipeline_lib.dedup.collection import Collection
from pipeline_lib.dedup.fingerprints import Fingerprints, read_fingerprints
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.removals import Removals
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.bands import Indices, judge_in_order, roots
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import Hashes, shingle_sets
from storage.accounts import Account
from storage.schemas import CLUSTERS, DUPLICATES

_BATCH_BYTES = 1 << 28  # of shingles and band keys
_LARGEST_SHOWN = 10


@dataclass(frozen=True, kw_only=True)
class EarlierDocuments:
    """Documents that an earlier run kept: they may be witnesses, and are never removed."""

    run_id: str
    documents: Collection


@dataclass(frozen=True, kw_only=True)
class Witnesses:
    """Who is kept in whose place, by rows: R removed documents of a part, rows ascending.

    Attributes:
        rows: int64 (R,).
        kept_part: int32 (R,): index into the parts of the collection; -1: an earlier run's document.
        kept_row: int64 (R,): row in that part; -1 for an earlier run's document.
    """

    rows: Indices
    kept_part: npt.NDArray[np.int32]
    kept_row: Indices


class Decisions:
    """What is decided about every document of a collection, part by part, rows in order.

    Attributes:
        account: documents in, kept, and removed by rule.
        metrics: what else was counted, as JSON values.
    """

    account: Account
    metrics: Mapping[str, Any]

    def __init__(
        self, fingerprints: Fingerprints, removals: Removals, parameters: DedupParameters, metrics: Mapping[str, Any]
    ) -> None:
        self._fingerprints = fingerprints
        self._removals = removals
        self._parameters = parameters
        self._cluster = roots(removals.clusters)
        self._cluster_sizes = np.bincount(self._cluster, minlength=len(self._cluster))
        self._smallest = np.arange(len(self._cluster))  # by cluster: the document with the smallest doc_id
        by_id = np.argsort(fingerprints.id_ranks)[::-1]
        self._smallest[self._cluster[by_id]] = by_id
        self._order = np.lexsort((fingerprints.row, fingerprints.part))
        self._bounds = np.searchsorted(fingerprints.part[self._order], np.arange(len(fingerprints.parts) + 1))
        num_near = int(np.count_nonzero(removals.near))
        num_exact = int(np.count_nonzero(removals.kept_by >= 0)) - num_near
        self.account = Account(
            documents_in=len(fingerprints),
            documents_out=len(fingerprints) - num_exact - num_near,
            dropped={"exact_duplicate": num_exact, "near_duplicate": num_near},
        )
        self.metrics = {**metrics, **self._count_clusters()}

    def duplicates(self, part: str) -> pa.Table:
        """One row a removed document of the part: `DUPLICATES`."""
        removals, ids = self._removals, self._fingerprints.doc_ids
        removed = self._removed(part)
        columns = {
            "doc_id": _take(ids, removed),
            "rule": pa.array(np.where(removals.near[removed], "near_duplicate", "exact_duplicate"), pa.string()),
            "kept_id": _take(ids, removals.kept_by[removed]),
            "kept_run": pa.nulls(len(removed), pa.string()),
            "similarity": pa.array(removals.similarity[removed]),
            "threshold": pa.array(np.where(removals.near[removed], self._parameters.threshold, 1.0)),
            "bands_shared": pa.array(removals.bands_shared[removed]),
            "cluster_id": _take(ids, self._smallest[self._cluster[removed]]),
        }
        return pa.table(columns, schema=DUPLICATES)

    def clusters(self, part: str) -> pa.Table:
        """One row a document of the part that is in a cluster of two or more: `CLUSTERS`."""
        documents = self._documents(part)
        clustered = documents[self._cluster_sizes[self._cluster[documents]] > 1]
        members = {
            "doc_id": _take(self._fingerprints.doc_ids, clustered),
            "cluster_id": _take(self._fingerprints.doc_ids, self._smallest[self._cluster[clustered]]),
            "kept": pa.array(self._removals.kept_by[clustered] < 0),
        }
        return pa.table(members, schema=CLUSTERS)

    def kept_rows(self, part: str) -> Indices:
        """The rows of the part that stay, ascending."""
        documents = self._documents(part)
        return self._fingerprints.row[documents[self._removals.kept_by[documents] < 0]]

    def witnesses(self, part: str) -> Witnesses:
        """Who is kept in whose place; the rows are those of `duplicates(part)`."""
        removed = self._removed(part)
        kept = self._removals.kept_by[removed]
        return Witnesses(
            rows=self._fingerprints.row[removed],
            kept_part=self._fingerprints.part[kept],
            kept_row=self._fingerprints.row[kept],
        )

    def _documents(self, part: str) -> Indices:
        number = self._fingerprints.parts.index(part)
        return self._order[self._bounds[number] : self._bounds[number + 1]]

    def _removed(self, part: str) -> Indices:
        documents = self._documents(part)
        return documents[self._removals.kept_by[documents] >= 0]

    def _count_clusters(self) -> dict[str, Any]:
        cluster, cluster_sizes, smallest = self._cluster, self._cluster_sizes, self._smallest
        ids, id_ranks = self._fingerprints.doc_ids, self._fingerprints.id_ranks
        found = np.flatnonzero(cluster_sizes > 1)
        largest = found[np.lexsort([id_ranks[smallest[found]], -cluster_sizes[found]])][:_LARGEST_SHOWN]
        num_kept = np.bincount(cluster[self._removals.kept_by < 0], minlength=len(cluster))
        return {
            "clusters": len(found),
            "cluster_sizes": _histogram(cluster_sizes[found]),
            "largest_clusters": [
                {
                    "cluster_id": ids[int(smallest[root])].as_py(),
                    "documents": int(cluster_sizes[root]),
                    "kept": int(num_kept[root]),
                }
                for root in largest
            ],
        }


def find_duplicates(
    documents: Collection, parameters: DedupParameters, *, scratch: Path, earlier: Sequence[EarlierDocuments] = ()
) -> Decisions:
    """Decide about all documents.

    Args:
        scratch: a folder for what does not fit in memory.
        earlier: documents that earlier runs kept, earliest run first.
    """
    fingerprints = read_fingerprints(documents, parameters)
    removals = Removals.of_equal_texts(
        equal_texts(fingerprints.text_hashes) if parameters.exact else np.full(len(fingerprints), -1, np.int64)
    )
    metrics: dict[str, Any] = {"documents_signed": int(np.count_nonzero(fingerprints.num_shingles))}
    if parameters.near:
        metrics |= _remove_near_duplicates(fingerprints, documents, parameters, removals)
    return Decisions(fingerprints, removals, parameters, metrics)


def _remove_near_duplicates(
    fingerprints: Fingerprints, collection: Collection, parameters: DedupParameters, removals: Removals
) -> dict[str, Any]:
    members = np.flatnonzero((fingerprints.num_shingles > 0) & (removals.kept_by < 0))
    components = candidate_components(fingerprints, members)
    weights = 8 * fingerprints.num_shingles.astype(np.int64) + 64 * parameters.banding().bands
    compared = verified = not_compared = full_keys = 0
    for documents in batches_of_components(components, weights, _BATCH_BYTES):
        shingles, starts, sizes = _read_shingle_sets(fingerprints, documents, collection, parameters.ngram)
        keys = np.ascontiguousarray(fingerprints.keys[:, documents])
        verdicts = judge_in_order(keys, shingles, starts, sizes, parameters.threshold, parameters.max_candidates)
        removals.add(documents, verdicts)
        compared += verdicts.compared
        verified += verdicts.verified
        not_compared += verdicts.not_compared
        full_keys += verdicts.full_keys
    removals.pass_on_to_kept()
    component_sizes = np.bincount(components[members])
    component_sizes = component_sizes[component_sizes > 1]
    return {
        "candidate_documents": int(component_sizes.sum()),
        "candidate_components": len(component_sizes),
        "largest_candidate_component": int(component_sizes.max(initial=0)),
        "pairs_compared": compared,
        "pairs_verified": verified,
        "pairs_refused": compared - verified,
        "pairs_not_compared": not_compared,
        "full_band_keys": full_keys,
    }


def _read_shingle_sets(
    fingerprints: Fingerprints, documents: Indices, collection: Collection, ngram: int
) -> tuple[Hashes, Indices, Indices]:
    """Shingle hashes, and where the set of each document starts and how large it is."""
    num_shingles = fingerprints.num_shingles[documents]
    ends = np.cumsum(num_shingles, dtype=np.int64)
    starts = ends - num_shingles
    sizes = np.empty(len(documents), np.int64)
    shingles = np.empty(int(ends[-1]), np.uint64)
    of_part = fingerprints.part[documents]
    for number in np.unique(of_part):
        name = fingerprints.parts[number]
        chosen = np.flatnonzero(of_part == number)
        chosen = chosen[np.argsort(fingerprints.row[documents[chosen]])]
        data, offsets = string_buffers(collection.texts(name, fingerprints.row[documents[chosen]]))
        found = np.full(len(chosen), -1, np.int64)
        every = np.arange(len(chosen))
        shingle_sets(data, offsets, every, num_shingles[chosen], ngram, fold_tables(), starts[chosen], found, shingles)
        if found.min() < 0:
            raise ValueError(f"the fingerprints of {name} were made from other texts than these; sign them again")
        sizes[chosen] = found
    return shingles, starts, sizes


def _take(ids: pa.LargeStringArray, indices: Indices) -> pa.Array:
    return ids.take(pa.array(indices)).cast(pa.string())


def _histogram(sizes: Indices) -> dict[str, int]:
    """How many clusters have 2, 3 to 4, 5 to 8, … documents."""
    counts = np.bincount(np.ceil(np.log2(sizes)).astype(np.int64)) if len(sizes) else np.zeros(0, np.int64)
    return {
        "2" if bits == 1 else f"{2 ** (bits - 1) + 1}-{2**bits}": int(count)
        for bits, count in enumerate(counts)
        if count
    }
