"""A doc_id as 16 bytes instead of 32 digits: two uint64, which compare like the digits."""

import numpy as np
import pyarrow as pa

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.shingles import Hashes

_DIGITS = np.frombuffer(b"0123456789abcdef", np.uint8)
_NO_DIGIT = 0xFF
_VALUES = np.full(256, _NO_DIGIT, np.uint8)
_VALUES[_DIGITS] = np.arange(16, dtype=np.uint8)
_PAIRS = np.stack([np.repeat(_DIGITS, 16), np.tile(_DIGITS, 16)], axis=1)  # of digits, by byte


def parse_doc_ids(column: pa.Array | pa.ChunkedArray, place: str) -> Hashes:
    """uint64 (N, 2) of a column of text.

    Raises:
        ValueError: one is not 32 lower-case hex digits.
    """
    data, offsets = string_buffers(column)
    num_ids = len(offsets) - 1
    wrong = np.diff(offsets) != 32
    if not wrong.any():
        values = _VALUES[data[offsets[0] : offsets[-1]]].reshape(num_ids, 32)
        wrong = np.any(values == _NO_DIGIT, axis=1)
    if wrong.any():
        raise ValueError(
            f"{place}: expected a doc_id of 32 lower-case hex digits, found {column[int(np.argmax(wrong))].as_py()!r}"
        )
    return ((values[:, 0::2] << 4) | values[:, 1::2]).view(">u8").astype(np.uint64)


def format_doc_ids(doc_ids: Hashes) -> pa.Array:
    """The inverse: a string column of uint64 (N, 2)."""
    digits = _PAIRS[doc_ids.astype(">u8").view(np.uint8).reshape(-1)]
    offsets = np.arange(len(doc_ids) + 1, dtype=np.int32) * np.int32(32)
    return pa.StringArray.from_buffers(len(doc_ids), pa.py_buffer(offsets), pa.py_buffer(digits))
