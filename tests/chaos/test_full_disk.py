"""No space left on the disk: it says so, leaves nothing half written, and the next run continues."""

import subprocess
from collections.abc import Callable, Iterator

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same

from flows.server import stop_server

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.fixture
def small_disk(gristmill: Command) -> Iterator[Callable[[str], None]]:
    """The store on a file system of a given size; call it again to change the size."""
    gristmill.store.mkdir()

    def mount(options: str) -> None:
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(gristmill.store)], capture_output=True, check=False
        )
        if done.returncode:
            pytest.skip("needs the right to mount a small file system")

    yield mount
    stop_server(gristmill.store / "prefect")  # while its record is still there
    subprocess.run(["umount", str(gristmill.store)], capture_output=True, check=False)


@pytest.mark.parametrize("size", ["200k", "600k", "1500k", "2500k"])
def test_a_full_disk_fails_clearly_and_leaves_nothing_half_written(
    size: str, gristmill: Command, calm: Undisturbed, small_disk: Callable[[str], None]
) -> None:
    """Full in an early stage, in later ones, and while a model is trained."""
    small_disk(f"size={size}")
    done = gristmill(*calm.arguments)
    assert done.code == 1
    assert "No space left on device" in done.err
    assert "Traceback" not in done.err
    assert sorted(gristmill.store.rglob("*.partial")) == []
    small_disk("remount,size=200m")
    expect_the_same(gristmill, calm)
