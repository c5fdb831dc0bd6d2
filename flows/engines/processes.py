"""Worker processes of this machine."""

from flows.engines.worker_check import Expectations
from flows.engines.worker_process import WorkerPool, WorkerProcess
from flows.resources import usable_memory_bytes, worker_bound


class Processes:
    """`workers` processes, each replaced when it dies.

    Args:
        worker_memory_bytes: what one may use; None: all together may use the usable memory of the machine, and when
            they are over it, the largest is ended.
    """

    def __init__(self, workers: int, worker_memory_bytes: int | None) -> None:
        self.workers = workers
        self._worker_memory_bytes = worker_memory_bytes
        self._usable_bytes = usable_memory_bytes()
        self._pool = WorkerPool()

    def check(self, expected: Expectations) -> None:
        """Nothing: they are of the same installation, on the same machine."""

    def places(self) -> int:
        return self.workers

    def exchange(self, call: bytes, alone: bool) -> bytes:
        return self._pool.exchange(call, self._alone if alone else self._beside_others)

    def close(self) -> None:
        self._pool.close()

    def _alone(self, _: WorkerProcess, in_use: int) -> int | None:
        bound = worker_bound(self._worker_memory_bytes, self.workers, alone=True)
        return bound if in_use > bound else None

    def _beside_others(self, worker: WorkerProcess, in_use: int) -> int | None:
        if self._worker_memory_bytes is not None:
            return self._worker_memory_bytes if in_use > self._worker_memory_bytes else None
        working = self._pool.in_use()
        if sum(working.values()) <= self._usable_bytes or in_use < max(working.values()):
            return None
        self._pool.end_idle()
        return self._usable_bytes // len(working)
