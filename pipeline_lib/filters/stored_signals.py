"""Reading what a judged run stored: signals part by part, and the few documents that are to be shown."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import TypeAdapter

from pipeline_lib.filters.stage import recorded_filters
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.survivors import apply_edits
from storage.manifests import PublishedStage
from storage.schemas import DOCUMENTS, signals_schema
from storage.tables import DamagedFile, check_schema

Stages = Mapping[str, PublishedStage]
Place = tuple[str, int]  # part, row

_SOME = 3
_SHOWN = ("doc_id", "url", "title", "language", "text")


def read_columns(inputs: Stages, columns: Sequence[str]) -> Iterator[tuple[str, pl.DataFrame]]:
    """Part by part, in order, the named columns of what rules look at: `doc_id`, `language`, signals.

    Raises:
        ValueError: the signals are not those of the extracted documents.
    """
    schema = _schema(inputs)
    names = inputs["extract"].part_names
    with ThreadPoolExecutor(max_workers=1) as ahead:  # reads the next part while this one is looked at
        coming = ahead.submit(_read_part, inputs, names[0], columns, schema) if names else None
        for part, following in zip(names, [*names[1:], None], strict=True):
            assert coming is not None
            frame = coming.result()
            coming = None if following is None else ahead.submit(_read_part, inputs, following, columns, schema)
            yield part, frame


def read_some(inputs: Stages, columns: Sequence[str]) -> pl.DataFrame:
    """The same columns of the few parts with most documents: enough to see where their values lie."""
    schema = _schema(inputs)
    records = sorted(inputs["signals"].manifest.files("signals"), key=lambda record: (-record.rows, record.part))
    none = pl.DataFrame(schema={name: pl.String if name in ("doc_id", "language") else pl.Float64 for name in columns})
    return pl.concat([none, *(_read_part(inputs, each.part, none.columns, schema) for each in records[:_SOME])])


def _schema(inputs: Stages) -> pa.Schema:
    return signals_schema(list(recorded_filters(inputs["signals"].manifest).signals()))


def _read_part(inputs: Stages, part: str, columns: Sequence[str], schema: pa.Schema) -> pl.DataFrame:
    measured = [column for column in columns if column != "language"]
    table = inputs["signals"].read("signals", part, schema, columns=measured)
    if "language" in columns:
        language = inputs["extract"].read("documents", part, DOCUMENTS, columns=["language"])["language"]
        if len(language) != table.num_rows:
            raise ValueError(f"{part}: the signals are not those of the extracted documents; run again")
        table = table.append_column("language", language)
    return pl.DataFrame(pl.from_arrow(table)).select(columns)


def read_documents(inputs: Stages, places: Iterable[Place]) -> dict[Place, dict[str, str]]:
    """Documents as they were extracted, with addresses masked as in the corpus: doc_id, url, title, language, text.

    Of the Parquet files only those pages are read that hold one of them.
    """
    by_part: dict[str, set[int]] = {}
    for part, row in places:
        by_part.setdefault(part, set()).add(row)
    found: dict[Place, dict[str, str]] = {}
    recorded = inputs["privacy"].manifest.parameters if "privacy" in inputs else {}
    masking = TypeAdapter(PrivacyParameters).validate_python(recorded)
    for part, rows in sorted(by_part.items()):
        ordered = sorted(rows)
        documents = _read_rows(inputs["extract"], part, ordered)
        documents = apply_edits(documents, mask_addresses(documents, masking))
        found.update(zip(((part, row) for row in ordered), documents.to_pylist(), strict=True))
    return found


def _read_rows(extract: PublishedStage, part: str, rows: Sequence[int]) -> pa.Table:
    with _opened(extract, "documents", part) as path:
        check_schema(pq.read_schema(path), DOCUMENTS, str(path))
        documents = pl.scan_parquet(path).select(_SHOWN)
        # Polars unpacks only the pages in question: a fifth of the time of a row group
        found = pl.concat([documents.slice(row, 1).collect() for row in rows])
    return found.to_arrow(compat_level=pl.CompatLevel.oldest())


@contextmanager
def _opened(stage: PublishedStage, table: str, part: str) -> Iterator[Path]:
    """A local path to a file of a stage; what goes wrong in reading it names the file."""
    with stage.local_file(table, part) as path:
        try:
            yield path
        except (pa.ArrowException, pl.exceptions.PolarsError, OSError, UnicodeDecodeError) as error:
            raise DamagedFile(
                f"{path}: not a whole Parquet file: {error}; run again: the damaged part is found and rebuilt"
            ) from error
