"""Prefect's server killed and its database deleted while a run works: the store is the truth, and the run ends well."""

import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same

from flows.server import stop_server

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def own_server(tmp_path: Path, calm: Undisturbed) -> Iterator[Command]:
    """The command with a server of its store alone, started by the run."""
    store = tmp_path / "store"
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    yield Command(store=store, environment={**kept, "GRISTMILL_STORE": str(store)})
    stop_server(store / "prefect")


@pytest.mark.parametrize("stage", ["extract", "decontaminate", "train"])
def test_a_run_outlives_prefects_server_and_its_database(stage: str, own_server: Command, calm: Undisturbed) -> None:
    home = own_server.store / "prefect"
    process = own_server.start(*calm.arguments)
    while process.poll() is None and not any(own_server.store.glob(f"stages/{stage}/*/*")):
        time.sleep(0.02)
    os.kill(int((home / "server.pid").read_text()), signal.SIGKILL)
    for path in home.glob("prefect.db*"):
        path.unlink()
    process.wait(timeout=900)
    told = (own_server.store.parent / "err.txt").read_text()
    if process.returncode != 0:  # then it says why, and the next run continues
        assert "Prefect" in told
        assert "run again" in told.lower()
        assert "Traceback" not in told
    expect_the_same(own_server, calm)


def test_a_new_database_is_made_where_the_old_one_is_gone(own_server: Command, calm: Undisturbed) -> None:
    own_server.store.mkdir()
    shutil.copytree(calm.store / "stages", own_server.store / "stages")
    expect_the_same(own_server, calm)
    home = own_server.store / "prefect"
    stop_server(home)
    for path in home.glob("prefect.db*"):
        path.unlink()
    expect_the_same(own_server, calm)
