"""Whether a cluster that is not ours still has workers: what waits for one must not wait for ever."""

import logging
import threading
import time
from collections.abc import Callable

from flows.engines.failures import EngineFailed

LOOK_SECONDS = 15.0  # of waiting for a call before one looks again
PATIENCE_SECONDS = 300.0  # pods that are pulled, jobs that wait in a queue

_log = logging.getLogger(__name__)


class Presence:
    """Says once when a cluster has lost its workers, and fails when none come. May be called from any thread."""

    def __init__(self, cluster: str, places: Callable[[], int], remedy: str) -> None:
        self._cluster = cluster
        self._places = places
        self._remedy = remedy
        self._absent_since: float | None = None
        self._lock = threading.Lock()

    def check(self) -> None:
        """To be called while a call waits.

        Raises:
            EngineFailed: there has been no worker for `PATIENCE_SECONDS`.
        """
        is_there = self._places() > 0
        with self._lock:
            now = time.monotonic()
            if is_there:
                self._absent_since = None
            elif self._absent_since is None:
                self._absent_since = now
                _log.warning(
                    "%s has no workers any more; waiting %.0f s for some. %s",
                    self._cluster, PATIENCE_SECONDS, self._remedy,
                )  # fmt: skip
            elif now - self._absent_since >= PATIENCE_SECONDS:
                raise EngineFailed(
                    f"{self._cluster} lost its workers, and none came in {PATIENCE_SECONDS:.0f} s. {self._remedy}, "
                    "and run again to continue"
                )
