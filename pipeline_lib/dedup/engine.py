"""Exact and near-duplicates of any documents: found, verified, and none removed without a kept witness.

1. Documents are put in one order of preference (`DedupParameters.keep`, then text hash, then doc_id), whatever part
   they come from. Documents that earlier runs kept come before them all.
2. Documents that share a band of their signatures are candidates. Those that share a band, a text or a URL hang
   together in components; what is decided in one component says nothing about another.
3. In each component, best first, a document is removed by a document that is *kept*: one of the same text
   (`exact_duplicate`), else one of the same canonical URL (`url_duplicate`), else, of those that share a band with it,
   the most similar, if their exact similarity is at least the threshold (`near_duplicate`). A removed document removes
   no other: there are no chains, and whoever was removed has a witness in what is left.

Of equal texts, which have the same shingles, only one is read. Where the best of them is removed for its similarity to
a document, the others go with it, with the same witness and the same similarity, or by their URL; where it is removed
by its URL, the next one is judged for itself.

Time is linear in documents: signatures are read once, the texts of candidates once, and work for a document is bounded
by `max_candidates`. Memory is `memory_bytes`, beside what is read of a part, for each core one: 130 bytes a document,
and what is left of it for band keys and sets of shingles. A component whose sets do not fit is read through a map of
their file; what lists its band keys takes 230 bytes for each of its documents, with 14 bands.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.dedup.candidates import BYTES_PER_KEY, BandKeys
from pipeline_lib.dedup.collection import Collection
from pipeline_lib.dedup.doc_ids import format_doc_ids
from pipeline_lib.dedup.earlier import EarlierMatches, Stretch, match_earlier
from pipeline_lib.dedup.fingerprints import (
    FLOOR_BYTES,
    Fingerprints,
    ReadCollection,
    check_memory,
    preferred_order,
    read_collection,
)
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.verification import Batches, Hanging, Removals
from pipeline_lib.dedup.workers import num_workers
from pipeline_lib.kernels.bands import EXACT, KEPT, NEAR, URL, Indices, SmallIndices, roots, smallest_ids, unite_pairs
from pipeline_lib.kernels.equal_hashes import best_of_equal
from pipeline_lib.kernels.shingles import Hashes
from storage.accounts import Account
from storage.schemas import CLUSTERS, DUPLICATES

_RULES = {EXACT: "exact_duplicate", URL: "url_duplicate", NEAR: "near_duplicate"}
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
        self,
        *,
        parts: Sequence[str],
        starts: Indices,
        doc_ids: Hashes,
        removals: Removals,
        run_of: npt.NDArray[np.int32],
        run_ids: Sequence[str],
        threshold: float,
        metrics: Mapping[str, Any],
    ) -> None:
        """
        Args:
            starts: int64 (parts + 1,): the position of each part's first document; last, the number of new ones.
            doc_ids: uint64 (N, 2): of new documents, then of the earlier ones that had to do with them.
            run_of: int32: for each of those earlier ones, the index into `run_ids`.
        """
        self._parts = {part: number for number, part in enumerate(parts)}
        self._starts = starts
        self._doc_ids = doc_ids
        self._removals = removals
        self._run_of = run_of
        self._run_ids = run_ids
        self._threshold = threshold
        self._smallest = smallest_ids(removals.clusters, doc_ids)
        self._cluster_sizes = np.bincount(removals.clusters, minlength=len(doc_ids)).astype(np.int32)
        counts = np.bincount(removals.rule[: self._num_new], minlength=NEAR + 1)
        self.account = Account(
            documents_in=self._num_new,
            documents_out=int(counts[KEPT]),
            dropped={name: int(counts[rule]) for rule, name in _RULES.items()},
        )
        self.metrics = {**metrics, **self._count_clusters()}

    def duplicates(self, part: str) -> pa.Table:
        """One row a removed document of the part: `DUPLICATES`."""
        removed = self._removed(part)
        rule, kept_by = self._removals.rule[removed], self._removals.kept_by[removed]
        by_url = rule == URL
        names = pa.DictionaryArray.from_arrays(rule, ["", *(_RULES[rule] for rule in (EXACT, URL, NEAR))])
        columns = {
            "doc_id": self._ids(removed),
            "rule": names.cast(pa.string()),
            "kept_id": self._ids(kept_by),
            "kept_run": self._runs(kept_by),
            "similarity": pa.array(self._removals.similarity[removed], mask=by_url),
            "threshold": pa.array(np.where(rule == NEAR, self._threshold, 1.0), mask=by_url),
            "bands_shared": pa.array(self._removals.bands_shared[removed]),
            "cluster_id": self._cluster_ids(removed),
        }
        return pa.table(columns, schema=DUPLICATES)

    def clusters(self, part: str) -> pa.Table:
        """One row a document of the part that is in a cluster of two or more: `CLUSTERS`."""
        clusters = self._removals.clusters[self._slice(part)]
        clustered = np.flatnonzero(self._cluster_sizes[clusters] > 1) + self._slice(part).start
        members = {
            "doc_id": self._ids(clustered),
            "cluster_id": self._cluster_ids(clustered),
            "kept": pa.array(self._removals.rule[clustered] == KEPT),
        }
        return pa.table(members, schema=CLUSTERS)

    def kept_rows(self, part: str) -> Indices:
        """The rows of the part that stay, ascending."""
        return np.flatnonzero(self._removals.rule[self._slice(part)] == KEPT)

    def witnesses(self, part: str) -> Witnesses:
        """Who is kept in whose place; the rows are those of `duplicates(part)`."""
        removed = self._removed(part)
        kept = self._removals.kept_by[removed].astype(np.int64)
        earlier = kept >= self._num_new
        kept_part = np.searchsorted(self._starts, kept, side="right") - 1
        kept_row = kept - self._starts[kept_part]
        return Witnesses(
            rows=removed - self._slice(part).start,
            kept_part=np.where(earlier, -1, kept_part).astype(np.int32),
            kept_row=np.where(earlier, -1, kept_row),
        )

    @property
    def _num_new(self) -> int:
        return int(self._starts[-1])

    def _slice(self, part: str) -> slice:
        number = self._parts[part]
        return slice(int(self._starts[number]), int(self._starts[number + 1]))

    def _removed(self, part: str) -> Indices:
        """Positions."""
        removed: Indices = np.flatnonzero(self._removals.rule[self._slice(part)] != KEPT) + self._slice(part).start
        return removed

    def _ids(self, positions: npt.NDArray[np.integer[Any]]) -> pa.Array:
        return format_doc_ids(self._doc_ids[positions])

    def _cluster_ids(self, positions: Indices) -> pa.Array:
        return self._ids(self._smallest[self._removals.clusters[positions]])

    def _runs(self, positions: SmallIndices) -> pa.Array:
        """The earlier run of each document; null for this run's."""
        earlier = positions >= self._num_new
        runs = np.full(len(positions), -1, np.int32)
        runs[earlier] = self._run_of[positions[earlier] - self._num_new]
        indices = pa.array(runs, mask=~earlier)
        return pa.DictionaryArray.from_arrays(indices, pa.array(list(self._run_ids), pa.string())).cast(pa.string())

    def _count_clusters(self) -> dict[str, Any]:
        sizes = self._cluster_sizes
        found = np.flatnonzero(sizes > 1)
        smallest = self._smallest[found]
        order = np.lexsort([self._doc_ids[smallest, 1], self._doc_ids[smallest, 0], -sizes[found]])
        largest = found[order[:_LARGEST_SHOWN]]
        ids = self._ids(self._smallest[largest]).to_pylist()
        num_kept = np.bincount(self._removals.clusters[self._removals.rule == KEPT], minlength=len(sizes))
        return {
            "clusters": len(found),
            "cluster_sizes": _histogram(sizes[found]),
            "largest_clusters": [
                {"cluster_id": doc_id, "documents": int(sizes[root]), "kept": int(num_kept[root])}
                for doc_id, root in zip(ids, largest, strict=True)
            ],
        }


def find_duplicates(
    documents: Collection,
    parameters: DedupParameters,
    *,
    scratch: Path,
    earlier: Sequence[EarlierDocuments] = (),
    compare_on: str | None = None,
) -> Decisions:
    """Decide about all documents.

    Args:
        scratch: a folder for what does not fit in memory: 8 bytes a band and document, and 8 bytes a shingle of those
            that are to be compared. Nothing stays there.
        earlier: documents that earlier runs kept, earliest run first: they come before any of `documents` in the
            order of preference, in the order in which they are given.
        compare_on: what torch calls the device that compares sets of shingles; None: the one that `parameters.device`
            comes to, and without one the compiled kernel. It changes no decision.

    Raises:
        ValueError: two documents have the same doc_id; the texts are not those that were fingerprinted; or there are
            more documents than `memory_bytes` allows.
    """

    def left(num_documents: int) -> int:
        return parameters.memory_bytes - FLOOR_BYTES * num_documents

    with BandKeys(parameters.banding(), scratch, lambda num_documents: left(num_documents) // 2) as band_keys:
        read = read_collection(documents, parameters, band_keys)
        num_new = len(read)
        theirs = [each.documents for each in earlier]
        matches = match_earlier(read, band_keys, theirs, parameters, scratch) if theirs else None
        order = preferred_order(read)
        every: Fingerprints = read
        stretches = [
            Stretch(run=-1, part=part, start=int(start), end=int(end), rows=None)
            for part, start, end in zip(documents.parts, read.starts[:-1], read.starts[1:], strict=True)
        ]
        if matches is not None:
            every, order = _with_earlier(read, order, matches)
            stretches += [_moved(stretch, num_new) for stretch in matches.stretches]
        starts = read.starts
        del read
        check_memory(len(every), parameters.memory_bytes)
        hanging, metrics = _find_hanging(every, order, num_new, band_keys, parameters)
        doc_ids, num_shingles = every.doc_ids, every.num_shingles
        del every, order
        removals = Removals.of_none(len(doc_ids))
        batch_bytes = (left(len(doc_ids)) - band_keys.num_held_bytes) // (4 * num_workers())
        with Batches(hanging, num_shingles, band_keys, parameters, batch_bytes, scratch) as batches:
            batches.write_sets(stretches, lambda stretch, rows: _texts(documents, earlier, stretch, rows))
            del hanging
            batches.judge(removals, compare_on)
            spilled_bytes = band_keys.num_spilled_bytes + batches.num_bytes
    return Decisions(
        parts=documents.parts,
        starts=starts,
        doc_ids=doc_ids,
        removals=removals,
        run_of=np.zeros(0, np.int32) if matches is None else matches.run,
        run_ids=[each.run_id for each in earlier],
        threshold=parameters.threshold,
        metrics={
            "documents_signed": int(np.count_nonzero(num_shingles[:num_new])),
            "earlier_documents_matched": len(doc_ids) - num_new,
            **metrics,
            "pairs_compared": removals.compared,
            "pairs_verified": removals.verified,
            "pairs_refused": removals.compared - removals.verified,
            "pairs_not_compared": removals.not_compared,
            "full_band_keys": removals.full_keys,
            "spilled_bytes": spilled_bytes,
        },
    )


def _with_earlier(
    read: ReadCollection, order: SmallIndices, matches: EarlierMatches
) -> tuple[Fingerprints, SmallIndices]:
    """New documents and then earlier ones, by position; in the order of preference, the earlier ones first."""
    first = np.arange(len(read), len(read) + len(matches), dtype=np.int32)
    names = ("doc_ids", "text_hashes", "url_hashes", "num_shingles")
    columns = {name: np.concatenate([getattr(read, name), getattr(matches, name)]) for name in names}
    return Fingerprints(**columns), np.concatenate([first, order])


def _find_hanging(
    documents: Fingerprints, order: SmallIndices, num_new: int, band_keys: BandKeys, parameters: DedupParameters
) -> tuple[Hanging, dict[str, int]]:
    positions = np.arange(len(documents), dtype=np.int32)
    ranks = np.empty(len(documents), np.int32)
    ranks[order] = positions
    best_of_text, best_of_url = positions.copy(), positions.copy()
    if parameters.exact:
        best_of_equal(documents.text_hashes, order, best_of_text)
    if parameters.url:
        best_of_equal(documents.url_hashes, order, best_of_url)
    components = positions.copy()
    banded = np.zeros(len(documents), bool)
    component_sizes = np.zeros(0, np.int64)
    if parameters.near:
        members = (documents.num_shingles > 0) & (best_of_text == positions)
        band_keys.unite(members, components, BYTES_PER_KEY * len(documents))  # of FLOOR_BYTES
        roots(components)
        sizes = np.bincount(components, minlength=len(components))
        banded = sizes[components] > 1
        component_sizes = sizes[sizes > 1]
    for best in (best_of_text, best_of_url):
        others = np.flatnonzero(best != positions).astype(np.int32)
        unite_pairs(best[others], others, components)
    roots(components)
    hanging = Hanging(
        ranks=ranks,
        best_of_text=best_of_text,
        best_of_url=best_of_url,
        banded=banded,
        components=components,
        num_new=num_new,
    )
    return hanging, {
        "candidate_documents": int(component_sizes.sum()),
        "candidate_components": len(component_sizes),
        "largest_candidate_component": int(component_sizes.max(initial=0)),
    }


def _moved(stretch: Stretch, by: int) -> Stretch:
    return Stretch(
        run=stretch.run, part=stretch.part, start=stretch.start + by, end=stretch.end + by, rows=stretch.rows
    )


def _texts(documents: Collection, earlier: Sequence[EarlierDocuments], stretch: Stretch, rows: Indices) -> pa.Array:
    collection = documents if stretch.run < 0 else earlier[stretch.run].documents
    return collection.texts(stretch.part, rows)


def _histogram(sizes: npt.NDArray[np.integer[Any]]) -> dict[str, int]:
    """How many clusters have 2, 3 to 4, 5 to 8, … documents."""
    counts = np.bincount(np.ceil(np.log2(sizes)).astype(np.int64)) if len(sizes) else np.zeros(0, np.int64)
    return {
        "2" if bits == 1 else f"{2 ** (bits - 1) + 1}-{2**bits}": int(count)
        for bits, count in enumerate(counts)
        if count
    }
