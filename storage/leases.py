"""Leases: what a process says it is at work on, so that others wait for that and do something else meanwhile.

A lease is a file in `leases/` that its holder writes again every few seconds, with a higher count of beats. Whoever
finds one watches the count: it is over when the count stood still for as long as the lease says, measured by the
watcher's own clock and over several looks. No two machines' clocks are compared, and no clock that jumps ends a lease
at once or keeps a dead one. Of a process of the same machine that is gone, leases are over at once.

Each holder in turn has a file of its own, numbered: `<name>.00000003.json` is held by whoever created it, and over
where there is a higher number. So nobody ever writes over or removes what another one holds, and of several who find a
lease over, the one who creates the next number has it. A store on which creating is not exclusive (see
`Store.publish_new`) may give a lease to two. They share work; what is published has to be right without them.
"""

import json
import logging
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, Self

from storage.processes import Process, process_of, this_process
from storage.store import Store

LEASE_SECONDS = 30.0
_BEATS = 4  # in the time that a lease lasts without one
_MAX_SECONDS = 600.0  # of a lease that claims to last longer: a file in a store may say anything
_FOLDER = "leases"
_SUFFIX = ".json"
_TRIES = 20
_LOOK_SECONDS = 0.5
_NOBODY = Process(machine="", boot="", space="", pid=0, started="")  # known to no machine

_log = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class Holder:
    """Who holds a lease, as its file says.

    Attributes:
        nonce: tells this holder from all others; empty where the file cannot be read.
        beat: how often it was written again.
        seconds: how long it lasts without another beat.
        uses: what else the holder has told about itself.
    """

    run: str
    host: str
    process: Process
    nonce: str
    beat: int
    seconds: float
    uses: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"run {self.run or 'unknown'} (host {self.host or 'unknown'}, pid {self.process.pid})"


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A lease as its holder passes it on, to a worker process for instance: enough to see whether it is still held."""

    name: str
    number: int
    nonce: str

    @property
    def path(self) -> str:
        return _path(self.name, self.number)

    def is_held(self, store: Store) -> bool:
        """Whether nobody else has taken the lease since."""
        if _highest(store, self.name) != self.number:
            return False
        holder = _read(store, self.name, self.number)
        return holder is not None and holder.nonce == self.nonce


@dataclass(kw_only=True)
class Lease:
    """A lease that this process holds until `release`."""

    claim: Claim
    uses: tuple[str, ...] = ()
    beat: int = 0


@dataclass(kw_only=True)
class _Watched:
    """How a lease of somebody else was seen last, and for how long it had been standing still then."""

    nonce: str
    beat: int
    looked_at: float
    still: float = 0.0
    has_beaten: bool = False


@dataclass(kw_only=True)
class Leases:
    """The leases of one run: those it holds, and what it has seen of others'. Methods may be called from any thread.

    Attributes:
        run: whom to name to those who wait.
        seconds: how long a lease lasts without a beat.
        clock: seconds that only go up; tests have their own.
    """

    store: Store
    run: str
    seconds: float = LEASE_SECONDS
    clock: Callable[[], float] = time.monotonic
    process: Process = field(default_factory=this_process)
    _held: dict[str, Lease] = field(default_factory=dict, init=False, repr=False)
    _watched: dict[tuple[str, int], _Watched] = field(default_factory=dict, init=False, repr=False)
    _lock: threading.RLock = field(default_factory=threading.RLock, init=False, repr=False)
    _ending: threading.Event = field(default_factory=threading.Event, init=False, repr=False)
    _heart: threading.Thread | None = field(default=None, init=False, repr=False)

    def __enter__(self) -> Self:
        """Beat in a thread until the end of the `with` block, and release then what is still held."""
        self._heart = threading.Thread(target=self._keep_beating, name="leases", daemon=True)
        self._heart.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending.set()
        if self._heart is not None:
            self._heart.join()
        for lease in list(self._held.values()):
            self.release(lease)

    def acquire(self, name: str, uses: Iterable[str] = ()) -> Lease | Holder:
        """The lease of a name, or who holds it now.

        Raises:
            OSError: the store cannot be read or written.
        """
        uses = tuple(uses)
        for _ in range(_TRIES):
            number = _highest(self.store, name)
            holder = _read(self.store, name, number) if number else None
            if holder is not None and not self._is_over(name, number, holder):
                return holder
            lease = Lease(claim=Claim(name=name, number=number + 1, nonce=secrets.token_hex(8)), uses=uses)
            if not self.store.create_bytes(lease.claim.path, self._body(lease), durable=False):
                continue  # another was faster
            if number:
                self.store.remove(_path(name, number))
            with self._lock:
                self._held[name] = lease
            return lease
        raise OSError(f"{self.store.full_path(_FOLDER)}: the lease {name} changed hands {_TRIES} times in a moment")

    def release(self, lease: Lease) -> None:
        """Let a lease go; a store that cannot be written now costs those who wait the time until it is over."""
        with self._lock:
            self._held.pop(lease.claim.name, None)
            try:
                self.store.remove(lease.claim.path)
            except OSError as error:
                _log.warning("lease %s could not be removed: %s", lease.claim.name, error)

    def tell(self, lease: Lease, uses: Iterable[str]) -> None:
        """Write into a lease, at once, what else its holder uses."""
        with self._lock:
            lease.uses = tuple(uses)
            self._write(lease)

    def beat(self) -> None:
        """Write all held leases again; those that somebody else has taken are held no more."""
        with self._lock:
            held = list(self._held.values())
        if not held:
            return
        highest: dict[str, int] = {}
        for name, number in _standing(self.store):
            highest[name] = max(number, highest.get(name, 0))
        for lease in held:
            with self._lock:
                if lease.claim.name not in self._held:
                    continue  # released since
                if highest.get(lease.claim.name, 0) > lease.claim.number:
                    del self._held[lease.claim.name]  # we were silent for too long
                    self.store.remove(lease.claim.path)
                    continue
                lease.beat += 1
                self._write(lease)

    def holder(self, name: str) -> Holder | None:
        """Who holds a lease, as far as can be told by one look; None where nobody does, or it is over."""
        number = _highest(self.store, name)
        holder = _read(self.store, name, number) if number else None
        return None if holder is None or self._is_over(name, number, holder) else holder

    def standing(self, prefix: str) -> dict[str, Holder]:
        """Who holds or held the leases whose names begin so: those that were not released, over or not."""
        latest: dict[str, int] = {}
        for name, number in _standing(self.store):
            if name.startswith(prefix):
                latest[name] = max(number, latest.get(name, 0))
        found = {name: _read(self.store, name, number) for name, number in latest.items()}
        return {name: holder for name, holder in found.items() if holder is not None}

    def remove_dead(self) -> int:
        """Remove the leases of processes of this machine that are gone; returns how many there were."""
        removed = 0
        for name, number in _standing(self.store):
            holder = _read(self.store, name, number)
            if holder is not None and holder.process.is_dead():
                self.store.remove(_path(name, number))
                removed += 1
        return removed

    def forget(self, name: str) -> None:
        """Remove the lease of a holder that is known to be gone."""
        for found, number in _standing(self.store):
            if found == name:
                self.store.remove(_path(name, number))

    def users(self, prefix: str, used: str, wait: Callable[[float], None] = time.sleep) -> list[Holder]:
        """Who holds a lease whose name begins so and tells that it uses something, without this run itself.

        One of another machine counts as soon as it is seen to beat. That is waited for where it was not seen yet: for
        as long as its lease lasts, if it never does.
        """
        found = []
        for name in sorted(self.standing(prefix).keys() - self._held.keys()):
            holder = self.holder(name)
            while holder is not None and used in holder.uses and not self._is_known_to_live(name, holder):
                wait(_LOOK_SECONDS)
                holder = self.holder(name)
            if holder is not None and used in holder.uses:
                found.append(holder)
        return found

    def _is_known_to_live(self, name: str, holder: Holder) -> bool:
        if holder.process.is_here():
            return True
        with self._lock:
            return any(seen.has_beaten for (watched, _), seen in self._watched.items() if watched == name)

    def _keep_beating(self) -> None:
        while not self._ending.wait(self.seconds / _BEATS):
            try:
                self.beat()
            # a border: clients of stores raise what they like. The next beat may do better; if none does, others take
            # over, and we go on
            except Exception as error:  # noqa: BLE001
                _log.warning("leases could not be renewed: %s", error)

    def _is_over(self, name: str, number: int, holder: Holder) -> bool:
        if holder.process.is_dead():
            return True
        now = self.clock()
        with self._lock:
            seen = self._watched.get((name, number))
            if seen is None or (seen.nonce, seen.beat) != (holder.nonce, holder.beat):
                self._watched[name, number] = _Watched(
                    nonce=holder.nonce, beat=holder.beat, looked_at=now, has_beaten=seen is not None
                )
                return False
            # a clock that jumped, or a watcher that slept, has seen no more than a moment of it
            seen.still += min(max(0.0, now - seen.looked_at), holder.seconds / _BEATS)
            seen.looked_at = now
            return seen.still >= holder.seconds

    def _write(self, lease: Lease) -> None:
        self.store.publish_bytes(lease.claim.path, self._body(lease), durable=False)

    def _body(self, lease: Lease) -> bytes:
        expires_at = datetime.now(UTC) + timedelta(seconds=self.seconds)
        return json.dumps(
            {
                "run": self.run,
                "host": socket.gethostname(),
                "pid": self.process.pid,
                "process": self.process.mark(),
                "nonce": lease.claim.nonce,
                "beat": lease.beat,
                "seconds": self.seconds,
                "uses": list(lease.uses),
                # for people: programs count beats
                "expires_at": expires_at.isoformat(timespec="seconds"),
            },
            indent=1,
        ).encode()


def _read(store: Store, name: str, number: int) -> Holder | None:
    """What a lease's file says; None where it has gone. One that cannot be read is held, by nobody known."""
    try:
        content = store.read_bytes(_path(name, number))
    except FileNotFoundError:
        return None
    try:
        return _holder_of(json.loads(content))
    except (ValueError, KeyError, TypeError, RecursionError):
        return Holder(run="", host="", process=_NOBODY, nonce="", beat=0, seconds=LEASE_SECONDS)


def _holder_of(value: Any) -> Holder:
    return Holder(
        run=str(value["run"]),
        host=str(value["host"]),
        process=process_of(str(value["process"])) or _NOBODY,
        nonce=str(value["nonce"]),
        beat=int(value["beat"]),
        seconds=min(max(0.0, float(value["seconds"])), _MAX_SECONDS),
        uses=tuple(str(each) for each in value["uses"]),
    )


def _path(name: str, number: int) -> str:
    return f"{_FOLDER}/{name}.{number:08d}{_SUFFIX}"


def _highest(store: Store, name: str) -> int:
    """The number of a lease's latest holder, 0 where nobody ever had it or the latest has released it."""
    return max((number for found, number in _standing(store) if found == name), default=0)


def _standing(store: Store) -> list[tuple[str, int]]:
    """Names and numbers of all leases of a store, over or not."""
    found = []
    for file in store.names(_FOLDER):
        name, _, number = file.removesuffix(_SUFFIX).rpartition(".")
        if name and number.isdecimal():
            found.append((name, int(number)))
    return found
