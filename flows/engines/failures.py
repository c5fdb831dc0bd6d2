"""What can go wrong where parts are worked on, by what can be done about it."""

from storage.wrong_request import WrongRequest


class WorkerDied(RuntimeError):
    """A worker process ended before its work did; the part can be tried again."""


class WorkerOverMemory(RuntimeError):
    """A worker was ended because it used more memory than it may; alone, with the memory of all, it may do."""

    def __init__(self, in_use: int, bound: int, alone: bool = False) -> None:
        super().__init__(in_use, bound, alone)  # all three: so it travels between processes
        self.in_use = in_use
        self.bound = bound
        self.alone = alone

    def __str__(self) -> str:
        how = "although it was tried again alone, " if self.alone else ""
        return (
            f"{how}a worker used {self.in_use:,} bytes of memory where {self.bound:,} are allowed, and was ended. "
            "Let it use more (--set resources.worker_memory_bytes=…), work with fewer --workers, on a machine with "
            "more memory, or on smaller parts"
        )


class EngineFailed(RuntimeError):
    """The engine as a whole does not work: it cannot be reached, was lost, or has no workers."""


class WrongWorker(WrongRequest):
    """A worker that would make other bytes, or does not see the store; the message says what differs and where."""
