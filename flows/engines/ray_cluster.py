"""Ray: a cluster on this machine, or one that runs already.

Its own tasks, without prefect-ray: Prefect's threads wait for the parts. Calls and outcomes are small; what stages make
goes through the store of the run, never through Ray's.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import threading
from typing import Any

from flows.engines import ray_head
from flows.engines.failures import EngineFailed, WorkerDied, WorkerOverMemory, WrongWorker
from flows.engines.in_flight import InFlight
from flows.engines.presence import LOOK_SECONDS, Presence
from flows.engines.remote_call import RemoteCall, work_here
from flows.engines.worker_check import Expectations, check_worker
from flows.resources import worker_bound
from storage.wrong_request import WrongRequest

_RETRIES = 3  # of a part whose worker died
_CHECK_SECONDS = 300
_SAID_BYTES = 2000


class RayCluster:
    """Ray's workers, `workers` local ones where no address is given.

    One at a time in a process, to be made and closed in its main thread.
    """

    def __init__(self, workers: int, worker_memory_bytes: int | None, address: str | None) -> None:
        os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
        if address is None:
            # nobody else on this machine is to give our workers work
            os.environ["RAY_AUTH_MODE"] = "token"
            os.environ["RAY_AUTH_TOKEN"] = secrets.token_hex(32)
        try:
            import ray
            from ray.exceptions import RayError
        except ImportError as error:
            raise WrongRequest(f"the runner ray needs a package: pip install 'gristmill[ray]' ({error})") from error
        self.address = address
        self.workers = workers
        self._ray: Any = ray  # its types cover a part of what it offers
        self._worker_memory_bytes = worker_memory_bytes
        self._expected: Expectations | None = None
        self._in_flight = InFlight()
        self._presence = Presence(
            f"the Ray cluster at {address}", self.places, f"Start some with `ray start --address={address}`"
        )
        self._head: subprocess.Popen[bytes] | None = None
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 (what Ray's processes say, until `close`)
        try:
            with _signal_handlers():
                ray.init(
                    address=address or self._start_head(),
                    log_to_driver=False,
                    configure_logging=False,
                    namespace="gristmill",
                )
        except (ConnectionError, ValueError, RuntimeError, RayError, OSError) as error:
            self.close()
            if address is None:
                raise EngineFailed(f"Ray did not start on this machine: {error}") from error
            raise WrongRequest(
                f"no Ray cluster can be used at {address}: {error}; start one with `ray start --head`, and give its "
                "address, such as host:6379 on one of its machines, or ray://host:10001 from outside. One that asks "
                "for a token, as Ray's do by default, needs RAY_AUTH_MODE=token and RAY_AUTH_TOKEN here, too"
            ) from error
        except BaseException:
            self.close()
            raise
        self._work = ray.remote(num_cpus=1, max_retries=_RETRIES)(work_here)
        self._check = ray.remote(num_cpus=0, max_retries=_RETRIES)(check_worker)

    def check(self, expected: Expectations) -> None:
        """Look at every machine of the cluster, and have every worker look at itself before its first part.

        Raises:
            WrongWorker: one would make other bytes, or does not see the store.
        """
        if self.address is None:
            return
        from ray.exceptions import RayError, RayTaskError
        from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

        self._expected = expected
        nodes = [node["NodeID"] for node in self._ray.nodes() if node["Alive"]]
        answers = [
            self._check.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node, soft=False)).remote(expected)
            for node in nodes
        ]
        try:
            self._ray.get(answers, timeout=_CHECK_SECONDS)
        except RayTaskError as error:
            if isinstance(error.cause, WrongWorker):
                raise error.cause from error
            raise _cannot_look(error.cause) from error
        except RayError as error:
            raise _cannot_look(error) from error

    def places(self) -> int:
        if self.address is None:
            return self.workers
        return int(self._ray.cluster_resources().get("CPU", 0))

    def exchange(self, call: bytes, alone: bool) -> bytes:
        """Have a worker work on a call; where the worker is killed, Ray gives it to another.

        Raises:
            WorkerDied: several workers died of it.
            EngineFailed: Ray is gone, or all that has cores, and nothing comes.
        """
        from ray.exceptions import (
            NodeDiedError,
            OutOfMemoryError,
            RayError,
            RayTaskError,
            TaskCancelledError,
            WorkerCrashedError,
        )

        remote = RemoteCall(call=call, expected=self._expected, memory_bytes=self._memory_bytes(alone))
        with self._in_flight.submitted(lambda: self._work.remote(remote)) as reference:
            try:
                while not self._ray.wait([reference], timeout=LOOK_SECONDS)[0]:
                    self._presence.check()
                outcome: bytes = self._ray.get(reference)
                return outcome
            except RayTaskError as error:
                if isinstance(error.cause, WorkerDied | WorkerOverMemory | WrongWorker | EngineFailed):
                    raise error.cause from error
                raise EngineFailed(f"a Ray worker cannot work: {error.cause}") from error
            except (WorkerCrashedError, OutOfMemoryError, NodeDiedError) as error:
                self._in_flight.check_open()
                raise WorkerDied(f"several Ray workers in a row died with this part: {error}") from error
            except (TaskCancelledError, RayError, OSError) as error:
                self._in_flight.check_open()
                raise EngineFailed(f"Ray was lost: {error}") from error

    def close(self) -> None:
        """Stop what runs, and the local cluster."""
        references = self._in_flight.close()
        if self._ray.is_initialized():
            for reference in references:
                with contextlib.suppress(Exception):
                    self._ray.cancel(reference, force=True)
            with _signal_handlers():
                self._ray.shutdown()
        if self._head is not None:
            assert self._head.stdin is not None
            self._head.stdin.close()
            self._head.wait()
            if self._head.stdout is not None:
                self._head.stdout.close()
            self._head = None
        self._said.close()

    def _start_head(self) -> str:
        """Start Ray on this machine; returns its address."""
        self._head = subprocess.Popen(
            [sys.executable, "-P", "-m", ray_head.MODULE, str(self.workers), str(os.getpid())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,  # Ctrl-C is for the run
        )
        assert self._head.stdout is not None
        line = self._head.stdout.readline()
        if not line:
            self._said.seek(0)
            raise RuntimeError(self._said.read()[-_SAID_BYTES:].decode(errors="replace").strip())
        address: str = json.loads(line)["address"]
        return address

    def _memory_bytes(self, alone: bool) -> int | None:
        if self.address is not None:
            return self._worker_memory_bytes
        return worker_bound(self._worker_memory_bytes, self.workers, alone)


def _cannot_look(error: Any) -> WrongWorker:
    return WrongWorker(
        f"a Ray worker cannot be looked at: {type(error).__name__}: {error}. Workers need the same Python, gristmill "
        "and libraries as the run"
    )


@contextlib.contextmanager
def _signal_handlers() -> Any:
    """Keep the handler of the end signal: Ray puts its own, and a run could no longer end in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGTERM)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
