"""Parquet in batches: only the columns asked for, a few rows at a time however large a row group is."""

from collections.abc import Callable, Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline_lib.text_files.batches import Columns, TextBatch, derived_ids, no_text_column
from pipeline_lib.text_files.opening import TextFileError

# Read at once and then gathered to a batch: long documents may stand together, so rows say little about bytes.
_MAX_ROWS_AT_ONCE = 128
_BYTES_A_ROW = 4096
_BYTES_AT_ONCE = 8 << 20
_BUFFER_BYTES = 1 << 20  # without a buffer, a column of a row group is read whole


class ParquetTexts:
    """The reader of one file; opening it checks its columns."""

    def __init__(self, file: str, source: Any, columns: Columns, digest: Callable[[], str]) -> None:
        self.file = file
        self.columns = columns
        self._digest = digest
        try:
            self._parquet = pq.ParquetFile(source, pre_buffer=False, buffer_size=_BUFFER_BYTES)
            self._schema: pa.Schema = self._parquet.schema_arrow
            num_rows = self._parquet.metadata.num_rows
        except Exception as error:  # a file system's own errors, too
            raise TextFileError(f"{file} is not a whole Parquet file: {error}. Fetch or write it again") from error
        if num_rows == 0:
            raise TextFileError(f"{file} holds no documents (0 rows): leave it out, or write it again")
        names = self._schema.names
        if columns.text_field not in names:
            raise no_text_column(file, columns.text_field, names)
        self._id_column = columns.id_column(file, names)
        self._extra = tuple(dict.fromkeys(name for name in columns.extra if name in names))
        self._check_types()

    def read(self, batch_bytes: int) -> Iterator[TextBatch]:
        """Batches of at least `batch_bytes` of text, but for the last, ended by the first rows that reach it.

        Raises:
            TextFileError: says which row is wrong, the first being 1.
        """
        first_row = num_rows = num_bytes = 0
        pieces: list[pa.Table] = []
        for piece in self._pieces(self._rows_at_once(batch_bytes)):
            pieces.append(self._checked(piece, first_row + num_rows))
            num_rows += piece.num_rows
            num_bytes += pieces[-1].nbytes
            if num_bytes >= batch_bytes:
                yield self._batch(pieces, first_row)
                first_row, num_rows, num_bytes, pieces = first_row + num_rows, 0, 0, []
        if pieces:
            yield self._batch(pieces, first_row)

    def _check_types(self) -> None:
        text = self._type_of(self.columns.text_field)
        if not _is_text(text):
            raise TextFileError(
                f"{self.file}: the column {self.columns.text_field!r} is {text}, expected text; "
                "name another as the field of texts"
            )
        if self._id_column is not None:
            kind = self._type_of(self._id_column)
            if not (_is_text(kind) or _is_number(kind)):
                raise TextFileError(
                    f"{self.file}: the ids in column {self._id_column!r} are {kind}, expected text or numbers; "
                    "name another as the field of ids"
                )
        for name in self._extra:
            if _extra_type(self._type_of(name)) is None:
                raise TextFileError(
                    f"{self.file}: the column {name!r} is {self._type_of(name)}, expected text, numbers, times or "
                    "true/false"
                )

    def _rows_at_once(self, batch_bytes: int) -> int:
        metadata = self._parquet.metadata
        groups = [metadata.row_group(index) for index in range(metadata.num_row_groups)]
        mean_row_bytes: int = max(group.total_byte_size // max(1, group.num_rows) for group in groups)
        num_rows = min(_MAX_ROWS_AT_ONCE, batch_bytes // _BYTES_A_ROW, _BYTES_AT_ONCE // max(1, mean_row_bytes))
        return max(1, num_rows)

    def _type_of(self, name: str) -> pa.DataType:
        found = self._schema.get_all_field_indices(name)
        if len(found) > 1:
            raise TextFileError(f"{self.file}: {len(found)} columns are called {name!r}; rename all but one")
        return self._schema.field(name).type

    def _pieces(self, num_rows: int) -> Iterator[pa.RecordBatch]:
        wanted = [self.columns.text_field, *self._extra]
        if self._id_column is not None:
            wanted.append(self._id_column)
        # no threads of its own: batches are already worked on in parallel
        batches = self._parquet.iter_batches(num_rows, columns=list(dict.fromkeys(wanted)), use_threads=False)
        row = 0
        while True:
            try:
                batch = next(batches, None)
            except Exception as error:  # a file system's own errors, too
                raise TextFileError(
                    f"{self.file} cannot be read from row {row + 1} on: {error}. Fetch or write it again"
                ) from error
            if batch is None:
                return
            yield batch
            row += batch.num_rows

    def _checked(self, piece: pa.RecordBatch, first_row: int) -> pa.Table:
        """`text`, `id` where ids are not derived, and the extra columns by number."""
        columns = {"text": self._text(piece, self.columns.text_field, first_row, nullable=False)}
        if self._id_column is not None:
            kind = self._type_of(self._id_column)
            if _is_text(kind):
                columns["id"] = self._text(piece, self._id_column, first_row, nullable=False)
            else:
                columns["id"] = self._number_ids(piece.column(self._id_column), first_row)
        for index, name in enumerate(self._extra):
            target = _extra_type(self._type_of(name))
            if target == pa.large_string() and _is_text(self._type_of(name)):
                columns[str(index)] = self._text(piece, name, first_row, nullable=True)
            else:
                columns[str(index)] = piece.column(name).cast(target, safe=False)
        return pa.table(columns)

    def _text(self, piece: pa.RecordBatch, name: str, first_row: int, nullable: bool) -> pa.Array:
        values = piece.column(name).cast(pa.large_string())
        if values.null_count and not nullable:
            raise self._null(name, first_row + pc.index(values.is_null(), True).as_py())
        try:
            values.validate(full=True)
        except pa.ArrowInvalid as error:
            for row, value in enumerate(values.cast(pa.large_binary()), first_row + 1):
                content = value.as_buffer()
                try:
                    content is None or bytes(content).decode()
                except UnicodeDecodeError as wrong:
                    raise TextFileError(
                        f"{self.file}, row {row}: byte {wrong.start + 1} of {name!r} "
                        f"(0x{content[wrong.start]:02x}) is not UTF-8; write the file again with the text mended"
                    ) from wrong
            raise TextFileError(
                f"{self.file}: the column {name!r} is damaged after row {first_row}: {error}"
            ) from error
        return values

    def _number_ids(self, values: pa.Array, first_row: int) -> pa.Array:
        if pa.types.is_floating(values.type):
            values = pc.if_else(pc.is_finite(values), values, pa.scalar(None, values.type))
        if values.null_count:
            raise self._null(str(self._id_column), first_row + pc.index(values.is_null(), True).as_py())
        return values.cast(pa.large_string())

    def _null(self, name: str, row: int) -> TextFileError:
        return TextFileError(
            f"{self.file}, row {row + 1}: {name!r} is null; expected a value in every row: "
            "remove or mend the row, or name another column"
        )

    def _batch(self, pieces: list[pa.Table], first_row: int) -> TextBatch:
        table = pa.concat_tables(pieces).combine_chunks()
        extra = table.select([str(index) for index in range(len(self._extra))])
        return TextBatch(
            file=self.file,
            first_row=first_row,
            ids=table["id"] if self._id_column is not None else derived_ids(first_row, table.num_rows, self._digest),
            texts=table["text"],
            extra=extra.rename_columns(list(self._extra)),
        )


def _is_text(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind):
        return _is_text(kind.value_type)
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_number(kind: pa.DataType) -> bool:
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _extra_type(kind: pa.DataType) -> pa.DataType | None:
    """What a column is read as beside the text; None: not at all."""
    if _is_text(kind) or pa.types.is_temporal(kind):
        return pa.large_string()
    if _is_number(kind):
        return pa.float64()
    return kind if pa.types.is_boolean(kind) or pa.types.is_null(kind) else None
