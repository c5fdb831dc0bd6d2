"""A gate before the engines: as many parts as there are places go through, or one alone."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

_ASK_SECONDS = 5.0


class Gate:
    """Counts who is inside. `places` is asked again every few seconds while somebody waits: clusters grow and shrink.

    Who wants to be alone comes before those who wait for a place.
    """

    def __init__(self, places: Callable[[], int]) -> None:
        self._ask = places
        self._condition = threading.Condition()
        self._places = 0
        self._asked_at = float("-inf")
        self._inside = 0
        self._want_alone = 0
        self._is_closed = False

    def places(self) -> int:
        """How many may be inside, as far as is known."""
        self._renew()
        with self._condition:
            return self._places

    @contextmanager
    def place(self) -> Iterator[None]:
        """Wait for a place, and hold it.

        Raises:
            RuntimeError: the gate is closed.
        """
        self._renew()
        with self._condition:
            while self._want_alone or self._inside >= self._places:
                self._check_open()
                self._condition.wait(_ASK_SECONDS)
                self._condition.release()  # others go on while a cluster is asked
                try:
                    self._renew()
                finally:
                    self._condition.acquire()
            self._check_open()
            self._inside += 1
        try:
            yield
        finally:
            self._leave()

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Wait until nobody is inside, and let nobody in meanwhile.

        Raises:
            RuntimeError: the gate is closed.
        """
        with self._condition:
            self._want_alone += 1
            try:
                while self._inside:
                    self._check_open()
                    self._condition.wait(_ASK_SECONDS)
                self._check_open()
            except BaseException:
                self._want_alone -= 1
                raise
            self._inside += 1
        try:
            yield
        finally:
            with self._condition:
                self._want_alone -= 1
            self._leave()

    def close(self) -> None:
        """Wake all who wait, and let nobody in any more."""
        with self._condition:
            self._is_closed = True
            self._condition.notify_all()

    def _leave(self) -> None:
        with self._condition:
            self._inside -= 1
            self._condition.notify_all()

    def _renew(self) -> None:
        """Ask for the number of places, where the last answer is old."""
        now = time.monotonic()
        with self._condition:
            if now - self._asked_at < _ASK_SECONDS or self._is_closed:
                return
            self._asked_at = now
        places = max(1, self._ask())
        with self._condition:
            if places != self._places:
                self._places = places
                self._condition.notify_all()

    def _check_open(self) -> None:
        if self._is_closed:
            raise RuntimeError("the runner was closed: its run is ending")
