"""The processes of one run of the command: those that have its store in their environment."""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

WORKER = "flows.engines.worker"


def processes_of(store: Path) -> Iterator[psutil.Process]:
    """All of them but the server of report pages, which stays on purpose."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("GRISTMILL_STORE") != str(store) or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if "http.server" not in process.cmdline():
                yield process


def workers_of(store: Path) -> list[psutil.Process]:
    """Worker processes that work on parts, whatever their parent is."""
    found = []
    for process in processes_of(store):
        with contextlib.suppress(psutil.Error):
            if WORKER in process.cmdline():
                found.append(process)
    return found


def left_after(store: Path, seconds: float) -> list[str]:
    """What is still there when that long has passed; returns as soon as nothing is."""
    deadline = time.monotonic() + seconds
    while left := list(processes_of(store)):
        if time.monotonic() > deadline:
            break
        time.sleep(0.1)
    described = []
    for process in left:
        with contextlib.suppress(psutil.Error):
            described.append(f"{process.pid} {' '.join(process.cmdline())[:200]}")
    return described
