"""Ctrl-C and the end signal, at random moments: the run ends at once and cleanly, and the next one continues."""

import random
import signal
import time

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same, orphans

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]

_END_SECONDS = 30  # on a busy machine


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("seed", range(4))
def test_a_signal_at_a_random_moment_ends_the_run_and_the_next_one_continues(
    seed: int, number: int, gristmill: Command, calm: Undisturbed
) -> None:
    rng = random.Random(seed)
    process = gristmill.start(*calm.arguments)
    runs = gristmill.store / "runs"
    while process.poll() is None and not any(runs.glob("*/run.json")):
        time.sleep(0.02)
    time.sleep(rng.uniform(0, sum(calm.seconds.values())))
    was_running = process.poll() is None
    process.send_signal(number)
    process.wait(timeout=_END_SECONDS)
    if was_running and process.returncode != 0:
        assert process.returncode == 130
        assert "the next run continues from there" in (gristmill.store.parent / "err.txt").read_text()
        assert gristmill("show", "--json").json()["status"] == "interrupted"
    assert orphans(gristmill) == []
    assert sorted(gristmill.store.rglob("*.partial")) == []
    expect_the_same(gristmill, calm)


def test_an_impatient_second_ctrl_c_does_no_harm(gristmill: Command, calm: Undisturbed) -> None:
    process = gristmill.start(*calm.arguments)
    while process.poll() is None and not any(gristmill.store.glob("stages/extract/*/parts/*.json")):
        time.sleep(0.02)
    for _ in range(3):
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
    process.wait(timeout=_END_SECONDS)
    assert orphans(gristmill) == []
    expect_the_same(gristmill, calm)
