"""The fingerprints of a whole corpus in memory, best document first."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.dedup.collection import Collection
from pipeline_lib.dedup.parameters import Criterion, DedupParameters
from pipeline_lib.kernels.bands import Indices, band_keys
from pipeline_lib.kernels.shingles import Hashes
from storage.schemas import fingerprints_schema

_LAST = np.iinfo(np.int64).max


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """N documents in the order of preference: of two that are alike, the one with the smaller index stays.

    The order follows from the documents alone, not from where in which part they stand. With 14 bands about 200 bytes
    a document, and 300 while they are read.

    Attributes:
        doc_ids: large_string (N,).
        id_ranks: int64 (N,): place of the doc_id among all, sorted.
        part, row: int32 and int64 (N,): index into `parts`, and row among the survivors of that part.
        text_hashes: uint64 (N, 2): both 0 for documents without a word.
        num_shingles: int32 (N,): 0 for documents that are too short to sign.
        keys: uint64 (bands, N), see `band_keys`; means nothing where num_shingles is 0.
    """

    parts: tuple[str, ...]
    doc_ids: pa.LargeStringArray
    id_ranks: Indices
    part: npt.NDArray[np.int32]
    row: Indices
    text_hashes: Hashes
    num_shingles: npt.NDArray[np.int32]
    keys: Hashes

    def __len__(self) -> int:
        return len(self.doc_ids)


def read_fingerprints(documents: Collection, parameters: DedupParameters) -> Fingerprints:
    """Read the table `fingerprints` of all parts; of the signatures only their band keys stay in memory.

    Raises:
        ValueError: two documents have the same doc_id.
    """
    banding = parameters.banding()
    schema = fingerprints_schema(banding.num_permutations)
    parts = documents.parts
    tables, keys = [], []
    for part in parts:
        table = pa.concat_tables([schema.empty_table(), *documents.fingerprints(part)])
        values = table["signature"].combine_chunks().flatten().to_numpy()
        part_keys = np.empty((banding.bands, table.num_rows), np.uint64)
        band_keys(values.reshape(table.num_rows, banding.num_permutations), banding.bands, part_keys)
        keys.append(part_keys)
        tables.append(table.drop_columns("signature"))
    rows = [table.num_rows for table in tables]
    columns = pa.concat_tables(tables) if tables else schema.empty_table()
    doc_ids = pa.concat_arrays([pa.array([], pa.large_string()), *columns["doc_id"].cast(pa.large_string()).chunks])
    id_ranks = _id_ranks(doc_ids)
    order = np.lexsort([id_ranks, *(_preference(columns, criterion) for criterion in reversed(parameters.keep))])
    return Fingerprints(
        parts=parts,
        doc_ids=doc_ids.take(pa.array(order)),
        id_ranks=id_ranks[order],
        part=np.repeat(np.arange(len(parts), dtype=np.int32), rows)[order],
        row=np.concatenate([np.zeros(0, np.int64), *(np.arange(count, dtype=np.int64) for count in rows)])[order],
        text_hashes=_hash_values(columns["text_hash"])[order],
        num_shingles=columns["num_shingles"].to_numpy()[order],
        keys=_join_keys(keys, banding.bands, order),
    )


def _id_ranks(doc_ids: pa.LargeStringArray) -> Indices:
    by_id = pc.sort_indices(doc_ids)
    ordered = doc_ids.take(by_id)
    repeated = pc.index(pc.equal(ordered[1:], ordered[:-1]), True).as_py()
    if repeated >= 0:
        raise ValueError(
            f"two documents have the doc_id {ordered[repeated]}: is the same file listed twice? "
            "Removing one of them would remove both; list each file once."
        )
    ranks = np.empty(len(doc_ids), np.int64)
    ranks[by_id.to_numpy()] = np.arange(len(doc_ids))
    return ranks


def _preference(columns: pa.Table, criterion: Criterion) -> Indices:
    """Sorts the better documents first."""
    if criterion == "longest":
        return -_int64(columns["num_chars"])
    fetched_at = columns["fetched_at"].cast(pa.int64())
    if criterion == "latest":
        fetched_at = pc.negate(fetched_at)
    return _int64(fetched_at.fill_null(_LAST))


def _int64(column: pa.ChunkedArray) -> Indices:
    values: Indices = column.to_numpy()
    return values


def _hash_values(column: pa.ChunkedArray) -> Hashes:
    chunks = [
        np.frombuffer(chunk.buffers()[1], "<u8", count=2 * len(chunk), offset=16 * chunk.offset)
        for chunk in column.chunks
        if len(chunk)
    ]
    return np.concatenate([np.zeros(0, np.uint64), *chunks]).astype(np.uint64).reshape(-1, 2)


def _join_keys(keys: Sequence[Hashes], num_bands: int, order: Indices) -> Hashes:
    joined = np.empty((num_bands, len(order)), np.uint64)
    for band in range(num_bands):  # one at a time: never a second copy of all
        joined[band] = np.concatenate([np.zeros(0, np.uint64), *(part_keys[band] for part_keys in keys)])[order]
    return joined
