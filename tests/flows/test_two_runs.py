"""Two runs on one store at once: they share the work, or do it twice, and never mix."""

import json
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from command import Command, command_in
from tiny_crawl import NUM_FILES

CORPUS = ("--set", "goal=corpus", "--workers", "1", "--runner", "threads")
FIRST_STAGES = ("fetch", "extract", "signals", "judge")
pytestmark = pytest.mark.timeout(1200)  # whole runs, on machines that are busy


def arguments(crawl: Path, *more: str) -> list[str]:
    return ["run", "minicrawl", "--set", f"source.paths={crawl}", *CORPUS, *more]


@dataclass(kw_only=True)
class Started:
    process: "subprocess.Popen[str]"

    def finish(self) -> str:
        """What it wrote to stderr; it has to end well."""
        _, err = self.process.communicate(timeout=600)
        assert self.process.returncode == 0, err
        return err


@pytest.fixture
def start(gristmill: Command) -> Iterator[Callable[..., Started]]:
    """Start `gristmill` on the test's store, and go on."""
    started = []

    def begin(*arguments: str) -> Started:
        process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", *arguments],
            env=gristmill.environment,
            cwd=gristmill.store.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return Started(process=process)

    yield begin
    for process in started:
        process.kill()
        process.communicate()


@pytest.fixture(scope="module")
def undisturbed(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> dict[str, Any]:
    """By stage and key the digest of what a run alone publishes."""
    found: dict[str, Any] = {}
    for gristmill in command_in(tmp_path_factory.mktemp("undisturbed")):
        done = gristmill(*arguments(tiny_crawl))
        assert done.code == 0, done.err
        found = contents(gristmill.store)
    return found


def contents(store: Path) -> dict[str, Any]:
    """What each stage of a store says, but for what is another each time."""
    found = {}
    for path in store.glob("stages/*/*/manifest.json"):
        manifest = json.loads(path.read_text())
        found[f"{manifest['stage']}/{manifest['key']}"] = [
            (file["path"], file["content"])
            for part in manifest["parts"]
            for file in part["files"]
            if not file.get("varies")
        ]
    return found


def wait_until(is_time: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    while not is_time():
        assert process.poll() is None, process.communicate()
        time.sleep(0.01)


def test_runs_that_begin_together_end_as_one_alone_and_recipes_share_their_first_stages(
    gristmill, start, tiny_crawl, undisturbed
):
    other = ("--set", "dedup.threshold=0.7")
    for each in [start(*arguments(tiny_crawl, *more)) for more in ((), (), other)]:
        each.finish()
    made = contents(gristmill.store)
    assert {name: made[name] for name in undisturbed} == undisturbed
    stages = Counter(name.split("/")[0] for name in made)
    assert {name: stages[name] for name in FIRST_STAGES} == dict.fromkeys(FIRST_STAGES, 1)
    assert stages["dedup"] == 2
    runs = gristmill("runs", "--json").json()["runs"]
    assert [run["status"] for run in runs] == ["completed"] * 3
    assert len({run["corpus_digest"] for run in runs}) == 1  # nothing in the tiny crawl is between the thresholds
    assert not list(gristmill.store.glob("stages/**/*.partial"))
    assert not list(gristmill.store.glob("leases/*"))


@pytest.mark.chaos
@pytest.mark.slow
def test_the_second_run_waits_for_whom_it_names_and_takes_over_when_that_is_killed(
    gristmill, start, tiny_crawl, undisturbed
):
    first = start(*arguments(tiny_crawl))
    wait_until(lambda: any(gristmill.store.glob("leases/extract-*")), first.process)
    first.process.send_signal(signal.SIGSTOP)  # in the middle of a part, so that the second meets the lease
    held = [path.name for path in gristmill.store.glob("leases/extract-*")]
    second = start(*arguments(tiny_crawl))
    published = lambda: len(list(gristmill.store.glob("stages/extract/*/parts/*.json")))  # noqa: E731
    wait_until(lambda: published() == NUM_FILES - len(held), second.process)  # all parts but the one that is held
    first.process.kill()
    killed_at = time.monotonic()
    wait_until(lambda: published() == NUM_FILES, second.process)
    took = time.monotonic() - killed_at
    err = second.finish()
    assert contents(gristmill.store) == undisturbed
    if held:  # the first may have been between two parts when it was stopped
        assert re.search(rf"extract: waits for part-\d+, which run \S+ \(host \S+, pid {first.process.pid}\)", err)
        assert took < 25, "it waited until the lease was over, though its holder was gone"
