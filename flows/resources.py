"""Memory: how much there is, and how much a worker needs. (Figures follow below.)"""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import psutil

_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_USABLE_RATIO = 0.9
_LEAST_WORKER_BYTES = 64 << 20


@dataclass(frozen=True, kw_only=True)
class ResourceParameters:
    """What the work may take of a machine. None of it shapes what a run makes.

    Attributes:
        worker_memory_bytes: memory that a worker process may use for itself; one that uses more is ended, and its part
            is tried once more, alone. The pages' own processes have `extract.max_page_memory_bytes` beside it. null:
            the workers of a machine share nine tenths of its memory; those of a cluster that has an address have no
            bound but the cluster's.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    worker_memory_bytes: int | None = None

    def __post_init__(self) -> None:
        if self.worker_memory_bytes is not None and self.worker_memory_bytes < _LEAST_WORKER_BYTES:
            raise ValueError(
                f"worker_memory_bytes={self.worker_memory_bytes}: a worker that does nothing uses about 100 MB; "
                f"expected at least {_LEAST_WORKER_BYTES}"
            )


def worker_bound(worker_memory_bytes: int | None, workers: int, alone: bool) -> int:
    """What one of the workers of this machine may use: its own bound, or an equal share of what there is.

    Args:
        alone: the others do nothing meanwhile: it may use what all of them may, as far as the machine has it.
    """
    usable = usable_memory_bytes()
    each = usable // workers if worker_memory_bytes is None else worker_memory_bytes
    return max(each, min(each * workers, usable)) if alone else each


def usable_memory_bytes() -> int:
    """Nine tenths of the machine's memory, or of the container's where that has less."""
    total = psutil.virtual_memory().total
    for path in _CGROUP_LIMITS:
        try:
            total = min(total, int(path.read_text()))
        except (OSError, ValueError):  # not there, or "max"
            continue
    return int(total * _USABLE_RATIO)
