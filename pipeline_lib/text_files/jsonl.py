"""JSON Lines in batches: one JSON object a line, of which only the fields asked for matter.

orjson reads the lines. What it refuses though Python's own parser takes it (NaN, numbers beyond 64 bits as ids,
half surrogate pairs in fields that nobody asked for) is read once more by that, which also finds what is wrong.
"""

import io
import json
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import orjson
import pyarrow as pa

from pipeline_lib.text_files.batches import ID_COLUMNS, Columns, TextBatch, derived_ids, no_text_column
from pipeline_lib.text_files.opening import TextFileError, advice, read_exactly

# One document is read whole: a file without line breaks must not fill the memory.
MAX_LINE_BYTES = 256 << 20

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_PIECE_BYTES = 1 << 20
_CHUNK_CHARS = 4 << 20  # of Python text, up to four bytes a character, alive at once
_SHOWN_BYTES = 60


class _Number(str):
    """A number as it is spelled."""

    __slots__ = ()


class JsonLines:
    """The reader of one file; it remembers what the first documents said about the columns."""

    def __init__(self, file: str, columns: Columns, digest: Callable[[], str]) -> None:
        self.file = file
        self.columns = columns
        self._digest = digest
        self._id_column: str | None = None
        self._kinds: dict[str, pa.DataType] = {}

    def read(self, stream: Any, batch_bytes: int) -> Iterator[TextBatch]:
        """Batches, each ended by the line with which its lines reach `batch_bytes`.

        Raises:
            TextFileError: says which line is wrong, the first being 1.
        """
        first_row = num_bytes = 0
        rows = _Rows(self.columns.extra)
        for number, line in enumerate(self._lines(stream, min(batch_bytes, _PIECE_BYTES)), 1):
            num_bytes += len(line)
            try:
                row = orjson.loads(line)
            except orjson.JSONDecodeError:
                if not line.strip():
                    continue
                row = self._read_slowly(line, number)
            if type(row) is not dict:
                raise self._not_an_object(line, number, f"it is {_named(row)}")
            if not first_row and not rows.lines:
                self._look_at_first(row, number)
            text = row.get(self.columns.text_field)
            if type(text) is not str:
                raise self._no_text(row, number)
            rows.texts.append(text)
            if self._id_column is not None:
                document = row.get(self._id_column)
                rows.ids.append(document if type(document) is str else self._id_text(document, line, number))
            elif "id" in row or "doc_id" in row:
                raise self._id_without_column(row, number)
            for name, values in rows.extra.items():
                values.append(row.get(name))
            rows.lines.append(number)
            if num_bytes >= batch_bytes:
                del line, row, text
                yield self._batch(rows, first_row)
                first_row, num_bytes, rows = first_row + len(rows.lines), 0, _Rows(self.columns.extra)
        if rows.lines:
            yield self._batch(rows, first_row)
        elif first_row == 0:
            raise TextFileError(f"{self.file} holds no documents: leave it out, or write it again")

    def _lines(self, stream: Any, piece_bytes: int) -> Iterator[bytes]:
        """The lines of the file, read a piece at a time."""
        num_lines = 0
        begun: list[bytes] = []  # pieces of a line that has not ended
        num_begun = 0
        piece = self._without_mark(read_exactly(self.file, stream, piece_bytes), stream)
        while piece:
            cut = piece.rfind(b"\n") + 1
            if cut:
                whole = piece[:cut]
                yield from io.BytesIO(b"".join([*begun, whole]) if begun else whole)
                num_lines += whole.count(b"\n")
                piece, begun, num_begun = piece[cut:], [], 0
            if piece:
                begun.append(piece)
                num_begun += len(piece)
            if num_begun > MAX_LINE_BYTES:
                raise TextFileError(
                    f"{self.file}, line {num_lines + 1}: the line is longer than {MAX_LINE_BYTES >> 20} MiB; "
                    + ("split the document" if num_lines else advice(begun[0][:_SHOWN_BYTES]))
                )
            piece = read_exactly(self.file, stream, piece_bytes)
        if begun:
            yield b"".join(begun)

    def _without_mark(self, piece: bytes, stream: Any) -> bytes:
        """The first bytes of the file, without a byte order mark."""
        if 0 < len(piece) < len(_BYTE_ORDER_MARK) and _BYTE_ORDER_MARK.startswith(piece):
            piece += read_exactly(self.file, stream, len(_BYTE_ORDER_MARK) - len(piece))
        return piece.removeprefix(_BYTE_ORDER_MARK) or read_exactly(self.file, stream, 1)

    def _batch(self, rows: "_Rows", first_row: int) -> TextBatch:
        num_rows = len(rows.lines)
        columns = {name: self._extra_column(name, values, rows.lines) for name, values in rows.extra.items()}
        return TextBatch(
            file=self.file,
            first_row=first_row,
            ids=derived_ids(first_row, num_rows, self._digest) if self._id_column is None else rows.ids.column(),
            texts=pa.chunked_array([rows.texts.column()]),
            extra=_table({name: column for name, column in columns.items() if column is not None}, num_rows),
        )

    def _look_at_first(self, row: dict[str, Any], number: int) -> None:
        names = list(row)
        if self.columns.text_field not in row:
            raise no_text_column(self.file, self.columns.text_field, names, f", line {number}")
        self._id_column = self.columns.id_column(f"{self.file}, line {number}", names)

    def _read_slowly(self, line: bytes, number: int) -> Any:
        """A line that orjson refused: what Python's parser makes of it.

        Raises:
            TextFileError: says what is wrong with it.
        """
        try:
            decoded = line.decode()
        except UnicodeDecodeError as error:
            hint = advice(line) if number == 1 else "write the file as UTF-8"
            raise TextFileError(
                f"{self.file}, line {number}: byte {error.start + 1} of the line (0x{line[error.start]:02x}) is not "
                f"UTF-8; {hint}"
            ) from error
        try:
            row = json.loads(decoded, parse_int=_Number, parse_float=_Number, parse_constant=_Number)
        except RecursionError as error:
            raise self._not_an_object(line, number, "its values are nested too deeply") from error
        except ValueError as error:
            raise self._not_an_object(line, number, str(error)) from error
        if isinstance(row, dict):
            for name in (self.columns.text_field, *self._id_columns(), *self.columns.extra):
                self._check_whole(row.get(name), name, number)
        return row

    def _id_columns(self) -> tuple[str, ...]:
        return ID_COLUMNS if self.columns.id_field is None else (self.columns.id_field,)

    def _check_whole(self, value: Any, name: str, number: int) -> None:
        if not isinstance(value, str):
            return
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise TextFileError(
                f"{self.file}, line {number}: {name!r} has \\u{ord(value[error.start]):04x} at character "
                f"{error.start + 1}, half of a surrogate pair, which no UTF-8 text can hold; remove or replace it"
            ) from error

    def _not_an_object(self, line: bytes, number: int, why: str) -> TextFileError:
        shown = line[:_SHOWN_BYTES].decode(errors="replace").rstrip("\r\n")
        hint = advice(line) if number == 1 else "expected one JSON object a line; remove or mend the line"
        return TextFileError(f"{self.file}, line {number}: no JSON object ({why}): {shown!r}; {hint}")

    def _no_text(self, row: dict[str, Any], number: int) -> TextFileError:
        name = self.columns.text_field
        if name not in row:
            return no_text_column(self.file, name, list(row), f", line {number}")
        return TextFileError(
            f"{self.file}, line {number}: {name!r} is {_named(row[name])}, expected text; "
            "remove or mend the line, or name another field of texts"
        )

    def _id_text(self, value: Any, line: bytes, number: int) -> str:
        """The id of a line where it is not text."""
        name = self._id_column
        if type(value) is _Number:
            return str(value)
        if type(value) is int:
            return str(value)
        if type(value) is float:  # as it is spelled: this also has all digits of numbers beyond 64 bits
            return self._id_text(self._read_slowly(line, number)[name], line, number)
        raise TextFileError(
            f"{self.file}, line {number}: the id {name!r} is {'missing' if value is None else _named(value)}, expected "
            "text or a number on every line; mend the line, or name another field of ids"
        )

    def _id_without_column(self, row: dict[str, Any], number: int) -> TextFileError:
        name = next(name for name in ID_COLUMNS if name in row)
        return TextFileError(
            f"{self.file}, line {number}: here is an id, {name!r}, and before there was none; "
            "give an id to every document or to none"
        )

    def _extra_column(self, name: str, values: list[Any], lines: list[int]) -> pa.Array | None:
        """None where no row has a value."""
        kind = self._kinds.get(name)
        for found in dict.fromkeys(map(type, values)):
            if found is type(None):
                continue
            new = _KINDS.get(found)
            if new is None or (kind is not None and new != kind):
                row = next(row for row, value in enumerate(values) if type(value) is found)
                before = f" and on other lines {_KIND_NAMES[kind]}" if kind is not None and new is not None else ""
                raise TextFileError(
                    f"{self.file}, line {lines[row]}: {name!r} is {_named(values[row])}{before}; expected text, "
                    "a number or true/false, the same on all lines"
                )
            kind = new
        if kind is None:
            return None
        self._kinds[name] = kind
        if all(value is None for value in values):
            return None
        if kind == pa.float64():
            values = [None if value is None else float(value) for value in values]
        return pa.array(values, kind)


def line_objects(file: str, stream: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every object of a file, whole, with the number of its line; blank lines are passed over.

    Raises:
        TextFileError: says which line is no JSON object.
    """
    reader = JsonLines(file, Columns(text_field="", id_field=None, extra=()), str)
    for number, line in enumerate(reader._lines(stream, _PIECE_BYTES), 1):
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError:
            if not line.strip():
                continue
            row = reader._read_slowly(line, number)
        if type(row) is not dict:
            raise reader._not_an_object(line, number, f"it is {_named(row)}")
        yield number, row


_KINDS = {
    str: pa.large_string(),
    int: pa.float64(),
    float: pa.float64(),
    _Number: pa.float64(),
    bool: pa.bool_(),
}
_KIND_NAMES = {pa.large_string(): "text", pa.float64(): "a number", pa.bool_(): "true or false"}


class _Strings:
    """A column of texts in the making; Python's own are let go every few megabytes."""

    def __init__(self) -> None:
        self._values: list[str] = []
        self._num_chars = 0
        self._chunks: list[pa.Array] = []

    def append(self, value: str) -> None:
        self._values.append(value)
        self._num_chars += len(value)
        if self._num_chars > _CHUNK_CHARS:
            self._flush()

    def column(self) -> pa.Array:
        if self._values or not self._chunks:
            self._flush()
        return self._chunks[0] if len(self._chunks) == 1 else pa.concat_arrays(self._chunks)

    def _flush(self) -> None:
        self._chunks.append(pa.array(self._values, pa.large_string()))
        self._values, self._num_chars = [], 0


class _Rows:
    """The documents of a batch in the making, and the lines they are on."""

    def __init__(self, extra: Sequence[str]) -> None:
        self.texts = _Strings()
        self.ids = _Strings()
        self.extra: dict[str, list[Any]] = {name: [] for name in extra}
        self.lines: list[int] = []


def _table(columns: dict[str, pa.Array], num_rows: int) -> pa.Table:
    """A table that knows its number of rows even without columns."""
    if columns:
        return pa.table(columns)
    return pa.table({"": pa.nulls(num_rows)}).select([])


def _named(value: Any) -> str:
    """What kind of JSON value it is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float | _Number):
        return "a number"
    if isinstance(value, list):
        return "a list"
    return "an object" if isinstance(value, dict) else "text"
