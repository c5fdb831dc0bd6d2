"""What an index says of captures, as a table; which of them a query wants, and why it does not want the others.

All kinds of index bring their rows into this one form, so that all answer alike and count alike. What is asked for by
URL is the index's business; of every capture that it then finds, the account tells what became of it.
"""

from collections import Counter
from dataclasses import dataclass, field

import numpy as np
import polars as pl

from pipeline_lib.crawl.index_query import IndexQuery, KeyRange
from storage.wrong_request import WrongRequest

# A file in a crawl, never outside; an address that no file can have is a damaged line.
_NO_FILE_NAME = r"^$|^/|(?:^|/)\.\.(?:/|$)|://|[\x00-\x1f\x7f\\]"
_SUBSET = r"/(warc|crawldiagnostics|robotstxt)/[^/]*$"
_MAX_FILE_BYTES = 1 << 50
_MAX_RECORD_BYTES = 1 << 40

BAD_LINE = "bad_index_line"

# What lines of an index say; all may be null. `timestamp` has 14 digits.
ROW_COLUMNS = {
    "urlkey": pl.String,
    "timestamp": pl.String,
    "url": pl.String,
    "mime": pl.String,
    "mime_detected": pl.String,
    "status": pl.Int64,
    "languages": pl.String,
    "filename": pl.String,
    "offset": pl.Int64,
    "length": pl.Int64,
}
PLACE_COLUMNS = ("filename", "offset", "length")


class IndexUnavailable(WrongRequest):
    """An index is not there, or is not what it should be; the message says what to do."""


@dataclass(frozen=True, kw_only=True)
class Answer:
    """A piece of an index's answer.

    Attributes:
        records: wanted ones: `filename`, `offset`, `length`.
        rows: captures of what was asked for by URL, readable or not: `records` and all that are in `dropped`.
    """

    records: pl.DataFrame
    rows: int
    dropped: Counter[str] = field(default_factory=Counter)


def choose(rows: pl.DataFrame, query: IndexQuery, num_unreadable: int = 0) -> Answer:
    """What a query wants of rows with ROW_COLUMNS that are in its ranges of keys already."""
    rows = rows.filter(in_subsets(rows["filename"], query))
    reasons = drop_reasons(rows, query)
    records, num_bad = places(rows.filter(reasons.is_null()).select(PLACE_COLUMNS))
    dropped = count_reasons(reasons)
    dropped[BAD_LINE] += num_bad + num_unreadable
    return Answer(records=records, rows=len(rows) + num_unreadable, dropped=dropped)


def no_records() -> pl.DataFrame:
    """The records of an answer that has none."""
    return pl.DataFrame(schema={name: ROW_COLUMNS[name] for name in PLACE_COLUMNS})


def in_ranges(keys: pl.Series, ranges: list[KeyRange]) -> pl.Series:
    """Whether each key is in one of the sorted ranges; no range at all means everything."""
    if not ranges:
        return pl.repeat(True, len(keys), eager=True)
    starts = pl.Series([each.start for each in ranges], dtype=pl.String)
    ends = pl.Series([each.end for each in ranges], dtype=pl.String)
    following = starts.search_sorted(keys, side="right").cast(pl.Int64)
    inside = keys < ends.gather((following - 1).clip(0))
    return (inside & (following > 0)).fill_null(False)


def in_subsets(filenames: pl.Series, query: IndexQuery) -> pl.Series:
    """Whether each file is of a wanted subset; other people's layouts know none, and are taken for pages."""
    return filenames.str.extract(_SUBSET).fill_null("warc").is_in(list(query.subsets))


def drop_reasons(rows: pl.DataFrame, query: IndexQuery) -> pl.Series:
    """For each row the first filter that it does not pass, null where it passes all.

    Args:
        rows: of ROW_COLUMNS those that the query's filters look at.
    """
    passed: list[tuple[pl.Expr, str]] = [(pl.col("status").is_in(list(query.statuses)), "other_status")]
    if query.mimes:
        mime = pl.coalesce([name for name in ("mime_detected", "mime") if name in rows.columns]).str.to_lowercase()
        passed.append((mime.is_in([each.lower() for each in query.mimes]), "other_mime"))
    if query.languages:
        spoken = pl.col("languages").str.split(",")
        if query.language_match == "main":
            spoken = spoken.list.head(1)
        passed.append((spoken.list.eval(pl.element().is_in(list(query.languages))).list.any(), "other_language"))
    since, until = query.first_timestamp, query.last_timestamp
    if since is not None or until is not None:
        fetched = pl.col("timestamp").is_between(pl.lit(since or "0"), pl.lit(until or "9999"))
        passed.append((fetched, "outside_dates"))
    if query.url_regex is not None:
        passed.append((pl.col("url").str.contains(query.url_regex), "other_url"))
    reasons = [pl.when(~is_passed.fill_null(False)).then(pl.lit(reason)) for is_passed, reason in passed]
    return rows.select(reason=pl.coalesce(reasons)).to_series()


def places(rows: pl.DataFrame) -> tuple[pl.DataFrame, int]:
    """The rows with PLACE_COLUMNS that name bytes which a file can have, and how many do not."""
    good = rows.filter(
        (~pl.col("filename").str.contains(_NO_FILE_NAME))
        & pl.col("offset").is_between(0, _MAX_FILE_BYTES)
        & pl.col("length").is_between(1, _MAX_RECORD_BYTES)
    )
    return good, len(rows) - len(good)


def count_reasons(reasons: pl.Series) -> Counter[str]:
    """How often each reason stands there; what has none is not counted."""
    values, counts = np.unique(reasons.drop_nulls().to_numpy(), return_counts=True)
    return Counter({str(value): int(count) for value, count in zip(values, counts, strict=True)})
