"""A Prefect server that is killed while a run works: the run ends as its work ends."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import psutil
import pytest
from command import Command

from flows.server import stop_server

pytestmark = [pytest.mark.timeout(900), pytest.mark.chaos, pytest.mark.slow]


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[Command]:
    """The command on a store with a server of its own, whatever server the other tests use."""
    store = tmp_path / "store"
    unwanted = ("PREFECT_API_URL", "PREFECT_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in unwanted}
    yield Command(store=store, environment={**environment, "GRISTMILL_STORE": str(store)})
    stop_server(store / "prefect")


def arguments(tiny_crawl: Path) -> list[str]:
    return [
        *("run", "minicrawl", "--set", f"source.paths={tiny_crawl}", "--set", "goal=corpus"),
        *("--workers", "2", "--runner", "threads"),
    ]  # fmt: skip


def run_and(command: Command, arguments: list[str], meanwhile: Callable[[], None]) -> tuple[int, str, float]:
    """Run, do something once the first stage is there; returns the exit code, what was said, and how many seconds the
    process took to end after the run's record said that it had."""
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", *arguments],
        env=command.environment,
        cwd=command.store.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        wait_for(lambda: any(command.store.glob("stages/fetch/*/manifest.json")) or process.poll() is not None)
        meanwhile()
        wait_for(lambda: newest(command).get("status") != "running" or process.poll() is not None)
        ended = time.monotonic()
        _, said = process.communicate(timeout=300)
        return process.returncode, said, time.monotonic() - ended
    finally:
        process.kill()


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 400
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def newest(command: Command) -> dict[str, Any]:
    records = [json.loads(path.read_text()) for path in command.store.glob("runs/*/run.json")]
    return max(records, key=lambda each: each["created_at"], default={"status": "running"})


def server_of(command: Command) -> psutil.Process:
    return psutil.Process(int((command.store / "prefect" / "server.pid").read_text()))


def test_a_killed_server_costs_a_run_its_page_and_the_next_run_mends_that(
    own_server: Command, tiny_crawl: Path
) -> None:
    code, said, seconds = run_and(own_server, arguments(tiny_crawl), lambda: server_of(own_server).kill())
    assert code == 0, said
    assert seconds < 60
    record = newest(own_server)
    assert record["status"] == "completed"
    assert "warning: Prefect's server did not take the end of the run" in said
    assert "Traceback" not in said
    assert "Error logging to API" not in said

    again = own_server(*arguments(tiny_crawl))
    assert again.code == 0, again.err
    assert newest(own_server)["corpus_digest"] == record["corpus_digest"]
    assert {stage["reused"] for stage in newest(own_server)["stages"]} == {True}
    port = json.loads((own_server.store / "prefect" / "port.json").read_text())["port"]
    first = httpx.get(f"http://127.0.0.1:{port}/api/flow_runs/{record['flow_run_id']}").json()
    assert first["state"]["type"] == "COMPLETED"
    assert "the store" in first["state"]["message"]
