"""The stage `dedup`: finds exact and near-duplicates in the whole corpus, and removes none without a kept witness.

1. Documents are put in one order of preference (`DedupParameters.keep`, then doc_id), whatever part they come from.
2. Of documents with the same words the best stays.
3. Documents that share a band of their signatures are candidates; the candidates hang together in components.
4. Within each component, best first, a document is removed if a *kept* candidate has an exact Jaccard similarity of at
   least the threshold; the witness is the most similar one. A removed document removes no other: there are no chains.

Text is read again for documents in components only, and a bounded number of shingles at a time. Time is near-linear in
documents (see `candidate_components` and `judge_in_order`), memory about 200 bytes a document, and a quarter of a
gigabyte or the largest component's shingles (8 bytes each), whichever is more.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.candidates import batches_of_components, candidate_components, equal_texts
from pipeline_lib.dedup.fingerprints import Fingerprints, read_fingerprints
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.removals import Removals
from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.bands import Indices, judge_in_order, roots
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.shingles import Hashes, shingle_sets
from pipeline_lib.survivors import Trail, read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES

_BATCH_BYTES = 1 << 28  # of shingles and band keys
_LARGEST_SHOWN = 10


def dedup_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: DedupParameters
) -> PartResult:
    """Decide over all parts at once: reads extract, signals, judge, signatures; writes `duplicates` and `clusters`,
    one file of each for every part of `signatures`."""
    trail = trail_of(inputs)
    fingerprints = read_fingerprints(inputs["signatures"], parameters)
    num_documents = len(fingerprints)
    removals = Removals.of_equal_texts(
        equal_texts(fingerprints.text_hashes) if parameters.exact else np.full(num_documents, -1, np.int64)
    )
    metrics: dict[str, Any] = {"documents_signed": int(np.count_nonzero(fingerprints.num_shingles))}
    if parameters.near:
        metrics |= _remove_near_duplicates(fingerprints, trail, parameters, removals)
    metrics |= _write(fingerprints, removals, parameters, output)
    num_near = int(np.count_nonzero(removals.near))
    num_exact = int(np.count_nonzero(removals.kept_by >= 0)) - num_near
    return PartResult(
        account=Account(
            documents_in=num_documents,
            documents_out=num_documents - num_exact - num_near,
            dropped={"exact_duplicate": num_exact, "near_duplicate": num_near},
        ),
        metrics=metrics,
    )


def _remove_near_duplicates(
    fingerprints: Fingerprints, trail: Trail, parameters: DedupParameters, removals: Removals
) -> dict[str, Any]:
    members = np.flatnonzero((fingerprints.num_shingles > 0) & (removals.kept_by < 0))
    components = candidate_components(fingerprints, members)
    weights = 8 * fingerprints.num_shingles.astype(np.int64) + 64 * parameters.bands
    compared = verified = not_compared = full_keys = 0
    for documents in batches_of_components(components, weights, _BATCH_BYTES):
        shingles, starts, sizes = _read_shingle_sets(fingerprints, documents, trail, parameters.ngram)
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
    fingerprints: Fingerprints, documents: Indices, trail: Trail, ngram: int
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
        survivors = read_survivors(trail, name, ["doc_id", "text"])
        rows = pc.index_in(
            _take(fingerprints.doc_ids, documents[chosen]), value_set=survivors["doc_id"].combine_chunks()
        )
        data, offsets = string_buffers(survivors["text"])
        found = np.full(len(chosen), -1, np.int64)
        if rows.null_count == 0:
            row = rows.to_numpy().astype(np.int64)
            shingle_sets(
                data, offsets, row, num_shingles[chosen], ngram, fold_tables(), starts[chosen], found, shingles
            )
        if found.min() < 0:
            raise ValueError(f"the fingerprints of {name} were made from other texts than these; sign them again")
        sizes[chosen] = found
    return shingles, starts, sizes


def _write(
    fingerprints: Fingerprints, removals: Removals, parameters: DedupParameters, output: PartWriter
) -> dict[str, Any]:
    """Write the tables of every part, rows in the part's order; returns what is to be said of the clusters."""
    cluster = roots(removals.clusters)
    cluster_sizes = np.bincount(cluster, minlength=len(cluster))
    smallest = np.arange(len(cluster))  # by cluster: the document with the smallest doc_id
    by_id = np.argsort(fingerprints.id_ranks)[::-1]
    smallest[cluster[by_id]] = by_id
    ids = fingerprints.doc_ids
    order = np.lexsort((fingerprints.row, fingerprints.part))
    bounds = np.searchsorted(fingerprints.part[order], np.arange(len(fingerprints.parts) + 1))
    for number, name in enumerate(fingerprints.parts):
        documents = order[bounds[number] : bounds[number + 1]]
        removed = documents[removals.kept_by[documents] >= 0]
        duplicates = {
            "doc_id": _take(ids, removed),
            "rule": pa.array(np.where(removals.near[removed], "near_duplicate", "exact_duplicate"), pa.string()),
            "kept_id": _take(ids, removals.kept_by[removed]),
            "similarity": pa.array(removals.similarity[removed]),
            "threshold": pa.array(np.where(removals.near[removed], parameters.threshold, 1.0)),
            "bands_shared": pa.array(removals.bands_shared[removed]),
            "cluster_id": _take(ids, smallest[cluster[removed]]),
        }
        output.table("duplicates", pa.table(duplicates, schema=DUPLICATES), DUPLICATES, part=name)
        clustered = documents[cluster_sizes[cluster[documents]] > 1]
        members = {
            "doc_id": _take(ids, clustered),
            "cluster_id": _take(ids, smallest[cluster[clustered]]),
            "kept": pa.array(removals.kept_by[clustered] < 0),
        }
        output.table("clusters", pa.table(members, schema=CLUSTERS), CLUSTERS, part=name)

    found = np.flatnonzero(cluster_sizes > 1)
    largest = found[np.lexsort([fingerprints.id_ranks[smallest[found]], -cluster_sizes[found]])][:_LARGEST_SHOWN]
    num_kept = np.bincount(cluster[removals.kept_by < 0], minlength=len(cluster))
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
