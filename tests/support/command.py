"""`gristmill` in a process of its own, as a person runs it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flows.server import stop_server

_LOOK_SECONDS = 0.01


@dataclass(frozen=True, kw_only=True)
class Finished:
    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


@dataclass(frozen=True, kw_only=True)
class Command:
    """`gristmill` in a process of its own, on one store."""

    store: Path
    environment: dict[str, str]

    def __call__(self, *arguments: str, timeout: float = 600) -> Finished:
        done = subprocess.run(
            self._words(arguments),
            env=self.environment,
            cwd=self.store.parent,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        return Finished(code=done.returncode, out=done.stdout, err=done.stderr)

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Run, and do not wait; what it prints goes to files beside the store."""
        with (self.store.parent / "out.txt").open("ab") as out, (self.store.parent / "err.txt").open("ab") as err:
            return subprocess.Popen(
                self._words(arguments), env=self.environment, cwd=self.store.parent, stdout=out, stderr=err
            )

    def kill_when(self, is_time: Callable[[], bool], *arguments: str, number: int = signal.SIGKILL) -> bool:
        """Run, and send the process a signal the moment `is_time()` says so; False where it ended before."""
        process = self.start(*arguments)
        while True:
            if is_time():
                process.send_signal(number)
                process.wait(timeout=60)
                return True
            try:
                process.wait(timeout=_LOOK_SECONDS)  # a loop without a wait would take a core from what it watches
            except subprocess.TimeoutExpired:
                continue
            return False

    def _words(self, arguments: tuple[str, ...]) -> list[str]:
        return [sys.executable, "-m", "flows.cli", *arguments]


def command_in(folder: Path) -> Iterator[Command]:
    """The command on a store in a folder, with the environment as it is now; its servers end with it."""
    store = folder / "store"
    environment = {**os.environ, "GRISTMILL_STORE": str(store), "PREFECT_HOME": str(folder / "prefect")}
    yield Command(store=store, environment=environment)
    stop_server(store / "prefect")  # the one for report pages
