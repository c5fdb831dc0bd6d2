"""The fingerprints of a collection: a few bytes of each document in memory, the band keys in a file."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.dedup.banding import Banding
from pipeline_lib.dedup.candidates import BandKeys, keys_of
from pipeline_lib.dedup.collection import Collection
from pipeline_lib.dedup.doc_ids import format_doc_ids, parse_doc_ids
from pipeline_lib.dedup.parameters import Criterion, DedupParameters
from pipeline_lib.dedup.workers import in_threads
from pipeline_lib.kernels.bands import Indices, SmallIndices
from pipeline_lib.kernels.shingles import Hashes
from storage.schemas import fingerprints_schema, keyed_fingerprints_schema

# What each document takes in memory at the most crowded moment, when the order is made or the batches are planned.
FLOOR_BYTES = 130

_LAST = np.iinfo(np.int64).max
_MOST_DOCUMENTS = np.iinfo(np.int32).max

Preference = npt.NDArray[np.int64] | npt.NDArray[np.float64]  # by document: the smaller, the better


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """Documents by position: those of the first part, those of the second, and so on.

    Attributes:
        doc_ids: uint64 (N, 2), see `doc_ids`.
        text_hashes, url_hashes: uint64 (N, 2): zeros for documents without a word, and without a URL.
        num_shingles: int32 (N,): 0 for documents that are too short to sign.
    """

    doc_ids: Hashes
    text_hashes: Hashes
    url_hashes: Hashes
    num_shingles: SmallIndices

    def __len__(self) -> int:
        return len(self.doc_ids)


@dataclass(frozen=True, kw_only=True)
class Piece(Fingerprints):
    """The fingerprints of some documents of one part, with the keys of their bands.

    Attributes:
        keys: uint64 (bands, N).
        num_chars, fetched_at: int64 (N,): `fetched_at` is the largest number where it is not known.
    """

    keys: Hashes
    num_chars: Indices
    fetched_at: Indices


def read_part(documents: Collection, part: str, banding: Banding) -> list[Piece]:
    """The fingerprints of a part."""
    pieces = []
    for table in documents.fingerprints(part):
        is_keyed = "band_keys" in table.column_names
        expected = (
            keyed_fingerprints_schema(banding.bands) if is_keyed else fingerprints_schema(banding.num_permutations)
        )
        if table.schema.names != expected.names or table.schema.types != expected.types:
            raise ValueError(
                f"{part}: expected fingerprints {expected.names}, found {table.schema}; sign the texts again"
            )
        piece = Piece(
            doc_ids=parse_doc_ids(table["doc_id"], part),
            text_hashes=_hash_values(table["text_hash"]),
            url_hashes=_hash_values(table["url_hash"]),
            num_shingles=_joined(table["num_shingles"]).to_numpy(),
            keys=_given_keys(table, banding) if is_keyed else _made_keys(table, banding),
            num_chars=_joined(table["num_chars"]).to_numpy(),
            fetched_at=_joined(table["fetched_at"]).cast(pa.int64()).fill_null(_LAST).to_numpy(),
        )
        pieces.append(piece)
    return pieces


@dataclass(frozen=True, kw_only=True)
class ReadCollection(Fingerprints):
    """All documents of a collection.

    Attributes:
        starts: int64 (parts + 1,): the position of each part's first document; last, how many documents there are.
        preferences: what the order goes by, by criterion.
    """

    starts: Indices
    preferences: Sequence[Preference]


def read_collection(documents: Collection, parameters: DedupParameters, band_keys: BandKeys) -> ReadCollection:
    """Read the fingerprints of all parts; of the signatures, the band keys go to a file.

    Raises:
        ValueError: two documents have the same doc_id, or there are more documents than `memory_bytes` allows.
    """
    banding = parameters.banding()
    names = ("doc_ids", "text_hashes", "url_hashes", "num_shingles")
    columns: dict[str, list[npt.NDArray[Any]]] = {name: [] for name in names}
    preferences: list[list[npt.NDArray[Any]]] = [[] for _ in parameters.keep]
    starts = [0]
    read_ahead = in_threads(lambda part: read_part(documents, part, banding), documents.parts)
    for part, pieces in zip(documents.parts, read_ahead, strict=True):
        start = starts[-1]
        for piece in pieces:
            for name in names:
                columns[name].append(getattr(piece, name))
            for criterion, values in zip(parameters.keep, preferences, strict=True):
                if criterion in ("longest", "earliest", "latest"):
                    values.append(_preference(piece, criterion))
            if parameters.near:
                band_keys.append(piece.keys, piece.num_shingles)
            start += len(piece)
            check_memory(start, parameters.memory_bytes)
        for criterion, values in zip(parameters.keep, preferences, strict=True):
            if criterion in ("quality", "source"):
                values.append(_given_preference(documents, part, criterion, start - starts[-1]))
        starts.append(start)
    read = ReadCollection(
        doc_ids=_concatenate(columns.pop("doc_ids"), np.zeros((0, 2), np.uint64)),
        text_hashes=_concatenate(columns.pop("text_hashes"), np.zeros((0, 2), np.uint64)),
        url_hashes=_concatenate(columns.pop("url_hashes"), np.zeros((0, 2), np.uint64)),
        num_shingles=_concatenate(columns.pop("num_shingles"), np.zeros(0, np.int32)),
        starts=np.array(starts, np.int64),
        preferences=[_concatenate(values, np.zeros(0, np.int64)) for values in preferences],
    )
    _check_ids(read.doc_ids)
    return read


def check_memory(num_documents: int, memory_bytes: int) -> None:
    """Raises ValueError where so many documents cannot be decided about in so much memory."""
    if num_documents * FLOOR_BYTES > memory_bytes or num_documents > _MOST_DOCUMENTS:
        raise ValueError(
            f"memory_bytes={memory_bytes}: {num_documents} documents and more take {FLOOR_BYTES} bytes each; set "
            "dedup.memory_bytes higher, or deduplicate the crawl in several runs, each against those before it"
        )


def preferred_order(documents: ReadCollection) -> SmallIndices:
    """Positions, the best document first: by preferences, then by text hash, then by doc_id.

    The order follows from the documents alone, not from where in which part they stand.
    """
    text, ids = documents.text_hashes, documents.doc_ids
    keys = [*documents.preferences, text[:, 0]]
    order = np.lexsort(keys[::-1]).astype(np.int32)
    same_as_before = np.ones(len(order), bool)
    same_as_before[:1] = False
    for key in keys:
        ordered = key[order]
        same_as_before[1:] &= ordered[1:] == ordered[:-1]
    tied = same_as_before.copy()
    tied[:-1] |= same_as_before[1:]
    places = np.flatnonzero(tied)
    if len(places):
        group = np.cumsum(~same_as_before)[places]
        some = order[places]
        order[places] = some[np.lexsort([ids[some, 1], ids[some, 0], text[some, 1], group])]
    return order


def _preference(piece: Piece, criterion: Criterion) -> Indices:
    if criterion == "longest":
        return -piece.num_chars
    if criterion == "latest":
        return np.where(piece.fetched_at == _LAST, _LAST, -piece.fetched_at)
    return piece.fetched_at


def _given_preference(documents: Collection, part: str, criterion: Criterion, num_rows: int) -> Preference:
    values: Preference
    if criterion == "quality":
        quality = documents.quality(part)
        values = np.where(np.isnan(quality), np.inf, -quality)
    else:
        values = documents.source_ranks(part)
    if len(values) != num_rows:
        raise ValueError(f"{part}: expected {criterion} of {num_rows} documents, found {len(values)}")
    return values


def _check_ids(doc_ids: Hashes) -> None:
    upper = np.sort(doc_ids[:, 0])
    repeated = upper[1:][upper[1:] == upper[:-1]]
    del upper
    if not len(repeated):
        return
    suspected = doc_ids[np.isin(doc_ids[:, 0], repeated)]
    different, counts = np.unique(suspected, axis=0, return_counts=True)
    if counts.max() > 1:
        (doc_id,) = format_doc_ids(different[counts > 1][:1]).to_pylist()
        raise ValueError(
            f"two documents have the doc_id {doc_id}: is the same file listed twice? "
            "Removing one of them would remove both; list each file once."
        )


def _joined(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _made_keys(table: pa.Table, banding: Banding) -> Hashes:
    signatures = _joined(table["signature"]).flatten().to_numpy()
    return keys_of(signatures.reshape(table.num_rows, banding.num_permutations), banding)


def _given_keys(table: pa.Table, banding: Banding) -> Hashes:
    by_document = _joined(table["band_keys"]).flatten().to_numpy().reshape(table.num_rows, banding.bands)
    return np.ascontiguousarray(by_document.T)


def _hash_values(column: pa.ChunkedArray) -> Hashes:
    joined = _joined(column)
    values = np.frombuffer(joined.buffers()[1] or b"", "<u8", count=2 * len(joined), offset=16 * joined.offset)
    return values.astype(np.uint64).reshape(-1, 2)


def _concatenate(arrays: list[npt.NDArray[Any]], empty: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Joined, and the list emptied: not twice in memory for longer than it takes."""
    joined = np.concatenate([empty, *arrays]) if arrays else empty
    arrays.clear()
    return joined
