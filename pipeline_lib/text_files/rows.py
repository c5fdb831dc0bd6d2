"""All rows of anyone's files, those that hold no document included: what to read of each, and what was found.

Unlike `reading`, which refuses a file with a wrong row, this says what is wrong with the row and reads on. Rows are
counted from 0, blank lines are none; so a row has the number that `reading` gives it where nothing is wrong.
"""

from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.text_files.batches import ID_COLUMNS

# Why a row holds no document, by number: 0 for those that do.
REASONS = ("", "bad_json", "no_text", "text_not_string", "text_not_utf8", "row_too_large")
DOCUMENT, BAD_JSON, NO_TEXT, TEXT_NOT_STRING, TEXT_NOT_UTF8, ROW_TOO_LARGE = range(len(REASONS))

ReasonNumbers = npt.NDArray[np.uint8]
Numbers = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class RowFields:
    """Which columns, or keys of JSON objects, say what of a row.

    Attributes:
        id_field: None: the first of `ID_COLUMNS` that the row has.
        url_field: None: URLs are not read.
        time_fields: the first that says a time counts.
        quality_field: None: no number is read.
    """

    text_field: str = "text"
    id_field: str | None = None
    url_field: str | None = None
    time_fields: tuple[str, ...] = ()
    quality_field: str | None = None

    @property
    def id_fields(self) -> tuple[str, ...]:
        return ID_COLUMNS if self.id_field is None else (self.id_field,)

    @property
    def names(self) -> tuple[str, ...]:
        """All of them, each once."""
        optional = (name for name in (self.url_field, self.quality_field) if name is not None)
        return tuple(dict.fromkeys((self.text_field, *self.id_fields, *self.time_fields, *optional)))


# What is known of a document. Ids, URLs and times are null where the row says none, qualities are NaN then.
ROW_DOCUMENTS = pa.schema(
    [
        pa.field("text", pa.large_string(), nullable=False),
        pa.field("id", pa.large_string()),
        pa.field("url", pa.large_string()),
        pa.field("fetched_at", pa.timestamp("ms", tz="UTC")),
        pa.field("quality", pa.float64(), nullable=False),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """N rows that follow each other in a file, M of them documents.

    Attributes:
        reasons: uint8 (N,): index into `REASONS`.
        documents: M rows of `ROW_DOCUMENTS`.
    """

    reasons: ReasonNumbers
    documents: pa.Table


class Piece(Protocol):
    """Rows as they were read, before anything is made of them: `num_rows` of them from `first_row` on."""

    @property
    def first_row(self) -> int: ...

    @property
    def num_rows(self) -> int: ...


class RowFile(Protocol):
    """A file whose rows are read once from front to back, and then by their numbers; and copied as they are.

    What it takes to find rows again is kept in a scratch folder.

    Attributes:
        suffix: what names of copies end in.
    """

    @property
    def suffix(self) -> str: ...

    def pieces(self) -> Generator[Any, None, None]:
        """The file from front to back, a few megabytes at a time.

        Raises:
            TextFileError: the file is not whole, or has no such columns.
        """

    def rows(self, piece: Any) -> Rows:
        """What the rows of a piece hold; may be called in any thread."""

    def remembering(self) -> AbstractContextManager[Callable[[Any, Rows], None]]:
        """What is to be called for each piece, in order, so that `texts`, `ids` and `copy` find its rows later."""

    def names(self, piece: Any) -> Sequence[str]:
        """The columns of the first row of a piece, for messages; none where it has none."""

    def texts(self, rows: Numbers) -> pa.Array:
        """large_string (R,): the texts of rows, all of them documents.

        Args:
            rows: int64 (R,), ascending.
        """

    def ids(self, rows: Numbers) -> pa.Array:
        """large_string (R,): the ids that the file gives the rows; null where it gives none.

        Args:
            rows: int64 (R,), ascending.
        """

    def copy(self, wanted: npt.NDArray[np.bool_], target: Path) -> None:
        """Write the wanted ones of all rows, as they are in the file, to a file of the same kind.

        Raises:
            TextFileError: the file has another number of rows by now.
        """
