"""The stage `semantic`: texts that say the same in other words, over a whole run (SemDeDup, arXiv:2303.09540).

1. The embeddings of all documents that dedup left are rounded to small whole numbers (`products`), so that nothing that
   follows depends on threads, hardware or the order of sums.
2. k-means divides them into clusters; documents of different clusters are not compared.
3. In each cluster, in dedup's order of preference, a document is removed if a *kept* one has a cosine of at least the
   threshold; the witness is the most similar one. A removed document removes no other.

The clusters that it writes are dedup's, those united in which a document of one was removed for a document of another.

Memory is `memory_bytes`, beside what is read of one part: about 200 bytes for each document that `judge` left, the
centres of the clusters, and pieces of the embeddings, which are in files: twice two bytes a number.
"""

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from pipeline_lib.dedup.candidates import BandKeys
from pipeline_lib.dedup.doc_ids import format_doc_ids, parse_doc_ids
from pipeline_lib.dedup.fingerprints import preferred_order, read_collection
from pipeline_lib.dedup.run_collection import RunCollection
from pipeline_lib.dedup.spill_files import SpillFile
from pipeline_lib.kernels.bands import Indices, SmallIndices, roots, smallest_ids, unite_pairs
from pipeline_lib.kernels.equal_hashes import best_of_equal
from pipeline_lib.kernels.seeded_hash import seeded_hash
from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.kernels.vectors import Vectors, quantise
from pipeline_lib.semantic.clusters import SAMPLE_A_CLUSTER, assign, fit_centres, usual_num_clusters
from pipeline_lib.semantic.duplicates import Removals, remove_within_clusters
from pipeline_lib.semantic.embedders import common_length
from pipeline_lib.semantic.parameters import SemanticParameters, SemanticStageParameters
from pipeline_lib.semantic.products import exact_products, scale_of
from pipeline_lib.torch_devices import use_gpu
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CLUSTERS, DUPLICATES, embeddings_schema

_RULE = "semantic_duplicate"
_DOCUMENT_BYTES = 200
_MOST_ROWS = 1 << 14


@dataclass(frozen=True, kw_only=True)
class _Run:
    """N documents that `judge` left, by position: those of the first part, those of the second, and so on.

    Attributes:
        starts: int64 (parts + 1,): the position of each part's first document.
        doc_ids: uint64 (N, 2).
        ranks: int32 (N,): place in dedup's order of preference.
        left: bool (N,): dedup left it, and it has a row in `embeddings`.
        cluster_ids: uint64 (N, 2): dedup's, or the document's own doc_id.
        clustered, kept: bool (N,): whether it is in a cluster of dedup's, and whether dedup kept it.
    """

    parts: tuple[str, ...]
    starts: Indices
    doc_ids: Hashes
    ranks: SmallIndices
    left: npt.NDArray[np.bool_]
    cluster_ids: Hashes
    clustered: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]

    def positions(self, part: int) -> slice:
        return slice(int(self.starts[part]), int(self.starts[part + 1]))


@dataclass(frozen=True, kw_only=True)
class _Found:
    """What was found, by position.

    Attributes:
        kept_by: int64 (N,): the kept document that removes this one; -1: not removed here.
        cosines: float64 (N,): of the two.
        metrics: JSON values.
    """

    kept_by: Indices
    cosines: npt.NDArray[np.float64]
    metrics: Mapping[str, Any]


def semantic_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: SemanticStageParameters
) -> PartResult:
    """Decide over all parts at once: reads extract, signals, judge, signatures, dedup, embeddings; writes `duplicates`
    and `clusters`, one file of each for every part.

    Raises:
        ValueError: the embeddings are not those of the documents, or there are more than `memory_bytes` allows.
    """
    settings = parameters.semantic
    _check_memory(inputs["signatures"].manifest.account.documents_out, settings)
    scratch = output.store.scratch_folder
    run = _read_run(inputs, parameters, scratch)
    found = _find(run, inputs["embeddings"], settings, scratch)
    _write(run, found, settings.threshold, output)
    num_left, num_removed = int(run.left.sum()), int(np.count_nonzero(found.kept_by >= 0))
    return PartResult(
        account=Account(documents_in=num_left, documents_out=num_left - num_removed, dropped={_RULE: num_removed}),
        metrics=found.metrics,
    )


def _check_memory(num_documents: int, settings: SemanticParameters) -> None:
    if num_documents * _DOCUMENT_BYTES > settings.memory_bytes:
        raise ValueError(
            f"memory_bytes={settings.memory_bytes}: {num_documents} documents take {_DOCUMENT_BYTES} bytes each; set "
            "semantic.memory_bytes higher, or make the corpus in several runs"
        )


def _read_run(inputs: Mapping[str, PublishedStage], parameters: SemanticStageParameters, scratch: Path) -> _Run:
    # the order needs no bands, and what it may take was checked already
    dedup = replace(parameters.dedup, near=False, memory_bytes=1 << 62)
    documents = RunCollection(inputs, dedup)
    with BandKeys(dedup.banding(), scratch, lambda _: 0) as no_keys:
        read = read_collection(documents, dedup, no_keys)
    ranks = np.empty(len(read), np.int32)
    ranks[preferred_order(read)] = np.arange(len(read), dtype=np.int32)
    run = _Run(
        parts=documents.parts,
        starts=read.starts,
        doc_ids=read.doc_ids,
        ranks=ranks,
        left=np.zeros(len(read), bool),
        cluster_ids=read.doc_ids.copy(),
        clustered=np.zeros(len(read), bool),
        kept=np.ones(len(read), bool),
    )
    for number, name in enumerate(run.parts):
        table = inputs["dedup"].read("clusters", name, CLUSTERS)
        positions = _positions(run, number, table["doc_id"])
        run.cluster_ids[positions] = parse_doc_ids(table["cluster_id"], name)
        run.clustered[positions] = True
        run.kept[positions] = table["kept"].to_numpy()
    return run


def _positions(run: _Run, part: int, doc_ids: pa.ChunkedArray) -> Indices:
    """Raises ValueError where one is none of the part's documents."""
    known = format_doc_ids(run.doc_ids[run.positions(part)])
    rows = pc.index_in(doc_ids, value_set=known)
    if rows.null_count:
        raise ValueError(f"{run.parts[part]}: other documents than those that were signed; run these stages again")
    positions: Indices = rows.to_numpy().astype(np.int64) + run.starts[part]
    return positions


def _find(run: _Run, embeddings: PublishedStage, settings: SemanticParameters, scratch: Path) -> _Found:
    lengths = [(part.name, int(part.metrics["dimensions"])) for part in embeddings.manifest.parts]
    dimensions = common_length(lengths)
    kept_by = np.full(len(run.doc_ids), -1, np.int64)
    cosines = np.zeros(len(run.doc_ids))
    with ExitStack() as opened:
        by_document = opened.enter_context(SpillFile(scratch))
        positions, squares = _spill(run, embeddings, dimensions, by_document)
        metrics: dict[str, Any] = {
            "documents_compared": len(positions),
            "documents_without_embedding": int(run.left.sum()) - len(positions),
            "kmeans_clusters": 0,
            "largest_kmeans_cluster": 0,
            "pairs_similar": 0,
        }
        if not len(positions):
            return _Found(kept_by=kept_by, cosines=cosines, metrics=metrics)
        vectors = by_document.map(0, len(positions) * dimensions, np.int16).reshape(-1, dimensions)
        device = torch.device("cuda" if use_gpu(settings.device) else "cpu")
        num_clusters = min(settings.num_clusters or usual_num_clusters(len(positions)), len(positions))
        rows = _rows_at_once(settings.memory_bytes, dimensions, num_clusters)
        with exact_products(), torch.inference_mode():
            centres = fit_centres(
                _sample(run, positions, vectors, num_clusters, settings.seed, opened.enter_context(SpillFile(scratch))),
                num_clusters, settings.iterations, device, rows,
            )  # fmt: skip
            clusters = assign(vectors, centres, device, rows)
            order = np.lexsort((run.ranks[positions], clusters))
            sizes = np.bincount(clusters, minlength=num_clusters)
            by_cluster = opened.enter_context(SpillFile(scratch))
            ordered = _reordered(vectors, order, by_cluster)
            removals = remove_within_clusters(
                ordered, squares[order], np.concatenate([[0], np.cumsum(sizes)]), settings.threshold, device, rows
            )
    _enter(removals, positions[order], kept_by, cosines)
    metrics |= {
        "kmeans_clusters": num_clusters,
        "largest_kmeans_cluster": int(sizes.max()),
        "pairs_similar": removals.num_similar,
    }
    return _Found(kept_by=kept_by, cosines=cosines, metrics=metrics)


def _rows_at_once(memory_bytes: int, dimensions: int, num_clusters: int) -> int:
    """Vectors of 4 bytes a number, twice, and their products with all centres, or with a block of others."""
    left = max(0, memory_bytes // 2 - 16 * dimensions * num_clusters)
    return min(_MOST_ROWS, max(64, left // (12 * dimensions + 8 * max(num_clusters, 1024))))


def _spill(
    run: _Run, embeddings: PublishedStage, dimensions: int, file: SpillFile
) -> tuple[Indices, npt.NDArray[np.int32]]:
    """Write the rounded vectors of documents that have one; returns their positions and squared lengths."""
    positions: list[Indices] = []
    squares: list[npt.NDArray[np.int32]] = []
    for number, part in enumerate(embeddings.manifest.parts):
        schema = embeddings_schema(max(1, int(part.metrics["dimensions"])))
        table = embeddings.read("embeddings", part.name, schema)
        of_part = _positions(run, number, table["doc_id"])
        run.left[of_part] = True
        if not len(of_part):
            continue
        values = table["embedding"].combine_chunks().flatten().to_numpy().reshape(-1, dimensions)
        quantised = np.empty(values.shape, np.int16)
        of_row = np.empty(len(values), np.int32)
        quantise(values, scale_of(dimensions), quantised, of_row)
        file.append(np.ascontiguousarray(quantised[of_row > 0]))
        positions.append(of_part[of_row > 0])
        squares.append(of_row[of_row > 0])
    return (
        np.concatenate([np.zeros(0, np.int64), *positions]),
        np.concatenate([np.zeros(0, np.int32), *squares]),
    )


def _sample(run: _Run, positions: Indices, vectors: Vectors, num_clusters: int, seed: int, file: SpillFile) -> Vectors:
    """The vectors that k-means looks at, in the order in which they are drawn."""
    hashes = np.concatenate(
        [seeded_hash(format_doc_ids(run.doc_ids[piece]), seed, "k-means") for piece in _pieces(positions)]
    )
    # the hash of the few that a stable sort leaves in the order of parts is the same: 64 bits do not collide by chance
    drawn = np.argsort(hashes, kind="stable")[: num_clusters * SAMPLE_A_CLUSTER]
    return _reordered(vectors, drawn, file)


def _pieces(positions: Indices) -> list[Indices]:
    return [positions[start : start + (1 << 20)] for start in range(0, len(positions), 1 << 20)]


def _reordered(vectors: Vectors, order: Indices, file: SpillFile) -> Vectors:
    """The vectors in another order, in a file."""
    for start in range(0, len(order), _MOST_ROWS):
        file.append(vectors[order[start : start + _MOST_ROWS]])
    mapped: Vectors = file.map(0, len(order) * vectors.shape[1], np.int16).reshape(-1, vectors.shape[1])
    return mapped


def _enter(removals: Removals, positions: Indices, kept_by: Indices, cosines: npt.NDArray[np.float64]) -> None:
    removed = np.flatnonzero(removals.kept_by >= 0)
    kept_by[positions[removed]] = positions[removals.kept_by[removed]]
    cosines[positions[removed]] = removals.cosines[removed]


def _write(run: _Run, found: _Found, threshold: float, output: PartWriter) -> None:
    num_documents = len(run.doc_ids)
    clusters = np.arange(num_documents, dtype=np.int32)
    best = clusters.copy()
    own = np.where(run.clustered[:, None], run.cluster_ids, np.uint64(0))
    best_of_equal(own, clusters, best)  # the first of each cluster of dedup's
    unite_pairs(best, np.arange(num_documents, dtype=np.int32), clusters)
    removed = np.flatnonzero(found.kept_by >= 0)
    unite_pairs(found.kept_by[removed].astype(np.int32), removed.astype(np.int32), clusters)
    roots(clusters)
    in_cluster = run.clustered | (np.bincount(clusters, minlength=num_documents)[clusters] > 1)
    cluster_ids = run.cluster_ids[smallest_ids(clusters, run.cluster_ids)[clusters]]
    for number, name in enumerate(run.parts):
        start, end = run.starts[number], run.starts[number + 1]
        of_part = removed[np.searchsorted(removed, start) : np.searchsorted(removed, end)]
        duplicates = {
            "doc_id": format_doc_ids(run.doc_ids[of_part]),
            "rule": pa.array([_RULE] * len(of_part), pa.string()),
            "kept_id": format_doc_ids(run.doc_ids[found.kept_by[of_part]]),
            "kept_run": pa.nulls(len(of_part), pa.string()),
            "similarity": pa.array(found.cosines[of_part]),
            "threshold": pa.array(np.full(len(of_part), threshold)),
            "bands_shared": pa.array(np.zeros(len(of_part), np.int32)),
            "cluster_id": format_doc_ids(cluster_ids[of_part]),
        }
        output.table("duplicates", pa.table(duplicates, schema=DUPLICATES), DUPLICATES, part=name)
        members = np.flatnonzero(in_cluster[start:end]) + start
        table = {
            "doc_id": format_doc_ids(run.doc_ids[members]),
            "cluster_id": format_doc_ids(cluster_ids[members]),
            "kept": pa.array(run.kept[members] & (found.kept_by[members] < 0)),
        }
        output.table("clusters", pa.table(table, schema=CLUSTERS), CLUSTERS, part=name)
