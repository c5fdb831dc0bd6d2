"""Arrow string columns as what kernels take: `(uint8 data, int64 offsets)`, without a copy of the text."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

Bytes = npt.NDArray[np.uint8]
Offsets = npt.NDArray[np.int64]


def string_buffers(column: pa.Array | pa.ChunkedArray) -> tuple[Bytes, Offsets]:
    """The UTF-8 bytes of a string column and where each value starts and ends.

    Returns:
        data: uint8, the whole values buffer; value i is `data[offsets[i]:offsets[i + 1]]`.
        offsets: int64, shape (rows + 1,); need not start at 0 where the column is a slice.

    Raises:
        TypeError: the column is not text.
        ValueError: the column has nulls.
    """
    array = column
    if isinstance(column, pa.ChunkedArray):
        array = (
            column.chunk(0)
            if column.num_chunks == 1
            else pa.concat_arrays(column.chunks or [pa.array([], column.type)])
        )
    if not (pa.types.is_string(array.type) or pa.types.is_large_string(array.type)):
        raise TypeError(f"expected a column of text, found {array.type}")
    if array.null_count:
        raise ValueError(f"expected a column without nulls, found {array.null_count} in {len(array)} rows")
    _, offsets_buffer, data_buffer = array.buffers()
    if offsets_buffer is None or offsets_buffer.size == 0:
        return _read_only(np.zeros(0, np.uint8)), _read_only(np.zeros(1, np.int64))
    width: type[Any] = np.int64 if pa.types.is_large_string(array.type) else np.int32
    offsets = np.frombuffer(offsets_buffer, width, count=array.offset + len(array) + 1)[array.offset :]
    data = np.zeros(0, np.uint8) if data_buffer is None else np.frombuffer(data_buffer, np.uint8)
    return _read_only(data), _read_only(offsets.astype(np.int64, copy=False))


def _read_only(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Always read-only: numba compiles a kernel once more for each mix of writable and read-only arguments."""
    view = array.view()
    view.flags.writeable = False
    return view


def string_column(data: Bytes, offsets: Offsets) -> pa.Array:
    """The large_string column whose bytes a kernel wrote; the inverse of `string_buffers`. The bytes must be UTF-8."""
    return pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data))
