"""All lines of a JSON Lines file: the fields of each found in place, and lines copied byte for byte.

A compressed file is decompressed once, to the scratch folder; what is asked for later is found there by its position.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack, contextmanager
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
    Numbers,
    RowFields,
    Rows,
)
from pipeline_lib.text_files.times import UTC_MILLISECONDS, utc_times

MAX_LINE_BYTES = 256 << 20  # a file without line breaks must not fill the memory
PIECE_BYTES = 4 << 20
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"

_TEXTS = np.array([json_lines.TEXT, json_lines.ESCAPED_TEXT], np.uint8)
_NUMBERS = np.array([json_lines.NUMBER], np.uint8)
_REASON_OF_KIND = np.full(8, TEXT_NOT_STRING, np.uint8)
_REASON_OF_KIND[[json_lines.NO_OBJECT, json_lines.MISSING, json_lines.NULL]] = BAD_JSON, NO_TEXT, NO_TEXT
_REASON_OF_KIND[_TEXTS] = DOCUMENT


@dataclass(frozen=True, kw_only=True)
class LinePiece:
    """Lines that follow each other: data[starts[i]:ends[i]] with their line breaks; `position` is where in the file,
    decompressed, `data` begins. Or one line that is too long to be read, of which nothing is there."""

    first_row: int
    position: int
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

    def __init__(
        self, file: str, local: Path, compression: Compression | None, fields: RowFields, scratch: Path
    ) -> None:
        """`file`: what it is called in messages; `local`: where it is read."""
        self.file = file
        self._local = local
        self._compression: Compression | None = compression
        self._fields = fields
        encoded = [name.encode() for name in fields.names]
        self._names = np.frombuffer(b"".join(encoded), np.uint8)
        self._name_offsets = np.cumsum([0, *map(len, encoded)], dtype=np.int64)
        self._lines = local if compression is None else scratch / "lines"
        self._bounds = scratch / "bounds"  # where in it each row starts and ends: int64 (rows, 2)

    def pieces(self) -> Generator[LinePiece, None, None]:
        first_row = 0
        with open_stream(str(self._local), self._compression) as stream:
            for position, content in _whole_lines(self.file, stream):
                data = np.frombuffer(content or b"", np.uint8)
                starts, ends = find_lines(data)
                piece = LinePiece(
                    first_row=first_row,
                    position=position,
                    data=data,
                    starts=starts,
                    ends=ends,
                    is_too_large=content is None,
                )
                yield piece
                first_row += piece.num_rows

    def rows(self, piece: LinePiece) -> Rows:
        if piece.is_too_large:
            return Rows(reasons=np.array([ROW_TOO_LARGE], np.uint8), documents=ROW_DOCUMENTS.empty_table())
        fields = self._fields
        everything = self._found(piece.data, piece.starts, piece.ends)
        reasons = _REASON_OF_KIND[everything.kinds(fields.text_field)]
        found = everything.only(reasons == DOCUMENT)
        columns = {
            "text": found.values(fields.text_field, _TEXTS),
            "id": found.ids(fields.id_fields),
            "url": found.texts(fields.url_field),
            "fetched_at": found.times(fields.time_fields),
            "quality": found.numbers(fields.quality_field),
        }
        return Rows(reasons=reasons, documents=pa.table(columns, schema=ROW_DOCUMENTS))

    @contextmanager
    def remembering(self) -> Iterator[Callable[[LinePiece, Rows], None]]:
        with ExitStack() as stack:
            all_bounds = stack.enter_context(self._bounds.open("wb"))
            lines = None if self._compression is None else stack.enter_context(self._lines.open("wb"))

            def remember(piece: LinePiece, _: Rows) -> None:
                position = piece.position
                if lines is not None:
                    position = lines.tell()
                    lines.write(piece.data.data)
                bounds = np.zeros((piece.num_rows, 2), np.int64)  # so it stays for a line that is not there
                if not piece.is_too_large:
                    bounds[:, 0], bounds[:, 1] = position + piece.starts, position + piece.ends
                all_bounds.write(bounds.data)

            yield remember

    def names(self, piece: LinePiece) -> Sequence[str]:
        if piece.is_too_large or piece.num_rows == 0:
            return ()
        try:
            row = orjson.loads(bytes(piece.data[piece.starts[0] : piece.ends[0]]))
        except orjson.JSONDecodeError:
            return ()
        return tuple(row) if isinstance(row, dict) else ()

    def texts(self, rows: Numbers) -> pa.Array:
        return self._found_in(rows).values(self._fields.text_field, _TEXTS)

    def ids(self, rows: Numbers) -> pa.Array:
        return self._found_in(rows).ids(self._fields.id_fields)

    def copy(self, wanted: npt.NDArray[np.bool_], target: Path) -> None:
        with pa.OSFile(str(target), "wb") as file, pa.CompressedOutputStream(file, "zstd") as stream:
            data, bounds = self._mapped()
            bounds = bounds[wanted]
            sizes = np.cumsum(bounds[:, 1] - bounds[:, 0])
            cuts = np.searchsorted(sizes, np.arange(PIECE_BYTES, sizes[-1] if len(sizes) else 0, PIECE_BYTES))
            for chosen in np.split(bounds, np.unique(cuts)):
                lines = np.empty(int((chosen[:, 1] - chosen[:, 0]).sum()), np.uint8)
                copy_ranges(data, chosen, lines)
                stream.write(lines)

    def _found_in(self, rows: Numbers) -> "_Found":
        data, bounds = self._mapped()
        bounds = bounds[rows]
        return self._found(data, np.ascontiguousarray(bounds[:, 0]), np.ascontiguousarray(bounds[:, 1]))

    def _mapped(self) -> tuple[Bytes, Numbers]:
        """All lines, and where each row starts and ends."""
        bounds = np.frombuffer(_mapped(self._bounds), np.int64).reshape(-1, 2)
        data = np.frombuffer(_mapped(self._lines), np.uint8)
        if len(bounds) and bounds[:, 1].max() > len(data):
            raise TextFileError(f"{self.file} changed while it was read: leave it alone until the end, and run again")
        return data, bounds

    def _found(self, data: Bytes, starts: Offsets, ends: Offsets) -> "_Found":
        names = self._fields.names
        kinds = np.empty((len(names), len(starts)), np.uint8)
        spans = np.empty((len(names), len(starts), 2), np.int64)
        find_fields(data, starts, ends, self._names, self._name_offsets, kinds, spans)
        return _Found(data, names, kinds, spans)


def _mapped(path: Path) -> pa.Buffer:
    if path.stat().st_size == 0:  # nothing that could be mapped
        return pa.py_buffer(b"")
    with pa.memory_map(str(path)) as file:
        return file.read_buffer()


class _Found:
    """The values of N lines."""

    def __init__(self, data: Bytes, names: Sequence[str], kinds: Kinds, spans: Spans) -> None:
        self._data = data
        self._names = names
        self._kinds = kinds
        self._spans = spans

    def only(self, lines: npt.NDArray[np.bool_]) -> "_Found":
        return self if lines.all() else _Found(self._data, self._names, self._kinds[:, lines], self._spans[:, lines])

    def kinds(self, name: str) -> Kinds:
        kinds: Kinds = self._kinds[self._names.index(name)]
        return kinds

    def texts(self, name: str | None) -> pa.Array:
        return self._nothing(pa.large_string()) if name is None else self.values(name, _TEXTS)

    def _nothing(self, kind: pa.DataType) -> pa.Array:
        return pa.nulls(self._kinds.shape[1], kind)

    def values(self, name: str, wanted: Kinds) -> pa.Array:
        """large_string (N,), null where the value is of none of the wanted kinds."""
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
        columns = [self._nothing(UTC_MILLISECONDS)]
        for name in names:
            columns.append(utc_times(self.values(name, _TEXTS)))
            columns.append(utc_times(_floats(self.values(name, _NUMBERS))))
        return pc.coalesce(*columns)

    def numbers(self, name: str | None) -> pa.Array:
        values = self._nothing(pa.float64()) if name is None else _floats(self.values(name, _NUMBERS))
        return values.fill_null(float("nan"))


def _floats(spelled: pa.Array) -> pa.Array:
    """float64 of numbers as JSON and Python spell them."""
    return spelled.cast(pa.float64()) if spelled.null_count < len(spelled) else pa.nulls(len(spelled), pa.float64())


def _whole_lines(file: str, stream: Any) -> Iterator[tuple[int, bytes | None]]:
    """The lines of the file, many at a time, and where they begin; None for one that is too long to be read."""
    begun: list[bytes] = []  # pieces of a line that has not ended
    position, num_begun, is_too_large = 0, 0, False
    first = read_exactly(file, stream, PIECE_BYTES)
    piece = first.removeprefix(_BYTE_ORDER_MARK)
    position = len(first) - len(piece)
    while piece:
        cut = piece.rfind(b"\n") + 1
        num_begun += len(piece)
        if cut:
            start = 0
            if is_too_large:
                start, is_too_large = piece.find(b"\n") + 1, False
                yield position, None
                position += num_begun - len(piece) + start
            num_begun = len(piece) - cut
            whole = b"".join([*begun, piece[start:cut]])
            yield position, whole
            position += len(whole)
            begun = [piece[cut:]]
        elif not is_too_large:
            begun.append(piece)
        if num_begun > MAX_LINE_BYTES:
            begun, is_too_large = [], True
        piece = read_exactly(file, stream, PIECE_BYTES)
    if is_too_large:
        yield position, None
    elif num_begun:
        yield position, b"".join(begun)
