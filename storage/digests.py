"""Digests: of files, of values, and of what a table says regardless of how it is chunked or compressed."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

_CHUNK_BYTES = 1 << 20


def file_digest(path: Path) -> str:
    """SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def canonical_json(value: Any) -> str:
    """One text for one value: sorted keys, no spaces; refuses NaN and anything JSON has no word for."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def value_digest(value: Any) -> str:
    """SHA-256 of a JSON value, in hex."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()


def joined_digest(digests: Iterable[str]) -> str:
    """SHA-256 of a sequence of digests, order included."""
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def table_digest(table: pa.Table) -> str:
    """SHA-256 of a table's names, types and values.

    Equal for equal content, whatever the chunks, offsets, buffer padding, compression or file format, so that
    it compares corpora across library versions. Values under a null count as nothing.
    """
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name}:{_type_name(column.type)}:{len(column)};".encode())
        array = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
        if isinstance(array, pa.ChunkedArray):  # combine_chunks of an empty column
            array = pa.array([], column.type)
        _update_with_array(digest, array)
    return digest.hexdigest()


def _update_with_array(digest: "hashlib._Hash", array: pa.Array) -> None:
    if array.null_count:
        digest.update(np.packbits(array.is_valid().to_numpy(zero_copy_only=False)).tobytes())
        # drop_null: what stands in the buffer under a null is an accident of the writer
        array = array.drop_null()
    else:
        digest.update(b"valid")
    kind = array.type
    if pa.types.is_dictionary(kind):
        _update_with_array(digest, array.dictionary_decode())
    elif pa.types.is_null(kind):
        pass
    elif _is_variable_size(kind):
        offsets = _offsets(array)
        digest.update(np.ascontiguousarray(offsets - offsets[0]).astype("<i8").data)
        start, end = int(offsets[0]), int(offsets[-1])
        if pa.types.is_list(kind) or pa.types.is_large_list(kind):
            _update_with_array(digest, array.values.slice(start, end - start))
        else:
            data = array.buffers()[2]
            if data is not None:
                digest.update(memoryview(data)[start:end])
    elif pa.types.is_fixed_size_list(kind):
        _update_with_array(digest, array.flatten())
    elif pa.types.is_struct(kind):
        for field in range(kind.num_fields):
            _update_with_array(digest, array.field(field))
    elif pa.types.is_boolean(kind):
        digest.update(np.packbits(array.to_numpy(zero_copy_only=False)).tobytes())
    elif pa.types.is_fixed_size_binary(kind):
        data = array.buffers()[1]
        if data is not None:
            width = kind.byte_width
            digest.update(memoryview(data)[array.offset * width : (array.offset + len(array)) * width])
    elif pa.types.is_temporal(kind):
        _update_with_array(digest, array.cast(pa.int64() if kind.bit_width == 64 else pa.int32()))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        digest.update(np.ascontiguousarray(array.to_numpy()).data)
    else:
        raise TypeError(f"table_digest: no rule for a column of type {kind}; add one to storage/digests.py")


def _type_name(kind: pa.DataType) -> str:
    """A type in words, without the name of a list's items: Arrow says `item`, Parquet `element`."""
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{_type_name(kind.value_type)}>[{kind.list_size}]"
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return f"{'large_' if pa.types.is_large_list(kind) else ''}list<{_type_name(kind.value_type)}>"
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(f'{field.name}: {_type_name(field.type)}' for field in kind)}>"
    return str(kind)


def _is_variable_size(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_list(kind)
        or pa.types.is_large_list(kind)
    )


def _offsets(array: pa.Array) -> np.ndarray[Any, np.dtype[np.int64]]:
    large = (
        pa.types.is_large_string(array.type)
        or pa.types.is_large_binary(array.type)
        or pa.types.is_large_list(array.type)
    )
    buffer = array.buffers()[1]
    if buffer is None or buffer.size == 0:  # Arrow lets an empty array leave its offsets out
        return np.zeros(1, np.int64)
    raw = np.frombuffer(buffer, np.int64 if large else np.int32, count=array.offset + len(array) + 1)
    return raw[array.offset :].astype(np.int64)
