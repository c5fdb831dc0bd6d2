"""The work list: wanted records of WARC files as ranges of bytes to read, in parts of bounded size.

Neighbours in a file are read together where little lies between them. The list depends on which records are wanted and
on nothing else, not on the order in which an index named them. Everything is arrays: millions of records take seconds.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

from pipeline_lib.crawl.listing import PATH_FINGERPRINT
from storage.schemas import SOURCES

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class WorkListParameters:
    """How wanted records become requests and parts.

    Attributes:
        max_gap_bytes: neighbours in a file with at most so much between them are read together, and what is between is
            thrown away. 256 KiB: what a connection of 5 MB/s brings in the 50 ms that a request costs. Ours.
        part_bytes, part_records: a part ends before it has more bytes to read, or more records. 512 MiB and 20,000:
            about half of a WARC file of Common Crawl, and minutes of work. Ours.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    max_gap_bytes: int = 256 << 10
    part_bytes: int = 512 << 20
    part_records: int = 20_000

    def __post_init__(self) -> None:
        if self.max_gap_bytes < 0:
            raise ValueError(f"max_gap_bytes={self.max_gap_bytes}: 0 reads nothing that is not wanted; no less is less")
        if self.part_bytes < 1 or self.part_records < 1:
            raise ValueError(
                f"part_bytes={self.part_bytes}, part_records={self.part_records}: a part holds at least one of each"
            )


@dataclass(frozen=True, kw_only=True)
class Records:
    """N records, each once, sorted by file and offset.

    Attributes:
        files: names, sorted; each has a record.
        file: (N,) places in `files`.
        offset, length: (N,) in bytes.
        num_duplicates: how many more were named that are the same: begin at the same byte of the same file.
    """

    files: list[str]
    file: Ints
    offset: Ints
    length: Ints
    num_duplicates: int

    def __len__(self) -> int:
        return len(self.offset)


@dataclass
class RecordCollector:
    """Takes records as an index names them, in any order and any number of times: some 20 bytes of memory each."""

    _codes: dict[str, int] = field(default_factory=dict)
    _pieces: list[pl.DataFrame] = field(default_factory=list)

    def add(self, records: pl.DataFrame) -> None:
        """Add records with the columns `filename`, `offset` and `length`, none of them null."""
        if not len(records):
            return
        names = records["filename"].unique()
        codes = [self._codes.setdefault(name, len(self._codes)) for name in names]
        file = records["filename"].replace_strict(names, codes, return_dtype=pl.Int32)
        self._pieces.append(pl.DataFrame([file.alias("file"), records["offset"], records["length"]]))

    def records(self) -> Records:
        """All of them, sorted, none twice; of several lengths of one record the longest."""
        files = sorted(self._codes)
        ranks = {name: rank for rank, name in enumerate(files)}
        by_code = np.array([ranks[name] for name in self._codes], np.int64)
        if not self._pieces:
            return Records(files=[], file=_no_ints(), offset=_no_ints(), length=_no_ints(), num_duplicates=0)
        table = pl.concat(self._pieces)
        table = table.with_columns(file=pl.Series(by_code[table["file"].to_numpy()]))
        table = table.sort("file", "offset", "length", descending=[False, False, True])
        file, offset, length = (table[name].to_numpy() for name in ("file", "offset", "length"))
        is_first = np.ones(len(table), np.bool_)
        is_first[1:] = (file[1:] != file[:-1]) | (offset[1:] != offset[:-1])
        return Records(
            files=files,
            file=file[is_first],
            offset=offset[is_first],
            length=length[is_first],
            num_duplicates=int(len(table) - is_first.sum()),
        )


def sample_records(records: Records, num_records: int, seed: int) -> Records:
    """At most so many of the records: a fair sample that only their places and the seed decide."""
    if len(records) <= num_records:
        return records
    of_file = np.array([_hash(f"{seed}\x00{name}") for name in records.files], np.uint64)
    mixed = _mixed(of_file[records.file] ^ _mixed(records.offset.astype(np.uint64)))
    chosen = np.sort(np.argsort(mixed, kind="stable")[:num_records])
    places, file = np.unique(records.file[chosen], return_inverse=True)
    return Records(
        files=[records.files[place] for place in places],
        file=file.astype(np.int64),
        offset=records.offset[chosen],
        length=records.length[chosen],
        num_duplicates=records.num_duplicates,
    )


@dataclass(frozen=True, kw_only=True)
class WorkList:
    """M ranges of bytes in P parts. Every record is in exactly one range, and no two ranges overlap.

    Attributes:
        first_record: (M + 1,) the first record of each range, and the number of records.
        start, length: (M,) in bytes.
        first_range: (P + 1,) the first range of each part, and the number of ranges.
        wanted_bytes: of the records; what several share counts once.
    """

    records: Records
    first_record: Ints
    start: Ints
    length: Ints
    first_range: Ints
    wanted_bytes: int

    @property
    def num_parts(self) -> int:
        return len(self.first_range) - 1

    @property
    def total_bytes(self) -> int:
        return int(self.length.sum())

    def parts(self) -> Iterator[pa.Table]:
        """The parts as tables of the schema SOURCES, in order.

        `url` is the logical path: where the crawl is, whoever reads it adds.
        """
        files = pa.array(self.records.files, pa.large_string())
        for first, end in zip(self.first_range[:-1], self.first_range[1:], strict=True):
            bounds = self.first_record[first : end + 1]
            num_ranges = int(end - first)
            file = pa.array(self.records.file[bounds[:-1]].astype(np.int32))
            path = pa.DictionaryArray.from_arrays(file, files).cast(pa.large_string())
            start = pa.array(self.start[first:end])
            offsets = pa.array(self.records.offset[bounds[0] : bounds[-1]])
            columns = {
                "kind": pa.repeat("warc", num_ranges),
                "warc_path": path,
                "url": path,
                "position": start,
                "offset": start,
                "length": pa.array(self.length[first:end]),
                "wanted": pa.LargeListArray.from_arrays(pa.array(bounds - bounds[0]), offsets),
                "bytes": pa.repeat(pa.scalar(-1, pa.int64()), num_ranges),
                "fingerprint": pa.repeat(PATH_FINGERPRINT, num_ranges),
            }
            yield pa.table([columns[name] for name in SOURCES.names], names=SOURCES.names).cast(SOURCES)


def make_work_list(records: Records, parameters: WorkListParameters) -> WorkList:
    """Ranges and parts for records.

    Records that overlap, as those of a damaged index do, share a range and are not cut apart: only so can a part be
    larger than it should, or by a single record that is.
    """
    if not len(records):
        none = np.zeros(1, np.int64)
        return WorkList(
            records=records,
            first_record=none,
            start=_no_ints(),
            length=_no_ints(),
            first_range=none,
            wanted_bytes=0,
        )
    end = records.offset + records.length
    reached = pl.DataFrame({"file": records.file, "end": end}).select(pl.col("end").cum_max().over("file"))
    reached_bytes = reached.to_series().to_numpy()  # the furthest that a record of the file up to here goes
    before = np.zeros_like(reached_bytes)
    before[1:] = reached_bytes[:-1]
    is_new_file = np.ones(len(records), np.bool_)
    is_new_file[1:] = records.file[1:] != records.file[:-1]
    before[is_new_file] = records.offset[is_new_file]
    gap = records.offset - before  # below zero: the record begins inside another
    is_joined = ~is_new_file & (gap <= parameters.max_gap_bytes)
    may_begin_part = is_new_file | (gap >= 0)

    part_starts = _part_starts(
        np.where(is_joined, reached_bytes - before, records.length), records.length, may_begin_part, parameters
    )
    begins = ~is_joined
    begins[part_starts] = True
    first_record = np.append(np.flatnonzero(begins), len(records))
    start = records.offset[first_record[:-1]]
    return WorkList(
        records=records,
        first_record=first_record,
        start=start,
        length=reached_bytes[first_record[1:] - 1] - start,
        first_range=np.append(np.searchsorted(first_record, part_starts), len(first_record) - 1),
        wanted_bytes=int((reached_bytes - np.maximum(before, records.offset)).clip(0).sum()),
    )


def _part_starts(cost: Ints, alone: Ints, may_begin: npt.NDArray[np.bool_], parameters: WorkListParameters) -> Ints:
    """The first record of each part.

    Args:
        cost: bytes that each record adds to the part of the record before it.
        alone: bytes that it adds to a part that begins with it.
        may_begin: whether a part may begin with it.
    """
    total = np.cumsum(cost)
    num_records = len(total)
    allowed = np.append(np.flatnonzero(may_begin), num_records)
    starts = [0]
    while True:
        start = starts[-1]
        limit = total[start] - alone[start] + parameters.part_bytes
        end = min(int(np.searchsorted(total, limit, side="right")), start + parameters.part_records, num_records)
        place = int(np.searchsorted(allowed, end, side="right")) - 1  # the last place to cut that is not behind `end`
        cut = int(allowed[place])
        if cut <= start:
            cut = int(allowed[np.searchsorted(allowed, start, side="right")])
        if cut >= num_records:
            return np.array(starts, np.int64)
        starts.append(cut)


def _hash(text: str) -> int:
    return int.from_bytes(hashlib.blake2b(text.encode(errors="surrogateescape"), digest_size=8).digest(), "little")


def _mixed(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """SplitMix64's output function (Steele et al. 2014): every bit of a value changes every bit of the result."""
    values = values + np.uint64(0x9E3779B97F4A7C15)
    values = (values ^ (values >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    values = (values ^ (values >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return values ^ (values >> np.uint64(31))


def _no_ints() -> Ints:
    return np.zeros(0, np.int64)
