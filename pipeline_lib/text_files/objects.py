"""Whole rows of anyone's JSON Lines and Parquet files, as Python objects: for files of thousands, not of millions."""

from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq

from pipeline_lib.text_files.jsonl import line_objects
from pipeline_lib.text_files.opening import TextFileError, open_seekable, open_stream, sniff

_ROWS_AT_ONCE = 256


def read_objects(file: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The rows of a file in order, each with its number: of the line in JSON Lines, of the row in Parquet, from 1.

    Args:
        file: local path or fsspec URL.

    Raises:
        TextFileError: the file cannot be read; the message names the row where there is one.
    """
    kind, compression = sniff(file)
    if kind == "parquet":
        with open_seekable(file) as source:
            yield from _parquet_rows(file, source)
    else:
        with open_stream(file, compression) as stream:
            yield from line_objects(file, stream)


def _parquet_rows(file: str, source: Any) -> Iterator[tuple[int, dict[str, Any]]]:
    number = 0
    try:
        for batch in pq.ParquetFile(source).iter_batches(_ROWS_AT_ONCE, use_threads=False):
            for row in batch.to_pylist():
                number += 1
                yield number, row
    except Exception as error:  # a file system's own errors, too
        raise TextFileError(
            f"{file} cannot be read from row {number + 1} on: {error}. Fetch or write it again"
        ) from error
