"""A process that was, and is no more."""

import subprocess
import sys
from dataclasses import replace

from storage.processes import Process, this_process


def dead_pid() -> int:
    """The number of a process of this machine that has ended."""
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return child.pid


def dead_process() -> Process:
    """That process, as files are named after it."""
    return replace(this_process(), pid=dead_pid(), started="1")
