"""`kill -9` of a run at random moments in every stage: the next run ends as if nothing had been."""

import random
import time

import pytest
from command import Command
from disturbed_runs import Undisturbed, copy_until, expect_the_same

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]

_NUM_KILLS = 50


@pytest.mark.parametrize("seed", range(_NUM_KILLS))
def test_a_run_killed_at_a_random_moment_of_a_stage_is_continued_by_the_next(
    seed: int, gristmill: Command, calm: Undisturbed
) -> None:
    rng = random.Random(seed)
    stage = calm.stages[seed % len(calm.stages)]
    copy_until(calm, stage, gristmill.store)
    wait_seconds = rng.uniform(0, 1.2 * calm.seconds[stage])
    began: list[float] = []

    def is_time() -> bool:
        if not began and any(gristmill.store.glob(f"stages/{stage}/*/*")):
            began.append(time.monotonic())
        return bool(began) and time.monotonic() - began[0] >= wait_seconds

    was_killed = gristmill.kill_when(is_time, *calm.arguments)
    done = expect_the_same(gristmill, calm)
    first, *_, last = gristmill("runs", "--json").json()["runs"]
    assert last["status"] == "completed"
    if was_killed and not (stage == calm.stages[-1] and first["status"] == "completed"):  # on its way out
        assert first["status"] == "interrupted"
        assert "run again to continue" in gristmill("show", first["run_id"]).out
    assert "Error" not in done.err


def test_a_run_killed_again_and_again_comes_to_its_end(gristmill: Command, calm: Undisturbed) -> None:
    """Each attempt lives a little longer than the one before; what it published stays."""
    for attempt in range(1, 9):
        process = gristmill.start(*calm.arguments)
        deadline = time.monotonic() + 4 + 1.5 * attempt
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.05)
        process.kill()
        process.wait(timeout=60)
    expect_the_same(gristmill, calm)
