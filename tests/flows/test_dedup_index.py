"""Weekly runs: each is deduplicated against those before it, and gives the same when it is repeated."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import polars as pl
import pytest
from click.testing import CliRunner
from growing_crawl import WEEKS, write_weeks
from prefect.settings import PREFECT_API_URL, temporary_settings

from flows.cli import main
from flows.dedup_index import IndexMismatch
from flows.end_to_end import end_to_end, thread_runner
from flows.recipe import load_recipe
from flows.session import RunSettings
from pipeline_lib.dedup.earlier_runs import EarlierRunLost
from storage.runs import Run, load_run
from storage.store import Store

Runs = Callable[..., Run]


@pytest.fixture(scope="module")
def weeks(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return write_weeks(tmp_path_factory.mktemp("weeks"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Runs:
    """Run a recipe up to its corpus, in this process, on a store that the tests share."""
    store = Store(str(tmp_path_factory.mktemp("indexed") / "store"))

    def run(sources: Sequence[Path], index: str, *overrides: str) -> Run:
        paths = ", ".join(map(str, sources))
        settings = ("goal=corpus", f"source.paths=[{paths}]", f"dedup_index={index}", *overrides)
        with temporary_settings({PREFECT_API_URL: prefect_server}):
            flow = end_to_end.with_options(task_runner=thread_runner(1))
            run_id = flow(
                load_recipe("minicrawl", settings), RunSettings(store_url=store.url, runner="threads", workers=1)
            )
        return load_run(store, run_id)

    run.store = store
    return run


def gristmill(run: Runs, *arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--store", run.store.url], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def corpus(run: Runs, made: Run) -> pl.DataFrame:
    return pl.read_parquet(f"{run.store.full_path(made.paths['corpus'])}/*/*.parquet").select("doc_id", "url", "text")


def pages(run: Runs, made: Run) -> set[str]:
    return {url.split("/")[-1].removesuffix(".html") for url in corpus(run, made)["url"]}


@pytest.fixture(scope="module")
def weekly(run: Runs, weeks: list[Path]) -> list[Run]:
    return [run([each], "weekly") for each in weeks]


def test_a_weekly_run_writes_its_increment_and_names_the_earlier_document_and_run(run, weekly) -> None:
    first, second = weekly
    assert pages(run, first) == {"a", "b", "c", "d"}
    assert pages(run, second) == {"e", "f-longer", "g"}
    shown = json.loads(gristmill(run, "show", second.run_id, "--json"))
    assert [each["run_id"] for each in shown["earlier"]] == [first.run_id]
    assert f"deduplicated against run {first.run_id}" in gristmill(run, "show", second.run_id)
    dedup = second.stage("dedup")
    assert dedup.account.dropped == {"exact_duplicate": 1, "near_duplicate": 2}

    url = f"https://{WEEKS[1].lower()}.invalid/b-longer.html"
    (capture,) = json.loads(gristmill(run, "why", url, "--run", second.run_id, "--json"))["captures"]
    assert capture["duplicate"]["rule"] == "near_duplicate"
    assert capture["duplicate"]["kept_run_id"] == first.run_id
    assert capture["duplicate"]["kept_url"] == f"https://{WEEKS[0].lower()}.invalid/b.html"
    told = gristmill(run, "why", url, "--run", second.run_id)
    assert f"near_duplicate of https://{WEEKS[0].lower()}.invalid/b.html" in told
    assert f"of the earlier run {first.run_id}" in told
    report = run.store.read_bytes(second.paths["report"]).decode()
    assert "Removed in favour of what earlier runs kept" in report
    assert first.run_id in report


def test_an_index_lists_its_runs_in_order(run, weekly) -> None:
    listed = json.loads(gristmill(run, "indexes", "weekly", "--json"))
    assert [each["run_id"] for each in listed["entries"]] == [each.run_id for each in weekly]
    names = [each["entry"] for each in listed["entries"]]
    assert [name[: len(week)] for name, week in zip(names, WEEKS, strict=True)] == list(WEEKS)
    assert [each["against"] for each in listed["entries"]] == [[], names[:1]]
    assert [each["documents"] for each in listed["entries"]] == [4, 3]
    for entry in listed["entries"]:  # all that the entry depends on is named, so that nothing of it is thrown away
        assert {"fetch", "extract", "signals", "judge", "signatures", "dedup", "privacy", "corpus", "index"} == set(
            entry["stages"]
        )
        assert all(run.store.exists(f"stages/{stage}/{key}/manifest.json") for stage, key in entry["stages"].items())
    assert "weekly" in gristmill(run, "indexes")
    assert all(each.run_id in gristmill(run, "indexes", "weekly") for each in weekly)


def test_a_run_that_is_repeated_is_not_deduplicated_against_itself_nor_against_later_ones(run, weeks, weekly) -> None:
    before = gristmill(run, "indexes", "weekly", "--json")
    for made, sources in zip(weekly, weeks, strict=True):
        again = run([sources], "weekly")
        assert again.corpus_digest == made.corpus_digest
        assert all(stage.reused for stage in again.stages)
        assert again.earlier == made.earlier
    assert gristmill(run, "indexes", "weekly", "--json") == before


def test_the_other_order_keeps_the_same_but_for_who_of_similar_pages_came_first(run, weeks, weekly) -> None:
    """Equal texts are kept once whatever the order; of similar ones, one, but which of them goes with the order."""
    reverse = [run([each], "reverse") for each in reversed(weeks)]
    unions = [pl.concat([corpus(run, each) for each in made]) for made in (weekly, reverse)]
    alike = {"b": "b", "b-longer": "b", "f": "f", "f-longer": "f", "a-again": "a", "d-copy": "d"}
    for union in unions:
        assert union["doc_id"].is_unique().all()
        assert union["text"].is_unique().all()
        found = [url.split("/")[-1].removesuffix(".html") for url in union["url"]]
        assert sorted(alike.get(name, name) for name in found) == list("abcdefg")
    assert pages(run, reverse[0]) == {"e", "f-longer", "g", "a-again", "b-longer"}
    assert pages(run, reverse[1]) == {"c", "d"}


@pytest.mark.slow
def test_two_real_crawls_in_either_order_keep_the_same_texts_and_a_witness_of_every_page(run, shared_data) -> None:
    crawls = [shared_data / f"minicc/crawl-data/CC-MAIN-{year}-00/warc.paths.gz" for year in (2025, 2026)]

    def in_all_orders(name: str, *settings: str) -> list[list[Run]]:
        return [
            [run([each], f"{name}-forth", *settings) for each in crawls],
            [run([each], f"{name}-back", *settings) for each in reversed(crawls)],
            [run(crawls, f"{name}-once", *settings)],
        ]

    def kept(made: Run) -> pl.DataFrame:
        return pl.read_parquet(f"{run.store.full_path(made.stage('index').address.folder)}/kept/*.parquet")

    def duplicates(made: Run) -> pl.DataFrame:
        return pl.read_parquet(f"{run.store.full_path(made.stage('dedup').address.folder)}/duplicates/*.parquet")

    exact = [
        pl.concat([kept(made) for made in series])
        for series in in_all_orders("exact", "dedup.near=false", "dedup.url=false")
    ]
    texts = [sorted(union["text_hash"].to_list()) for union in exact]
    assert texts[0] == texts[1] == texts[2]
    assert len(set(texts[0])) == len(texts[0]) > 1000

    for series in in_all_orders("all-rules"):
        corpora: dict[str | None, set[str]] = {}
        for made, later in zip(series, [*series[1:], None], strict=True):
            corpora[None] = set(kept(made)["doc_id"])
            removed = duplicates(made)
            # of what is removed, every witness is in the corpus of the run that the row names
            assert {kept_run for (kept_run,), _ in removed.group_by("kept_run")} == set(corpora)
            for (kept_run,), rows in removed.group_by("kept_run"):
                assert set(rows["kept_id"]) <= corpora[kept_run]
            near = removed.filter(pl.col("rule") == "near_duplicate")
            assert near.height
            assert (near["similarity"] >= near["threshold"]).all()
            # and nothing else is missing
            assert made.stage("signatures").account.documents_in == removed.height + len(corpora[None])
            if later is not None:
                (entry,) = later.earlier
                assert entry.run_id == made.run_id
                corpora[entry.entry] = corpora[None]
        assert pl.concat([kept(made) for made in series])["text_hash"].is_unique().all()


def test_what_does_not_go_together_is_refused_before_any_work(run, weeks, weekly) -> None:
    other_rules = ("filters.gopher_quality.min_words=51",)
    with pytest.raises(IndexMismatch, match=rf"{weekly[0].run_id} has read these sources, and what it kept by other"):
        run([weeks[0]], "weekly", *other_rules)
    with pytest.raises(IndexMismatch, match=r"(?s)ngram=5.*ngram=6.*Give dedup the values of that run"):
        run([weeks[0]], "weekly", "source.files=1", "dedup.ngram=6")
    manifest = Path(run.store.full_path(weekly[0].stage("signatures").address.folder)) / "manifest.json"
    manifest.rename(manifest.with_name("lost"))
    with pytest.raises(EarlierRunLost, match=rf"what run {weekly[0].run_id} kept .* Run the recipe of that run again"):
        run([weeks[1]], "weekly")
    manifest.with_name("lost").rename(manifest)
