"""The corpus stage: what survived, with its final text, split into train and validation."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.corpus.statistics import describe
from pipeline_lib.kernels.seeded_hash import seeded_hash
from pipeline_lib.survivors import DROPPING_TABLES, Trail, read_survivors, trail_of
from storage.accounts import Account, UnbalancedAccount
from storage.digests import joined_digest
from storage.manifests import Manifest, Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CLUSTERS, CORPUS, EDITS

SPLITS = ("train", "validation")


def corpus_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: CorpusParameters
) -> PartResult:
    """Write `train` and `validation` (CORPUS) of one part, each in source order.

    Inputs: all stages of the trail (`survivors.TRAIL`).

    Raises:
        UnbalancedAccount: what the stages dropped, and what is left, are not what was extracted.
    """
    trail = trail_of(inputs)
    survivors = read_survivors(trail, part.name)
    _check_nothing_lost(part.name, trail, survivors.num_rows)

    clusters = inputs.get("semantic", inputs["dedup"])  # the later one's clusters hold the earlier one's
    documents = survivors.append_column(
        CORPUS.field("cluster_id"), cluster_ids(survivors["doc_id"], clusters, part.name)
    ).append_column(CORPUS.field("num_edits"), count_edits(survivors["doc_id"], trail.edits, part.name))
    documents = documents.filter(pc.not_equal(pc.binary_length(pc.utf8_trim_whitespace(documents["text"])), 0))

    held_out = pa.array(is_held_out(documents["cluster_id"], parameters))
    tables = {"train": documents.filter(pc.invert(held_out)), "validation": documents.filter(held_out)}
    for split in SPLITS:
        output.table(split, tables[split], CORPUS)
    return PartResult(
        account=Account(
            documents_in=survivors.num_rows,
            documents_out=documents.num_rows,
            dropped={"empty_after_edits": survivors.num_rows - documents.num_rows},
        ),
        metrics={split: describe(tables[split]) for split in SPLITS},
    )


def corpus_digest(manifest: Manifest) -> str:
    """What the corpus says, in one digest: equal for equal documents in equal parts, however they are compressed."""
    return joined_digest(manifest.content_digest(split) for split in SPLITS)


def is_held_out(cluster_ids: pa.ChunkedArray, parameters: CorpusParameters) -> npt.NDArray[np.bool_]:
    """Whether each document belongs to validation: decided for its whole cluster, wherever its members are."""
    # the float nearest below 1 times 2**64 is 2**64 - 2**11, so that the line always fits
    line = int(parameters.validation_ratio * (1 << 64))
    return seeded_hash(cluster_ids, parameters.seed, "split") < np.uint64(line)


def cluster_ids(doc_ids: pa.ChunkedArray, dedup: PublishedStage, part: str) -> pa.ChunkedArray:
    """The duplicate cluster of each document; a document that dedup found alone is its own."""
    if not dedup.has("clusters", part):
        return doc_ids
    clusters = dedup.read("clusters", part, CLUSTERS, columns=["doc_id", "cluster_id"]).combine_chunks()
    rows = pc.index_in(doc_ids, value_set=clusters["doc_id"].combine_chunks())
    return pc.coalesce(clusters["cluster_id"].take(rows), doc_ids)


def count_edits(doc_ids: pa.ChunkedArray, stages: Sequence[PublishedStage], part: str) -> pa.ChunkedArray:
    """How many edits each document's text has seen, int32."""
    edited = [stage.read("edits", part, EDITS, columns=["doc_id"]) for stage in stages if stage.has("edits", part)]
    rows = pa.chunked_array(
        [pc.index_in(table["doc_id"], value_set=doc_ids.combine_chunks()).combine_chunks() for table in edited],
        pa.int32(),
    )
    counts = np.bincount(pc.drop_null(rows).to_numpy(), minlength=len(doc_ids))
    return pa.chunked_array([pa.array(counts, pa.int32())])


def _check_nothing_lost(part: str, trail: Trail, num_survivors: int) -> None:
    extracted = _num_rows(trail.documents, "documents", part)
    dropped = {
        stage.manifest.stage: num_dropped
        for stage in trail.drops
        if (num_dropped := sum(_num_rows(stage, table, part) for table in DROPPING_TABLES))
    }
    left = extracted - sum(dropped.values())
    if left != num_survivors:
        told = "".join(f" - {count} by {stage}" for stage, count in dropped.items())
        raise UnbalancedAccount(
            f"{part}: {extracted} documents extracted{told} = {left}, but {num_survivors} are left: a document was "
            "dropped twice, or by a row that names no document of this part; run these stages again"
        )


def _num_rows(stage: PublishedStage, table: str, part: str) -> int:
    return stage.record(table, part).rows if stage.has(table, part) else 0
