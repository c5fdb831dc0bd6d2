"""A schedule in a process of its own: what it makes, what it does about failures, and how it ends."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import httpx
import pytest
from command import Command, command_in
from crawl_server import CrawlServer
from growing_crawl import WEEKS, write_weeks

from flows.server import prefect_home, stop_server
from storage.runs import list_runs
from storage.store import Store

pytestmark = pytest.mark.timeout(900)  # several processes that start one after another, on machines that are busy
CORPUS = ("--set", "goal=corpus", "--runner", "threads", "--workers", "1")


class Schedule:
    """A schedule that runs; what it says, line by line."""

    def __init__(self, gristmill: Command, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "flows.cli", "schedule", *arguments],
            env=gristmill.environment,
            cwd=gristmill.store.parent,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.said: list[str] = []
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self._lines.put(line.rstrip())
        self._lines.put(None)

    def until(self, words: str, seconds: float = 240) -> str:
        """Wait for a line with these words in it; the line."""
        deadline = time.monotonic() + seconds
        while True:
            line = self._lines.get(timeout=max(0.1, deadline - time.monotonic()))
            assert line is not None, f"it ended before it said {words!r}:\n" + "\n".join(self.said)
            self.said.append(line)
            if words in line:
                return line

    def ended(self, seconds: float = 240) -> int:
        """The exit code."""
        code = self.process.wait(seconds)
        self._reader.join()
        while (line := self._lines.get()) is not None:
            self.said.append(line)
        return code

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            self.process.wait(120)
        self._reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


@contextlib.contextmanager
def scheduled(gristmill: Command, *arguments: str) -> Iterator[Schedule]:
    schedule = Schedule(gristmill, *arguments)
    try:
        yield schedule
    finally:
        schedule.close()


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CrawlServer]:
    folder = tmp_path_factory.mktemp("weeks")
    write_weeks(folder)
    with CrawlServer(folder) as server:
        yield server


def latest(server: CrawlServer, pace: Path, rate: float = 100) -> list[str]:
    settings = {
        "source.crawl": "latest",
        "source.base_url": server.url,
        "source.index_server": server.url,
        "fetch.requests_per_second": rate,
        "fetch.pace_folder": pace,
    }
    return [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]


def asked(api: str, path: str, **body: object) -> list[dict]:
    return httpx.post(f"{api}/{path}", json=body, timeout=30).json()


def runs_of(api: str, deployment_id: str) -> Sequence[tuple[str, str]]:
    """Name and message of the states of a deployment's runs, but for those to come."""
    found = asked(api, "flow_runs/filter", flow_runs={"deployment_id": {"any_": [deployment_id]}})
    states = [each["state"] for each in sorted(found, key=lambda each: each["expected_start_time"])]
    return [(state["name"], state["message"] or "") for state in states if state["type"] != "SCHEDULED"]


def test_a_schedule_builds_the_latest_crawl_once_and_the_ui_shows_it(
    shared_gristmill, weeks, tmp_path, prefect_server
) -> None:
    words = ("commoncrawl", "--now", "--runs", "1", *latest(weeks, tmp_path), *CORPUS)
    with scheduled(shared_gristmill, "--cron", "0 3 * * 0", *words) as schedule:
        assert schedule.ended() == 0, "\n".join(schedule.said)
    told = "\n".join(schedule.said)
    assert "next run " in told
    deployment_id = told.split("/deployments/deployment/")[1].split()[0]
    (run,) = list_runs(Store(str(shared_gristmill.store)))
    assert (run.status, run.recipe["source"]["crawl"]) == ("completed", WEEKS[1])
    assert run.settings["begun_by"] == "schedule"

    with scheduled(shared_gristmill, "--every", "7d", *words) as schedule:
        assert schedule.ended() == 0, "\n".join(schedule.said)
    assert f"NothingNew: nothing new: {WEEKS[1]} was built by run {run.run_id}" in "\n".join(schedule.said)
    assert len(list_runs(Store(str(shared_gristmill.store)))) == 1

    states = runs_of(prefect_server, deployment_id)
    assert [name for name, _ in states] == ["Completed", "NothingNew"]
    assert run.run_id in states[0][1]
    deployment = httpx.get(f"{prefect_server}/deployments/{deployment_id}").json()
    assert [each["schedule"]["interval"] for each in deployment["schedules"]] == [7 * 86400]
    child = httpx.get(f"{prefect_server}/flow_runs/{run.flow_run_id}").json()
    assert "scheduled" in child["tags"]


@pytest.mark.slow
def test_a_broken_recipe_is_reported_the_schedule_goes_on_and_a_mended_one_is_read(gristmill, tmp_path) -> None:
    recipe = tmp_path / "mine.yaml"
    texts = tmp_path / "texts.jsonl"
    texts.write_text("".join(json.dumps({"text": f"Text number {number}. " * 30}) + "\n" for number in range(3)))
    whole = f"source: {{kind: texts, texts: [{texts}]}}\ngoal: corpus\nfilters: {{rules: []}}\n"
    recipe.write_text(whole)
    words = (str(recipe), "--every", "10s", "--now", "--runs", "2", "--attempts", "3", "--pause", "0")
    with scheduled(gristmill, *words, "--runner", "threads", "--workers", "1") as schedule:
        schedule.until("/deployments/deployment/")  # it was looked at, and is read again when a run begins
        recipe.write_text(whole + "golas: corpus\n")
        told = schedule.until("ended ")
        assert "unknown key 'golas'" in told
        recipe.write_text(whole)
        assert schedule.ended() == 1  # one of the two failed
    assert "Completed" in schedule.said[-1]
    assert not any("attempt" in line for line in schedule.said)  # it would have been broken three times
    (run,) = list_runs(Store(str(gristmill.store)))
    assert (run.recipe_name, run.status) == ("mine", "completed")


@pytest.mark.slow
@pytest.mark.chaos
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_end_signal_ends_a_run_in_order_and_what_it_published_stays(gristmill, tiny_crawl, number) -> None:
    words = ("minicrawl", "--set", f"source.paths={tiny_crawl}", *CORPUS)
    with scheduled(gristmill, "--every", "7d", "--now", *words) as schedule:
        schedule.until("extract ")
        schedule.process.send_signal(number)
        assert schedule.ended() == 0
    assert schedule.said[-1] == "the schedule is stopped; what is published stays"
    (run,) = list_runs(Store(str(gristmill.store)))
    assert run.status == "interrupted"
    assert gristmill("run", *words).code == 0
    again = list_runs(Store(str(gristmill.store)))[-1]
    assert {stage.name for stage in again.stages if stage.reused} >= {"fetch", "extract"}


@pytest.mark.slow
@pytest.mark.chaos
def test_a_killed_server_is_started_again_and_the_run_is_tried_again(tmp_path, tiny_crawl, monkeypatch) -> None:
    monkeypatch.delenv("PREFECT_API_URL", raising=False)
    for gristmill in command_in(tmp_path):
        gristmill.environment.pop("PREFECT_API_URL", None)
        home = prefect_home(Store(str(gristmill.store)))
        words = ("minicrawl", "--set", f"source.paths={tiny_crawl}", *CORPUS)
        try:
            with scheduled(gristmill, "--every", "7d", "--now", "--runs", "1", "--pause", "20", *words) as schedule:
                schedule.until("extract ")
                os.kill(int((home / "server.pid").read_text()), signal.SIGKILL)
                schedule.until("the Prefect server was gone; it is started again")
                assert schedule.ended() == 0, "\n".join(schedule.said)
        finally:
            stop_server(home)
        assert list_runs(Store(str(gristmill.store)))[-1].status == "completed"


@pytest.mark.slow
def test_two_schedules_at_once_keep_the_rate_of_one(tmp_path, weeks, prefect_server) -> None:
    rate = 2.0
    before = len(weeks.requests)
    with contextlib.ExitStack() as stack:
        schedules = []
        for name in ("one", "two"):  # a store each: they wait for nothing but their turn to ask
            (tmp_path / name).mkdir()
            gristmill = stack.enter_context(contextlib.contextmanager(command_in)(tmp_path / name))
            words = ("commoncrawl", "--set", f"name={name}", "--every", "7d", "--now", "--runs", "1")
            schedules.append(
                stack.enter_context(scheduled(gristmill, *words, *latest(weeks, tmp_path / "pace", rate), *CORPUS))
            )
        for schedule in schedules:
            assert schedule.ended() == 0, "\n".join(schedule.said)
    asked_for = weeks.requests[before:]
    assert len(asked_for) >= 6
    times = [request.at for request in asked_for]
    for start in range(len(times)):
        for end in range(start + 1, len(times)):
            # in any stretch of time: no more than the rate gives, and one; a quarter of a second for the way
            assert end - start + 1 <= 1 + rate * (times[end] - times[start] + 0.25)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("commoncrawl", "--set", "source.crawl=latest"), "either --cron"),
        (("commoncrawl", "--set", "source.crawl=latest", "--cron", "0 3 * *"), "is no cron expression"),
        (("comoncrawl", "--every", "7d"), "did you mean 'commoncrawl'"),
        (("commoncrawl", "--every", "7d"), "no crawl is named"),
    ],
)
def test_what_cannot_be_scheduled_is_refused_before_any_work(gristmill, arguments, message) -> None:
    done = gristmill("schedule", *arguments)
    assert done.code == 2
    assert message in done.err
