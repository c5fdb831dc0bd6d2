"""What is tried again when it fails, how often, and what is not."""

import pytest

from flows.retrying import attempt_repeatedly
from flows.settings import SettingsError
from flows.stage import StageFailed
from pipeline_lib.crawl.crawls import CrawlListError


class Failing:
    """Work that fails with each of these errors, one a time, and then returns."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.num_tried = 0

    def __call__(self) -> str:
        self.num_tried += 1
        if self.errors:
            raise self.errors.pop(0)
        return "done"


def test_what_fails_is_tried_again_after_growing_pauses() -> None:
    work, pauses = Failing(StageFailed("a part"), CrawlListError("no network")), []
    assert attempt_repeatedly(work, attempts=4, pause_seconds=60, sleep=pauses.append) == "done"
    assert pauses == [60, 300]


def test_the_last_failure_is_the_one_that_is_told() -> None:
    work, pauses = Failing(*(StageFailed(f"number {number}") for number in range(5))), []
    with pytest.raises(StageFailed, match="number 2"):
        attempt_repeatedly(work, attempts=3, pause_seconds=1, sleep=pauses.append)
    assert work.num_tried == 3
    assert len(pauses) == 2


@pytest.mark.parametrize("error", [SettingsError("a broken recipe"), KeyboardInterrupt()])
def test_what_would_fail_again_or_was_stopped_is_not_tried_again(error) -> None:
    work = Failing(error)
    with pytest.raises(type(error)):
        attempt_repeatedly(work, attempts=4, pause_seconds=60, sleep=lambda seconds: pytest.fail("it waited"))
    assert work.num_tried == 1
