"""Runs on Dask and Ray: the same bytes, whatever is killed, and nobody left behind."""

import contextlib
import json
import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from command import Command
from run_processes import left_after, workers_of

from flows.engines import dask_cluster, presence
from flows.engines.failures import EngineFailed
from flows.engines.worker_check import SHAPING_LIBRARIES
from flows.runners import Runner

pytestmark = pytest.mark.timeout(1200)  # whole runs, on machines that are busy

ENGINES = ("dask", "ray")
SLOW_RAY = ["dask", pytest.param("ray", marks=pytest.mark.slow)]


def arguments(crawl: Path, *more: str) -> list[str]:
    return ["run", "minicrawl", "--set", f"source.paths={crawl}", "--set", "goal=corpus", *more]


def corpus_of(gristmill: Command) -> str:
    digest: str = gristmill("show", "--json").json()["corpus_digest"]
    return digest


@pytest.fixture(scope="module")
def corpus_digest(tiny_crawl: Path, shared_gristmill: Command) -> str:
    """Of a calm run in this machine's threads: what every other run must equal."""
    done = shared_gristmill(*arguments(tiny_crawl, "--workers", "2", "--runner", "threads"))
    assert done.code == 0, done.err
    return corpus_of(shared_gristmill)


def is_extracting(gristmill: Command) -> bool:
    """A worker process is at work on a part, and one part is there already."""
    return bool(workers_of(gristmill.store)) and any(gristmill.store.glob("stages/extract/*/parts/*.json"))


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_makes_the_same_bytes_and_leaves_no_process(gristmill, tiny_crawl, corpus_digest, engine: str) -> None:
    done = gristmill(*arguments(tiny_crawl, "--workers", "2", "--runner", engine))
    assert done.code == 0, done.err
    assert corpus_of(gristmill) == corpus_digest
    assert left_after(gristmill.store, seconds=5) == []


def test_workers_are_compared_by_every_library_that_shapes_an_output(shared_gristmill, corpus_digest) -> None:
    named = set()
    for manifest in shared_gristmill.store.glob("stages/*/*/manifest.json"):
        named |= set(json.loads(manifest.read_bytes())["libraries"])
    assert named - {"altair", "vl-convert-python"} <= set(SHAPING_LIBRARIES)
    assert {"numba", "pyarrow", "fastwarc"} <= named


@pytest.mark.chaos
@pytest.mark.parametrize("engine", SLOW_RAY)
def test_a_part_whose_worker_is_killed_is_made_elsewhere(gristmill, tiny_crawl, corpus_digest, engine: str) -> None:
    """First the engine's own worker, with all that is below it; then, in the stage after, only our process in it."""
    victims: list[str] = []

    def kill_one() -> bool:
        with contextlib.suppress(psutil.Error):
            if not victims and is_extracting(gristmill):
                parent = workers_of(gristmill.store)[0].parent()
                assert parent is not None
                victims.append(" ".join(parent.cmdline()))
                parent.kill()
            elif len(victims) == 1 and any(gristmill.store.glob("stages/signals/*")):
                for worker in workers_of(gristmill.store)[:1]:
                    victims.append("ours")
                    worker.kill()
        return False

    assert not gristmill.kill_when(kill_one, *arguments(tiny_crawl, "--workers", "2", "--runner", engine))
    assert len(victims) == 2
    assert ("spawn_main" in victims[0]) if engine == "dask" else ("ray::" in victims[0])
    assert gristmill("show", "--json").json()["status"] == "completed"
    assert corpus_of(gristmill) == corpus_digest


@pytest.mark.chaos
@pytest.mark.slow
@pytest.mark.parametrize("engine", ["processes", *ENGINES])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_leaves_no_process_and_the_next_continues(
    gristmill, tiny_crawl, corpus_digest, engine: str, number: int
) -> None:
    command = arguments(tiny_crawl, "--workers", "2", "--runner", engine)
    assert gristmill.kill_when(lambda: is_extracting(gristmill), *command, number=number)
    assert left_after(gristmill.store, seconds=10) == []
    assert gristmill(*command).code == 0
    assert corpus_of(gristmill) == corpus_digest


def dask(*words: str, gristmill: Command, **environment: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "dask", *words],
        env={**gristmill.environment, **environment},
        cwd=gristmill.store.parent,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@pytest.fixture
def scheduler(gristmill: Command) -> Iterator[str]:
    """The address of a Dask scheduler without workers."""
    known = gristmill.store.parent / "scheduler.json"
    process = dask(
        "scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(known),
        gristmill=gristmill,
    )  # fmt: skip
    wait_until(known.is_file, process)
    yield json.loads(known.read_bytes())["address"]
    process.kill()
    process.wait()


def wait_until(is_so: Callable[[], bool], process: "subprocess.Popen[bytes]", seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not is_so():
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.05)


WORKER = ("--nworkers", "2", "--nthreads", "1", "--no-dashboard", "--memory-limit", "0", "--death-timeout", "60")


@pytest.mark.slow
def test_a_cluster_that_runs_already_makes_the_same_bytes_also_after_a_killed_run(
    gristmill, tiny_crawl, corpus_digest, scheduler: str
) -> None:
    workers = dask("worker", scheduler, *WORKER, gristmill=gristmill)
    try:
        command = arguments(tiny_crawl, "--workers", "1", "--runner", "dask", "--dask-address", scheduler)
        assert gristmill.kill_when(lambda: is_extracting(gristmill), *command)
        done = gristmill(*command)
        assert done.code == 0, done.err
        assert corpus_of(gristmill) == corpus_digest
    finally:
        workers.terminate()
        workers.wait(timeout=60)
    assert [line for line in left_after(gristmill.store, 10) if "dask scheduler" not in line] == []


def test_what_a_killed_run_had_begun_is_stopped_on_a_cluster_that_goes_on(gristmill, scheduler: str) -> None:
    workers = dask("worker", scheduler, *WORKER, gristmill=gristmill)
    script = (
        "import time\n"
        "from flows.runners import Runner\n"
        f"Runner(name='dask', workers=1, address={scheduler!r}).call(time.sleep, 120)\n"
    )
    run = subprocess.Popen([sys.executable, "-c", script], env=gristmill.environment)
    try:
        wait_until(lambda: bool(workers_of(gristmill.store)), run)
        run.kill()
        run.wait()
        # a worker with nothing to do would stay a minute, and this call two
        _, alive = psutil.wait_procs(workers_of(gristmill.store), timeout=20)
        assert alive == []
        assert workers.poll() is None
    finally:
        run.kill()
        workers.kill()
        workers.wait()


def test_a_cluster_that_loses_its_workers_is_waited_for_and_then_named(
    gristmill, scheduler, monkeypatch, caplog
) -> None:
    monkeypatch.setattr(dask_cluster, "LOOK_SECONDS", 0.2)
    monkeypatch.setattr(presence, "PATIENCE_SECONDS", 2.0)
    workers = dask("worker", scheduler, *WORKER, gristmill=gristmill)
    runner = Runner(name="dask", workers=1, address=scheduler)
    try:
        assert runner.call(math.sqrt, 16.0) == 4.0
        workers.kill()
        workers.wait()
        for worker in psutil.process_iter():
            with contextlib.suppress(psutil.Error):
                if scheduler in worker.cmdline() and "worker" in worker.cmdline():
                    worker.kill()
        with pytest.raises(EngineFailed, match=f"{scheduler} lost its workers, and none came in 2 s. Start some with"):
            runner.call(math.sqrt, 16.0)
        assert [record.getMessage() for record in caplog.records if "no workers any more" in record.getMessage()]
        workers = dask("worker", scheduler, *WORKER, gristmill=gristmill)
        monkeypatch.setattr(presence, "PATIENCE_SECONDS", 120.0)
        assert runner.call(math.sqrt, 9.0) == 3.0
    finally:
        runner.close()
        workers.terminate()
        workers.wait(timeout=60)


@pytest.mark.slow
def test_workers_of_another_installation_or_without_the_store_are_refused(gristmill, tiny_crawl, scheduler) -> None:
    command = arguments(tiny_crawl, "--runner", "dask", "--dask-address", scheduler)
    # another version of a library, as far as anybody can tell
    foreign = gristmill.store.parent / "foreign"
    (foreign / "numba-0.0.1.dist-info").mkdir(parents=True)
    (foreign / "numba-0.0.1.dist-info" / "METADATA").write_text("Metadata-Version: 2.1\nName: numba\nVersion: 0.0.1\n")
    workers = dask("worker", scheduler, *WORKER, gristmill=gristmill, PYTHONPATH=str(foreign))
    try:
        done = gristmill(*command)
    finally:
        workers.terminate()
        workers.wait(timeout=60)
    assert done.code == 2, done.err
    assert "numba 0.0.1 where the run has" in done.err
    assert "Traceback" not in done.err


@pytest.mark.slow
def test_a_scheduler_that_does_not_answer_and_an_address_for_another_runner_are_wrong_requests(
    gristmill, tiny_crawl
) -> None:
    done = gristmill(*arguments(tiny_crawl, "--dask-address", "tcp://127.0.0.1:9"))
    assert done.code == 2
    assert "is for --runner dask, but the runner is processes" in done.err
    done = gristmill(*arguments(tiny_crawl, "--runner", "dask", "--dask-address", "tcp://127.0.0.1:9"))
    assert done.code == 2
    assert "no Dask scheduler answers at tcp://127.0.0.1:9" in done.err
    assert "Traceback" not in done.err
