"""Crawl after crawl from a server on the loopback interface: the newest alone, then a range of them."""

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner, Result
from command import Command
from crawl_server import CrawlServer
from growing_crawl import WEEKS, write_weeks
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from storage.runs import list_runs
from storage.store import Store


class Place:
    """A server of crawls, a store, and the command on both."""

    def __init__(self, folder: Path, server: CrawlServer, prefect_server: str, store: Path) -> None:
        write_weeks(folder / "all")
        self.folder, self.server, self.prefect_server = folder, server, prefect_server
        self.store = Store(str(store))

    def publish(self, week: str) -> None:
        target = self.folder / "served" / "crawl-data" / week
        shutil.copytree(self.folder / "all" / "crawl-data" / week, target)

    def __call__(self, verb: str, *arguments: str, recipe: str = "commoncrawl") -> Result:
        settings = {
            "source.base_url": self.server.url,
            "source.index_server": self.server.url,
            "fetch.requests_per_second": 100,
            "fetch.pace_folder": self.folder / "pace",
            "goal": "corpus",
        }
        words = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
        manner = ("--store", self.store.url, "--runner", "threads", "--workers", "1")
        with temporary_settings({PREFECT_API_URL: self.prefect_server}):
            return CliRunner().invoke(main, [verb, recipe, *words, *manner, *arguments], catch_exceptions=False)

    def latest(self, *arguments: str) -> Result:
        return self("run", "--set", "source.crawl=latest", *arguments)

    def corpora(self) -> list[tuple[str, set[str]]]:
        """Crawl and pages of each completed run, in order."""
        found = []
        for run in list_runs(self.store):
            if run.status == "completed":
                corpus = pl.read_parquet(f"{self.store.full_path(run.paths['corpus'])}/*/*.parquet")
                pages = {url.split("/")[-1].removesuffix(".html") for url in corpus["url"]}
                found.append((run.recipe["source"]["crawl"], pages))
        return found


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, prefect_server: str, shared_gristmill: Command) -> Iterator[Place]:
    assert shared_gristmill("ui", "start").code == 0  # the server of report pages outlives the process that starts it
    folder = tmp_path_factory.mktemp("crawls")
    with CrawlServer(folder / "served") as server:
        yield Place(folder, server, prefect_server, shared_gristmill.store)


@pytest.fixture(scope="module")
def two_weeks(place: Place) -> Place:
    """Each of two crawls built as the latest when it was."""
    for week in WEEKS:
        place.publish(week)
        done = place.latest()
        assert done.exit_code == 0, done.output
    return place


def test_the_latest_crawl_adds_what_is_new(two_weeks) -> None:
    assert two_weeks.corpora() == [(WEEKS[0], {"a", "b", "c", "d"}), (WEEKS[1], {"e", "f-longer", "g"})]


def test_the_recipe_that_is_stored_names_its_crawl_and_index_and_runs_as_it_is(two_weeks, tmp_path) -> None:
    last = list_runs(two_weeks.store)[-1]
    assert last.recipe["source"]["crawl"] == WEEKS[1]
    assert last.recipe["dedup_index"].startswith("commoncrawl-")
    stored = tmp_path / "stored.yaml"
    stored.write_text(json.dumps(last.recipe))
    again = two_weeks("run", recipe=str(stored))
    assert again.exit_code == 0, again.output
    repeated = list_runs(two_weeks.store)[-1]
    assert repeated.run_id != last.run_id
    assert repeated.corpus_digest == last.corpus_digest
    assert repeated.earlier == last.earlier


def test_what_is_built_is_not_built_again_unless_asked(two_weeks) -> None:
    before = len(list_runs(two_weeks.store))
    done = two_weeks.latest()
    assert done.exit_code == 0
    assert f"nothing new: {WEEKS[1]} was built by run commoncrawl-" in done.stdout
    as_json = json.loads(two_weeks.latest("--json").stdout)
    assert (as_json["is_new"], as_json["status"]) == (False, "completed")
    assert len(list_runs(two_weeks.store)) == before
    again = two_weeks.latest("--again")
    assert again.exit_code == 0, again.output
    assert len(list_runs(two_weeks.store)) == before + 1
    assert all(stage.reused for stage in list_runs(two_weeks.store)[-1].stages)


def test_a_backfill_says_what_it_would_do_builds_what_is_missing_and_then_has_nothing_to_do(two_weeks) -> None:
    own = ("--set", "dedup_index=backfilled")
    would = two_weeks("backfill", "--from", WEEKS[0], "--dry-run", "--json", *own)
    assert would.exit_code == 0, would.output
    assert f"{WEEKS[0]}  to be built" in would.stderr
    assert "2 of 2 crawls to be built, oldest first, deduplicated by the index backfilled" in would.stderr
    assert json.loads(would.stdout)["outcomes"] == []

    only_first = two_weeks("backfill", "--from", WEEKS[0], "--to", WEEKS[0], *own)
    assert only_first.exit_code == 0, only_first.output
    done = two_weeks("backfill", "--from", WEEKS[0], "--json", *own)
    assert done.exit_code == 0, done.output
    assert [each["fate"] for each in json.loads(done.stdout)["outcomes"]] == ["was built", "built"]
    assert two_weeks.corpora()[-2:] == [(WEEKS[0], {"a", "b", "c", "d"}), (WEEKS[1], {"e", "f-longer", "g"})]
    finished = two_weeks("backfill", "--from", WEEKS[0], *own)
    assert finished.exit_code == 0
    assert "0 of 2 crawls to be built" in finished.stderr


def test_a_crawl_that_fails_stops_a_backfill_or_is_passed_over(two_weeks) -> None:
    broken = two_weeks.folder / "served" / "crawl-data" / "TINY-2025-52"
    broken.mkdir()
    try:
        own = ("--from", broken.name, "--json", "--set", "dedup_index=with-a-gap")
        stopped = two_weeks("backfill", *own)
        assert stopped.exit_code == 1
        outcomes = json.loads(stopped.stdout)["outcomes"]
        assert [each["fate"] for each in outcomes] == ["failed", "not tried", "not tried"]
        assert "TINY-2025-52/warc.paths.gz" in outcomes[0]["error"]
        passed = two_weeks("backfill", "--keep-going", *own)
        assert passed.exit_code == 1
        assert [each["fate"] for each in json.loads(passed.stdout)["outcomes"]] == ["failed", "built", "built"]
    finally:
        broken.rmdir()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--from", WEEKS[1], "--to", WEEKS[0]), f"{WEEKS[0]} is older than {WEEKS[1]}: name the older one first"),
        (("--from", "TINY-2026-1"), f"did you mean {WEEKS[0]} or {WEEKS[1]}"),
        (("--from", WEEKS[0], "--set", "source.index_server=http://127.0.0.1:9"), "127.0.0.1:9"),
    ],
)
def test_a_range_that_is_none_is_refused_before_any_work(two_weeks, arguments, message) -> None:
    done = two_weeks("backfill", *arguments)
    assert done.exit_code == 2
    assert message in done.stderr


def test_only_crawls_are_backfilled(two_weeks) -> None:
    done = two_weeks("backfill", "--from", WEEKS[0], recipe="demo")
    assert done.exit_code == 2
    assert "set kind to commoncrawl" in done.stderr
