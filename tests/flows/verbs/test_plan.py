"""A plan from a sample, the run that was planned, and how good the plan was."""

import json
from pathlib import Path

import pytest
from command import Command
from tiny_crawl import NUM_FILES

from storage.runs import list_runs
from storage.store import Store

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def words(tiny_crawl: Path) -> tuple[str, ...]:
    return ("minicrawl", "--set", f"source.paths={tiny_crawl}", "--set", "goal=corpus")


@pytest.fixture(scope="module")
def first(shared_gristmill: Command, words: tuple[str, ...]) -> dict:
    done = shared_gristmill("plan", *words, "--sample-files", "3", "--json", "--runner", "threads")
    assert done.code == 0, done.err
    return done.json()


@pytest.fixture(scope="module")
def second(shared_gristmill: Command, words: tuple[str, ...], first: dict) -> dict:
    """After the run that was planned."""
    done = shared_gristmill("run", *words, "--runner", "threads", "--workers", "1")
    assert done.code == 0, done.err
    return shared_gristmill("plan", *words, "--json").json()


def test_a_plan_is_measured_on_a_sample_and_scaled_to_all_files(first) -> None:
    assert first["basis"]["kind"] == "a sample"
    assert (first["basis"]["measured"], first["basis"]["of"]) == (3, NUM_FILES)
    stages = {stage["name"]: stage for stage in first["stages"]}
    assert stages["fetch"]["documents_out"] == NUM_FILES
    assert [name for name, stage in stages.items() if stage["one_process"]] == ["dedup"]
    assert first["expected"]["cpu_seconds"]["expected"] > 0
    assert 0 < first["expected"]["memory"]["worker_bytes"] < first["expected"]["memory"]["machine_bytes"]
    walls = [each["expected"] for each in first["expected"]["wall_seconds"].values()]
    assert walls == sorted(walls, reverse=True)
    assert any("more copies" in note for note in first["notes"])
    assert first["earlier"] == []


def test_the_next_plan_is_of_the_run_itself_and_shows_how_good_the_first_one_was(first, second) -> None:
    assert second["basis"]["kind"] == "this recipe"
    (compared,) = second["earlier"]
    assert compared["plan_id"] == first["plan_id"]
    assert compared["run_id"] == second["basis"]["run_id"]
    documents, size = (compared["quantities"][name] for name in ("documents", "bytes"))
    assert documents["actual"] == second["expected"]["documents"]["expected"]
    assert 0.95 < documents["ratio"] < 1.05  # of four files that are alike, three tell the fourth
    assert 0.8 < size["ratio"] < 1.25
    assert compared["quantities"]["cpu_seconds"]["actual"] > 0


def test_a_plan_of_what_ran_already_runs_nothing(shared_gristmill, second, words) -> None:
    before = len(list_runs(Store(str(shared_gristmill.store))))
    told = shared_gristmill("plan", *words)
    assert told.code == 0, told.err
    assert len(list_runs(Store(str(shared_gristmill.store)))) == before
    assert "measured on this recipe, run minicrawl-" in told.out
    assert f"expected {second['earlier'][0]['quantities']['documents']['expected']:>18,.1f}" in told.out


def test_a_sample_enters_no_index_and_another_choice_of_files_needs_no_new_one(shared_gristmill, first, words) -> None:
    """The sample's three files are enough to plan for fewer rules of the same kind, with an index or without."""
    done = shared_gristmill(
        "plan", *words, "--set", "dedup_index=weekly", "--set", "source.files=2", "--sample-files", "2", "--json"
    )
    assert done.code == 0, done.err
    assert done.json()["basis"]["kind"] == "an earlier run"
    assert any("index weekly" in note for note in done.json()["notes"])
    assert shared_gristmill("indexes", "--json").json() == {"indexes": []}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("demo",), "no sample can be taken of it. Run the recipe"),
        (("minicrawl", "--set", "source.paths=/nowhere/a.warc.gz"), "/nowhere/a.warc.gz"),
        (("minicrawl", "--workers", "1,x"), "--workers '1,x': expected numbers of workers"),
    ],
)
def test_what_cannot_be_planned_is_refused_with_a_reason(gristmill: Command, arguments, message) -> None:
    done = gristmill("plan", *arguments)
    assert done.code == 2
    assert message in done.err
    assert json.dumps(done.out) == '""'
