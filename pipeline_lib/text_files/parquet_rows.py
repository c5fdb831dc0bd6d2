"""All rows of a Parquet file, and rows copied with all their columns.

Texts and ids are kept in the scratch folder as they were read, uncompressed: what is asked for later is found there by
its row, where Parquet would decompress whole pages for it.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.text_files.batches import no_text_column
from pipeline_lib.text_files.opening import TextFileError
from pipeline_lib.text_files.rows import DOCUMENT, NO_TEXT, ROW_DOCUMENTS, TEXT_NOT_UTF8, Numbers, RowFields, Rows
from pipeline_lib.text_files.times import UTC_MILLISECONDS, utc_times

# Read at once and then gathered: long documents may stand together, so rows say little about bytes.
_ROWS_AT_ONCE = 256
PIECE_BYTES = 8 << 20
_ROW_GROUP_BYTES = 32 << 20
_KEPT = pa.schema([ROW_DOCUMENTS.field("text"), ROW_DOCUMENTS.field("id")])
_BUFFER_BYTES = 1 << 20  # without a buffer, a column of a row group is read whole


@dataclass(frozen=True, kw_only=True)
class TablePiece:
    """Rows that follow each other, some of their columns."""

    first_row: int
    table: pa.Table

    @property
    def num_rows(self) -> int:
        return int(self.table.num_rows)


class ParquetRows:
    """The rows of one file; see `RowFile`."""

    suffix = ".parquet"

    def __init__(self, file: str, local: Path, fields: RowFields, scratch: Path) -> None:
        """`file`: what it is called in messages; `local`: where it is read."""
        self.file = file
        self._local = local
        self._fields = fields
        self._kept = scratch / "texts.arrow"  # a row a row of the file

    def pieces(self) -> Generator[TablePiece, None, None]:
        with self._opened() as parquet:
            self._check(parquet.schema_arrow)
            names = [name for name in self._fields.names if name in parquet.schema_arrow.names]
            yield from self._pieces(parquet, names, PIECE_BYTES)

    def rows(self, piece: TablePiece) -> Rows:
        fields, names = self._fields, piece.table.column_names
        text = piece.table[fields.text_field].combine_chunks().cast(pa.large_string())
        reasons = np.full(piece.num_rows, DOCUMENT, np.uint8)
        reasons[text.is_null().to_numpy(zero_copy_only=False)] = NO_TEXT
        reasons[_not_utf8(text)] = TEXT_NOT_UTF8
        is_document = pa.array(reasons == DOCUMENT)
        table = piece.table.filter(is_document)

        def column(name: str | None) -> pa.Array | None:
            return table[name].combine_chunks() if name is not None and name in names else None

        columns = {
            "text": text.filter(is_document),
            "id": _first(pa.large_string(), [_texts(column(name)) for name in fields.id_fields]),
            "url": _first(pa.large_string(), [_texts(column(fields.url_field), with_numbers=False)]),
            "fetched_at": _first(UTC_MILLISECONDS, [_times(column(name)) for name in fields.time_fields]),
            "quality": _first(pa.float64(), [_floats(column(fields.quality_field))]),
        }
        lengths = {name: pa.nulls(table.num_rows, ROW_DOCUMENTS.field(name).type) for name in columns}
        filled = {name: lengths[name] if column is None else column for name, column in columns.items()}
        filled["quality"] = filled["quality"].fill_null(float("nan"))
        return Rows(reasons=reasons, documents=pa.table(filled, schema=ROW_DOCUMENTS))

    @contextmanager
    def remembering(self) -> Iterator[Callable[[TablePiece, Rows], None]]:
        with pa.ipc.new_file(str(self._kept), _KEPT) as writer:

            def remember(_: TablePiece, rows: Rows) -> None:
                texts, ids = rows.documents["text"], rows.documents["id"]
                is_document = rows.reasons == DOCUMENT
                if not is_document.all():
                    numbers = pa.array(np.cumsum(is_document) - 1, mask=~is_document)
                    texts, ids = texts.take(numbers).fill_null(""), ids.take(numbers)
                writer.write_table(pa.table([texts, ids], schema=_KEPT))

            yield remember

    def names(self, piece: TablePiece) -> Sequence[str]:
        return tuple(piece.table.column_names)

    def texts(self, rows: Numbers) -> pa.Array:
        return self._take("text", rows)

    def ids(self, rows: Numbers) -> pa.Array:
        return self._take("id", rows)

    def _take(self, column: str, rows: Numbers) -> pa.Array:
        if len(rows) == 0:
            return pa.array([], pa.large_string())
        taken, first = [], 0
        with pa.memory_map(str(self._kept)) as file, pa.ipc.open_file(file) as reader:
            for number in range(reader.num_record_batches):
                batch = reader.get_batch(number)
                begin, end = np.searchsorted(rows, [first, first + batch.num_rows])
                if begin < end:
                    taken.append(batch[column].take(pa.array(rows[begin:end] - first)))
                first += batch.num_rows
        return pa.concat_arrays(taken)

    def copy(self, wanted: npt.NDArray[np.bool_], target: Path) -> None:
        num_rows, num_bytes = 0, 0
        gathered: list[pa.Table] = []
        with ExitStack() as stack:
            parquet = stack.enter_context(self._opened())
            schema = parquet.schema_arrow
            writer = stack.enter_context(
                pq.ParquetWriter(
                    target, schema, compression="zstd", compression_level=3, store_schema=True, write_page_checksum=True
                )
            )
            for piece in self._pieces(parquet, None, PIECE_BYTES):
                chosen = wanted[piece.first_row : piece.first_row + piece.num_rows]
                num_rows += piece.num_rows
                if len(chosen) < piece.num_rows:
                    break
                gathered.append(piece.table.filter(pa.array(chosen)))
                num_bytes += gathered[-1].nbytes
                if num_bytes >= _ROW_GROUP_BYTES:
                    writer.write_table(pa.concat_tables(gathered))
                    gathered, num_bytes = [], 0
            if gathered:
                writer.write_table(pa.concat_tables(gathered))
        if num_rows != len(wanted):
            raise TextFileError(f"{self.file} changed while it was read: leave it alone until the end, and run again")

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        with self._local.open("rb") as source:
            try:
                parquet = pq.ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER_BYTES)
                _ = parquet.schema_arrow
            except Exception as error:  # a file system's own errors, too
                raise TextFileError(
                    f"{self.file} is not a whole Parquet file: {error}. Fetch or write it again"
                ) from error
            yield parquet

    def _check(self, schema: pa.Schema) -> None:
        text = self._fields.text_field
        if text not in schema.names:
            raise no_text_column(self.file, text, schema.names)
        for name in self._fields.names:
            count = len(schema.get_all_field_indices(name))
            if count > 1:
                raise TextFileError(f"{self.file}: {count} columns are called {name!r}; rename all but one")
        if not _is_text(schema.field(text).type):
            raise TextFileError(
                f"{self.file}: the column {text!r} is {schema.field(text).type}, expected text; "
                "name another as the field of texts"
            )

    def _pieces(self, parquet: pq.ParquetFile, names: Sequence[str] | None, piece_bytes: int) -> Iterator[TablePiece]:
        # no threads of its own: files and pieces are already worked on in parallel
        batches = parquet.iter_batches(_ROWS_AT_ONCE, columns=None if names is None else list(names), use_threads=False)
        first_row = num_rows = num_bytes = 0
        gathered: list[Any] = []
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:  # a file system's own errors, too
                raise TextFileError(
                    f"{self.file} cannot be read from row {first_row + num_rows + 1} on: {error}. "
                    "Fetch or write it again"
                ) from error
            if batch is not None:
                gathered.append(batch)
                num_rows += batch.num_rows
                num_bytes += batch.nbytes
            if gathered and (batch is None or num_bytes >= piece_bytes):
                yield TablePiece(first_row=first_row, table=pa.Table.from_batches(gathered))
                first_row, num_rows, num_bytes, gathered = first_row + num_rows, 0, 0, []
            if batch is None:
                return


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _not_utf8(texts: pa.Array) -> npt.NDArray[np.bool_]:
    """Which of the texts are not UTF-8."""
    result = np.zeros(len(texts), bool)
    try:
        texts.validate(full=True)
    except pa.ArrowInvalid:
        for row, value in enumerate(texts.cast(pa.large_binary())):
            content = value.as_buffer()
            try:
                content is None or bytes(content).decode()
            except UnicodeDecodeError:
                result[row] = True
    return result


def _first(kind: pa.DataType, columns: Sequence[pa.Array | None]) -> pa.Array | None:
    """The first value in each row; None where there is no column."""
    there = [column.cast(kind) for column in columns if column is not None]
    return pc.coalesce(*there) if there else None


def _texts(column: pa.Array | None, *, with_numbers: bool = True) -> pa.Array | None:
    """Texts, null where they are not UTF-8, and numbers in decimal."""
    if column is not None and _is_text(column.type):
        texts = column.cast(pa.large_string())
        return pc.if_else(pa.array(_not_utf8(texts)), pa.scalar(None, pa.large_string()), texts)
    if column is not None and with_numbers and _is_number(column.type):
        return column.cast(pa.large_string())
    return None


def _times(column: pa.Array | None) -> pa.Array | None:
    if column is None or not (_is_text(column.type) or _is_number(column.type) or pa.types.is_temporal(column.type)):
        return None
    return utc_times(column.cast(pa.large_string()) if _is_text(column.type) else column)


def _floats(column: pa.Array | None) -> pa.Array | None:
    return None if column is None or not _is_number(column.type) else column.cast(pa.float64(), safe=False)
