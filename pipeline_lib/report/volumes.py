"""How many bytes went into the stages that decide over documents, came out, and were dropped by reason."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.filters.stage import read_signals
from pipeline_lib.report.readings import number
from storage.manifests import PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, DUPLICATES, REJECTED_RECORDS, SOURCES

_DROPPING = {
    "judge": ("decisions", DECISIONS),
    "withdrawn": ("decisions", DECISIONS),
    "dedup": ("duplicates", DUPLICATES),
    "semantic": ("duplicates", DUPLICATES),
    "lines": ("decisions", DECISIONS),
    "decontaminate": ("decisions", DECISIONS),
}


@dataclass(frozen=True, kw_only=True)
class Volume:
    """Bytes of one stage. `edited` is what edits took out of the documents that stayed (below 0: what they added)."""

    bytes_in: int
    bytes_out: int
    dropped: Mapping[str, int] = field(default_factory=dict)
    edited: int = 0


def measure_volumes(inputs: Mapping[str, PublishedStage]) -> dict[str, Volume]:
    """Bytes by stage, as far as the stages are there: compressed WARC bytes up to extraction, then UTF-8 text.

    How long a text is, the signals say: no text is read.
    """
    volumes: dict[str, Volume] = {}
    if "fetch" in inputs:
        sizes = [
            row["bytes"] if row["length"] < 0 else row["length"]
            for record in inputs["fetch"].manifest.files("sources")
            for row in inputs["fetch"].read("sources", record.part, SOURCES, columns=["length", "bytes"]).to_pylist()
        ]
        if all(num_bytes >= 0 for num_bytes in sizes):  # below 0: a server did not say
            volumes["fetch"] = Volume(bytes_in=sum(sizes), bytes_out=sum(sizes))
    if "extract" not in inputs or "signals" not in inputs:
        return volumes
    extract, signals = inputs["extract"], inputs["signals"]
    warc_bytes, text_bytes, rejected = 0, 0, Counter[str]()
    dropped = {name: Counter[str]() for name in _DROPPING if name in inputs}
    for part in extract.part_names:
        documents = extract.read("documents", part, DOCUMENTS, columns=["warc_length"])
        warc_bytes += pc.sum(documents["warc_length"]).as_py() or 0
        measured = read_signals(signals, part, ["num_bytes"])
        text_bytes += round(pc.sum(measured["num_bytes"]).as_py() or 0)
        if extract.has("rejected", part):
            records = extract.read("rejected", part, REJECTED_RECORDS, columns=["reason", "warc_length"])
            rejected.update(_sums(records["reason"], records["warc_length"]))
        for name, counted in dropped.items():
            table, schema = _DROPPING[name]
            if inputs[name].has(table, part):
                rows = inputs[name].read(table, part, schema, columns=["doc_id", "rule"])
                counted.update(_sums(rows["rule"], _bytes_of(rows["doc_id"], measured)))
    volumes["extract"] = Volume(
        bytes_in=warc_bytes + sum(rejected.values()), bytes_out=text_bytes, dropped=dict(rejected)
    )
    for name, counted in dropped.items():
        edited = round(sum(number(each.metrics, "bytes_removed") or 0 for each in inputs[name].manifest.parts))
        left = text_bytes - sum(counted.values()) - edited
        volumes[name] = Volume(bytes_in=text_bytes, bytes_out=left, dropped=dict(counted), edited=edited)
        text_bytes = left
    corpus_bytes = _corpus_bytes(inputs["corpus"]) if "corpus" in inputs else None
    if corpus_bytes is not None:
        volumes["corpus"] = Volume(bytes_in=text_bytes, bytes_out=corpus_bytes, edited=text_bytes - corpus_bytes)
    return volumes


def _bytes_of(doc_ids: pa.ChunkedArray, measured: pa.Table) -> pa.ChunkedArray:
    """0 for a document that is not there."""
    rows = pc.index_in(doc_ids, value_set=measured["doc_id"].combine_chunks())
    return pc.coalesce(measured["num_bytes"].take(rows), pa.scalar(0.0))


def _sums(keys: pa.ChunkedArray, numbers: pa.ChunkedArray) -> dict[str, int]:
    grouped = pa.table({"key": keys, "number": numbers}).group_by("key").aggregate([("number", "sum")])
    return {row["key"]: round(row["number_sum"]) for row in grouped.to_pylist()}


def _corpus_bytes(corpus: PublishedStage) -> int | None:
    """None where a part does not say."""
    total = 0
    for part in corpus.manifest.parts:
        for split in ("train", "validation"):
            num_bytes = number(part.metrics, split, "bytes")
            if num_bytes is None:
                return None
            total += round(num_bytes)
    return total
