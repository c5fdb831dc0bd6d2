"""The mark of whoever removes stage outputs from a store: runs that begin meanwhile wait until it is gone.

Whoever removes writes the mark first, and then looks which runs there are. A run writes its record first, and then
looks for the mark. So of a run and a removal that begin at once, at least one sees the other: the run waits, or the
removal leaves alone whatever the run may use.

It is no lease (`storage.leases`): those are found by a listing, which some stores give as of a while ago, and missing
one costs work done twice. Missing this mark would cost outputs, so it has one name, and is read by it.

The mark is written again and again, with a higher count. It is over when the count stood still for as long as the mark
says, by the clock of whoever waits: no clocks of two machines are compared. Of a dead process of this machine it is
over at once.
"""

import json
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from storage.processes import Process, process_of, this_process
from storage.store import Store
from storage.wrong_request import WrongRequest

MARK_PATH = "gc.json"

_SECONDS = 600.0  # that a mark lasts without being written again
_BEAT_SECONDS = 30.0
_LOOK_SECONDS = 0.5


class RemovalInProgress(WrongRequest):
    """Another process removes outputs from the store now."""


class MarkLost(RuntimeError):
    """The mark could not be kept: runs may have begun, and nothing more may be removed."""


@dataclass(frozen=True, kw_only=True)
class Remover:
    """Who removes, as the mark says. `beat`: how often it was written; `seconds`: that it lasts without; `process`:
    None where it cannot be read."""

    host: str
    process: Process | None
    nonce: str
    beat: int
    seconds: float

    def __str__(self) -> str:
        pid = "unknown" if self.process is None else self.process.pid
        return f"`gristmill gc` (host {self.host}, pid {pid})"

    def is_dead(self) -> bool:
        """Whether it is known to have ended: only of this machine's processes anybody can know."""
        return self.process is not None and self.process.is_dead()


@dataclass(kw_only=True)
class RemovalMark:
    """The mark of this process, as long as `removal_mark` lasts."""

    store: Store
    nonce: str
    seconds: float
    beat_seconds: float
    beat: int = 0
    _written_at: tuple[float, float] = (0.0, 0.0)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _ending: threading.Event = field(default_factory=threading.Event)

    def require(self) -> None:
        """Ask before each removal.

        Raises:
            MarkLost: the mark was not written for so long that others may take it for over.
        """
        silent = max(time.monotonic() - self._written_at[0], time.time() - self._written_at[1])
        if silent > self.seconds / 2:
            raise MarkLost(
                f"{self.store.full_path(MARK_PATH)} could not be written for {silent:.0f} s, so a run may have begun: "
                "nothing more is removed; run `gristmill gc` again"
            )

    def write(self) -> None:
        with self._lock:
            self.beat += 1
            body = {
                "host": socket.gethostname(),
                "process": this_process().mark(),
                "nonce": self.nonce,
                "beat": self.beat,
                "seconds": self.seconds,
            }
            now = time.monotonic(), time.time()
            self.store.publish_bytes(MARK_PATH, json.dumps(body, indent=1).encode())
            self._written_at = now

    def _keep_writing(self) -> None:
        while not self._ending.wait(self.beat_seconds):
            with suppress(OSError):  # the next one may do better; `require` knows how long none did
                self.write()


@contextmanager
def removal_mark(
    store: Store, *, seconds: float = _SECONDS, beat_seconds: float = _BEAT_SECONDS
) -> Iterator[RemovalMark]:
    """Hold the store's mark.

    Raises:
        RemovalInProgress: another process holds it.
    """
    remover = find_remover(store)
    if remover is not None and not remover.is_dead():
        raise RemovalInProgress(
            f"{remover} removes outputs from {store.url} now: wait for it. Where that process is known to be dead, "
            f"remove {store.full_path(MARK_PATH)}"
        )
    mark = RemovalMark(store=store, nonce=secrets.token_hex(8), seconds=seconds, beat_seconds=beat_seconds)
    mark.write()
    remover = find_remover(store)
    if remover is None or remover.nonce != mark.nonce:
        raise RemovalInProgress(f"{remover} began to remove outputs from {store.url} in the same moment: wait for it")
    heart = threading.Thread(target=mark._keep_writing, name="removal-mark", daemon=True)
    heart.start()
    try:
        yield mark
    finally:
        mark._ending.set()
        heart.join()
        store.remove(MARK_PATH)


def find_remover(store: Store) -> Remover | None:
    """Who removes outputs now, or did when it died; None: nobody. A mark that cannot be read is of an unknown one."""
    try:
        value: Any = json.loads(store.read_bytes(MARK_PATH))
    except FileNotFoundError:
        return None
    except ValueError:
        value = None
    try:
        return Remover(
            host=str(value["host"]),
            process=process_of(str(value["process"])),
            nonce=str(value["nonce"]),
            beat=int(value["beat"]),
            seconds=min(max(0.0, float(value["seconds"])), _SECONDS),
        )
    except (KeyError, TypeError, ValueError):
        return Remover(host="unknown", process=None, nonce="", beat=0, seconds=_SECONDS)


def wait_for_removal(store: Store, say: Callable[[str], None], wait: Callable[[float], None] = time.sleep) -> None:
    """Return when nobody removes outputs from the store; call it after the run's record is written.

    Args:
        say: is told for whom this waits, once.
        wait: takes seconds.
    """
    seen: Remover | None = None
    still = 0.0  # seconds that were waited since the mark changed last; a clock could jump
    while True:
        remover = find_remover(store)
        if remover is None or remover.is_dead():
            return
        if seen is None:
            say(f"waiting for {remover} to end: it removes outputs that no run refers to")
        if seen is None or (remover.nonce, remover.beat) != (seen.nonce, seen.beat):
            seen, still = remover, 0.0
        elif still >= remover.seconds:
            return
        wait(_LOOK_SECONDS)
        still += _LOOK_SECONDS
