"""All lines of a JSON Lines file: the fields of each found in place, and lines copied byte for byte."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels import json_lines
from pipeline_lib.kernels.arrow import Bytes, Offsets
from pipeline_lib.kernels.json_lines import Kinds, Spans, copy_ranges, copy_values, find_fields, find_lines
from pipeline_lib.text_files.opening import Compression, TextFileError, open_stream, read_exactly
from pipeline_lib.text_files.rows import (
    BAD_JSON,
    DOCUMENT,
    NO_TEXT,
    ROW_DOCUMENTS,
    ROW_TOO_LARGE,
    TEXT_NOT_STRING,
    RowFields,
    Rows,
)
from pipeline_lib.text_files.times import UTC_MILLISECONDS, utc_times

MAX_LINE_BYTES = 256 << 20  # a file without line breaks must not fill the memory

_PIECE_BYTES = 4 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TEXTS = np.array([json_lines.TEXT, json_lines.ESCAPED_TEXT], np.uint8)
_NUMBERS = np.array([json_lines.NUMBER], np.uint8)
_REASON_OF_KIND = np.full(8, TEXT_NOT_STRING, np.uint8)
_REASON_OF_KIND[[json_lines.NO_OBJECT, json_lines.MISSING, json_lines.NULL]] = BAD_JSON, NO_TEXT, NO_TEXT
_REASON_OF_KIND[_TEXTS] = DOCUMENT


@dataclass(frozen=True, kw_only=True)
class LinePiece:
    """Lines that follow each other: data[starts[i]:ends[i]] with their line breaks. Or one that is too long to be read,
    of which nothing is there."""

    first_row: int
    data: Bytes
    starts: Offsets
    ends: Offsets
    is_too_large: bool = False

    @property
    def num_rows(self) -> int:
        return 1 if self.is_too_large else len(self.starts)


class JsonRows:
    """The rows of one file; see `RowFile`."""

    suffix = ".jsonl.zst"

    def __init__(self, file: str, compression: Compression | None, fields: RowFields) -> None:
        self.file = file
        self._compression: Compression | None = compression
        self._fields = fields
        encoded = [name.encode() for name in fields.names]
        self._names = np.frombuffer(b"".join(encoded), np.uint8)
        self._name_offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)

    def pieces(self) -> Iterator[LinePiece]:
        first_row = 0
        nothing = np.zeros(0, np.int64)
        with open_stream(self.file, self._compression) as stream:
            for content in _whole_lines(self.file, stream):
                if content is None:
                    piece = LinePiece(
                        first_row=first_row, data=np.zeros(0, np.uint8), starts=nothing, ends=nothing, is_too_large=True
                    )
                else:
                    data = np.frombuffer(content, np.uint8)
                    starts, ends = find_lines(data)
                    piece = LinePiece(first_row=first_row, data=data, starts=starts, ends=ends)
                yield piece
                first_row += piece.num_rows

    def rows(self, piece: LinePiece) -> Rows:
        if piece.is_too_large:
            return Rows(reasons=np.array([ROW_TOO_LARGE], np.uint8), documents=ROW_DOCUMENTS.empty_table())
        fields, names = self._fields, self._fields.names
        kinds = np.empty((len(names), piece.num_rows), np.uint8)
        spans = np.empty((len(names), piece.num_rows, 2), np.int64)
        find_fields(piece.data, piece.starts, piece.ends, self._names, self._name_offsets, kinds, spans)
        text = names.index(fields.text_field)
        reasons = _REASON_OF_KIND[kinds[text]]
        found = _Found(piece.data, names, kinds[:, reasons == DOCUMENT], spans[:, reasons == DOCUMENT])
        columns = {
            "text": found.values(fields.text_field, _TEXTS),
            "id": found.ids(fields.id_fields),
            "url": found.nothing(pa.large_string())
            if fields.url_field is None
            else found.values(fields.url_field, _TEXTS),
            "fetched_at": found.times(fields.time_fields),
            "quality": found.numbers(fields.quality_field),
        }
        return Rows(reasons=reasons, documents=pa.table(columns, schema=ROW_DOCUMENTS))

    def names(self, piece: LinePiece) -> Sequence[str]:
        if piece.is_too_large or piece.num_rows == 0:
            return ()
        try:
            row = orjson.loads(bytes(piece.data[piece.starts[0] : piece.ends[0]]))
        except orjson.JSONDecodeError:
            return ()
        return tuple(row) if isinstance(row, dict) else ()

    def copy(self, wanted: npt.NDArray[np.bool_], target: Path) -> None:
        num_rows = 0
        with pa.OSFile(str(target), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            for piece in self.pieces():
                chosen = wanted[piece.first_row : piece.first_row + piece.num_rows]
                num_rows += piece.num_rows
                if len(chosen) < piece.num_rows:
                    break
                if not piece.is_too_large:
                    lines = np.empty(int((piece.ends - piece.starts)[chosen].sum()), np.uint8)
                    copy_ranges(piece.data, piece.starts, piece.ends, chosen, lines)
                    stream.write(lines)
        if num_rows != len(wanted):
            raise TextFileError(f"{self.file} changed while it was read: leave it alone until the end, and run again")


class _Found:
    """The values of M documents in the lines of a piece."""

    def __init__(self, data: Bytes, names: Sequence[str], kinds: Kinds, spans: Spans) -> None:
        self._data = data
        self._names = names
        self._kinds = kinds
        self._spans = spans

    def nothing(self, kind: pa.DataType) -> pa.Array:
        return pa.nulls(self._kinds.shape[1], kind)

    def values(self, name: str, wanted: Kinds) -> pa.Array:
        """large_string (M,), null where the value is of none of the wanted kinds."""
        field = self._names.index(name)
        kinds, spans = np.ascontiguousarray(self._kinds[field]), np.ascontiguousarray(self._spans[field])
        target = np.empty(int((spans[:, 1] - spans[:, 0]).sum()), np.uint8)
        offsets = np.empty(len(kinds) + 1, np.int64)
        size = copy_values(self._data, kinds, spans, wanted, target, offsets)
        is_there = np.isin(kinds, wanted)
        buffers = [
            None if is_there.all() else pa.array(is_there).buffers()[1],
            pa.py_buffer(offsets),
            pa.py_buffer(target[:size]),
        ]
        return pa.Array.from_buffers(pa.large_string(), len(kinds), buffers)

    def ids(self, names: Sequence[str]) -> pa.Array:
        """The first text or number of the fields, numbers as they are spelled."""
        return pc.coalesce(*(self.values(name, np.concatenate([_TEXTS, _NUMBERS])) for name in names))

    def times(self, names: Sequence[str]) -> pa.Array:
        columns = [self.nothing(UTC_MILLISECONDS)]
        for name in names:
            columns.append(utc_times(self.values(name, _TEXTS)))
            columns.append(utc_times(_floats(self.values(name, _NUMBERS))))
        return pc.coalesce(*columns)

    def numbers(self, name: str | None) -> pa.Array:
        values = self.nothing(pa.float64()) if name is None else _floats(self.values(name, _NUMBERS))
        return values.fill_null(float("nan"))


def _floats(spelled: pa.Array) -> pa.Array:
    """float64 of numbers as JSON and Python spell them."""
    return spelled.cast(pa.float64()) if spelled.null_count < len(spelled) else pa.nulls(len(spelled), pa.float64())


def _whole_lines(file: str, stream: Any) -> Iterator[bytes | None]:
    """The lines of the file, many at a time; None for one that is too long to be read."""
    begun: list[bytes] = []  # pieces of a line that has not ended
    num_begun, is_too_large = 0, False
    piece = read_exactly(file, stream, _PIECE_BYTES).removeprefix(_BYTE_ORDER_MARK)
    while piece:
        cut = piece.rfind(b"\n") + 1
        if cut and is_too_large:
            yield None
            start, is_too_large = piece.find(b"\n") + 1, False
            yield piece[start:cut]
            begun, num_begun = [piece[cut:]], len(piece) - cut
        elif cut:
            yield b"".join([*begun, piece[:cut]])
            begun, num_begun = [piece[cut:]], len(piece) - cut
        elif not is_too_large:
            begun.append(piece)
            num_begun += len(piece)
        if num_begun > MAX_LINE_BYTES:
            begun, num_begun, is_too_large = [], 0, True
        piece = read_exactly(file, stream, _PIECE_BYTES)
    if is_too_large:
        yield None
    elif num_begun:
        yield b"".join(begun)
