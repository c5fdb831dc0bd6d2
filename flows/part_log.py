"""What the work on a part logs and warns, wherever it is done, so that it can be said again where the run is watched.

Workers do not know Prefect: they collect, within bounds, and the task that waits for them says it into its own log.
"""

import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Result = TypeVar("Result")

_MAX_LINES = 50  # of one part
_MAX_CHARS = 2_000  # of one line
_OURS = ("pipeline_lib", "model", "storage", "flows")  # of these also what is not yet a warning
_ATTRIBUTE = "part_log"  # of an exception that ends the work


@dataclass(frozen=True, kw_only=True)
class LogLine:
    """A log record as it travels. `times`: how often the part said the same."""

    level: int
    logger: str
    text: str
    times: int = 1

    @property
    def first_line(self) -> str:
        """For a terminal: one line, and nothing in it that a page could steer the terminal with."""
        line = (self.text.splitlines() or [""])[0]
        return "".join(letter if letter.isprintable() else "?" for letter in line)


@dataclass(frozen=True, kw_only=True)
class Logged(Generic[Result]):
    """What a function returned, and what was logged meanwhile."""

    result: Result
    lines: tuple[LogLine, ...]


def call_logged(function: Callable[..., Result], *arguments: Any) -> Logged[Result]:
    """Call a function, and collect what is logged and warned during it.

    An exception of the function rises, with the lines in it: see `lines_of`.
    """
    with _listening() as listener:
        try:
            result = function(*arguments)
        except Exception as error:
            setattr(error, _ATTRIBUTE, listener.lines())  # goes along when the exception is pickled
            raise
    return Logged(result=result, lines=listener.lines())


def lines_of(error: BaseException) -> tuple[LogLine, ...]:
    """What was logged by work that ended with this exception."""
    lines: tuple[LogLine, ...] = getattr(error, _ATTRIBUTE, ())
    return lines


def say_again(lines: tuple[LogLine, ...], part: str, logger: logging.LoggerAdapter[Any] | logging.Logger) -> None:
    """Log what a part logged, with its name."""
    for line in lines:
        times = f" ({line.times:,} times)" if line.times > 1 else ""
        logger.log(line.level, "%s: %s: %s%s", part, line.logger, line.text, times)


@dataclass(kw_only=True)
class _Listener:
    """Collects the records of one call."""

    counts: dict[tuple[int, str, str], int] = field(default_factory=dict)
    left_out: int = 0

    def take(self, key: tuple[int, str, str]) -> None:
        if key not in self.counts and len(self.counts) >= _MAX_LINES:
            self.left_out += 1
            return
        self.counts[key] = self.counts.get(key, 0) + 1

    def lines(self) -> tuple[LogLine, ...]:
        lines = [
            LogLine(level=level, logger=logger, text=text, times=times)
            for (level, logger, text), times in self.counts.items()
        ]
        if self.left_out:
            text = f"{self.left_out:,} more lines are left out; {_MAX_LINES} of a part are kept"
            lines.append(LogLine(level=logging.WARNING, logger=__name__, text=text))
        return tuple(lines)


class _Handler(logging.Handler):
    """Gives each record to the call whose thread logged it, or to the only call there is: its helpers log, too."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: dict[int, _Listener] = {}
        self.levels: Mapping[str, int] = {}
        self.changing = threading.Lock()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            listener = self.listeners.get(record.thread or 0)
            if listener is None:
                if len(self.listeners) != 1 or record.thread == threading.main_thread().ident or _is_prefects(record):
                    return
                (listener,) = list(self.listeners.values())
            listener.take((record.levelno, record.name, record.getMessage()[:_MAX_CHARS].strip()))
        except Exception:  # noqa: BLE001 (a message that does not fit its arguments must not end the work)
            self.handleError(record)


_handler = _Handler()


@contextmanager
def _listening() -> Iterator[_Listener]:
    thread = threading.get_ident()
    with _handler.changing:
        if not _handler.listeners:
            _begin()
        listener = _Listener()
        _handler.listeners = {**_handler.listeners, thread: listener}
    try:
        yield listener
    finally:
        with _handler.changing:
            _handler.listeners = {at: each for at, each in _handler.listeners.items() if at != thread}
            if not _handler.listeners:
                _end()


def _begin() -> None:
    logging.captureWarnings(True)
    logging.getLogger().addHandler(_handler)
    loggers = [logging.getLogger(name) for name in _OURS]
    _handler.levels = {logger.name: logger.level for logger in loggers}
    for logger in loggers:
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.INFO)


def _end() -> None:
    for name, level in _handler.levels.items():
        logging.getLogger(name).setLevel(level)
    logging.getLogger().removeHandler(_handler)
    logging.captureWarnings(False)


def _is_prefects(record: logging.LogRecord) -> bool:
    return record.name.partition(".")[0] in ("prefect", "httpx", "httpcore", "websockets")
