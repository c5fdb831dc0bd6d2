"""The document browser of a run, listening on loopback in a thread of the test."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn

from flows.browse import LOOPBACK, Browser, browse_app, listen
from storage.runs import Run
from storage.store import Store


@contextmanager
def serving(store: Store, run: Run) -> Iterator[str]:
    """The address, without the slash at its end."""
    with listen(LOOPBACK, 0) as listener:
        config = uvicorn.Config(browse_app(Browser(store, run)), log_level="critical", lifespan="off")
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://{LOOPBACK}:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join()
