"""The embedded Prefect server, and a file server for report pages: one each a store, on this machine only.

Both are started once and used again. Browsers follow no link from a web page to a file, so that a link from Prefect's
pages to a report needs the second one. Nothing here imports Prefect: the settings have to stand in the environment
before anything does.
"""

import fcntl
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import psutil

from flows.home import home_of
from storage.store import Store

_START_SECONDS = 180  # a first start took 27 s on a busy 2-core machine
_HOST = "127.0.0.1"
_PAGES_RECORD = "pages.json"
_API_VARIABLE = "PREFECT_API_URL"
_SETTINGS = {
    "DO_NOT_TRACK": "1",
    # without it every start prints a "database is locked" traceback
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    "PREFECT_SERVER_UI_SHOW_PROMOTIONAL_CONTENT": "false",
    "PREFECT_SERVER_SERVICES_DB_VACUUM_ENABLED": "events,flow_runs",
    # progress and errors are on the terminal already, without tracebacks; Prefect's log is in its UI
    "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": "CRITICAL",
    "PREFECT_CLI_PROMPT": "false",
    # on disk, so that a server that is started again knows who holds a limit: else nobody would ever give it back
    "PREFECT_SERVER_CONCURRENCY_LEASE_STORAGE": "prefect.server.concurrency.lease_storage.filesystem",
    # a server that goes away or hangs: three attempts, and not a line for each event that does not arrive
    "PREFECT_CLIENT_MAX_RETRIES": "2",
    "PREFECT_API_REQUEST_TIMEOUT": "20",
    "PREFECT_LOGGING_INTERNAL_LEVEL": "CRITICAL",
}


class ServerFailed(RuntimeError):
    """The Prefect server did not come up, or does not answer."""


@dataclass(frozen=True, kw_only=True)
class Server:
    """A Prefect server. `home` is None for one that somebody else runs; `pages_url` where report pages are served."""

    api_url: str
    home: Path | None
    pages_url: str | None = None

    @property
    def ui_url(self) -> str:
        return self.api_url.removesuffix("/").removesuffix("/api")

    def is_healthy(self) -> bool:
        try:
            return httpx.get(f"{self.api_url}/health", timeout=5).status_code == 200
        except httpx.HTTPError:
            return False


def prefect_home(store: Store) -> Path:
    """Where a store's server keeps its database: beside the runs on a local store, else in the working folder."""
    return home_of(store) / "prefect"


def pages_folder(store: Store) -> Path | None:
    """The folder of a store's report pages; None where the store is not on this machine."""
    return Path(store.root) / "runs" if store.is_local else None


def start_server(home: Path, pages: Path | None) -> Server:
    """The server of a store: the one that runs, else a new one; its address goes into the environment.

    `pages` is the folder of report pages, None where the store is not on this machine.

    `PREFECT_API_URL`, where the environment has it, names a team's own server, and nothing is started.

    Raises:
        ServerFailed: it does not answer.
    """
    with _one_at_a_time(home):
        return _start_server(home, pages)


def _start_server(home: Path, pages: Path | None) -> Server:
    pages_url = None if pages is None else _serve_pages(home, pages)
    foreign = os.environ.get(_API_VARIABLE)
    running = running_server(home)
    if foreign and (running is None or foreign != running.api_url):
        server = Server(api_url=foreign.rstrip("/"), home=None, pages_url=pages_url)
        if not server.is_healthy():
            raise ServerFailed(f"{_API_VARIABLE}={foreign} does not answer; unset it to use the embedded server")
        os.environ.update({name: value for name, value in _SETTINGS.items() if name not in os.environ})
        return server
    server = running or _launch(home)
    os.environ.update(_environment(home, server.api_url))
    return replace(server, pages_url=pages_url)


def revive_server(server: Server) -> bool:
    """Start an embedded server again whose process is gone; True where that was needed.

    Raises:
        ServerFailed: it did not come up, or not at the address that everybody knows.
    """
    if server.home is None or _server_process(server.home) is not None:
        return False
    again = _launch(server.home)
    if again.api_url != server.api_url:
        raise ServerFailed(
            f"the Prefect server is gone, and its address {server.api_url} is taken by another program; it runs at "
            f"{again.api_url} now: start again what used it"
        )
    return True


@contextmanager
def _one_at_a_time(home: Path) -> Iterator[None]:
    """Of two runs that begin together on this machine one starts the servers, and the other finds them."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "starting.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # goes with the process, however that ends
        yield


def running_server(home: Path) -> Server | None:
    """The embedded server of a store, if it runs and answers."""
    recorded = _read_record(home)
    if recorded is None:
        return None
    server = Server(api_url=f"http://{_HOST}:{recorded}/api", home=home)
    return server if _server_process(home) is not None and server.is_healthy() else None


def stop_server(home: Path) -> bool:
    """Stop the embedded servers of a store; False where none ran."""
    processes = [process for process in (_server_process(home), _pages_process(home)) if process is not None]
    for process in processes:
        process.terminate()
    _, alive = psutil.wait_procs(processes, timeout=20)
    for process in alive:
        process.kill()
    psutil.wait_procs(alive, timeout=20)
    (home / "server.pid").unlink(missing_ok=True)
    (home / _PAGES_RECORD).unlink(missing_ok=True)
    return bool(processes)


def _serve_pages(home: Path, pages: Path) -> str:
    """The address of the file server for report pages, started if it does not run."""
    process = _pages_process(home)
    if process is not None:
        return f"http://{_HOST}:{json.loads((home / _PAGES_RECORD).read_text())['port']}"
    home.mkdir(parents=True, exist_ok=True)
    pages.mkdir(parents=True, exist_ok=True)
    port = _free_port(None)
    started = subprocess.Popen(
        [sys.executable, "-m", "http.server", str(port), "--bind", _HOST, "--directory", str(pages)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    (home / _PAGES_RECORD).write_text(json.dumps({"pid": started.pid, "port": port}))
    return f"http://{_HOST}:{port}"


def _pages_process(home: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int(json.loads((home / _PAGES_RECORD).read_text())["pid"]))
        return process if "http.server" in process.cmdline() else None
    except (OSError, ValueError, KeyError, TypeError, psutil.Error):
        return None


def _launch(home: Path) -> Server:
    home.mkdir(parents=True, exist_ok=True)
    hung = _server_process(home)  # one that runs and does not answer
    if hung is not None:
        hung.kill()
    (home / "server.pid").unlink(missing_ok=True)
    port = _free_port(_read_record(home))
    server = Server(api_url=f"http://{_HOST}:{port}/api", home=home)
    started = subprocess.run(
        [sys.executable, "-m", "prefect", "server", "start", "--background", "--host", _HOST, "--port", str(port)],
        env={**os.environ, **_environment(home, server.api_url)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=_START_SECONDS,
        check=False,
        start_new_session=True,  # Ctrl-C of a run must not take the server along
    )
    if started.returncode != 0:
        raise ServerFailed(f"the Prefect server did not start: {started.stdout[-2000:]}{started.stderr[-2000:]}")
    (home / "port.json").write_text(json.dumps({"port": port}))
    deadline = time.monotonic() + _START_SECONDS
    while not server.is_healthy():
        if time.monotonic() > deadline:
            stop_server(home)
            raise ServerFailed(f"the Prefect server at {server.api_url} did not answer within {_START_SECONDS} s")
        if _server_process(home) is None:
            raise ServerFailed(f"the Prefect server ended while starting; its database is in {home}")
        time.sleep(0.2)
    return server


def _environment(home: Path, api_url: str) -> dict[str, str]:
    return {**_SETTINGS, "PREFECT_HOME": str(home), _API_VARIABLE: api_url}


def _read_record(home: Path) -> int | None:
    try:
        return int(json.loads((home / "port.json").read_text())["port"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _server_process(home: Path) -> psutil.Process | None:
    try:
        process = psutil.Process(int((home / "server.pid").read_text()))
        # a pid may have been given to another program since
        return process if any("prefect" in word or "uvicorn" in word for word in process.cmdline()) else None
    except (OSError, ValueError, psutil.Error):
        return None


def _free_port(wanted: int | None) -> int:
    """`wanted` if it is free, so that a bookmark of the UI stays good; else any."""
    for candidate in ([wanted] if wanted else []) + [0]:
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((_HOST, candidate))
            except OSError:
                continue
            port: int = listener.getsockname()[1]
            return port
    raise ServerFailed(f"no free port on {_HOST}")
