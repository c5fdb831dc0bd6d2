"""Dask: a cluster on this machine, or one that runs already.

Its own client, without prefect-dask: Prefect's threads wait for the parts, and a job is a small message. A task that is
itself sent through prefect-dask costs 280 ms of CPU time here, one of these 12, the scheduler's own time included
(measured on a busy machine, over 200 of them).
"""

import contextlib
import logging
from typing import Any

from flows.engines.failures import EngineFailed, WorkerDied, WrongWorker
from flows.engines.in_flight import InFlight
from flows.engines.presence import LOOK_SECONDS, PATIENCE_SECONDS, Presence
from flows.engines.remote_call import RemoteCall, work_here
from flows.engines.worker_check import Expectations, check_worker
from flows.engines.worker_process import Unwanted
from flows.resources import worker_bound
from storage.wrong_request import WrongRequest

_CONNECT_SECONDS = 30


class DaskCluster:
    """Dask's workers, local ones with `workers` processes of one thread where no address is given."""

    def __init__(self, workers: int, worker_memory_bytes: int | None, address: str | None) -> None:
        try:
            from distributed import Client, LocalCluster
        except ImportError as error:
            raise WrongRequest(f"the runner dask needs a package: pip install 'gristmill[dask]' ({error})") from error
        self.address = address
        self.workers = workers
        self._worker_memory_bytes = worker_memory_bytes
        self._expected: Expectations | None = None
        self._in_flight = InFlight()
        self._presence = Presence(f"the Dask scheduler at {address}", self.places, self._remedy)
        self._cluster: Any = None
        self._client: Any = None
        try:
            if address is None:
                self._cluster = LocalCluster(
                    n_workers=workers,
                    threads_per_worker=1,
                    host="127.0.0.1",
                    dashboard_address="127.0.0.1:0",
                    memory_limit=0,  # none of Dask's: our worker processes are watched
                    silence_logs=logging.CRITICAL,
                )
            self._client = Client(
                self._cluster or address, timeout=_CONNECT_SECONDS, set_as_default=False, name="gristmill"
            )
        except (OSError, TimeoutError, ValueError) as error:
            self.close()
            if address is None:
                raise EngineFailed(f"Dask did not start on this machine: {error}") from error
            raise WrongRequest(
                f"no Dask scheduler answers at {address}: {error}; start one with `dask scheduler`, and give its "
                "address, such as tcp://host:8786"
            ) from error
        except BaseException:
            self.close()
            raise

    def check(self, expected: Expectations) -> None:
        """Look at every worker that there is, and have those that come later looked at before their first part.

        Raises:
            EngineFailed: there are no workers, and none come.
            WrongWorker: one would make other bytes, or does not see the store.
        """
        if self.address is None:
            return
        self._expected = expected
        try:
            self._client.wait_for_workers(1, timeout=PATIENCE_SECONDS)
        except TimeoutError as error:
            raise EngineFailed(
                f"the Dask scheduler at {self.address} has no workers, and none came in {PATIENCE_SECONDS:.0f} s. "
                f"{self._remedy}"
            ) from error
        answers = self._client.run(check_worker, expected, on_error="return", wait=True)
        for worker, answer in answers.items():
            if isinstance(answer, WrongWorker):
                raise answer
            if isinstance(answer, BaseException):
                raise WrongWorker(
                    f"the Dask worker {worker} cannot be looked at: {type(answer).__name__}: {answer}. Workers "
                    "need the same Python, gristmill and libraries as the run"
                ) from answer

    def places(self) -> int:
        if self.address is None:
            return self.workers
        try:
            return sum(self._client.nthreads().values())
        except (OSError, TimeoutError):
            return 0

    def exchange(self, call: bytes, alone: bool) -> bytes:
        """Have a worker work on a call; where the worker is killed, Dask gives it to another.

        Raises:
            WorkerDied: several workers died of it.
            EngineFailed: the scheduler is gone, or all workers are, and none come.
        """
        from distributed import KilledWorker
        from distributed.client import FutureCancelledError

        remote = RemoteCall(call=call, expected=self._expected, memory_bytes=self._memory_bytes(alone))
        with self._in_flight.submitted(lambda: self._client.submit(work_in_dask, remote, pure=False)) as future:
            try:
                return self._outcome(future)
            except KilledWorker as error:
                raise WorkerDied(
                    f"several Dask workers in a row died with this part, the last on {error.last_worker.address}: "
                    "killed, or over a memory limit of their own; see their logs"
                ) from error
            except (FutureCancelledError, OSError, TimeoutError) as error:
                self._in_flight.check_open()
                raise EngineFailed(f"the Dask scheduler at {self._client.scheduler} was lost: {error}") from error

    @property
    def _remedy(self) -> str:
        return f"Start some with `dask worker {self.address} --nthreads 1`"

    def _outcome(self, future: Any) -> bytes:
        while True:
            try:
                outcome: bytes = future.result(timeout=LOOK_SECONDS)
                return outcome
            except TimeoutError:
                if future.done():  # it is the outcome that says so
                    raise
                self._presence.check()

    def close(self) -> None:
        """Stop what runs, and the local cluster."""
        futures = self._in_flight.close()
        if self._client is not None:
            with contextlib.suppress(Exception):  # the scheduler may be what went wrong
                if futures:
                    self._client.cancel(futures, force=True)
                self._client.close()
        if self._cluster is not None:
            self._cluster.close()

    def _memory_bytes(self, alone: bool) -> int | None:
        if self.address is not None:
            return self._worker_memory_bytes
        return worker_bound(self._worker_memory_bytes, self.workers, alone)


def work_in_dask(remote: RemoteCall) -> bytes:
    """Work on a call in one of Dask's workers, for as long as the scheduler wants it."""
    from distributed import get_worker

    worker = get_worker()
    key = worker.get_current_task()

    def is_wanted() -> bool:
        task = worker.state.tasks.get(key)
        return task is not None and task.state in ("executing", "long-running")

    try:
        return work_here(remote, is_wanted)
    except Unwanted:
        return b""  # nobody reads it
