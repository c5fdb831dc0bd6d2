"""Times as files hold them: text, numbers, dates, times with and without a zone; here all become UTC."""

import math
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

TIME_COLUMNS = ("fetched_at", "date", "timestamp", "crawl_date", "created", "published_at")
UTC_MILLISECONDS = pa.timestamp("ms", tz="UTC")

_MILLISECONDS_FROM = 1e11  # a number of seconds like this is in the year 5138
_FIRST_MILLISECOND, _LAST_MILLISECOND = -62_135_596_800_000, 253_402_300_799_999  # of the years 1 to 9999


def utc_time(value: Any) -> datetime | None:
    """A time as UTC, from what columns hold: times, dates, ISO 8601 text, seconds or milliseconds since 1970."""
    try:
        if isinstance(value, str):
            value = datetime.fromisoformat(value.strip())
        elif isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
            value = datetime.fromtimestamp(value / 1000 if abs(value) > _MILLISECONDS_FROM else value, UTC)
        elif isinstance(value, date) and not isinstance(value, datetime):
            value = datetime(value.year, value.month, value.day)
        if not isinstance(value, datetime):
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except (ValueError, OverflowError, OSError):
        return None


def utc_times(column: pa.Array) -> pa.Array:
    """`utc_time` of a whole column of text, numbers, dates or times: null where a value says no time."""
    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return _in_utc(column)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        return _of_numbers(column.cast(pa.float64(), safe=False))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        for written in (pa.timestamp("us", tz="UTC"), pa.timestamp("us")):  # as all of them have a zone, or none
            try:
                return _in_utc(column.cast(written))
            except pa.ArrowInvalid:
                continue
    distinct = column.dictionary_encode()
    times = pa.array([utc_time(_value(each)) for each in distinct.dictionary], UTC_MILLISECONDS)
    return times.take(distinct.indices)


def _in_utc(column: pa.Array) -> pa.Array:
    times = column.cast(pa.timestamp("ms", tz=getattr(column.type, "tz", None)), safe=False)
    return times.cast(UTC_MILLISECONDS) if times.type.tz else pc.assume_timezone(times, "UTC")


def _of_numbers(column: pa.Array) -> pa.Array:
    values = column.to_numpy(zero_copy_only=False)  # NaN for null
    milliseconds = np.where(np.abs(values) > _MILLISECONDS_FROM, values, 1000.0 * values)
    is_time = (milliseconds >= _FIRST_MILLISECOND) & (milliseconds <= _LAST_MILLISECOND)
    whole = np.where(is_time, milliseconds, 0.0).astype(np.int64)
    return pa.array(whole, mask=~is_time).cast(UTC_MILLISECONDS)


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError):  # text that is no UTF-8; a time that Python has no date for
        return None
