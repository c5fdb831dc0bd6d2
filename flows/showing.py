"""What a run shows in Prefect's UI while it works: its name, its tags, how far each stage is, and its artifacts.

All of it is sent by one thread, with short time-outs and no retries in between, so that a server that is slow, gone, or
whose database was deleted costs a run nothing but its pages. The store has the truth; this is for looking.
"""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import SyncPrefectClient, get_client
from prefect.client.schemas.actions import ArtifactCreate, ArtifactUpdate
from prefect.exceptions import PrefectException
from prefect.settings import PREFECT_CLIENT_MAX_RETRIES, temporary_settings

_TIMEOUT_SECONDS = 10.0  # of one request
_PAUSES = (1.0, 5.0, 15.0, 60.0)  # seconds after one failure, two in a row, …
_PROGRESS_SECONDS = 2.0  # between updates of one progress bar
_CLOSE_SECONDS = 30.0  # for what is not sent when a run ends

Send = Callable[[SyncPrefectClient], object]


class Showing:
    """A thread that sends to Prefect's server what a run shows. Its methods raise nothing, and only `close` waits.

    Of several messages of one name that wait, the last is sent. Without a flow run nothing is.
    """

    def __init__(self, flow_run_id: str | None, warn: Callable[[str], None]) -> None:
        self._flow_run_id = None if flow_run_id is None else UUID(flow_run_id)
        self._warn = warn
        self._waiting: dict[str, Send] = {}
        self._changed = threading.Condition()
        self._deadline: float | None = None  # set when closing
        self._failures = 0  # in a row
        self._has_warned = False
        self._bars: dict[str, _Bar] = {}
        self._thread: threading.Thread | None = None

    @property
    def is_lost(self) -> bool:
        """What was sent last did not arrive."""
        return self._failures > 0

    def flow_run(self, *, name: str | None = None, tags: Sequence[str] | None = None) -> None:
        """Give the flow run a name, or tags in place of those it has."""
        given: dict[str, Any] = {"name": name, "tags": None if tags is None else list(tags)}
        for what, value in given.items():
            if value is not None:
                self._put(what, _update_flow_run(self._flow_run_id, what, value))

    def artifact(self, key: str, kind: str, data: Any, description: str) -> None:
        """Create an artifact of the flow run.

        Args:
            kind: `markdown`, `table` or `image`, as Prefect's pages know it.
            data: what a kind wants: text, a list of rows, or an address.
        """
        self._put(
            f"artifact {key}", lambda client: client.create_artifact(self._artifact(key, kind, data, description))
        )

    def progress(self, stage: str, done: int, total: int, note: str = "") -> None:
        """Show how far a stage of several steps is: its beginning and its end, and every few seconds between."""
        if total < 2:
            return  # its task is shown to run
        with self._changed:
            bar = self._bars.setdefault(stage, _Bar(stage=stage))
            bar.done, bar.total, bar.note = done, total, note
            now = time.monotonic()
            if done < total and now < bar.next_update:
                return
            bar.next_update = now + _PROGRESS_SECONDS
        self._put(bar.key, lambda client: self._send_bar(client, bar))

    def close(self) -> None:
        """Send what waits, within a bound, and end the thread."""
        with self._changed:
            self._deadline = time.monotonic() + _CLOSE_SECONDS
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(_CLOSE_SECONDS + 2 * _TIMEOUT_SECONDS)

    def _put(self, name: str, send: Send) -> None:
        with self._changed:
            if self._flow_run_id is None or self._deadline is not None:
                return
            self._waiting[name] = send
            if self._thread is None:
                self._thread = threading.Thread(target=self._send_all, name="prefect-showing", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _send_all(self) -> None:
        with ExitStack() as stack:
            # the client's own retries go on for a minute; here, later news replaces what did not arrive
            stack.enter_context(temporary_settings({PREFECT_CLIENT_MAX_RETRIES: 0}))
            client = stack.enter_context(get_client(httpx_settings={"timeout": _TIMEOUT_SECONDS}, sync_client=True))
            while (taken := self._next()) is not None:
                name, send = taken
                try:
                    send(client)
                except (httpx.HTTPError, PrefectException, OSError, ValueError) as error:
                    if _may_pass(error):
                        self._wait_to_try_again(name, send, error)
                    else:
                        self._warn_once(f"Prefect's server does not take {name}: {_first_line(error)}")
                else:
                    self._failures = 0

    def _next(self) -> tuple[str, Send] | None:
        """The message that waits longest; None when there will be none."""
        with self._changed:
            while True:
                if self._deadline is not None and (not self._waiting or time.monotonic() > self._deadline):
                    return None
                if self._waiting:
                    name = next(iter(self._waiting))
                    return name, self._waiting.pop(name)
                self._changed.wait()

    def _wait_to_try_again(self, name: str, send: Send, error: Exception) -> None:
        """Keep a message that did not arrive, unless a newer one waits, and give the server time."""
        with self._changed:
            self._failures += 1
            if self._deadline is not None and isinstance(error, httpx.ConnectError):
                self._waiting.clear()  # nobody is there, and the run wants to end
                return
            self._waiting = {name: send, **self._waiting}
        self._warn_once(f"Prefect's server does not answer ({_first_line(error)}); the run goes on without its pages")
        pause = _PAUSES[min(self._failures, len(_PAUSES)) - 1]
        with self._changed:
            if self._deadline is None:
                self._changed.wait_for(lambda: self._deadline is not None, timeout=pause)
            else:
                self._changed.wait(_PAUSES[0])

    def _warn_once(self, message: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._warn(message)

    def _artifact(self, key: str, kind: str, data: Any, description: str) -> ArtifactCreate:
        return ArtifactCreate(key=key, type=kind, data=data, description=description, flow_run_id=self._flow_run_id)

    def _send_bar(self, client: SyncPrefectClient, bar: "_Bar") -> None:
        percent, description = bar.shown()
        if bar.artifact_id is None:
            bar.artifact_id = client.create_artifact(self._artifact(bar.key, "progress", percent, description)).id
        else:
            client.update_artifact(bar.artifact_id, ArtifactUpdate(data=percent, description=description))


@dataclass(kw_only=True)
class _Bar:
    """The progress artifact of one stage."""

    stage: str
    done: int = 0
    total: int = 0
    note: str = ""
    next_update: float = 0.0
    artifact_id: UUID | None = None

    @property
    def key(self) -> str:
        return f"progress-{self.stage}"

    def shown(self) -> tuple[float, str]:
        percent = round(100 * self.done / self.total, 1) if self.total else 100.0
        return percent, f"**{self.stage}**: {self.done:,} of {self.total:,}{self.note and f', {self.note}'}"


def _update_flow_run(flow_run_id: UUID | None, what: str, value: Any) -> Send:
    def send(client: SyncPrefectClient) -> object:
        assert flow_run_id is not None
        if what == "name":
            return client.set_flow_run_name(flow_run_id, value)
        return client.update_flow_run(flow_run_id, tags=value)

    return send


def _may_pass(error: Exception) -> bool:
    """The same request may be taken later: the server was away or in trouble, and the request is not at fault."""
    if isinstance(error, httpx.HTTPStatusError):
        return error.response.status_code >= 500 or error.response.status_code == 429
    return isinstance(error, httpx.HTTPError | OSError)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
