"""Parquet files in a store: written against a schema, refused on reading when they are not what the reader knows."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from storage.schemas import NAME_KEY, VERSION_KEY

_ROW_GROUP_BYTES = 32 << 20  # of Arrow memory: readers take a row group at a time
_MIN_ROWS, _MAX_ROWS = 128, 1 << 20


class SchemaMismatch(ValueError):
    """A file holds another table, or another version of it, than the reader knows."""


class DamagedFile(ValueError):
    """A file cannot be read as what it claims to be."""


def write_table(table: pa.Table, path: Path, schema: pa.Schema) -> None:
    """Write a table as Parquet (zstd); equal tables give equal files for one version of pyarrow.

    Raises:
        SchemaMismatch: the table lacks a column or has one too many, in name or type.
    """
    if table.schema.remove_metadata() != schema.remove_metadata():
        table = _conform(table, schema, str(path))
    table = table.replace_schema_metadata(schema.metadata)
    for field, column in zip(schema, table.columns, strict=True):
        if not field.nullable and column.null_count:
            raise SchemaMismatch(f"{path}: column {field.name!r} may not be null, found {column.null_count} nulls")
    rows = max(1, table.num_rows)
    row_group_rows = min(_MAX_ROWS, max(_MIN_ROWS, _ROW_GROUP_BYTES * rows // max(1, table.nbytes)))
    # store_schema keeps large_string as large_string on the way back
    pq.write_table(
        table,
        path,
        compression="zstd",
        compression_level=3,
        row_group_size=row_group_rows,
        store_schema=True,
        write_page_checksum=True,
    )


def _conform(table: pa.Table, schema: pa.Schema, place: str) -> pa.Table:
    if table.column_names != schema.names:
        raise SchemaMismatch(f"{place}: expected columns {schema.names}, found {table.column_names}")
    try:
        return table.cast(schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise SchemaMismatch(f"{place}: expected {schema.remove_metadata()}, found {table.schema}: {error}") from error


def read_table(file: Path | BinaryIO, schema: pa.Schema, columns: Sequence[str] | None = None) -> pa.Table:
    """Read a Parquet file that was written with `schema`, or the named columns of it.

    Args:
        file: a path, or a seekable stream.

    Raises:
        SchemaMismatch: the file was written with another schema or version.
        DamagedFile: the file is not whole.
    """
    with _opened(file, schema) as opened:
        wanted = opened.schema_arrow.names if columns is None else list(columns)
        return opened.read(columns=wanted).select(wanted)


def read_rows(
    file: Path | BinaryIO, schema: pa.Schema, rows: Sequence[int], columns: Sequence[str] | None = None
) -> pa.Table:
    """Read some rows of a Parquet file, in the file's order; row groups without any of them are passed over.

    Raises:
        SchemaMismatch, DamagedFile: see `read_table`.
        IndexError: the file has no such row.
    """
    with _opened(file, schema) as opened:
        wanted = opened.schema_arrow.names if columns is None else list(columns)
        groups = opened.metadata.num_row_groups
        starts = np.cumsum([0, *(opened.metadata.row_group(group).num_rows for group in range(groups))])
        chosen = np.unique(np.asarray(rows, np.int64))
        if len(chosen) and not 0 <= chosen[0] <= chosen[-1] < starts[-1]:
            raise IndexError(f"rows {chosen[0]} to {chosen[-1]} of {starts[-1]}")
        pieces = [opened.schema_arrow.empty_table().select(wanted)]
        for group in range(groups):
            inside = chosen[(chosen >= starts[group]) & (chosen < starts[group + 1])] - starts[group]
            if len(inside):
                pieces.append(opened.read_row_group(group, columns=wanted).select(wanted).take(pa.array(inside)))
        return pa.concat_tables(pieces)


def read_row_groups(file: Path | BinaryIO, schema: pa.Schema, columns: Sequence[str]) -> Iterator[pa.Table]:
    """Read some columns of a Parquet file, a row group at a time.

    Raises:
        SchemaMismatch, DamagedFile: see `read_table`.
    """
    with _opened(file, schema) as opened:
        for group in range(opened.metadata.num_row_groups):
            yield opened.read_row_group(group, columns=list(columns)).select(list(columns))


@contextlib.contextmanager
def _opened(file: Path | BinaryIO, schema: pa.Schema) -> Iterator[pq.ParquetFile]:
    place = str(getattr(file, "name", file))
    try:
        # not pq.read_table: that goes through pyarrow.dataset, whose import takes most of a second
        with pq.ParquetFile(file, page_checksum_verification=True) as opened:
            check_schema(opened.schema_arrow, schema, place)
            yield opened
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:  # names of a damaged footer are no UTF-8
        raise DamagedFile(f"{place}: not a whole Parquet file: {error}") from error


def check_schema(found: pa.Schema, expected: pa.Schema, place: str) -> None:
    """Refuse a schema of another name, version or set of columns."""
    known, metadata = expected.metadata or {}, found.metadata or {}
    for key in (NAME_KEY, VERSION_KEY):
        if metadata.get(key) != known.get(key):
            what, version = (metadata.get(k, b"unnamed").decode(errors="replace") for k in (NAME_KEY, VERSION_KEY))
            expected_what, expected_version = (known.get(k, b"unnamed").decode() for k in (NAME_KEY, VERSION_KEY))
            raise SchemaMismatch(
                f"{place}: expected table {expected_what} version {expected_version}, found {what} version {version}; "
                "was it written by another version? Delete the stage folder and run again."
            )
    if found.names != expected.names or found.types != expected.types:
        raise SchemaMismatch(f"{place}: expected columns {expected.names}, found {found.names}")
