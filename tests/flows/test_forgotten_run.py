"""A run, something withdrawn, and the run again: what is left out, what comes back, what is made anew, who is told."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from click.testing import CliRunner
from prefect.settings import PREFECT_API_URL, temporary_settings

import flows.end_to_end as mill
from flows.cli import main
from flows.forget import withdraw
from flows.recipe import load_recipe
from flows.session import RunSettings
from storage.exclusions import DamagedExclusion, Exclusion
from storage.runs import Run, list_runs, load_run
from storage.store import Store

pytestmark = pytest.mark.timeout(1200)  # machines are busy

SETTINGS = (
    "goal=tokens", "tokenizer.vocab_size=400", "corpus.validation_ratio=0.2", "tokens.num_shards=3",
    "dedup_index=weekly",
)  # fmt: skip
UNTOUCHED = ("fetch", "extract", "signals", "judge", "signatures")
DOMAIN = "site2.invalid"


@dataclass(frozen=True, kw_only=True)
class Mill:
    """Runs in this process, and the command, on one store."""

    store: Store
    crawl: Path
    server: str

    def run(self, *settings: str) -> Run:
        recipe = load_recipe("minicrawl", (f"source.paths={self.crawl}", *SETTINGS, *settings))
        with temporary_settings({PREFECT_API_URL: self.server}):
            flow = mill.end_to_end.with_options(task_runner=mill.thread_runner(1))
            run_id = flow(recipe, RunSettings(store_url=self.store.url, runner="threads", workers=1))
        return load_run(self.store, run_id)

    def __call__(self, *arguments: str) -> str:
        done = CliRunner().invoke(main, [*arguments, "--store", self.store.url], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        return done.output

    def json(self, *arguments: str):
        return json.loads(self(*arguments, "--json"))

    def corpus(self, run: Run) -> pl.DataFrame:
        return pl.read_parquet(f"{self.store.full_path(run.paths['corpus'])}/*/*.parquet").sort("doc_id")

    def shards(self, run: Run) -> dict[str, set[str]]:
        """The ids in each token shard, by path in the store."""
        folder = Path(self.store.full_path(run.stage("tokens").address.folder))
        return {
            str(path.relative_to(self.store.root)): set(
                pa.ipc.open_file(pa.memory_map(str(path))).read_all()["doc_id"].to_pylist()
            )
            for path in sorted(folder.glob("*/*.arrow"))
        }

    def duplicates(self, run: Run) -> pl.DataFrame:
        return pl.read_parquet(f"{self.store.full_path(run.stage('dedup').address.folder)}/duplicates/*.parquet")

    def made_anew(self, run: Run) -> list[str]:
        return [stage.name for stage in run.stages if not stage.reused]


@pytest.fixture(scope="module")
def gristmill(tmp_path_factory: pytest.TempPathFactory, tiny_crawl: Path, prefect_server: str) -> Mill:
    return Mill(
        store=Store(str(tmp_path_factory.mktemp("forgetful") / "store")), crawl=tiny_crawl, server=prefect_server
    )


@pytest.fixture(scope="module")
def first(gristmill: Mill) -> Run:
    return gristmill.run()


@pytest.fixture(scope="module")
def unconcerned(gristmill: Mill, first: Run) -> Run:
    """A run after something was withdrawn that no document has to do with."""
    gristmill("forget", "nowhere.invalid", "https://site0.invalid/nothing.html", "other.warc.gz")
    return gristmill.run()


@pytest.fixture(scope="module")
def witness(gristmill: Mill, first: Run) -> dict[str, str]:
    """A page for whose sake near-duplicates were removed: its id and URL, and the ids of these."""
    near = gristmill.duplicates(first).filter(pl.col("rule") == "near_duplicate")
    kept = near["kept_id"][0]
    return {
        "doc_id": kept,
        "url": gristmill.corpus(first).filter(pl.col("doc_id") == kept)["url"][0],
        "copies": sorted(near.filter(pl.col("kept_id") == kept)["doc_id"]),
    }


@pytest.fixture(scope="module")
def answer(gristmill: Mill, unconcerned: Run, witness):
    """What `forget` says of a domain and a page, which it is given with another scheme and a campaign."""
    page = witness["url"].replace("https://", "http://www.") + "?utm_source=mail"
    return gristmill.json("forget", DOMAIN, page, "--reason", "asked by its author")


@pytest.fixture(scope="module")
def second(gristmill: Mill, answer) -> Run:
    return gristmill.run()


@pytest.fixture(scope="module")
def restored(gristmill: Mill, second: Run, answer) -> Iterator[Run]:
    """A run after all was taken back; while it works, before it deduplicates, another domain is withdrawn."""
    for each in answer["asked"]:
        gristmill("forget", each["value"], "--as", each["kind"], "--undo")
    original: Callable[..., object] = mill.deduplicate

    def while_somebody_forgets(session, recipe, signed):
        withdraw(session.store, [Exclusion("domain", "site0.invalid")])
        return original(session, recipe, signed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mill, "deduplicate", while_somebody_forgets)
        run = gristmill.run()
    yield run
    gristmill("forget", "site0.invalid", "--undo")


def test_what_concerns_no_document_makes_nothing_anew(gristmill, first, unconcerned) -> None:
    assert gristmill.made_anew(unconcerned) == []
    assert [stage.name for stage in unconcerned.stages] == [stage.name for stage in first.stages]
    assert unconcerned.corpus_digest == first.corpus_digest
    assert first.exclusions == []
    assert len(unconcerned.exclusions) == 1


def test_the_next_run_leaves_out_exactly_what_was_withdrawn(gristmill, first, second, witness) -> None:
    before, after = gristmill.corpus(first), gristmill.corpus(second)
    gone = before.filter((pl.col("host") == DOMAIN) | (pl.col("doc_id") == witness["doc_id"]))
    assert gone.height > 20
    # a near-duplicate that had been removed for the sake of the withdrawn page is there in its place
    returned = set(after["doc_id"]) - set(before["doc_id"])
    assert len(returned) == 1
    assert returned <= set(witness["copies"])
    expected = before.filter(~pl.col("doc_id").is_in(gone["doc_id"].implode()))
    assert after.filter(~pl.col("doc_id").is_in(list(returned))).equals(expected)


def test_measurements_are_used_again_and_every_document_is_accounted_for(gristmill, first, second) -> None:
    made = gristmill.made_anew(second)
    assert not set(made) & set(UNTOUCHED)
    assert made[:2] == ["withdrawn", "dedup"]
    stages = {stage.name: stage.account for stage in second.stages}
    assert stages["withdrawn"].documents_in == stages["judge"].documents_out
    assert set(stages["withdrawn"].dropped) == {"withdrawn_domain", "withdrawn_url"}
    assert stages["withdrawn"].dropped["withdrawn_url"] == 1
    assert stages["dedup"].documents_in == stages["withdrawn"].documents_out
    assert first.stage("withdrawn") is None


def test_no_token_of_it_is_in_the_new_shards(gristmill, first, second, witness) -> None:
    gone = set(gristmill.corpus(first).filter(pl.col("host") == DOMAIN)["doc_id"]) | {witness["doc_id"]}
    assert gone <= set.union(*gristmill.shards(first).values())
    assert not gone & set.union(*gristmill.shards(second).values())


def test_forget_says_what_holds_it(gristmill, first, unconcerned, answer, witness) -> None:
    corpus = gristmill.corpus(first)
    gone = set(corpus.filter(pl.col("host") == DOMAIN)["doc_id"]) | {witness["doc_id"]}
    held = {each["run_id"]: each for each in answer["runs"]}
    assert set(held) == {first.run_id, unconcerned.run_id}
    shown = held[first.run_id]
    assert sum(shown["corpus"].values()) == len(gone)
    assert shown["extracted"] > len(gone)  # some were dropped later
    shards = {path: len(gone & ids) for path, ids in gristmill.shards(first).items() if gone & ids}
    assert shown["files"]["tokens"] == shards
    for stage, split in (("corpus", "train"), ("corpus", "validation"), ("extract", "documents")):
        named = {path: count for path, count in shown["files"][stage].items() if f"/{split}/" in path}
        assert named
        for path, count in named.items():
            hosts = pl.read_parquet(gristmill.store.full_path(path), columns=["doc_id", "host"])
            assert count == hosts.filter((pl.col("host") == DOMAIN) | (pl.col("doc_id") == witness["doc_id"])).height
    assert set(shown["results"]) == {"tokenizer", "index", "report"}
    (index,) = answer["indexes"]
    assert (index["index"], index["documents"]) == ("weekly", len(gone))
    # the page that will take the place of the withdrawn one is named, lest it be meant, too
    similar = {each["doc_id"]: each for each in answer["similar"]}
    assert set(witness["copies"]) <= set(similar)
    assert {similar[each]["fate"] for each in witness["copies"]} == {"returns"}
    assert all(f"https://{DOMAIN}/" not in each["url"] for each in similar.values())


def test_runs_that_hold_it_are_marked_and_the_others_are_not(gristmill, first, unconcerned, second, answer) -> None:
    marks = {each["run_id"]: each["withdrawn_since"] for each in gristmill.json("runs")["runs"]}
    count = sum(answer["runs"][0]["corpus"].values())
    assert marks[first.run_id]["documents"] == marks[unconcerned.run_id]["documents"] == count
    assert marks[first.run_id]["by"][0] == {"kind": "domain", "value": DOMAIN, "documents": count - 1}
    assert marks[second.run_id] is None
    told = f"withdrawn since: {count} documents (domain {DOMAIN}, page "
    assert gristmill("runs").count(told) == 2
    assert told in gristmill("show", first.run_id)
    assert "withdrawn since" not in gristmill("show", second.run_id)
    assert gristmill.json("show", first.run_id)["withdrawn_since"]["splits"] == answer["runs"][0]["corpus"]


def test_why_and_the_report_tell_that_it_was_withdrawn(gristmill, second, witness) -> None:
    (capture,) = gristmill.json("why", witness["url"], "--run", second.run_id)["captures"]
    assert capture["withdrawn"]["rule"] == "withdrawn_url"
    assert "withdrawn  dropped: withdrawn_url: " in gristmill("why", witness["url"], "--run", second.run_id)
    assert "withdrawn_domain" in gristmill.store.read_bytes(second.paths["report"]).decode()


def test_the_run_replaces_its_entry_in_the_index(gristmill, second) -> None:
    (entry,) = gristmill.json("indexes", "weekly")["entries"]
    assert (entry["run_id"], entry["documents"]) == (second.run_id, second.stage("corpus").account.documents_out)


def test_what_is_taken_back_is_in_the_next_run_and_nothing_is_made_anew(gristmill, first, restored) -> None:
    assert restored.corpus_digest == first.corpus_digest
    assert gristmill.made_anew(restored) == []


def test_a_run_under_way_when_something_is_withdrawn_is_marked(gristmill, restored) -> None:
    mark = gristmill.json("show", restored.run_id)["withdrawn_since"]
    assert mark["by"][0]["value"] == "site0.invalid"
    assert mark["documents"] == gristmill.corpus(restored).filter(pl.col("host") == "site0.invalid").height > 20


def test_a_damaged_list_stops_a_run_before_any_work(gristmill, restored) -> None:
    path = gristmill.store.full_path("exclusions/2026-01-01-damaged.json")
    Path(path).write_text("{")
    try:
        with pytest.raises(DamagedExclusion, match="would bring back what it withdrew"):
            gristmill.run()
        assert list_runs(gristmill.store)[-1].stages == []
    finally:
        Path(path).unlink()
