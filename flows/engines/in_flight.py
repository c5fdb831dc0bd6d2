"""Calls that a cluster works on, so that all can be cancelled when a run ends."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


class InFlight:
    """What was submitted and is waited for; after `close` nothing more is taken. Methods may be called from any
    thread."""

    def __init__(self) -> None:
        self._submitted: set[Any] = set()
        self._lock = threading.Lock()
        self._is_closed = False

    @contextmanager
    def submitted(self, submit: Callable[[], Any]) -> Iterator[Any]:
        """What `submit` gives, in flight until the end of the `with` block."""
        with self._lock:
            self.check_open()
            call = submit()
            self._submitted.add(call)
        try:
            yield call
        finally:
            with self._lock:
                self._submitted.discard(call)

    def check_open(self) -> None:
        """Raises RuntimeError after `close`: whatever went wrong with a call then, the run is ending."""
        if self._is_closed:
            raise RuntimeError("the runner was closed: its run is ending")

    def close(self) -> list[Any]:
        """Take nothing more; returns what is in flight still."""
        with self._lock:
            self._is_closed = True
            return list(self._submitted)
