"""Which process somebody is, among machines that share a store.

A pid means something on one machine only, in one namespace of pids (containers have their own), until the machine
starts anew; and a machine gives it again. So a process is its machine, boot and namespace, its pid and when it began,
and whether it is dead can be told where it lived and nowhere else.
"""

import hashlib
import os
import re
import socket
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import psutil

_MARK = re.compile(r"([0-9a-f]{8})([0-9a-f]{4})([0-9a-f]{4})-(\d+)-(\w+)")


@dataclass(frozen=True, kw_only=True)
class Process:
    """A process.

    Attributes:
        machine, boot, space: digests of the machine's name and id, of its boot, and of the namespace of pids.
        started: when it began, in the system's own units: tells it from a later one of the same pid.
    """

    machine: str
    boot: str
    space: str
    pid: int
    started: str

    def is_dead(self) -> bool:
        """Whether it is known to be gone; False where it runs, and where that cannot be told from here."""
        if self.machine != _machine():
            return False
        if self.boot != _boot():
            return _machine_id() != ""  # without one, another container of the same name looks like this machine
        return self.space == _space() and _start_of(self.pid) != self.started

    def is_here(self) -> bool:
        """Whether it can be told from here if it lives."""
        return (self.machine, self.boot, self.space) == (_machine(), _boot(), _space()) or self.is_dead()

    def mark(self) -> str:
        """The process as a piece of a file's name."""
        return f"{self.machine}{self.boot}{self.space}-{self.pid}-{self.started}"


def this_process() -> Process:
    pid = os.getpid()
    return Process(machine=_machine(), boot=_boot(), space=_space(), pid=pid, started=_own_start(pid))


def process_of(mark: str) -> Process | None:
    """The process that a piece of a file's name stands for; None if it stands for none."""
    found = _MARK.fullmatch(mark)
    if found is None:
        return None
    return Process(machine=found[1], boot=found[2], space=found[3], pid=int(found[4]), started=found[5])


@cache
def _machine() -> str:
    return _digest(socket.gethostname(), _machine_id())[:8]


@cache
def _machine_id() -> str:
    return _content("/etc/machine-id")


@cache
def _boot() -> str:
    return _digest(_content("/proc/sys/kernel/random/boot_id"))[:4]


@cache
def _space() -> str:
    try:
        return _digest(str(Path("/proc/self/ns/pid").readlink()))[:4]
    except OSError:  # not Linux
        return _digest("")[:4]


def _content(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:  # not Linux, or a container without
        return ""


def _digest(*words: str) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


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
