"""Judging a batch of texts from anyone's files: measure, then decide."""

from collections.abc import Callable

import polars as pl
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.extract.language import UNDETERMINED, identify
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.decide import rejected_by
from pipeline_lib.filters.judged_files import JudgedBatch
from pipeline_lib.filters.measuring import Documents, measure
from pipeline_lib.filters.parameters import FilterParameters
from pipeline_lib.filters.rules.url import list_keys
from pipeline_lib.text_files.batches import TextBatch
from pipeline_lib.text_files.opening import TextFileError

Measuring = Callable[[pa.ChunkedArray], Signals]


def wanted_columns(filters: FilterParameters) -> tuple[str, ...]:
    """What rules look at beside the text: columns to read where a file has them."""
    columns = ["url"] if "url" in filters.measured() else []
    return tuple(columns + (["language", "language_score"] if _asks_for_language(filters) else []))


def judge_batch(batch: TextBatch, filters: FilterParameters, given: Measuring | None = None) -> JudgedBatch:
    """Signals and decisions of a batch.

    The language is that of the columns `language` and `language_score` (1 where a file has only the first); where a
    file has no such column, it is identified here.

    Args:
        given: measures what the layers above have to measure.

    Raises:
        TextFileError: a rule looks at URLs, and the file has none.
    """
    urls = _urls(batch, filters) if "url" in filters.measured() else None
    languages, scores = _languages(batch) if _asks_for_language(filters) else (None, None)
    measured = measure(
        Documents(
            texts=batch.texts,
            urls=urls,
            languages=languages,
            language_scores=scores,
            given={} if given is None else given(batch.texts),
        ),
        filters,
    )
    signals = measured.signals if scores is not None else _without(measured.signals, "language_score")
    table = pl.DataFrame(measured.signals)
    if languages is not None:
        table = table.with_columns(pl.Series("language", pl.from_arrow(languages)))
    decided = table.select(rejected_by(filters.conditions())).to_series()
    if len(decided) != len(batch):  # no condition at all: one null for all
        decided = pl.Series([None], dtype=pl.String).new_from_index(0, len(batch))
    return JudgedBatch(
        signals=signals,
        rejected_by=decided.to_arrow(compat_level=pl.CompatLevel.oldest()),
        texts=measured.texts.column if measured.edits else None,
    )


def _urls(batch: TextBatch, filters: FilterParameters) -> pa.ChunkedArray:
    """Domains that a preset excludes are no reason to refuse texts whose origin nobody knows; a user's lists are."""
    if "url" in batch.extra.column_names:
        return pc.fill_null(batch.extra["url"], "")
    if list_keys(filters.url):
        raise TextFileError(
            f"{batch.file}: the rule set url is given lists ({', '.join(list_keys(filters.url))}), and needs a column "
            "`url`: there is none"
        )
    return pa.chunked_array([pa.array([""] * len(batch), pa.large_string())])


def _asks_for_language(filters: FilterParameters) -> bool:
    asked = {column for condition in filters.conditions() for column in condition.columns}
    return bool(asked & {"language", "language_score"}) or (
        "bad_words" in filters.measured() and filters.bad_words.folder is not None
    )


def _languages(batch: TextBatch) -> tuple[pa.ChunkedArray, pa.ChunkedArray]:
    if "language" in batch.extra.column_names:
        languages = pc.fill_null(batch.extra["language"], UNDETERMINED)
        if "language_score" in batch.extra.column_names:
            return languages, pc.fill_null(batch.extra["language_score"], 0.0)
        return languages, pa.chunked_array([pa.array([1.0] * len(batch), pa.float64())])
    sample_bytes = ExtractParameters().language_sample_bytes
    found = [identify(text.as_py(), sample_bytes) for text in batch.texts]
    return (
        pa.chunked_array([pa.array([each.code for each in found], pa.string())]),
        pa.chunked_array([pa.array([each.score for each in found], pa.float64())]),
    )


def _without(signals: Signals, name: str) -> Signals:
    return {each: values for each, values in signals.items() if each != name}
