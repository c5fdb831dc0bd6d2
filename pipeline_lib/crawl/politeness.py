"""How fast all processes of this machine together ask a host: a token bucket and a limited number of connections.

What they agree on is in small files, one set a host, under a folder of the user. Whoever changes one holds its lock
(`flock`); a connection is the lock on one of `max_connections` files, which the kernel frees when its process dies,
however it dies. Times are of the monotonic clock, which all processes of a machine share and nobody can set.

The bucket holds one token: requests leave at least 1/rate apart, and there are no bursts. After a refusal (403, 429,
5xx) nobody asks for a while, and then all of them ask at half the rate; each success gives back a little of it (after
TCP's additive increase, multiplicative decrease: Jacobson 1988).
"""

import contextlib
import fcntl
import hashlib
import math
import os
import struct
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from storage.wrong_request import WrongRequest

MAX_PAUSE_SECONDS = 600.0  # of a host that asks for hours; by then its answer to one request will tell

_SLOWER = 0.5
_FASTER = 1 / 32
_SLOWEST = 1 / 64
_FORGET_SECONDS = 900.0  # a refusal that long ago says nothing about now
_STALE_SECONDS = 3600.0  # times further ahead were written before the system was started
_MAX_NAP_SECONDS = 1.0
_SLOT_NAP_SECONDS = (0.005, 0.1)
_LAYOUT = struct.Struct("<8s16s4d")
_MAGIC = b"pace\x00\x00\x00\x01"
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class PaceUnavailable(WrongRequest):
    """The folder in which processes agree on their pace cannot be used; the message says which, and what to do."""


@dataclass(slots=True)
class _State:
    next_at: float = 0.0  # no request before
    not_before: float = 0.0  # likewise, after a refusal
    factor: float = 1.0  # of the allowed rate
    slowed_at: float = -math.inf  # when the factor was last made smaller


def default_folder() -> Path:
    """The folder of this user, the same for all processes: neither the session nor the environment changes it."""
    return Path("/tmp") / f"gristmill-{os.getuid()}"


class Pace:
    """The pace towards one host. Any number of these, in any processes, keep it together if they share the folder.

    Args:
        host: what is spared; any text.
        requests_per_second: of all that share the folder; if they differ, none exceeds its own and together they do
            not exceed the largest.
        clock: seconds, the same for all processes.
    """

    def __init__(
        self,
        host: str,
        *,
        requests_per_second: float,
        max_connections: int,
        folder: Path | None = None,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._rate = requests_per_second
        self._max_connections = max_connections
        self._clock = clock
        self._sleep = sleep
        folder = folder or default_folder()
        _make_private(folder)
        name = hashlib.blake2b(host.lower().encode(errors="surrogateescape"), digest_size=12).hexdigest()
        self._state_path = folder / f"{name}.pace"
        self._slot_paths = [folder / f"{name}.connection-{number:03d}" for number in range(max_connections)]
        self._boot = _boot_id()

    @contextlib.contextmanager
    def connection(self) -> Iterator[None]:
        """Hold one of the connections to the host; waits until one is free."""
        descriptor = self._take_slot()
        try:
            yield
        finally:
            # not only closed: a child that was forked meanwhile has the file open too
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def wait(self) -> float:
        """Wait until one request may be sent, and take the right to it; the time at which it was given."""
        while True:
            with self._state() as state:
                now = self._clock()
                ready = max(state.next_at, state.not_before)
                if now >= ready:
                    state.next_at = now + 1 / (self._rate * state.factor)
                    return now
            self._sleep(min(ready - now, _MAX_NAP_SECONDS))

    def succeeded(self) -> None:
        """A request was answered: everybody may go a little faster again."""
        with self._state() as state:
            state.factor = min(1.0, state.factor + _FASTER)

    def refused(self, granted: float, pause_seconds: float) -> None:
        """The host asked for less. Nobody sends a request for a while, then all of them at half the rate.

        Args:
            granted: what `wait` returned for the request. Refusals of requests that were on their way together halve
                the rate once.
            pause_seconds: for how long; at most MAX_PAUSE_SECONDS.
        """
        with self._state() as state:
            now = self._clock()
            if granted > state.slowed_at:
                state.factor = max(_SLOWEST, state.factor * _SLOWER)
                state.slowed_at = now
            state.not_before = max(state.not_before, now + min(pause_seconds, MAX_PAUSE_SECONDS))

    def rate(self) -> float:
        """Requests a second that are allowed at the moment."""
        with self._state() as state:
            return self._rate * state.factor

    def _take_slot(self) -> int:
        nap, longest_nap = _SLOT_NAP_SECONDS
        first = os.getpid()
        while True:
            for number in range(self._max_connections):
                path = self._slot_paths[(first + number) % self._max_connections]
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    os.close(descriptor)
                except BaseException:
                    os.close(descriptor)
                    raise
                else:
                    return descriptor
            self._sleep(nap)
            nap = min(2 * nap, longest_nap)

    @contextlib.contextmanager
    def _state(self) -> Iterator[_State]:
        """The shared state, locked; what is changed is written on exit."""
        descriptor = os.open(self._state_path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            found = os.pread(descriptor, _LAYOUT.size + 1, 0)
            state = self._parsed(found)
            yield state
            content = _LAYOUT.pack(_MAGIC, self._boot, state.next_at, state.not_before, state.factor, state.slowed_at)
            os.pwrite(descriptor, content, 0)
            if len(found) > len(content):
                os.ftruncate(descriptor, len(content))
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def _parsed(self, content: bytes) -> _State:
        now = self._clock()
        if not content:
            return _State()
        fresh = _State(next_at=now + 1 / self._rate)  # somebody may have asked a moment ago
        if len(content) != _LAYOUT.size:
            return fresh
        magic, boot, next_at, not_before, factor, slowed_at = _LAYOUT.unpack(content)
        if magic != _MAGIC or boot != self._boot:
            return fresh
        # also of another boot, where the system does not number them: its times are mostly in the future
        longest = now + _STALE_SECONDS
        if not (next_at <= longest and not_before <= longest and slowed_at <= now and _SLOWEST <= factor <= 1):
            return fresh
        if now - slowed_at > _FORGET_SECONDS:
            factor = 1.0
        return _State(next_at, not_before, factor, slowed_at)


def _make_private(folder: Path) -> None:
    """Make the folder; refuse one that somebody else could write to."""
    advice = "name another with fetch.pace_folder"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        found = folder.lstat()
    except OSError as error:
        raise PaceUnavailable(
            f"{folder}: the folder for the pace of requests cannot be made: {error}; {advice}"
        ) from error
    if folder.is_symlink() or found.st_uid != os.getuid():
        raise PaceUnavailable(f"{folder}: the folder for the pace of requests belongs to somebody else; {advice}")


def _boot_id() -> bytes:
    """16 bytes that change with each start of the system; zeros where it does not tell."""
    try:
        return bytes.fromhex(_BOOT_ID.read_text().strip().replace("-", ""))[:16].ljust(16, b"\x00")
    except (OSError, ValueError):
        return bytes(16)
