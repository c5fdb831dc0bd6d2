"""Trying again what failed, with growing pauses: for work that nobody watches."""

import time
from collections.abc import Callable
from typing import TypeVar

import click

from pipeline_lib.crawl.crawls import CrawlListError
from pipeline_lib.crawl.listing import SourceError
from storage.store import StoreError
from storage.wrong_request import WrongRequest

Result = TypeVar("Result")

_GROWTH = 5.0
_OF_THE_WORLD = (CrawlListError, SourceError, StoreError)  # a network or a disk may do better in a while


def attempt_repeatedly(
    work: Callable[[], Result],
    *,
    attempts: int,
    pause_seconds: float,
    sleep: Callable[[float], None] = time.sleep,
) -> Result:
    """What `work` returns, at the latest the last time it is tried; each failure is told.

    Raises:
        Exception: the last attempt's; or one that would come again each time, at once.
    """
    for number in range(1, max(attempts, 1) + 1):
        try:
            return work()
        except Exception as error:
            if number >= attempts or not may_do_better(error):
                raise
            pause = pause_seconds * _GROWTH ** (number - 1)
            click.echo(
                f"attempt {number} of {attempts} failed: {error}\n"
                f"trying again in {pause:,.0f} s; what is published stays",
                err=True,
            )
            sleep(pause)
    raise AssertionError("the last attempt returned nothing and raised nothing")


def may_do_better(error: Exception) -> bool:
    """Whether the same request may succeed later: not one that was wrong in itself."""
    return isinstance(error, _OF_THE_WORLD) or not isinstance(error, WrongRequest)
