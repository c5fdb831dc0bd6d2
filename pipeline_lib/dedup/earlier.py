"""Documents that earlier runs kept: which of them could be the witness of a new one.

Memory does not grow with them: their fingerprints go through the tables of the new documents' hashes once, and their
band keys, from a file, one band at a time.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from pipeline_lib.dedup.candidates import BandKeys
from pipeline_lib.dedup.collection import Collection
from pipeline_lib.dedup.fingerprints import Fingerprints, Piece, read_part
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.spill_files import SpillFile
from pipeline_lib.dedup.workers import in_threads
from pipeline_lib.kernels.bands import Indices, SmallIndices
from pipeline_lib.kernels.equal_hashes import first_matches, hash_table, key_table, matching_keys

_KEYS_AT_A_TIME = 1 << 14  # documents
_RECORD = np.dtype([("doc_id", "u8", 2), ("text_hash", "u8", 2), ("url_hash", "u8", 2), ("num_shingles", "i4")])


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """Documents of one part that follow each other in position.

    Attributes:
        run: index into the earlier runs; -1: a part of the new documents.
        start, end: positions.
        rows: int64: the row of each; None: all rows of the part.
    """

    run: int
    part: str
    start: int
    end: int
    rows: Indices | None


@dataclass(frozen=True, kw_only=True)
class EarlierMatches(Fingerprints):
    """The earlier documents that match a new one, in the order of runs, parts, and rows.

    Attributes:
        run: int32 (R,): index into the earlier runs.
        stretches: where they are; positions count from 0.
    """

    run: SmallIndices
    stretches: Sequence[Stretch]


def match_earlier(
    documents: Fingerprints,
    band_keys: BandKeys,
    earlier: Sequence[Collection],
    parameters: DedupParameters,
    scratch: Path,
) -> EarlierMatches:
    """The earlier documents of the same text, of the same URL, or with a band key in common; of a text and of a URL
    the first, of a band key the first `max_candidates`. Their band keys are added to those of the new documents.

    By URL none is found where `latest` is the first criterion of `keep`: a new capture then replaces the old.

    Args:
        band_keys: the new documents' band keys.
        earlier: the documents of one run after the other.
    """
    banding = parameters.banding()
    compare_urls = parameters.url and parameters.keep[:1] != ("latest",)
    with SpillFile(scratch) as records, SpillFile(scratch) as signed, BandKeys(banding, scratch, _none) as their_keys:
        tables = _HashTables(documents, parameters.exact, compare_urls)
        found: list[Indices] = []
        bounds: list[tuple[int, int, str]] = []  # the first document of each part, its run, and its name
        num_earlier = 0
        parts = [(run, part) for run, each in enumerate(earlier) for part in each.parts]
        read_ahead = in_threads(lambda place: read_part(earlier[place[0]], place[1], banding), parts)
        for (run, part), pieces in zip(parts, read_ahead, strict=True):
            bounds.append((num_earlier, run, part))
            for piece in pieces:
                found += tables.matches(piece, num_earlier)
                records.append(_records(piece, compare_urls))
                if parameters.near:
                    signed.append(piece.num_shingles > 0)
                    their_keys.append(piece.keys, piece.num_shingles)
                num_earlier += len(piece)
        del tables
        if parameters.near:
            found += _matches_by_band(documents, band_keys, signed, their_keys, parameters.max_candidates)
        chosen = np.unique(np.concatenate([np.zeros(0, np.int64), *found]))
        mapped = records.map(0, num_earlier, _RECORD)
        kept = mapped[chosen]
        num_shingles = np.ascontiguousarray(kept["num_shingles"])
        for start in range(0, len(chosen) if parameters.near else 0, _KEYS_AT_A_TIME):
            some = slice(start, start + _KEYS_AT_A_TIME)
            keys = np.stack([their_keys.pick(band, chosen[some]) for band in range(banding.bands)])
            band_keys.append(keys, num_shingles[some])
    stretches = _stretches(chosen, bounds)
    run_of = np.zeros(len(chosen), np.int32)
    for stretch in stretches:
        run_of[stretch.start : stretch.end] = stretch.run
    return EarlierMatches(
        doc_ids=np.ascontiguousarray(kept["doc_id"]),
        text_hashes=np.ascontiguousarray(kept["text_hash"]),
        url_hashes=np.ascontiguousarray(kept["url_hash"]),
        num_shingles=num_shingles,
        run=run_of,
        stretches=stretches,
    )


def _none(_: int) -> int:
    """No byte of the earlier documents' keys stays in memory."""
    return 0


class _HashTables:
    """The new documents' text and URL hashes, and which of them an earlier document has matched already."""

    def __init__(self, documents: Fingerprints, exact: bool, url: bool) -> None:
        names = (["text_hashes"] if exact else []) + (["url_hashes"] if url else [])
        self._tables = [
            (name, getattr(documents, name), hash_table(getattr(documents, name)), np.zeros(len(documents), bool))
            for name in names
        ]

    def matches(self, piece: Piece, start: int) -> list[Indices]:
        found = []
        for name, hashes, table, seen in self._tables:
            numbers = np.empty(len(piece), np.int64)
            num_found = first_matches(hashes, table, getattr(piece, name), start, seen, numbers)
            found.append(numbers[:num_found].copy())
        return found


def _matches_by_band(
    documents: Fingerprints, band_keys: BandKeys, signed: SpillFile, their_keys: BandKeys, most: int
) -> list[Indices]:
    members = documents.num_shingles > 0
    found = []
    for band in range(band_keys.num_bands):
        keys = band_keys.keys(band, 0, len(documents))
        table = key_table(keys, members)
        num_matches = np.zeros(len(keys), np.int32)
        for start, others in their_keys.chunks(band):
            others_signed = np.empty(len(others), bool)
            signed.read(start, others_signed)
            numbers = np.empty(len(others), np.int64)
            num_found = matching_keys(keys, table, others, others_signed, start, num_matches, most, numbers)
            found.append(numbers[:num_found].copy())
    return found


def _records(piece: Piece, compare_urls: bool) -> npt.NDArray[np.void]:
    records = np.zeros(len(piece), _RECORD)
    records["doc_id"], records["text_hash"] = piece.doc_ids, piece.text_hashes
    records["num_shingles"] = piece.num_shingles
    if compare_urls:
        records["url_hash"] = piece.url_hashes
    return records


def _stretches(chosen: Indices, bounds: Sequence[tuple[int, int, str]]) -> list[Stretch]:
    """The parts that the chosen ones, ascending, are in."""
    firsts = [first for first, _, _ in bounds]
    stretches = []
    start = 0
    while start < len(chosen):
        at = bisect_right(firsts, int(chosen[start])) - 1
        first, run, part = bounds[at]
        end = len(chosen) if at + 1 == len(bounds) else int(np.searchsorted(chosen, firsts[at + 1]))
        stretches.append(Stretch(run=run, part=part, start=start, end=end, rows=chosen[start:end] - first))
        start = end
    return stretches
