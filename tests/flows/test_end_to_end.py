"""The whole mill on a tiny crawl: the same bytes whoever works, every document accounted for."""

import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import httpx
import polars as pl
import pytest
from command import Command, command_in
from tiny_crawl import CRAWL, NUM_FILES, PAGES_PER_FILE
from tiny_runs import MODEL, TOKENS, arguments, shard_digests, undisturbed

__all__ = ["undisturbed"]

pytestmark = pytest.mark.timeout(1200)  # up to six runs in a test, on machines that are busy


@pytest.fixture(scope="module")
def trained(tiny_crawl: Path, tmp_path_factory: pytest.TempPathFactory, prefect_server: str) -> Iterator[Command]:
    """The command on a store in which two worker processes went all the way to a model."""
    for gristmill in command_in(tmp_path_factory.mktemp("trained")):
        done = gristmill(*arguments(tiny_crawl, *MODEL, "--workers", "2", "--runner", "processes"))
        assert done.code == 0, done.err
        yield gristmill


def test_every_stage_accounts_for_every_document(undisturbed) -> None:
    stages = {stage["name"]: stage for stage in undisturbed["shown"]["stages"]}
    for stage in stages.values():
        assert stage["documents_in"] == stage["documents_out"] + sum(stage["dropped"].values()), stage
    chain = ["extract", "signals", "judge", "signatures", "dedup", "privacy", "corpus", "encode", "tokens"]
    for earlier, later in itertools.pairwise(chain):
        assert stages[earlier]["documents_out"] == stages[later]["documents_in"], (earlier, later)
    # a warcinfo a file; request, response and metadata for each of the pages and the missing one
    assert stages["extract"]["documents_in"] == NUM_FILES * (1 + 3 * (PAGES_PER_FILE + 1))
    assert stages["extract"]["dropped"]["status_404"] == NUM_FILES
    assert stages["dedup"]["dropped"] == {"exact_duplicate": NUM_FILES - 1, "near_duplicate": NUM_FILES - 1}


def test_the_corpus_opens_in_polars_and_duckdb_and_holds_no_address(undisturbed) -> None:
    corpus = undisturbed["shown"]["paths"]["corpus"]
    train = pl.read_parquet(f"{corpus}/train/*.parquet")
    validation = pl.read_parquet(f"{corpus}/validation/*.parquet")
    assert train.height + validation.height == undisturbed["shown"]["stages"][-3]["documents_in"]
    texts = "\n".join([*train["text"], *validation["text"]])
    assert "miller@mill-house.org" not in texts
    assert "93.184.216.34" not in texts
    assert duckdb.sql(f"select count(*) from '{corpus}/*/*.parquet'").fetchall() == [
        (train.height + validation.height,)
    ]
    assert not set(train["cluster_id"]) & set(validation["cluster_id"])


def test_worker_processes_change_no_byte(undisturbed, trained) -> None:
    first = trained("runs", "--json").json()["runs"][0]
    assert first["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
    assert shard_digests(trained.store) == undisturbed["shards"]


def test_threads_change_no_byte(gristmill, tiny_crawl, undisturbed) -> None:
    done = gristmill(*arguments(tiny_crawl, *TOKENS, "--workers", "2", "--runner", "threads"))
    assert done.code == 0, done.err
    assert gristmill("show", "--json").json()["corpus_digest"] == undisturbed["shown"]["corpus_digest"]
    assert shard_digests(gristmill.store) == undisturbed["shards"]


def test_a_changed_threshold_redecides_and_recomputes_nothing_upstream(gristmill, tiny_crawl, undisturbed) -> None:
    shutil.copytree(undisturbed["gristmill"].store, gristmill.store)
    changed = ("--set", "filters.gopher_quality.min_words=51", "--workers", "1", "--runner", "threads")
    assert gristmill(*arguments(tiny_crawl, *TOKENS, *changed)).code == 0
    reused = {stage["name"]: stage["reused"] for stage in gristmill("show", "--json").json()["stages"]}
    assert reused["extract"]
    assert reused["signals"]
    assert not reused["judge"]


def test_why_tells_the_fate_of_every_kind_of_page(undisturbed) -> None:
    gristmill = undisturbed["gristmill"]

    def fate(url: str) -> dict[str, Any]:
        (capture,) = gristmill("why", url, "--json").json()["captures"]
        return capture

    kept = fate("site0.invalid/0.html")
    assert kept["split"] in ("train", "validation")
    assert kept["signals"]["num_chars"] > 500
    assert fate("https://site0.invalid/gone-0")["reason"] == "status_404"
    assert fate("https://site2.invalid/5.html")["decision"]["rule"] == "language.low_score"
    assert {edit["rule"] for edit in fate("https://site0.invalid/6.html")["edits"]}
    copies = [fate(f"https://site0.invalid/{place}.html") for place in (3, 33, 63, 93)]
    removed = [copy for copy in copies if copy["duplicate"]]
    assert len(removed) == 3
    assert {copy["duplicate"]["rule"] for copy in removed} == {"exact_duplicate"}
    (kept_id,) = {copy["duplicate"]["kept_id"] for copy in removed}
    assert kept_id in {copy["doc_id"] for copy in copies}
    missing = gristmill("why", "https://nowhere.invalid/")
    assert missing.code == 1
    assert "was not found" in missing.out


def test_a_model_is_trained_scored_exported_and_answers(trained, tiny_crawl, prefect_server) -> None:
    gristmill = trained
    (first,) = gristmill("runs", "--json").json()["runs"]
    shown = gristmill("show", first["run_id"], "--json").json()
    assert {stage["name"] for stage in shown["stages"]} >= {"train", "evaluate", "export", "report"}
    assert {"val_bits_per_byte", "gzip_bits_per_byte", "xz_bits_per_byte"} <= set(shown["metrics"])
    assert Path(shown["paths"]["checkpoint"]).is_file()
    assert CRAWL in Path(shown["paths"]["report"]).read_text(encoding="utf-8")
    assert shown["corpus_digest"] in (Path(shown["paths"]["export"]) / "README.md").read_text(encoding="utf-8")
    first, again = (gristmill("generate", "latest", "The miller", "--max-tokens", "8", "--json").json() for _ in "ab")
    assert first == again
    assert first["continuation"]

    # what it learnt is a signal for the next corpus: scored by its own export, in a run and on anyone's files
    asked = ("filters.rules=[perplexity]", f"filters.perplexity.model={shown['paths']['export']}")
    scored = gristmill(
        *arguments(tiny_crawl, *(word for each in asked for word in ("--set", each)), "--set", "goal=corpus")
    )
    assert scored.code == 0, scored.err
    (store,) = gristmill.store.glob("stages/likelihood/*/signals")
    stored = pl.read_parquet(store / "*.parquet")["perplexity_bits_per_byte"]
    assert 2 < stored.mean() < 9
    rules = ("--rules", "none", *(word for each in asked for word in ("--set", each)))
    corpus = f"{shown['paths']['corpus']}/train"
    judged = gristmill("judge", corpus, *rules, "--out", str(gristmill.store / "judged"))
    assert judged.code == 0, judged.err
    assert pl.read_parquet(gristmill.store / "judged" / "*.parquet")["perplexity_bits_per_byte"].is_between(2, 9).all()

    artifacts = httpx.post(f"{prefect_server}/artifacts/filter", json={}).json()
    assert {"funnel", "samples", "loss-curve", "scores", "report"} <= {artifact["key"] for artifact in artifacts}


def test_a_real_crawl_is_read_judged_and_accounted_for(gristmill, shared_data) -> None:
    listed = shared_data / "minicc/crawl-data/CC-MAIN-2025-00/warc.paths.gz"
    goal = ("--set", "goal=corpus", "--set", "source.files=1", "--set", "lines.enabled=true")
    done = gristmill(*arguments(listed, *goal, "--workers", "2"))
    assert done.code == 0, done.err
    stages = {stage["name"]: stage for stage in gristmill("show", "--json").json()["stages"]}
    for stage in stages.values():
        assert stage["documents_in"] == stage["documents_out"] + sum(stage["dropped"].values()), stage
    assert stages["extract"]["documents_out"] > 500
    assert {"language.other_language", "gopher_quality.too_few_words"} <= set(stages["judge"]["dropped"])
    assert stages["dedup"]["dropped"]["exact_duplicate"] > 0
    assert stages["lines"]["documents_in"] == stages["dedup"]["documents_out"] == stages["line-counts"]["documents_in"]
    edits = pl.read_parquet(f"{gristmill.store}/stages/lines/*/edits/*.parquet")
    documents = pl.read_parquet(f"{gristmill.store}/stages/extract/*/documents/*.parquet")
    url = documents.filter(pl.col("doc_id") == edits["doc_id"][0])["url"][0]
    told = gristmill("why", url, "--json").json()["captures"]
    assert ("lines", "repeated_line") in {(edit["stage"], edit["rule"]) for each in told for edit in each["edits"]}
    assert "Repeated lines" in next(gristmill.store.glob("runs/*/report.html")).read_text(encoding="utf-8")
