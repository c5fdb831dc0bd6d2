"""Rows of JSON Lines and Parquet files as candidates: texts from elsewhere, to be mixed with a crawl.

Unlike `pipeline_lib.text_files`, which refuses a file with a wrong row, this counts the row and reads on.
"""

import tempfile
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO, cast

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline_lib.crawl.remote import FetchFailed
from pipeline_lib.extract.candidates import Candidate, Item
from pipeline_lib.extract.page_frames import Page
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.text_files.batches import no_text_column
from pipeline_lib.text_files.times import TIME_COLUMNS, utc_time

_URL_COLUMNS = ("url",)
_TITLE_COLUMNS = ("title",)
_ROWS_AT_ONCE = 128  # long texts may stand together
_COPY_BYTES = 1 << 20
_PARQUET = b"PAR1"
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

Row = Mapping[str, Any]


def text_items(stream: BinaryIO, source: Row, parameters: ExtractParameters) -> Iterator[Item]:
    """The rows of a file of texts, in order; what the file is, its first bytes say.

    A row has its text in the column `text_field`, and may have `url`, `title` and a date. Rows that have no text are
    candidates with a reason: `bad_json` (a line that is no JSON object), `no_text` (missing or null),
    `text_not_string`, `empty_text`, `row_too_large`. Where the file is damaged, its rest is one, `damaged_text_file`.

    Raises:
        TextFileError: a Parquet file has no column of that name.
        FetchFailed: a server stopped giving the file; the rows before have been given.
    """
    head = _peeked(stream, len(_PARQUET))
    number = 0
    try:
        if head == _PARQUET:
            rows = _parquet_rows(head, stream, source, parameters)
        else:
            rows = _json_rows(head, stream, parameters.max_body_bytes)
        for number, row in enumerate(rows, 1):
            yield _item(row, number - 1, source, parameters)
    except _Damaged:
        yield _rejected(source, number, "damaged_text_file")


class _Damaged(Exception):
    """From here on, nothing in the file can be read."""


class _BadRow(dict[str, Any]):
    """A row of which no more is known than what is wrong with it."""

    def __init__(self, reason: str) -> None:
        super().__init__()
        self.reason = reason


def _item(row: Row, number: int, source: Row, parameters: ExtractParameters) -> Item:
    url = next((row[name] for name in _URL_COLUMNS if isinstance(row.get(name), str)), None)
    title = next((row[name] for name in _TITLE_COLUMNS if isinstance(row.get(name), str)), "")
    text, reason = row.get(parameters.text_field), None
    encoded = b""
    if isinstance(row, _BadRow):
        reason = row.reason
    elif text is None:
        reason = "no_text"
    elif not isinstance(text, str):
        reason = "text_not_string"
    elif not text or text.isspace():
        reason = "empty_text"
    else:
        encoded = text.encode(errors="replace")  # half of a surrogate pair
        reason = "row_too_large" if len(encoded) > parameters.max_body_bytes else None
    candidate = Candidate(
        warc_path=source["warc_path"],
        offset=number,
        length=1,
        record_type="text",
        url=None if url is None else url.encode(errors="replace").decode(),
        fetched_at=next((found for name in TIME_COLUMNS if (found := utc_time(row.get(name))) is not None), None),
        mime="text/plain",
        reason=reason,
    )
    if reason is not None:
        return candidate, None
    return candidate, Page(
        kind="text", body=encoded, mime=candidate.mime, title=title.encode(errors="replace").decode()
    )


def _rejected(source: Row, number: int, reason: str) -> Item:
    candidate = Candidate(
        warc_path=source["warc_path"], offset=number, length=0, record_type="unknown", url=None, reason=reason
    )
    return candidate, None


def _peeked(stream: BinaryIO, size: int) -> bytes:
    """The first bytes, fewer only of a shorter file."""
    head = b""
    while len(head) < size and (chunk := stream.read(size - len(head))):
        head += chunk
    return head


class _Joined:
    """A stream whose first bytes were read already."""

    closed = False

    def __init__(self, head: bytes, stream: BinaryIO) -> None:
        self._head = head
        self._stream = stream
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        if self._head and size != 0:
            size = len(self._head) if size < 0 else size
            chunk, self._head = self._head[:size], self._head[size:]
            return chunk
        try:
            return self._stream.read(size)
        except Exception as error:
            self.error = error  # so that nobody on its way takes it for damaged content
            raise

    def close(self) -> None:
        """Whoever opened the stream closes it."""


def _json_rows(head: bytes, stream: BinaryIO, max_bytes: int) -> Iterator[Row]:
    for line in _lines(head, stream, 2 * max_bytes):  # a text may be spelled at length
        if line is None:
            yield _BadRow("row_too_large")
            continue
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            yield _BadRow("bad_json")
            continue
        yield row if isinstance(row, dict) else _BadRow("bad_json")


def _lines(head: bytes, stream: BinaryIO, max_bytes: int) -> Iterator[bytes | None]:
    """Lines without their ends; None for one that is longer than can be kept.

    Raises:
        _Damaged: compressed data that cannot be read on; the lines before it have been given.
    """
    joined = _Joined(head, stream)
    compression = next((name for magic, name in _COMPRESSIONS.items() if head.startswith(magic)), None)
    plain: Any = joined
    if compression is not None:
        plain = pa.CompressedInputStream(pa.PythonFile(joined, mode="r"), compression)
    begun = bytearray()
    is_first = True
    is_long = False
    while True:
        try:
            chunk = plain.read(_COPY_BYTES)
        except Exception as error:
            if joined.error is not None:
                raise joined.error from None
            raise _Damaged from error
        if not chunk:
            break
        if is_first:
            chunk, is_first = chunk.removeprefix(_BYTE_ORDER_MARK), False
        first, *others = chunk.split(b"\n")
        if not is_long:
            begun += first
        if others:
            yield None if is_long else bytes(begun)
            yield from others[:-1]
            begun, is_long = bytearray(others[-1]), False
        elif len(begun) > max_bytes:
            begun, is_long = bytearray(), True
    if is_long:
        yield None
    elif begun:
        yield bytes(begun)


def _parquet_rows(head: bytes, stream: BinaryIO, source: Row, parameters: ExtractParameters) -> Iterator[Row]:
    with tempfile.TemporaryFile() as copy:
        seekable: Any = stream
        if stream.seekable() and source["position"] == 0 and source["length"] < 0:
            stream.seek(0)
        else:  # Parquet begins to be read at its end
            seekable = copy
            copy.write(head)
            while chunk := stream.read(_COPY_BYTES):
                copy.write(chunk)
        try:
            parquet = pq.ParquetFile(seekable, pre_buffer=False, buffer_size=_COPY_BYTES)
            names = parquet.schema_arrow.names
        except (pa.ArrowException, OSError, ValueError) as error:
            raise _Damaged from error
        if parameters.text_field not in names:
            raise no_text_column(source["warc_path"], parameters.text_field, names)
        wanted = (parameters.text_field, *_URL_COLUMNS, *TIME_COLUMNS, *_TITLE_COLUMNS)
        columns = [name for name in dict.fromkeys(wanted) if name in names]
        batches = parquet.iter_batches(_ROWS_AT_ONCE, columns=columns, use_threads=False)
        while True:
            try:
                batch = next(batches, None)
            except (pa.ArrowException, OSError, ValueError) as error:
                if isinstance(error, FetchFailed):
                    raise
                raise _Damaged from error
            if batch is None:
                return
            yield from _rows_of(batch)


def _rows_of(batch: pa.RecordBatch) -> Iterator[Row]:
    columns = {name: _values(column) for name, column in zip(batch.schema.names, batch.columns, strict=True)}
    for number in range(batch.num_rows):
        yield {name: values[number] for name, values in columns.items()}


def _values(column: pa.Array) -> list[Any]:
    """The values of a column; texts that are no UTF-8 keep what can be read of them."""
    try:
        return cast(list[Any], column.to_pylist())
    except (UnicodeDecodeError, ValueError, OverflowError):
        return [_value(each) for each in column]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except UnicodeDecodeError:
        return bytes(scalar.as_buffer()).decode(errors="replace")
    except (ValueError, OverflowError):  # a time that Python has no date for
        return None
