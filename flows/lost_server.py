"""A Prefect server that goes away while a flow runs: the run ends as its work ends, since the store has the truth.

Prefect's engine asks the server for three things: the flow run's states at its beginning and its end, leave to work on
a task that has tags (ours have none), and to take events and logs. The first fails a flow whose work is done; the last
is tried again and again, for seconds an event, and a flow's process waits for it before it ends.
"""

import contextlib
import logging
import os
import queue
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import httpx
from prefect.events.clients import PrefectEventsClient
from prefect.events.worker import EventsWorker
from prefect.exceptions import Abort, PrefectException, TerminationSignal
from prefect.logging.handlers import APILogWorker

from storage.runs import Run, list_runs, load_run, this_host
from storage.store import Store

_PAUSES = (1.0, 3.0, 10.0)  # seconds before each further attempt to begin


class RunFailed(RuntimeError):
    """A run failed whose flow could not say so, since Prefect's server was gone."""


class ServerLost(RuntimeError):
    """Prefect's server went away before a run began."""


def run_flow(flow: Callable[[], str], store: Store, warn: Callable[[str], None]) -> Run:
    """Call a flow that runs a recipe and returns its run's id; returns the run's record.

    Raises:
        KeyboardInterrupt: the run was stopped by hand, or by the end signal.
        ServerLost: Prefect's server went away before there was a run.
        RunFailed: as the record says, where Prefect's server took no state of the flow.
    """
    # For good, since Prefect sends until the process ends: it writes to the terminal each time that logs do not arrive.
    logging.raiseExceptions = False
    # An event that does not arrive is kept, and sent again with the next one that does: no need to wait for it.
    EventsWorker.set_client_override(PrefectEventsClient, reconnection_attempts=1)
    began = datetime.now(UTC).isoformat(timespec="seconds")
    pauses = iter(_PAUSES)
    while True:
        try:
            return load_run(store, flow())
        except TerminationSignal as error:
            raise KeyboardInterrupt from error
        except (httpx.HTTPError, PrefectException, Abort) as error:
            run = _run_of_this_process(store, began)
            pause = next(pauses, None) if run is None else None
            if pause is not None:  # busy with several runs that begin at once, it may say 503 for a moment
                time.sleep(pause)
                continue
            return _ended_without_server(error, run, warn)


def _ended_without_server(error: BaseException, run: Run | None, warn: Callable[[str], None]) -> Run:
    """The record of a run whose end Prefect's server did not take, or the error that it stands for."""
    _forget_unsent()
    if run is None:
        raise ServerLost(
            f"Prefect's server went away before the run began ({type(error).__name__}: {error}); run again"
        ) from error
    if run.status == "interrupted":
        raise KeyboardInterrupt from error
    if run.status != "completed":
        raise RunFailed(run.error or f"Prefect: {type(error).__name__}: {error}") from error
    warn(
        f"Prefect's server did not take the end of the run ({type(error).__name__}): the run is complete, and its "
        "page will say so after the next run"
    )
    return run


def _forget_unsent() -> None:
    """Let go of events and logs that wait for a server that is lost: the process would wait for each before it ends."""
    services: tuple[Any, ...] = (EventsWorker, APILogWorker)  # there is no public way to what waits in them
    for instance in [instance for service in services for instance in service._instances.values()]:
        with contextlib.suppress(queue.Empty):
            while True:
                instance._queue.get_nowait()


def _run_of_this_process(store: Store, began: str) -> Run | None:
    """The newest run that this process began at a time or later."""
    runs = [run for run in list_runs(store) if run.created_at >= began]
    return next((run for run in reversed(runs) if (run.host, run.pid) == (this_host(), os.getpid())), None)
