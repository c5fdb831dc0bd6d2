"""The columnar index: Parquet files sorted by SURT key, of which a query reads few row groups and few columns.

A row group whose keys are all before or behind what is asked for is not read; of the others first the columns that
decide, and where and how long the records are only where one is wanted. Source of the layout and the columns:
https://github.com/commoncrawl/cc-index-table.
"""

import gzip
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.crawl.index_query import IndexQuery, KeyRange, key_ranges
from pipeline_lib.crawl.index_rows import (
    BAD_LINE,
    ROW_COLUMNS,
    Answer,
    count_reasons,
    drop_reasons,
    in_ranges,
    no_records,
    places,
)
from pipeline_lib.crawl.range_reader import RangeFile, RangeReader, is_missing, joined_url
from pipeline_lib.crawl.zipnum import IndexUnavailable

_TABLE = "cc-index/table/cc-main/warc"
_KEY = "url_surtkey"
_COLUMNS = {
    "fetch_time": "timestamp",
    "url": "url",
    "content_mime_type": "mime",
    "content_mime_detected": "mime_detected",
    "fetch_status": "status",
    "content_languages": "languages",
    "warc_filename": "filename",
    "warc_record_offset": "offset",
    "warc_record_length": "length",
}
_PLACE = ("warc_filename", "warc_record_offset", "warc_record_length")
_OPTIONAL = ("content_mime_detected", "content_languages")  # which crawls before 2018 did not have
_PUBLISHED_SUFFIX = "cc-index-table.paths.gz"


def answers_from_table(reader: RangeReader, base_url: str, crawl: str, query: IndexQuery) -> Iterator[Answer]:
    """What the Parquet files of a crawl say to a query, row group by row group.

    Raises:
        IndexUnavailable: there are no such files, or one is not what it should be.
        OSError: one cannot be read.
    """
    ranges = key_ranges(query.targets())
    for url in table_files(reader, base_url, crawl, query.subsets):
        yield from answers_from_file(reader, url, query, ranges)


def answers_from_file(reader: RangeReader, url: str, query: IndexQuery, ranges: Sequence[KeyRange]) -> Iterator[Answer]:
    """What one Parquet file says, row group by row group; of those that cannot match nothing is read."""
    num_bytes = reader.describe(url)[0]
    if num_bytes < 0:
        raise IndexUnavailable(f"{url}: the server does not say how large it is, so that it cannot be read in parts")
    try:
        with pq.ParquetFile(RangeFile(reader, url, num_bytes), pre_buffer=True) as file:
            names = _names(file.schema_arrow, url, query)
            for group in range(file.num_row_groups):
                if _may_hold(file.metadata.row_group(group), ranges):
                    yield _answer(file, group, names, query, list(ranges))
    except pa.ArrowInvalid as error:
        raise IndexUnavailable(f"{url} is no whole Parquet file: {error}; check base_url") from error


def table_files(reader: RangeReader, base_url: str, crawl: str, subsets: Sequence[str]) -> list[str]:
    """The Parquet files of a crawl's index, sorted: as the crawl's list names them, else as the folder holds them.

    Raises:
        IndexUnavailable: there are none.
    """
    folders = [f"{_TABLE}/crawl={crawl}/subset={subset}" for subset in subsets]
    listed = joined_url(base_url, f"crawl-data/{crawl}/{_PUBLISHED_SUFFIX}")
    try:
        lines = gzip.decompress(reader.read(listed)).decode().split()
        found = [line for line in lines if line.startswith(tuple(f"{folder}/" for folder in folders))]
    except OSError as error:
        if isinstance(error, gzip.BadGzipFile):
            raise IndexUnavailable(f"{listed} is no list of paths: {error}") from error
        if not is_missing(error):
            raise
        found = [f"{folder}/{name}" for folder in folders for name in _names_in(joined_url(base_url, folder))]
    except (EOFError, zlib.error, UnicodeDecodeError) as error:
        raise IndexUnavailable(f"{listed} is no list of paths: {error}") from error
    found = sorted(path for path in found if path.endswith(".parquet") and ".." not in path)
    if not found:
        raise IndexUnavailable(
            f"crawl {crawl} has no columnar index at {joined_url(base_url, folders[0])}, nor a list of its files at "
            f"{listed}; check source.crawl and base_url, or ask another index (source.index.kind=cdx)"
        )
    return [joined_url(base_url, path) for path in found]


def _names_in(folder: str) -> list[str]:
    """What a folder holds; nothing where it cannot be listed, as on a web server."""
    if folder.startswith(("http://", "https://")):
        return []
    filesystem, path = fsspec.core.url_to_fs(folder, use_listings_cache=False)
    try:
        listed: list[str] = filesystem.ls(path, detail=False)
    except FileNotFoundError:
        return []
    return [each.rpartition("/")[2] for each in listed]


def _names(schema: pa.Schema, url: str, query: IndexQuery) -> list[str]:
    """The columns that decide, of those that the file has."""
    missing = [name for name in (_KEY, *_COLUMNS) if name not in schema.names and name not in _OPTIONAL]
    if missing:
        raise IndexUnavailable(
            f"{url}: there is no column {missing[0]}; expected the columns of Common Crawl's index, found "
            f"{', '.join(schema.names[:40])}"
        )
    if query.languages and "content_languages" not in schema.names:
        raise IndexUnavailable(f"{url}: this crawl's index knows no languages; ask without source.index.languages")
    names = ["fetch_status"]
    if query.mimes:
        names += [name for name in ("content_mime_type", "content_mime_detected") if name in schema.names]
    if query.languages:
        names.append("content_languages")
    if query.since is not None or query.until is not None:
        names.append("fetch_time")
    if query.url_regex is not None:
        names.append("url")
    return names


def _may_hold(group: Any, ranges: Sequence[KeyRange]) -> bool:
    """Whether a row group can have a key in one of the ranges, by its statistics; without statistics it can."""
    if not ranges:
        return True
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == _KEY:
            known = column.statistics
            if known is None or not known.has_min_max:
                return True
            least, most = (_text(value) for value in (known.min, known.max))
            return any(least < each.end and each.start <= most for each in ranges)
    return True


def _text(value: object) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _answer(file: pq.ParquetFile, group: int, names: list[str], query: IndexQuery, ranges: list[KeyRange]) -> Answer:
    columns = [*([_KEY] if ranges else []), *names]
    rows = _rows(file.read_row_group(group, columns=columns)).with_row_index("row")
    if ranges:
        rows = rows.filter(in_ranges(rows[_KEY], ranges))
    reasons = drop_reasons(rows, query)
    dropped = count_reasons(reasons)
    wanted = rows["row"].filter(reasons.is_null())
    records = no_records()
    if len(wanted):
        records, dropped[BAD_LINE] = places(_rows(file.read_row_group(group, columns=list(_PLACE)))[wanted])
    return Answer(records=records, rows=len(rows), dropped=dropped)


def _rows(table: pa.Table) -> pl.DataFrame:
    """Columns of the index as ROW_COLUMNS are called and typed; the key keeps its name."""
    columns = []
    for name in table.column_names:
        column = pl.Series(_COLUMNS.get(name, name), table[name])
        if name == "fetch_time" and column.dtype != pl.String:
            column = column.dt.strftime("%Y%m%d%H%M%S")
        wanted = ROW_COLUMNS.get(column.name, pl.String)
        columns.append(column if column.dtype == wanted else column.cast(wanted))
    return pl.DataFrame(columns)
