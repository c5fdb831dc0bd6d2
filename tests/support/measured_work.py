"""What work costs: CPU and wall seconds, and how far memory rose. For our own processes and those of peers alike."""

import resource
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """Filled in when the work is done.

    Attributes:
        cpu_seconds: of all threads of this process, and of its children that have ended.
        peak_megabytes: the most memory that this process had at once, less what it had before; its children's left out.
    """

    cpu_seconds: float = 0.0
    wall_seconds: float = 0.0
    peak_megabytes: float = 0.0

    def as_answer(self) -> dict[str, float]:
        return dict(vars(self))


@contextmanager
def measured() -> Iterator[Cost]:
    """Measure what is done in the `with` block."""
    cost = Cost()
    Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of before
    before, began, cpu = _kilobytes("VmRSS"), time.perf_counter(), _cpu_seconds()
    yield cost
    cost.cpu_seconds = _cpu_seconds() - cpu
    cost.wall_seconds = time.perf_counter() - began
    cost.peak_megabytes = (_kilobytes("VmHWM") - before) * 1024 / 1e6


def _kilobytes(name: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1])
    raise RuntimeError(f"/proc/self/status has no {name}: memory is measured on Linux only")


def _cpu_seconds() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime
