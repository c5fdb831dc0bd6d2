"""Where parts are worked on: threads of this process, or processes that may die without taking the run along."""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar

from flows.engines.failures import WorkerOverMemory
from flows.engines.gate import Gate
from flows.engines.worker_check import Expectations, this_installation
from storage.wrong_request import WrongRequest

RunnerName = Literal["threads", "processes", "dask", "ray"]
Result = TypeVar("Result")

_THREADS_FOR_A_CLUSTER = 128  # of this process, that wait for parts: a cluster may grow while a run runs


class Engine(Protocol):
    """What has workers."""

    def check(self, expected: Expectations) -> None:
        """Look at the workers, those that there are and those that come later, where they are not of this process's
        making.

        Raises:
            WrongWorker: one is not as expected.
        """

    def places(self) -> int:
        """Parts that it can work on at once, now."""

    def exchange(self, call: bytes, alone: bool) -> bytes:
        """Have a worker make a pickled call; returns its pickled outcome.

        Args:
            alone: nobody else works meanwhile, so that this one may use the memory of all.
        """

    def close(self) -> None:
        """End the workers, whatever they are doing; may be called twice, and from any thread."""


@dataclass(kw_only=True)
class Runner:
    """How many parts at once, and where.

    Attributes:
        workers: parts worked on at once; a cluster that has an address works on as many as it has workers, if more.
        address: of a Dask scheduler or Ray cluster that runs already; None: one is started on this machine.
        worker_memory_bytes: what a worker may use; None: all on this machine together may use nine tenths of it.
            Threads of this process are not bounded.
    """

    name: RunnerName
    workers: int
    address: str | None = None
    worker_memory_bytes: int | None = None
    _engine: Engine | None = field(default=None, init=False, repr=False)
    _is_closed: bool = field(default=False, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise ValueError(f"workers={self.workers}: at least one is needed")
        if self.address is not None and self.name not in ("dask", "ray"):
            raise WrongRequest(f"the runner {self.name} has no address: choose dask or ray for {self.address}")
        self._gate = Gate(lambda: max(self.workers, self._open_engine().places()))

    def start(self, store_url: str, marker: str) -> None:
        """Start the engine, or connect to it, and check its workers; in the thread that will close it.

        Args:
            marker: a file that was published in the store, which workers must see.

        Raises:
            WrongRequest: it cannot be reached, or its workers would make other bytes or do not see the store.
        """
        if self.name == "threads":
            return
        self._open_engine().check(Expectations(installation=this_installation(), store_url=store_url, marker=marker))

    def places(self) -> int:
        """Parts worked on at once, now: a cluster may have more or fewer workers than a minute ago."""
        return self._gate.places() if self.address is not None else self.workers

    def call(self, function: Callable[..., Result], *arguments: Any, in_process: bool = False) -> Result:
        """Call a function where this runner works, and wait for it.

        Args:
            in_process: run it in this process whatever the runner, because it reports progress or uses all cores.

        Raises:
            WorkerDied: the worker process ended before the function did.
            WorkerOverMemory: it used more memory than it may, beside others and then alone.
        """
        if in_process or self.name == "threads":
            return function(*arguments)
        import cloudpickle  # functions of scripts and notebooks, too

        call = cloudpickle.dumps((function, arguments))
        try:
            with self._gate.place():
                outcome = self._open_engine().exchange(call, alone=False)
        except WorkerOverMemory:
            with self._gate.alone():
                try:
                    outcome = self._open_engine().exchange(call, alone=True)
                except WorkerOverMemory as error:
                    raise WorkerOverMemory(error.in_use, error.bound, alone=True) from error
        is_result, value = cloudpickle.loads(outcome)
        if not is_result:
            raise value
        result: Result = value
        return result

    def close(self) -> None:
        """End the workers, whatever they are doing; no further work is taken."""
        with self._lock:
            engine, self._is_closed = self._engine, True
        self._gate.close()
        if engine is not None:
            engine.close()

    def _open_engine(self) -> Engine:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("the runner was closed: its run is ending")
            if self._engine is None:
                self._engine = self._new_engine()
            return self._engine

    def _new_engine(self) -> Engine:
        if self.name == "dask":
            from flows.engines.dask_cluster import DaskCluster

            return DaskCluster(self.workers, self.worker_memory_bytes, self.address)
        if self.name == "ray":
            from flows.engines.ray_cluster import RayCluster

            return RayCluster(self.workers, self.worker_memory_bytes, self.address)
        from flows.engines.processes import Processes

        return Processes(self.workers, self.worker_memory_bytes)


def default_workers() -> int:
    """The cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else (os.cpu_count() or 1)


def threads_for(workers: int, address: str | None) -> int:
    """Threads that wait for parts, one each: more than there are workers, for a cluster that may grow."""
    return workers if address is None else max(workers, _THREADS_FOR_A_CLUSTER)


def chosen_address(runner: RunnerName, *, dask: str | None, ray: str | None) -> str | None:
    """The address that goes with the runner.

    Raises:
        WrongRequest: there is one for another runner.
    """
    addresses: dict[RunnerName, str | None] = {"dask": dask, "ray": ray}
    for name, address in addresses.items():
        if address is not None and name != runner:
            raise WrongRequest(f"--{name}-address={address} is for --runner {name}, but the runner is {runner}")
    return addresses.get(runner)
