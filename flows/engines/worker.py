"""The process that works on parts: `python -m flows.engines.worker`, started and watched by `worker_process`.

Its standard input brings pickled calls of our own, one after the other; their outcomes go to its standard output. It
ends when its input does, also in the middle of a call, and when nothing comes for a while.
"""

import json
import os
import select
import signal
import sys
import threading
import traceback
from typing import Any

from flows.engines.frames import FrameReader, PipeClosed, write_frame

MODULE = "flows.engines.worker"
ENDED_IDLE = 80  # the exit code of a worker that nobody asked for anything

_IDLE_SECONDS = 60.0
_LOOK_MILLISECONDS = 1000


def main(parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the run, which ends its workers
    outcomes = os.dup(1)
    os.dup2(2, 1)  # what a library prints must not get between the messages
    threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    calls = FrameReader(0)
    try:
        path = calls.read(_IDLE_SECONDS)
        if path is None:
            sys.exit(ENDED_IDLE)
        sys.path[:] = json.loads(path)
        while (call := calls.read(_IDLE_SECONDS)) is not None:
            write_frame(outcomes, _outcome(call))
            del call
    except PipeClosed:
        return
    sys.exit(ENDED_IDLE)


def _end_with(parent: int) -> None:
    """End this process the moment its parent is gone: a killed run must leave nobody who works on."""
    poll = select.poll()
    poll.register(0, 0)  # nothing but the end of the pipe
    while not poll.poll(_LOOK_MILLISECONDS) and os.getppid() == parent:
        pass
    os._exit(ENDED_IDLE)


def _outcome(call: bytes) -> bytes:
    """Pickled: (True, what the function returned) or (False, what it raised)."""
    import cloudpickle

    try:
        function, arguments = cloudpickle.loads(call)
        return _pickled((True, function(*arguments)))
    except Exception as error:  # noqa: BLE001 (it is raised in the run's process)
        error.add_note("".join(traceback.format_exception(error)))
        try:
            pickled = _pickled((False, error))
            cloudpickle.loads(pickled)  # some pickle, and cannot be read again
        except Exception:  # noqa: BLE001 (whatever its own pickling does)
            pickled = _pickled((False, RuntimeError(f"{type(error).__name__}: {error}")))
        return pickled


def _pickled(value: Any) -> bytes:
    import cloudpickle

    pickled: bytes = cloudpickle.dumps(value)
    return pickled


if __name__ == "__main__":
    main(int(sys.argv[1]))
