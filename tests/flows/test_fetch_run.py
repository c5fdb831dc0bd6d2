"""A whole corpus from a server that fails: the same bytes as on a calm day, or a loss that the next run makes good."""

from pathlib import Path

import pytest
from command import Command
from crawl_server import CrawlServer, storm
from tiny_crawl import NUM_FILES

CORPUS = ("--set", "goal=corpus", "--workers", "2", "--runner", "processes")
RATE = 100
pytestmark = pytest.mark.timeout(1200)  # five whole runs, on machines that are busy


def of_files(method: str, path: str) -> bool:
    return method == "GET" and path.endswith(".warc.gz")


@pytest.fixture
def served(tiny_crawl: Path) -> Path:
    """The folder above `crawl-data/` and the path of the list below it."""
    return next(folder for folder in tiny_crawl.parents if (folder / "crawl-data").is_dir())


def run(gristmill: Command, paths: str, tmp_path: Path, *more: str) -> dict:
    quick = {
        "fetch.mode": "keep",
        "fetch.requests_per_second": RATE,
        "fetch.timeout_seconds": 1,
        "fetch.backoff_seconds": 0.01,
        "fetch.pace_folder": tmp_path / "pace",
    }
    settings = [word for name, value in quick.items() for word in ("--set", f"{name}={value}")]
    done = gristmill("run", "minicrawl", "--set", f"source.paths={paths}", *settings, *more, *CORPUS, timeout=600)
    assert done.code == 0, done.err
    return gristmill("show", "--json").json()


def stage_of(shown: dict, name: str) -> dict:
    return next(stage for stage in shown["stages"] if stage["name"] == name)


@pytest.fixture(scope="module")
def calm(tiny_crawl: Path, shared_gristmill: Command, tmp_path_factory: pytest.TempPathFactory) -> dict:
    return run(shared_gristmill, str(tiny_crawl), tmp_path_factory.mktemp("calm"))


def test_a_storm_changes_no_byte_of_the_corpus_and_the_rate_is_kept(gristmill, served, tiny_crawl, calm, tmp_path):
    with CrawlServer(served, faults=storm(0.3), seed=11, is_faulty=of_files, stall_seconds=1.5) as server:
        shown = run(gristmill, f"{server.url}/{tiny_crawl.relative_to(served)}", tmp_path)
        asked = [request for request in server.requests if of_files(request.method, request.path)]
    assert shown["corpus_digest"] == calm["corpus_digest"]
    assert stage_of(shown, "fetch")["dropped"] == {}
    assert len(asked) >= NUM_FILES
    assert len(asked) <= 1 + RATE * (asked[-1].at - asked[0].at + 0.25)


@pytest.mark.slow
def test_a_lost_file_is_counted_and_the_next_run_makes_it_good(gristmill, served, tiny_crawl, calm, tmp_path):
    with CrawlServer(
        served, is_faulty=lambda method, path: method == "GET" and path.endswith("00001.warc.gz")
    ) as server:
        paths = f"{server.url}/{tiny_crawl.relative_to(served)}"
        server.faults = {"503": 1.0}
        lossy = run(gristmill, paths, tmp_path, "--set", "fetch.max_attempts=2")
        again = run(gristmill, paths, tmp_path, "--set", "fetch.max_attempts=2")
        server.faults = {}
        whole = run(gristmill, paths, tmp_path, "--set", "fetch.max_attempts=3")
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
