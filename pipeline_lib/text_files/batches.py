"""What reading gives: batches of documents; and what every kind of file has to say about its columns."""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa

from pipeline_lib.text_files.opening import TextFileError
from storage.schemas import document_id

ID_COLUMNS = ("id", "doc_id")
_TEXT_COLUMNS = ("text", "content", "raw_content", "body", "document", "page_content")


@dataclass(frozen=True)
class TextBatch:
    """N documents that follow each other in a file.

    Attributes:
        file: as `find_files` gave it.
        first_row: how many documents of the file come before; blank lines are none.
        ids: (N,) large_string, no nulls. The same id may come more than once: ids are the file's own.
        texts: (N,) large_string, whole UTF-8, no nulls; in one chunk.
        extra: N rows, the columns asked for that the batch has; nulls where a row has none. Text is large_string,
            numbers are float64.
    """

    file: str
    first_row: int
    ids: pa.Array | pa.ChunkedArray
    texts: pa.ChunkedArray
    extra: pa.Table

    def __len__(self) -> int:
        return len(self.texts)


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Which columns to read.

    Attributes:
        id_field: None takes the first of `ID_COLUMNS` that the file has, and derives ids where it has neither.
    """

    text_field: str
    id_field: str | None
    extra: tuple[str, ...]

    def id_column(self, file: str, names: Sequence[str]) -> str | None:
        """The column of `names` that ids are in; None: they are derived.

        Raises:
            TextFileError: `id_field` is none of them.
        """
        if self.id_field is None:
            return next((name for name in ID_COLUMNS if name in names), None)
        if self.id_field not in names:
            raise TextFileError(
                f"{file}: there is no column {self.id_field!r} for the ids. {_listed(names)} Name the one to use, "
                "or none: then `id` or `doc_id` is taken where there is one, and else ids are made"
            )
        return self.id_field


def no_text_column(file: str, text_field: str, names: Sequence[str], where: str = "") -> TextFileError:
    """The error for a file, or a row of it, that lacks the column of texts."""
    candidates = [name for name in _TEXT_COLUMNS if name in names]
    candidates += [name for name in names if name.lower() in _TEXT_COLUMNS]
    candidates += difflib.get_close_matches(text_field, list(names), n=1)
    likely = f" Is it {candidates[0]!r}? Then name that as the field of texts" if candidates else ""
    return TextFileError(f"{file}{where}: there is no column {text_field!r}. {_listed(names)}{likely}")


def derived_ids(first_row: int, num_rows: int, digest: Callable[[], str]) -> pa.Array:
    """Ids from the file's content and the rows in it, the same wherever the file lies."""
    source = f"sha256:{digest()}"
    return pa.array([document_id(source, row) for row in range(first_row, first_row + num_rows)], pa.large_string())


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:40]) + (", …" if len(names) > 40 else "")
    return f"The columns are {shown}." if names else "It has no columns."
