"""A clock that jumps: an hour back, a day ahead, while a run works; nothing it makes depends on it."""

import shutil
import subprocess
import time
from dataclasses import replace
from pathlib import Path

import pytest
from command import Command
from disturbed_runs import Undisturbed, expect_the_same

pytestmark = [pytest.mark.chaos, pytest.mark.slow, pytest.mark.timeout(1200)]

# The wall clock of a process and of all it starts, moved by the number of seconds that stands in a file.
_MOVED_CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>

static long moved_by(void) {
    const char *path = getenv("MOVED_CLOCK");
    FILE *file = path ? fopen(path, "r") : NULL;
    long seconds = 0;
    if (file) {
        if (fscanf(file, "%ld", &seconds) != 1) seconds = 0;
        fclose(file);
    }
    return seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    static int (*real)(clockid_t, struct timespec *) = NULL;
    if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);
    if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) now->tv_sec += moved_by();
    return result;
}

time_t time(time_t *place) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (place) *place = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
"""


@pytest.fixture
def moved_clock(tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """The file that says by how much, and the environment of processes that live by such a clock."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs a C compiler: a moved clock is a library put before the system's")
    source, library, seconds = tmp_path / "clock.c", tmp_path / "clock.so", tmp_path / "seconds"
    source.write_text(_MOVED_CLOCK)
    subprocess.run([compiler, "-shared", "-fPIC", "-O2", "-o", library, source, "-ldl"], check=True)
    seconds.write_text("0")
    return seconds, {"LD_PRELOAD": str(library), "MOVED_CLOCK": str(seconds)}


@pytest.mark.parametrize("jumps", [(-3600, 0), (86_400, -86_400), (-7200, 400_000)])
def test_a_clock_that_jumps_while_a_run_works_changes_no_byte(
    jumps: tuple[int, int], moved_clock: tuple[Path, dict[str, str]], gristmill: Command, calm: Undisturbed
) -> None:
    seconds, environment = moved_clock
    process = replace(gristmill, environment={**gristmill.environment, **environment}).start(*calm.arguments)
    for jump, stage in zip(jumps, ("extract", "decontaminate"), strict=True):
        while process.poll() is None and not any(gristmill.store.glob(f"stages/{stage}/*/*")):
            time.sleep(0.02)
        seconds.write_text(str(jump))
    process.wait(timeout=600)
    assert process.returncode == 0, (gristmill.store.parent / "err.txt").read_text()
    created = gristmill("show", "--json").json()
    assert created["corpus_digest"] == calm.corpus_digest
    expect_the_same(gristmill, calm)
