"""The end signal, by which systems stop a process, as what Ctrl-C is: so that a verb cleans up behind itself."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn


@contextmanager
def end_signal_as_ctrl_c() -> Iterator[None]:
    """Within it SIGTERM raises KeyboardInterrupt; for the main thread, where signals come to."""
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _interrupt(*_: object) -> NoReturn:
    raise KeyboardInterrupt
