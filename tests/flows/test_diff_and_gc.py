"""Two runs that differ in one threshold: what `diff` says of them, and what `gc` takes when one of them goes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from click.testing import CliRunner, Result
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from flows.end_to_end import end_to_end, thread_runner
from flows.recipe import load_recipe
from flows.session import RunSettings
from storage.removal_mark import removal_mark
from storage.runs import Run, load_run
from storage.store import Store

MIN_WORDS = 165  # drops some of the tiny crawl's pages, and keeps others

pytestmark = pytest.mark.timeout(900)


@pytest.fixture(scope="module")
def run(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Callable[..., Run]:
    """Make a corpus of two files, in this process, on a store that the tests share."""
    store = Store(str(tmp_path_factory.mktemp("two-runs") / "store"))

    def run(*overrides: str) -> Run:
        settings = ("goal=corpus", f"source.paths={tiny_crawl}", "source.files=2", *overrides)
        with temporary_settings({PREFECT_API_URL: prefect_server}):
            flow = end_to_end.with_options(task_runner=thread_runner(2))
            run_id = flow(
                load_recipe("minicrawl", settings), RunSettings(store_url=store.url, runner="threads", workers=2)
            )
        return load_run(store, run_id)

    run.store = store
    return run


@pytest.fixture(scope="module")
def runs(run) -> tuple[Run, Run]:
    return run(), run(f"filters.gopher_quality.min_words={MIN_WORDS}")


def gristmill(run, *arguments: str) -> Result:
    return CliRunner().invoke(main, [*arguments, "--store", run.store.url])


def corpus(run, made: Run) -> dict[str, str]:
    rows = pl.read_parquet(f"{run.store.full_path(made.paths['corpus'])}/*/*.parquet")
    return dict(zip(rows["doc_id"], rows["url"], strict=True))


def test_diff_names_the_changed_key_the_counts_and_the_documents_with_the_rule_that_dropped_them(run, runs) -> None:
    before, after = (corpus(run, made) for made in runs)
    done = gristmill(run, "diff", runs[0].run_id, runs[1].run_id, "--examples", "1000", "--json")
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.stdout)
    assert found["differs"]
    assert found["recipe"] == [{"name": "filters.gopher_quality.min_words", "a": 50, "b": MIN_WORDS}]
    assert found["code"] == found["libraries"] == found["notes"] == []
    assert found["inputs"]["num_gained"] == found["inputs"]["num_lost"] == found["inputs"]["num_changed"] == 0
    stages = {stage["name"]: stage for stage in found["stages"]}
    assert {name for name, stage in stages.items() if stage["same_output"]} == {"fetch", "extract", "signals"}
    (reason,) = [each for each in stages["judge"]["dropped"] if each["name"] == "gopher_quality.too_few_words"]
    assert reason["a"] == 0
    assert reason["b"] == runs[1].stage("judge").account.dropped["gopher_quality.too_few_words"]

    documents = found["documents"]
    lost = before.keys() - after.keys()
    assert lost
    assert (documents["a"], documents["b"]) == (len(before), len(after))
    assert {each["doc_id"] for each in documents["lost"]} == lost
    assert {each["doc_id"] for each in documents["gained"]} == after.keys() - before.keys()
    assert documents["num_changed"] == 0
    for each in documents["lost"]:
        assert each["url"] == before[each["doc_id"]]
        assert each["fate"]["stage"] == "judge"
        assert each["fate"]["rule"] == "gopher_quality.too_few_words"
        assert each["fate"]["value"] < each["fate"]["threshold"] == MIN_WORDS


def test_diff_tells_people_the_same_in_either_direction(run, runs) -> None:
    there = gristmill(run, "diff", runs[0].run_id, runs[1].run_id, "--examples", "1").stdout
    assert f"filters.gopher_quality.min_words: 50 -> {MIN_WORDS}" in there
    assert "B: dropped at judge: gopher_quality.too_few_words, " in there
    assert f"the line is at {MIN_WORDS}" in there
    back = gristmill(run, "diff", runs[1].run_id, runs[0].run_id, "--examples", "1").stdout
    assert "A: dropped at judge: gopher_quality.too_few_words, " in back
    assert gristmill(run, "diff", runs[0].run_id, "nothing").exit_code == 2


def test_diff_is_clear_where_nothing_differs(run, runs) -> None:
    again = run()
    done = gristmill(run, "diff", runs[0].run_id, again.run_id)
    assert done.exit_code == 0
    assert "nothing differs: recipe, code" in done.stdout
    assert not json.loads(gristmill(run, "diff", runs[0].run_id, again.run_id, "--json").stdout)["differs"]


def test_a_run_that_goes_takes_its_own_outputs_and_a_repeated_one_gives_the_same_corpus(run, runs) -> None:
    store, (first, second) = run.store, runs
    own = {each.address.folder for each in second.stages} - {each.address.folder for each in first.stages}
    listed = gristmill(run, "gc", "--remove-run", second.run_id, "--dry-run", "--yes", "--json")
    assert listed.exit_code == 0, listed.output
    answer = json.loads(listed.stdout)
    assert not answer["removed"]
    assert {each["path"] for each in answer["garbage"]} == {f"runs/{second.run_id}", *own}
    assert answer["bytes"] > 10_000
    assert "nothing was removed: say --yes" in gristmill(run, "gc", "--remove-run", second.run_id).stdout
    assert all(store.exists(f"{folder}/manifest.json") for folder in own)

    done = gristmill(run, "gc", "--remove-run", second.run_id, "--yes")
    assert done.exit_code == 0, done.output
    assert not any(store.exists(folder) for folder in own)
    assert gristmill(run, "verify", first.run_id, "--sample", "0", "--runner", "threads").exit_code == 0
    assert "nothing to remove" in gristmill(run, "gc", "--yes").stdout

    again = run(f"filters.gopher_quality.min_words={MIN_WORDS}")
    assert again.corpus_digest == second.corpus_digest
    assert {stage.name for stage in again.stages if stage.reused} == {"fetch", "extract", "signals"}


def test_a_run_that_begins_while_outputs_are_removed_waits_for_the_end(run, runs, monkeypatch) -> None:
    """The removal ends as soon as the run says that it waits: without that, the run would go on at once."""
    said: list[str] = []
    with removal_mark(run.store) as mark:

        def end_it(_: object, message: str) -> None:
            said.append(message)
            if message.startswith("waiting for"):
                mark.store.remove("gc.json")

        monkeypatch.setattr("flows.progress.RunProgress.say", end_it)
        run()
    begun = [message.split()[0] for message in said if message.startswith(("waiting for `gristmill gc`", "fetch"))]
    assert begun == ["waiting", "fetch"]
