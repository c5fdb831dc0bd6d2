"""Lines of a CDX index: `key timestamp {json}` in its files, one JSON object a line from its server."""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
import polars as pl

from pipeline_lib.crawl.index_query import KeyRange
from pipeline_lib.crawl.index_rows import ROW_COLUMNS

_NAMES = ("url", "mime", "mime-detected", "status", "languages", "filename", "offset", "length")
_NUMBERS = ("status", "offset", "length")
_TIMESTAMP_DIGITS = 14

_Row = tuple[str | None, ...]


def file_rows(content: bytes, ranges: list[KeyRange]) -> tuple[pl.DataFrame, int]:
    """Rows with ROW_COLUMNS of the lines in these ranges of keys, and how many lines are damaged.

    A line whose key cannot be made out counts as damaged wherever it stands.
    """
    return _table(_file_rows(content, ranges))


def server_rows(content: bytes) -> tuple[pl.DataFrame, int]:
    """Rows with ROW_COLUMNS of lines that are JSON objects, and how many are damaged."""
    return _table(_server_row(line) for line in _lines(content))


def _file_rows(content: bytes, ranges: list[KeyRange]) -> Iterator[_Row | None]:
    starts = [each.start.encode() for each in ranges]
    ends = [each.end.encode() for each in ranges]
    for line in _lines(content):
        key, _, rest = line.partition(b" ")
        timestamp, space, body = rest.partition(b" ")
        if not space or not _is_timestamp(timestamp):
            yield None
            continue
        if ranges:
            place = bisect_right(starts, key) - 1
            if place < 0 or key >= ends[place]:
                continue
        value = _object(body)
        yield None if value is None else (key.decode(errors="replace"), timestamp.decode(), *_fields(value))


def _server_row(line: bytes) -> _Row | None:
    value = _object(line)
    if value is None:
        return None
    key, timestamp = value.get("urlkey"), value.get("timestamp")
    if not isinstance(key, str) or not isinstance(timestamp, str) or not _is_timestamp(timestamp.encode()):
        return None
    return (key, timestamp, *_fields(value))


def _lines(content: bytes) -> Iterator[bytes]:
    """The lines that are not blank, without their ends."""
    return (line for line in map(bytes.strip, content.split(b"\n")) if line)


def _is_timestamp(text: bytes) -> bool:
    return len(text) == _TIMESTAMP_DIGITS and text.isdigit()


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    return value if isinstance(value, dict) else None


def _fields(value: dict[str, Any]) -> _Row:
    """As text: most writers put numbers between quotation marks, some do not."""
    found = (value.get(name) for name in _NAMES)
    return tuple(str(each) if isinstance(each, str | int) else None for each in found)


def _table(rows: Iterable[_Row | None]) -> tuple[pl.DataFrame, int]:
    good: list[_Row] = []
    num_bad = 0
    for row in rows:
        if row is None:
            num_bad += 1
        else:
            good.append(row)
    columns = zip(*good, strict=True) if good else ((),) * len(ROW_COLUMNS)
    table = pl.DataFrame(
        [pl.Series(name, column, dtype=pl.String) for name, column in zip(ROW_COLUMNS, columns, strict=True)]
    )
    return table.with_columns(pl.col(_NUMBERS).str.strip_chars().cast(pl.Int64, strict=False)), num_bad
