"""The columnar index: Parquet files sorted by SURT key, of which a query reads few row groups and few columns.

A row group whose keys are all before or behind what is asked for is not read; of the others first the columns that
decide, and where and how long the records are only where one is wanted. Source of the layout and the columns:
https://github.com/commoncrawl/cc-index-table.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import fsspec
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.crawl.index_query import IndexQuery, KeyRange, key_ranges
from pipeline_lib.crawl.index_rows import (
    BAD_LINE,
    ROW_COLUMNS,
    Answer,
    IndexUnavailable,
    count_reasons,
    drop_reasons,
    in_ranges,
    no_records,
    places,
)
from pipeline_lib.crawl.listing import path_list
from pipeline_lib.crawl.range_reader import RangeFile, RangeReader, is_missing, joined_url

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
_LIST_NAME = "cc-index-table.paths.gz"
_FOOTERS_AT_ONCE = 8


def answers_from_table(reader: RangeReader, base_url: str, crawl: str, query: IndexQuery) -> Iterator[Answer]:
    """What the Parquet files of a crawl say to a query, row group by row group.

    Every file's footer is read, several at once: two or three requests a file, of which a crawl has 300. That the files
    are sorted among each other is nowhere promised.

    Raises:
        IndexUnavailable: there are no such files, or one is not what it should be.
        OSError: one cannot be read.
    """
    ranges = key_ranges(query.targets())
    with ThreadPoolExecutor(_FOOTERS_AT_ONCE) as threads:
        urls = table_files(reader, base_url, crawl, query.subsets)
        for file in threads.map(lambda url: _opened(reader, url), urls):
            yield from _answers(file, query, ranges)


def answers_from_file(reader: RangeReader, url: str, query: IndexQuery, ranges: Sequence[KeyRange]) -> Iterator[Answer]:
    """What one Parquet file says, row group by row group; of those that cannot match nothing is read."""
    return _answers(_opened(reader, url), query, ranges)


def table_files(reader: RangeReader, base_url: str, crawl: str, subsets: Sequence[str]) -> list[str]:
    """The Parquet files of a crawl's index, sorted: as the crawl's list names them, else as the folder holds them.

    Raises:
        SourceError: the list is none.
        IndexUnavailable: there are no such files.
    """
    folders = [f"{_TABLE}/crawl={crawl}/subset={subset}" for subset in subsets]
    listed = joined_url(base_url, f"crawl-data/{crawl}/{_LIST_NAME}")
    try:
        found = path_list(reader.read(listed), listed)
    except OSError as error:
        if not is_missing(error):
            raise
        found = [f"{folder}/{name}" for folder in folders for name in _names_in(joined_url(base_url, folder))]
    beginnings = tuple(f"{folder}/" for folder in folders)
    found = sorted(path for path in found if path.startswith(beginnings) and path.endswith(".parquet"))
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


@dataclass(frozen=True)
class _OpenFile:
    """A Parquet file of which the footer is read."""

    reader: RangeReader
    url: str
    num_bytes: int
    footer: pq.FileMetaData


def _opened(reader: RangeReader, url: str) -> _OpenFile:
    num_bytes = reader.describe(url)[0]
    if num_bytes < 0:
        raise IndexUnavailable(f"{url}: the server does not say how large it is, so that it cannot be read in parts")
    try:
        return _OpenFile(reader, url, num_bytes, pq.read_metadata(RangeFile(reader, url, num_bytes)))
    except pa.ArrowInvalid as error:
        raise _damaged(url, error) from error


def _answers(opened: _OpenFile, query: IndexQuery, ranges: Sequence[KeyRange]) -> Iterator[Answer]:
    columns = _deciding_columns(opened.footer.schema.to_arrow_schema(), opened.url, query)
    groups = [number for number in range(opened.footer.num_row_groups) if _may_hold(opened.footer, number, ranges)]
    if not groups:
        return
    bytes_of_file = RangeFile(opened.reader, opened.url, opened.num_bytes)
    try:
        with pq.ParquetFile(bytes_of_file, metadata=opened.footer, pre_buffer=True) as file:
            for group in groups:
                yield _answer(file, group, columns, query, list(ranges))
    except pa.ArrowInvalid as error:
        raise _damaged(opened.url, error) from error


def _damaged(url: str, error: Exception) -> IndexUnavailable:
    return IndexUnavailable(f"{url} is no whole Parquet file: {error}; check base_url")


def _deciding_columns(schema: pa.Schema, url: str, query: IndexQuery) -> list[str]:
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


def _may_hold(footer: pq.FileMetaData, number: int, ranges: Sequence[KeyRange]) -> bool:
    """Whether a row group can have a key in one of the ranges, by its statistics; without statistics it can."""
    if not ranges:
        return True
    group = footer.row_group(number)
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


def _answer(file: pq.ParquetFile, group: int, deciding: list[str], query: IndexQuery, ranges: list[KeyRange]) -> Answer:
    columns = [*([_KEY] if ranges else []), *deciding]
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
