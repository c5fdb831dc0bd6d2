"""Single workers killed at random moments: the run itself goes on and ends well."""

import random
import time
from pathlib import Path

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same, processes_of

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]


def parts_of(store: Path) -> list[Path]:
    """Records of parts that are published."""
    return list(store.glob("stages/*/*/parts/*.json"))


@pytest.mark.parametrize("seed", range(8))
def test_a_run_whose_workers_are_killed_ends_well_by_itself(seed: int, gristmill: Command, calm: Undisturbed) -> None:
    """Two of its processes, of those that make parts and of those that read pages: one in the first half of all parts,
    one in the second, or as soon after as there is one."""
    rng = random.Random(seed)
    num_parts = len(parts_of(calm.store))
    moments = [rng.uniform(0, 0.5) * num_parts, rng.uniform(0.5, 1) * num_parts]
    process = gristmill.start(*calm.arguments)
    num_killed = 0
    while process.poll() is None:
        if moments and len(parts_of(gristmill.store)) >= moments[0]:
            workers = [each for each in processes_of(gristmill) if each.pid != process.pid]
            if workers:
                rng.choice(sorted(workers, key=lambda each: each.pid)).kill()
                num_killed += 1
                moments.pop(0)
        time.sleep(0.02)
    assert process.returncode == 0, (gristmill.store.parent / "err.txt").read_text()
    assert num_killed, "no worker was there to be killed"
    shown = gristmill("show", "--json").json()
    assert shown["corpus_digest"] == calm.corpus_digest
    expect_the_same(gristmill, calm)
