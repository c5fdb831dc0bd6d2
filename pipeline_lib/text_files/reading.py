"""Texts from anyone's files, in batches and in order: JSON Lines (plain, gzip, zstd) and Parquet."""

from collections.abc import Generator, Sequence
from contextlib import closing
from functools import cache

from pipeline_lib.text_files.batches import Columns, TextBatch
from pipeline_lib.text_files.jsonl import JsonLines
from pipeline_lib.text_files.opening import content_digest, open_seekable, open_stream, sniff
from pipeline_lib.text_files.parquet import ParquetTexts

BATCH_BYTES = 32 << 20
_FIRST_BYTES = 1 << 16


def read_batches(
    file: str,
    *,
    text_field: str = "text",
    id_field: str | None = None,
    extra: Sequence[str] = (),
    batch_bytes: int = BATCH_BYTES,
    digest: str | None = None,
) -> Generator[TextBatch, None, None]:
    """The documents of a file, in order; what the file is, its first bytes say.

    Ids are those of `id_field`; without one those of the column `id` or `doc_id`, the first that the file has (a JSON
    Lines file's first line decides); without these they are made of the file's content and the row. Numbers become
    their decimal text. The same id twice is no error.

    Args:
        file: local path or fsspec URL.
        extra: further columns; those that the file has come along.
        batch_bytes: about how much text a batch holds. One document is never divided.
        digest: `content_digest(file)` where it is known; otherwise made here when ids are derived, which reads the
            file once more.

    Raises:
        TextFileError: names the file and the row (line) that is wrong, the first being 1. Batches before it have been
            given by then.
    """
    if batch_bytes < 1:
        raise ValueError(f"batch_bytes={batch_bytes}: expected at least 1")
    columns = Columns(text_field=text_field, id_field=id_field, extra=tuple(extra))

    @cache
    def known_digest() -> str:
        return content_digest(file) if digest is None else digest

    kind, compression = sniff(file)
    if kind == "parquet":
        with open_seekable(file) as source:
            yield from ParquetTexts(file, source, columns, known_digest).read(batch_bytes)
    else:
        with open_stream(file, compression) as stream:
            yield from JsonLines(file, columns, known_digest).read(stream, batch_bytes)


def check_file(file: str, *, text_field: str = "text", id_field: str | None = None, extra: Sequence[str] = ()) -> None:
    """Open a file and look at its columns, for JSON Lines at its first lines.

    Raises:
        TextFileError: as `read_batches` on its first documents.
    """
    batches = read_batches(
        file, text_field=text_field, id_field=id_field, extra=extra, batch_bytes=_FIRST_BYTES, digest=""
    )
    with closing(batches):
        next(batches)
