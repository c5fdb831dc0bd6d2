"""When a schedule runs, and which of the times that came it acts on."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flows.schedule_times import Due, WrongTimes, choose_due, times_of

NOON = datetime(2026, 11, 26, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("cron", "timezone", "upcoming"),
    [
        ("0 3 * * 0", "UTC", datetime(2026, 11, 29, 3, tzinfo=UTC)),
        ("0 3 * * 0", "Europe/Berlin", datetime(2026, 11, 29, 2, tzinfo=UTC)),
        ("0 12 26 11 *", "UTC", datetime(2027, 11, 26, 12, tzinfo=UTC)),  # this very moment is not after it
        ("@monthly", "UTC", datetime(2026, 12, 1, tzinfo=UTC)),
    ],
)
def test_a_cron_expression_says_when_the_next_run_is(cron, timezone, upcoming) -> None:
    assert times_of(cron, None, timezone).next_after(NOON) == upcoming


@pytest.mark.parametrize(
    ("every", "length"),
    [("7d", timedelta(days=7)), ("1d12h", timedelta(hours=36)), ("10s", timedelta(seconds=10))],
)
def test_a_length_of_time_says_how_often(every, length) -> None:
    assert times_of(None, every, "UTC").next_after(NOON) == NOON + length


@pytest.mark.parametrize(
    ("cron", "every", "timezone", "message"),
    [
        (None, None, "UTC", "either --cron .* or --every 7d"),
        ("0 3 * * 0", "7d", "UTC", "either --cron .* or --every 7d"),
        ("61 3 * * *", None, "UTC", r"--cron '61 3 \* \* \*' is no cron expression: expected minute, hour"),
        ("every sunday", None, "UTC", "is no cron expression"),
        ("0 0 31 2 *", None, "UTC", "cron"),  # no February has 31 days
        ("0 3 * * 0", None, "Berlin", "--timezone 'Berlin' is none: expected a name such as UTC or Europe/Berlin"),
        (None, "7", "UTC", "--every '7' is no length of time: expected 7d"),
        (None, "d7", "UTC", "is no length of time"),
        (None, "9s", "UTC", "expected 10 s or more"),
        (None, "9" * 12 + "w", "UTC", "longer than anybody waits"),
    ],
)
def test_times_that_are_none_are_refused_with_what_would_do(cron, every, timezone, message) -> None:
    with pytest.raises(WrongTimes, match=message):
        times_of(cron, every, timezone)


@given(st.lists(st.integers(-1000, 1000), unique=True))
def test_of_the_times_that_came_the_last_counts_and_none_of_before(offsets) -> None:
    due = [Due(flow_run_id=str(offset), at=NOON + timedelta(seconds=offset)) for offset in offsets]
    chosen, skipped = choose_due(due, NOON)
    timely = [offset for offset in offsets if offset >= 0]
    assert (None if chosen is None else chosen.flow_run_id) == (str(max(timely)) if timely else None)
    assert {each.flow_run_id for each in skipped} == {str(offset) for offset in offsets} - (
        {str(max(timely))} if timely else set()
    )
