"""A whole corpus from a server that fails: the same bytes as on a calm day, or a loss that the next run makes good."""

from pathlib import Path

import pytest
from command import Command
from crawl_server import CrawlServer, storm
from tiny_crawl import CRAWL, NUM_FILES

CORPUS = ("--set", "goal=corpus", "--workers", "2", "--runner", "processes")
RATE = 100
pytestmark = pytest.mark.timeout(1200)  # five whole runs, on machines that are busy


@pytest.fixture
def served(tiny_crawl: Path) -> Path:
    """The folder above `crawl-data/` and the path of the list below it."""
    return next(folder for folder in tiny_crawl.parents if (folder / "crawl-data").is_dir())


def run(gristmill: Command, source: dict[str, object], tmp_path: Path, *more: str) -> dict:
    quick = {
        **source,
        "fetch.requests_per_second": RATE,
        "fetch.timeout_seconds": 1,
        "fetch.backoff_seconds": 0.01,
        "fetch.pace_folder": tmp_path / "pace",
    }
    settings = [word for name, value in quick.items() for word in ("--set", f"{name}={value}")]
    done = gristmill("run", "commoncrawl", *settings, *more, *CORPUS)
    assert done.code == 0, done.err
    return gristmill("show", "--json").json()


def stage_of(shown: dict, name: str) -> dict:
    return next(stage for stage in shown["stages"] if stage["name"] == name)


def crawl_at(base_url: object) -> dict[str, object]:
    return {"source.crawl": CRAWL, "source.base_url": base_url}


@pytest.fixture(scope="module")
def calm(tiny_crawl: Path, shared_gristmill: Command, tmp_path_factory: pytest.TempPathFactory) -> dict:
    folder = next(folder for folder in tiny_crawl.parents if (folder / "crawl-data").is_dir())
    return run(shared_gristmill, crawl_at(folder), tmp_path_factory.mktemp("calm"))


@pytest.mark.parametrize("mode", ["stream", pytest.param("keep", marks=pytest.mark.slow)])
def test_a_storm_changes_no_byte_of_the_corpus_and_the_rate_is_kept(gristmill, served, calm, tmp_path, mode):
    with CrawlServer(served, faults=storm(0.3), seed=11, stall_seconds=1.5) as server:
        shown = run(gristmill, {**crawl_at(server.url), "fetch.mode": mode}, tmp_path)
        asked = server.requests
    assert shown["corpus_digest"] == calm["corpus_digest"]
    assert stage_of(shown, "fetch")["dropped"] == {}
    assert len(asked) > NUM_FILES
    assert len(asked) <= 1 + RATE * (asked[-1].at - asked[0].at + 0.25)


@pytest.mark.slow
def test_a_lost_file_is_counted_and_the_next_run_makes_it_good(gristmill, served, calm, tmp_path):
    with CrawlServer(
        served, is_faulty=lambda method, path: method == "GET" and path.endswith("00001.warc.gz")
    ) as server:
        kept = {**crawl_at(server.url), "fetch.mode": "keep"}
        server.faults = {"503": 1.0}
        lossy = run(gristmill, kept, tmp_path, "--set", "fetch.max_attempts=2")
        again = run(gristmill, kept, tmp_path, "--set", "fetch.max_attempts=2")
        server.faults = {}
        whole = run(gristmill, kept, tmp_path, "--set", "fetch.max_attempts=3")
    assert stage_of(lossy, "fetch")["dropped"] == {"fetch_http_503": 1}
    assert stage_of(lossy, "fetch")["documents_out"] == NUM_FILES - 1
    assert lossy["corpus_digest"] != calm["corpus_digest"]
    # the same loss is the same input: nothing after it is done again
    assert again["corpus_digest"] == lossy["corpus_digest"]
    assert stage_of(again, "extract")["reused"]
    # how hard it is tried makes no other stage; what is no more lost makes the stages after it anew
    assert stage_of(whole, "fetch")["key"] == stage_of(lossy, "fetch")["key"]
    assert stage_of(whole, "fetch")["dropped"] == {}
    assert whole["corpus_digest"] == calm["corpus_digest"]
