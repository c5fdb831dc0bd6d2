"""Which process somebody is, among machines that share a store.

A pid means something on one machine only, in one namespace of pids (containers have their own), until the machine starts
anew; and a machine gives it again. So a process is its place, its pid and when it began, and whether it is dead can be
told where it lived and nowhere else.
"""

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_DIGITS = 8  # of the digest that stands for a place
_MARK = re.compile(r"([0-9a-f]{8})-(\d+)-(\w+)")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process.

    Attributes:
        place: where the pid counts: digest of the host's name, its boot and the namespace of pids.
        started: when it began, in the system's own units: tells it from a later one of the same pid.
    """

    place: str
    pid: int
    started: str

    def is_dead(self) -> bool:
        """Whether it is known to be gone; False where it runs, and where that cannot be told from here."""
        if self.place != _place():
            return False
        return _start_of(self.pid) != self.started

    def is_here(self) -> bool:
        """Whether it lives, or lived, where this process does."""
        return self.place == _place()

    def mark(self) -> str:
        """The process as a piece of a file's name."""
        return f"{self.place}-{self.pid}-{self.started}"


def this_process() -> Process:
    pid = os.getpid()
    return Process(place=_place(), pid=pid, started=_own_start(pid))


def process_of(mark: str) -> Process | None:
    """The process that a piece of a file's name stands for; None if it stands for none."""
    found = _MARK.fullmatch(mark)
    return Process(place=found[1], pid=int(found[2]), started=found[3]) if found else None


@cache
def _place() -> str:
    here = [socket.gethostname()]
    for read in (
        lambda: Path("/proc/sys/kernel/random/boot_id").read_text(),
        lambda: str(Path("/proc/self/ns/pid").readlink()),
    ):
        try:
            here.append(read())
        except OSError:  # not Linux: the host's name has to do
            continue
    return hashlib.sha256("\n".join(here).encode()).hexdigest()[:_DIGITS]


@cache
def _own_start(pid: int) -> str:  # by pid: a forked child is another process
    return _start_of(pid) or "0"


def _start_of(pid: int) -> str | None:
    """When the process of a pid began; None where there is none, or one that has ended and is not buried yet."""
    try:
        # After the name, which may hold spaces and brackets: state, and as the 20th the start in ticks since boot.
        # psutil's time of creation is by the wall clock, which may be set while processes run.
        state, *after = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return None if state in ("Z", "X") else after[18]
    except (OSError, ValueError, IndexError):
        pass
    try:
        process = psutil.Process(pid)
        return None if process.status() == psutil.STATUS_ZOMBIE else f"{process.create_time():.0f}"
    except psutil.NoSuchProcess:
        return None
    except psutil.Error:
        return "0"  # it is there, and may not be looked at
