"""Where two tables, lines of text or runs of bytes that should be equal differ first, and how.

Tables are equal where `table_digest` says so, and so to the last bit of a number: 0.0 is not -0.0, and a NaN is itself.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from storage.digests import table_digest

SHOWN_CHARS = 90
_BEFORE = 20  # of these, in front of the first character that differs
_CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first place where something published is not what was made again.

    Attributes:
        what: `columns`: other names or types; `row`; `rows`: one has more; `line`; `byte`.
        place: number of the row, line or byte, from 0; None for columns.
        column: of the row, the first that differs.
        doc_id: of the row, where it has one.
        published, recomputed: the two values, shortened to where they differ; None: there is none.
    """

    what: str
    place: int | None
    published: str | None
    recomputed: str | None
    column: str | None = None
    doc_id: str | None = None

    def describe(self) -> str:
        where = self.what if self.place is None else f"{self.what} {self.place:,}"
        document = f" ({self.doc_id})" if self.doc_id is not None else ""
        column = f", column {self.column}" if self.column is not None else ""
        return f"{where}{document}{column}: published {self.published}, made again {self.recomputed}"


def first_table_difference(published: pa.Table, recomputed: pa.Table) -> Difference | None:
    """The first row that differs and its first column that does, or None: the tables are equal."""
    types = [[f"{field.name}: {field.type}" for field in table.schema] for table in (published, recomputed)]
    if table_digest(published.slice(0, 0)) != table_digest(recomputed.slice(0, 0)):
        ours, theirs = shortened(", ".join(types[0]), ", ".join(types[1]))
        return Difference(what="columns", place=None, published=ours, recomputed=theirs)
    num_common = min(published.num_rows, recomputed.num_rows)
    row = _first_differing_row(published, recomputed, num_common)
    if row is None:
        if published.num_rows == recomputed.num_rows:
            return None
        longer = published if published.num_rows > num_common else recomputed
        return Difference(
            what="rows",
            place=num_common,
            published=f"{published.num_rows:,} rows",
            recomputed=f"{recomputed.num_rows:,} rows",
            doc_id=_doc_id(longer, num_common),
        )
    column = next(
        name
        for name in published.column_names
        if table_digest(published.select([name]).slice(row, 1)) != table_digest(recomputed.select([name]).slice(row, 1))
    )
    ours, theirs = shortened(_spelled(published[column][row].as_py()), _spelled(recomputed[column][row].as_py()))
    return Difference(
        what="row", place=row, published=ours, recomputed=theirs, column=column, doc_id=_doc_id(published, row)
    )


def first_line_difference(published: Sequence[str], recomputed: Sequence[str]) -> Difference | None:
    """The first line that differs; None: they are equal."""
    for number, (one, other) in enumerate(itertools.zip_longest(published, recomputed)):
        if one != other:
            ours, theirs = shortened(one or "", other or "")
            return Difference(
                what="line",
                place=number,
                published=None if one is None else ours,
                recomputed=None if other is None else theirs,
            )
    return None


def first_byte_difference(published: bytes, recomputed: bytes) -> Difference | None:
    """The first byte that differs, or at which one of them ends; None: they are equal."""
    if published == recomputed:
        return None
    at = _first_differing_byte(published, recomputed)
    ours, theirs = (f"{each[at : at + 8].hex(' ') or 'the end'} of {len(each):,}" for each in (published, recomputed))
    return Difference(what="byte", place=at, published=ours, recomputed=theirs)


def shortened(one: str, other: str, chars: int = SHOWN_CHARS) -> tuple[str, str]:
    """Two texts cut to the same stretch around the first character in which they differ."""
    at = next(
        (place for place, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other))
    )
    start = max(0, at - _BEFORE) if max(len(one), len(other)) > chars else 0
    return _cut(one, start, chars), _cut(other, start, chars)


def _first_differing_row(published: pa.Table, recomputed: pa.Table, num_rows: int) -> int | None:
    def differ(start: int, end: int) -> bool:
        return table_digest(published.slice(start, end - start)) != table_digest(recomputed.slice(start, end - start))

    low, high = 0, num_rows
    if not differ(low, high):
        return None
    while high - low > 1:  # rows before `low` are equal, and one in [low, high) is not
        middle = (low + high) // 2
        if differ(low, middle):
            high = middle
        else:
            low = middle
    return low


def _first_differing_byte(one: bytes, other: bytes) -> int:
    for start in range(0, min(len(one), len(other)), _CHUNK_BYTES):
        a, b = one[start : start + _CHUNK_BYTES], other[start : start + _CHUNK_BYTES]
        if a != b:
            return start + next(
                (place for place, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b))
            )
    return min(len(one), len(other))


def _doc_id(table: pa.Table, row: int) -> str | None:
    if "doc_id" not in table.column_names:
        return None
    doc_id: str = table["doc_id"][row].as_py()
    return doc_id


def _spelled(value: Any) -> str:
    return "null" if value is None else repr(value)


def _cut(text: str, start: int, chars: int) -> str:
    cut = text[start : start + chars]
    return f"{'…' if start else ''}{cut}{'…' if start + chars < len(text) else ''}"
