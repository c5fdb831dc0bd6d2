"""How many bytes went into the stages that decide over documents, came out, and were dropped by reason."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from storage.manifests import PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, REJECTED_RECORDS, SOURCES


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Bytes of one stage. `edited` is what edits took out of the documents that stayed (below 0: what they added)."""

    bytes_in: int
    bytes_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    edited: int = 0


def measure_volumes(inputs: Mapping[str, PublishedStage]) -> dict[str, Volume]:
    """Bytes by stage, as far as the stages are there: compressed WARC bytes up to extraction, then UTF-8 text.

    Texts are measured and let go part by part.
    """
    volumes: dict[str, Volume] = {}
    if "fetch" in inputs:
        warc_bytes = sum(
            pc.sum(inputs["fetch"].read("sources", part, SOURCES, columns=["bytes"])["bytes"]).as_py() or 0
            for part in inputs["fetch"].part_names
            if inputs["fetch"].has("sources", part)
        )
        volumes["fetch"] = Volume(bytes_in=warc_bytes, bytes_out=warc_bytes)
    if "extract" not in inputs:
        return volumes
    warc_bytes, text_bytes, rejected = 0, 0, Counter[str]()
    judged, duplicates = Counter[str](), Counter[str]()
    extract = inputs["extract"]
    for part in extract.part_names:
        documents = _document_bytes(extract, part)
        text_bytes += pc.sum(documents["bytes"]).as_py() or 0
        warc_bytes += pc.sum(documents["warc_length"]).as_py() or 0
        if extract.has("rejected", part):
            records = extract.read("rejected", part, REJECTED_RECORDS, columns=["reason", "warc_length"])
            rejected.update(_sums(records["reason"], records["warc_length"]))
        if "judge" in inputs and inputs["judge"].has("decisions", part):
            decisions = inputs["judge"].read("decisions", part, DECISIONS, columns=["doc_id", "rule"])
            judged.update(_sums(decisions["rule"], _bytes_of(decisions["doc_id"], documents)))
        if "dedup" in inputs and inputs["dedup"].has("duplicates", part):
            removed = inputs["dedup"].read("duplicates", part, DUPLICATES, columns=["doc_id", "rule"])
            duplicates.update(_sums(removed["rule"], _bytes_of(removed["doc_id"], documents)))
    volumes["extract"] = Volume(
        bytes_in=warc_bytes + sum(rejected.values()), bytes_out=text_bytes, dropped=dict(rejected)
    )
    for name, dropped in (("judge", judged), ("dedup", duplicates)):
        if name in inputs:
            left = text_bytes - sum(dropped.values())
            volumes[name] = Volume(bytes_in=text_bytes, bytes_out=left, dropped=dict(dropped))
            text_bytes = left
    if "corpus" in inputs:
        corpus_bytes = _corpus_bytes(inputs["corpus"])
        if corpus_bytes is not None:
            volumes["corpus"] = Volume(bytes_in=text_bytes, bytes_out=corpus_bytes, edited=text_bytes - corpus_bytes)
    return volumes


def _document_bytes(extract: PublishedStage, part: str) -> pa.Table:
    """Documents of a part as (doc_id, warc_length, bytes); the text does not outlive the call."""
    documents = extract.read("documents", part, DOCUMENTS, columns=["doc_id", "warc_length", "text"])
    num_bytes = pc.binary_length(documents["text"]).cast(pa.int64())
    return documents.drop_columns("text").append_column("bytes", num_bytes)


def _bytes_of(doc_ids: pa.ChunkedArray, documents: pa.Table) -> pa.ChunkedArray:
    """0 for a document that is not there."""
    rows = pc.index_in(doc_ids, value_set=documents["doc_id"].combine_chunks())
    return pc.coalesce(documents["bytes"].take(rows), pa.scalar(0, pa.int64()))


def _sums(keys: pa.ChunkedArray, numbers: pa.ChunkedArray) -> dict[str, int]:
    grouped = pa.table({"key": keys, "number": numbers}).group_by("key").aggregate([("number", "sum")])
    return {row["key"]: row["number_sum"] for row in grouped.to_pylist()}


def _corpus_bytes(corpus: PublishedStage) -> int | None:
    counted = [
        part.metrics.get(split, {}).get("bytes")
        for part in corpus.manifest.parts
        for split in ("train", "validation")
    ]
    return None if any(number is None for number in counted) else sum(counted)
