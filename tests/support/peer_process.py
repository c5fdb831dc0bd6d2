"""Another project's code in a process of its own environment: asked with one line of JSON, answers with one."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any, Self

PROJECT = Path(__file__).resolve().parents[2]
SCRIPTS = PROJECT / "tests" / "benchmarks" / "peers"
ENVIRONMENT = "GRISTMILL_PEERS"


def peer_python() -> Path | None:
    """The Python that has the peers installed (`make peers`), or None."""
    named = os.environ.get(ENVIRONMENT)
    python = Path(named) if named else PROJECT / ".venv-peers" / "bin" / "python"
    return python if python.exists() else None


class PeerProcess:
    """One script of `tests/benchmarks/peers`, running until the `with` block ends.

    Args:
        script: its name; another path for code of our own that is to be measured in the same way.
        python: that runs it; default: the peers'.
    """

    def __init__(self, script: str | Path, python: str | Path | None = None) -> None:
        python = python or peer_python()
        if python is None:
            raise FileNotFoundError("the peers are not installed: run `make peers`")
        self._process = subprocess.Popen(
            [python, SCRIPTS / script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def ask(self, **job: Any) -> dict[str, Any]:
        """Do a job and wait for its answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the peer's process ended with code {self._process.wait()}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait(timeout=30)
        if self._process.stdout is not None:
            self._process.stdout.close()
