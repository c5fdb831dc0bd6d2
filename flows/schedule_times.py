"""When a schedule runs: the times that a person gives, checked, and which of the times that came to act on."""

import asyncio
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import available_timezones

from storage.wrong_request import WrongRequest

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400}
_DURATION = re.compile(r"(\d+)([smhdw])")
_SHORTEST = timedelta(seconds=10)


class WrongTimes(WrongRequest):
    """Times that are none; the message says what would do."""


@dataclass(frozen=True, kw_only=True)
class Times:
    """When to run: by a cron expression in a time zone, or every so often from when the schedule was begun."""

    cron: str | None = None
    every: timedelta | None = None
    timezone: str = "UTC"

    def __str__(self) -> str:
        return f"at {self.cron!r}, {self.timezone}" if self.every is None else f"every {self.every}"

    def next_after(self, now: datetime) -> datetime | None:
        """The first time after `now`, as Prefect will have it; None where the expression has none."""
        if self.every is not None:
            return now + self.every
        # its own times, so that the terminal says what the UI says
        from prefect.server.schemas.schedules import CronSchedule

        return first_date(CronSchedule(cron=self.cron or "", timezone=self.timezone), now)


def first_date(schedule: Any, now: datetime) -> datetime | None:
    """The first time after `now` of one of Prefect's schedules (`prefect.server.schemas.schedules`)."""
    return next((each for each in asyncio.run(schedule.get_dates(2, start=now)) if each > now), None)


@dataclass(frozen=True, kw_only=True)
class Due:
    """A planned run whose time has come."""

    flow_run_id: str
    at: datetime


def times_of(cron: str | None, every: str | None, timezone: str) -> Times:
    """What `--cron`, `--every` and `--timezone` mean.

    Raises:
        WrongTimes: none or both of the first two are given, or one of the three is not what it should be.
    """
    if (cron is None) == (every is None):
        raise WrongTimes('say when to run: either --cron "0 3 * * 0" (Sundays at three) or --every 7d')
    if timezone not in available_timezones():
        raise WrongTimes(f"--timezone {timezone!r} is none: expected a name such as UTC or Europe/Berlin")
    if every is not None:
        return Times(every=_duration(every), timezone=timezone)
    assert cron is not None
    times = Times(cron=" ".join(cron.split()), timezone=timezone)
    try:
        upcoming = times.next_after(datetime.now(UTC))
    except ValueError as error:
        raise WrongTimes(
            f"--cron {cron!r} is no cron expression: expected minute, hour, day of the month, month and day of the "
            f'week, such as "0 3 * * 0" for Sundays at three ({_first_line(error)})'
        ) from error
    if upcoming is None:
        raise WrongTimes(f"--cron {cron!r} never comes: no month has such a day")
    return times


def choose_due(due: Sequence[Due], since: datetime) -> tuple[Due | None, list[Due]]:
    """Which of the runs whose time has come to begin, and which to skip.

    Of times that came while another run was at work only the last counts: a second run right after it would find what
    the first one made. Times before `since`, when nobody was there to act, count not at all: a backfill is for these.
    """
    timely = sorted((each for each in due if each.at >= since), key=lambda each: each.at)
    chosen = timely[-1] if timely else None
    return chosen, [each for each in due if each is not chosen]


def _duration(text: str) -> timedelta:
    pieces = _DURATION.findall(text)
    if not pieces or "".join(number + unit for number, unit in pieces) != text:
        raise WrongTimes(f"--every {text!r} is no length of time: expected 7d, 12h, 30m, or 1d12h")
    try:
        found = timedelta(seconds=sum(int(number) * _UNITS[unit] for number, unit in pieces))
    except OverflowError as error:
        raise WrongTimes(f"--every {text!r} is longer than anybody waits") from error
    if found < _SHORTEST:
        raise WrongTimes(f"--every {text!r}: expected {_SHORTEST.seconds} s or more")
    return found


def _first_line(error: ValueError) -> str:
    errors = getattr(error, "errors", None)  # of pydantic
    message = errors()[0]["msg"] if errors is not None else str(error)
    return str(message).removeprefix("Value error, ").splitlines()[0]
