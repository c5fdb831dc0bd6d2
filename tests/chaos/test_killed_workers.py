"""Single workers killed at random moments: the run itself goes on and ends well."""

import random
import time

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same, processes_of

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]


@pytest.mark.parametrize("seed", range(8))
def test_a_run_whose_workers_are_killed_ends_well_by_itself(seed: int, gristmill: Command, calm: Undisturbed) -> None:
    """Two of its processes, of those that make parts and of those that read pages, at moments drawn from all of it."""
    rng = random.Random(seed)
    moments = sorted(rng.uniform(0, 1) for _ in range(2))
    duration = sum(calm.seconds.values())
    process = gristmill.start(*calm.arguments)
    began = time.monotonic()
    num_killed = 0
    while process.poll() is None:
        if moments and time.monotonic() - began > 5 + moments[0] * duration:
            workers = [each for each in processes_of(gristmill) if each.pid != process.pid]
            if workers:
                rng.choice(sorted(workers, key=lambda each: each.pid)).kill()
                num_killed += 1
                moments.pop(0)
        time.sleep(0.02)
    assert process.returncode == 0, (gristmill.store.parent / "err.txt").read_text()
    assert num_killed or seed, "no worker was there to be killed"
    shown = gristmill("show", "--json").json()
    assert shown["corpus_digest"] == calm.corpus_digest
    expect_the_same(gristmill, calm)
