"""`gristmill forget` on a store whose runs were published by hand: what it understands, writes, tells and refuses."""

import json
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import CliRunner, Result
from published_stages import corpus_row, document_row, publish_splits, publish_tables

from flows.cli import main
from storage.accounts import Account
from storage.exclusions import read_exclusions
from storage.manifests import PublishedStage, publish_manifest
from storage.runs import Run, StageOutcome, save_run
from storage.schemas import DOCUMENTS, SOURCES
from storage.store import Store

PAGES = {
    1: "https://example.org/a",
    2: "https://sub.example.org/b",
    3: "https://example.com/c?id=3",
    4: "https://example.net/d",
}


@dataclass(frozen=True, kw_only=True)
class Shop:
    """A store, and the command on it."""

    store: Store

    def __call__(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        done: Result = CliRunner().invoke(main, [*arguments, "--store", self.store.url], input=stdin)
        assert done.exit_code == code, done.output
        return done.output

    def json(self, *arguments: str):
        return json.loads(self(*arguments, "--json"))

    def in_force(self) -> set[tuple[str, str]]:
        return {(each.kind, each.value) for each in read_exclusions(self.store).in_force}

    def publish_run(self, run_id: str, train: list[int], validation: list[int], *, is_trained: bool = False) -> Run:
        """A run of PAGES, of which some are in its corpus."""
        rows = [document_row(number, url=url, host=url.split("/")[2]) for number, url in PAGES.items()]
        documents = {"part-00000": {"documents": (pa.Table.from_pylist(rows, DOCUMENTS), DOCUMENTS)}}
        splits = [[corpus_row(number, **_place(number)) for number in split] for split in (train, validation)]
        stages = [
            self.publish(publish_tables(self.store, "extract", documents)),
            self.publish(publish_splits(self.store, [(splits[0], splits[1])], key=run_id)),
        ]
        if is_trained:
            stages.append(StageOutcome(name="train", key="t", account=_nothing(), reused=False, seconds=0.0))
        run = Run(
            run_id=run_id,
            recipe_name="by-hand",
            recipe={},
            recipe_digest="0" * 64,
            created_at=f"2026-11-26T10:00:0{len(self.store.names('runs'))}+00:00",
            status="completed",
            stages=stages,
            paths={"checkpoint": "stages/train/t"} if is_trained else {},
        )
        save_run(self.store, run)
        return run

    def publish(self, stage: PublishedStage) -> StageOutcome:
        publish_manifest(self.store, stage.manifest)
        return StageOutcome(
            name=stage.manifest.stage, key=stage.manifest.key, account=_nothing(), reused=False, seconds=0.0
        )


def _place(number: int) -> dict[str, str]:
    return {"url": PAGES[number], "host": PAGES[number].split("/")[2]}


def _nothing() -> Account:
    return Account(documents_in=0, documents_out=0)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(store=Store(str(tmp_path / "store")))


def test_a_domain_is_told_by_run_and_file_and_its_model_is_marked(shop) -> None:
    held = shop.publish_run("held", [1, 3], [2], is_trained=True)
    shop.publish_run("spared", [3, 4], [])
    told = shop.json("forget", "Example.ORG", "--reason", "a letter")
    assert shop.in_force() == {("domain", "example.org")}
    assert [(each["kind"], each["value"], each["reason"]) for each in told["asked"]] == [
        ("domain", "example.org", "a letter")
    ]
    first, second = told["runs"]
    corpus = held.stage("corpus").address.folder
    assert first["corpus"] == {"train": 1, "validation": 1}
    assert first["files"]["corpus"] == {
        f"{corpus}/train/part-00000.parquet": 1,
        f"{corpus}/validation/part-00000.parquet": 1,
    }
    assert first["results"] == {"checkpoint": "stages/train/t"}
    assert (second["run_id"], second["extracted"], second["corpus"]) == ("spared", 2, {})
    assert "withdrawn since: 2 documents (domain example.org); 1 of them in what its model was trained on" in shop(
        "runs"
    )
    assert {each["run_id"]: each["withdrawn_since"] is not None for each in shop.json("runs")["runs"]} == {
        "held": True,
        "spared": False,
    }
    again = shop("forget", "example.org")
    assert "was withdrawn on 2" in again
    assert len(read_exclusions(shop.store).entries) == 1
    assert "no text is erased" in again
    assert "stages/train/t (trained on this corpus)" in again


def test_marks_go_with_the_list_as_it_is_now(shop) -> None:
    shop.publish_run("held", [1, 3], [2])

    def mark() -> int:
        found = shop.json("show", "held")["withdrawn_since"]
        return 0 if found is None else found["documents"]

    assert mark() == 0
    shop("forget", "sub.example.org")
    assert mark() == 1
    shop("forget", "http://www.example.com/c/?utm_source=x&id=3")
    assert mark() == 2
    shop("forget", "example.org")
    assert mark() == 3  # one of them twice on the list
    shop("forget", "example.org", "--undo")
    assert mark() == 2
    shop("forget", "sub.example.org", "https://example.com/c?id=3", "--undo")
    assert mark() == 0


def test_a_list_is_withdrawn_whole_or_not_at_all(shop, tmp_path) -> None:
    shop.publish_run("held", [1, 2], [3])
    listed = tmp_path / "takedowns.txt"
    listed.write_text("\ufeff# by mail\nhttps://example.org/a\n\n  example.com \ncrawl-data/C/x.warc.gz\nexample.com\n")
    told = shop.json("forget", "--from", str(listed), "--dry-run")
    assert told["runs"][0]["corpus"] == {"train": 1, "validation": 1}
    assert shop.in_force() == set()
    shop("forget", "--from", str(listed))
    assert shop.in_force() == {("url", "example.org/a"), ("domain", "example.com"), ("file", "crawl-data/C/x.warc.gz")}
    assert len(read_exclusions(shop.store).entries) == 1
    listed.write_text("example.net\nco.uk\n")
    refused = shop("forget", "--from", str(listed), code=2)
    assert f"{listed}: nothing was done" in refused
    assert "line 2: 'co.uk' is a public suffix" in refused
    assert ("domain", "example.net") not in shop.in_force()
    shop("forget", "--from", "-", "--as", "url", stdin="example.net\n")
    assert ("url", "example.net/") in shop.in_force()


def test_the_list_shows_what_is_withdrawn_since_when_and_why(shop) -> None:
    assert "nothing is withdrawn" in shop("forget", "--list")
    shop("forget", "example.org", "--reason", "a letter")
    shop("forget", "https://example.com/c")
    shop("forget", "https://example.com/c", "--undo")
    assert "domain example.org " in shop("forget", "--list")
    assert "a letter" in shop("forget", "--list")
    (row,) = shop.json("forget", "--list")["withdrawn"]
    assert (row["kind"], row["value"], row["reason"]) == ("domain", "example.org", "a letter")


def test_what_may_not_have_been_meant_is_said(shop) -> None:
    assert "the whole site is `gristmill forget example.org`" in shop("forget", "https://www.example.org")
    assert "example.com itself is another domain" in shop("forget", "www.example.com")


def test_a_page_that_is_in_no_corpus_asks_for_no_run(shop) -> None:
    shop.publish_run("held", [1], [])
    assert "no corpus has it" in shop("forget", PAGES[4])
    assert "run the recipes again" in shop("forget", PAGES[1])


def test_a_whole_file_can_be_withdrawn(shop) -> None:
    run = shop.publish_run("held", [1, 3], [2])
    told = shop.json("forget", "s3://commoncrawl/crawl-data/test.warc.gz")
    assert told["runs"][0]["extracted"] == len(PAGES)
    assert shop.json("show", run.run_id)["withdrawn_since"]["by"] == [
        {"kind": "file", "value": "crawl-data/test.warc.gz", "documents": 3}
    ]


def test_a_file_can_be_given_by_the_path_at_which_it_was_read(shop, tmp_path, monkeypatch) -> None:
    run = shop.publish_run("held", [1], [])
    source = {"kind": "texts", "warc_path": "crawl.jsonl", "url": str(tmp_path / "in" / "crawl.jsonl"), "position": 0}
    source |= {"offset": 0, "length": -1, "wanted": None, "bytes": 1, "fingerprint": "f"}
    tables = {"part-00000": {"sources": (pa.Table.from_pylist([source], SOURCES), SOURCES)}}
    run.stages.append(shop.publish(publish_tables(shop.store, "fetch", tables)))
    save_run(shop.store, run)
    monkeypatch.chdir(tmp_path)
    shop("forget", "in/crawl.jsonl", "elsewhere/crawl.jsonl")
    assert shop.in_force() == {("file", "crawl.jsonl"), ("file", "elsewhere/crawl.jsonl")}
    shop("forget", str(tmp_path / "in" / "crawl.jsonl"), "--undo")
    assert shop.in_force() == {("file", "elsewhere/crawl.jsonl")}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "name what to withdraw"),
        (["something"], "neither a page"),
        (["--list", "example.org"], "give it alone"),
        (["example.org", "--undo"], "domain example.org: not on the list, so nothing was restored"),
        (["https://www.held.example/a", "--undo"], "it is withdrawn with the domain held.example"),
    ],
)
def test_what_cannot_be_done_is_refused_and_nothing_is_written(shop, arguments: list[str], message: str) -> None:
    shop("forget", "held.example")
    before = read_exclusions(shop.store)
    assert message in shop("forget", *arguments, code=2)
    assert read_exclusions(shop.store) == before


def test_what_cannot_be_read_is_said_and_hides_nothing_else(shop) -> None:
    held = shop.publish_run("held", [1], [])
    other = shop.publish_run("other", [1], [])
    Path(shop.store.full_path(f"{held.stage('corpus').address.folder}/train/part-00000.parquet")).write_bytes(b"PAR1")
    told = shop.json("forget", "example.org")
    assert "train/part-00000.parquet" in told["unreadable"][0]
    assert [each["run_id"] for each in told["runs"]] == ["held", "other"]
    marks = {each["run_id"]: each["withdrawn_since"] for each in shop.json("runs")["runs"]}
    assert "cannot be read" in marks["held"]["problem"]
    assert marks["other"]["documents"] == 1
    shop.store.remove(other.stage("corpus").address.folder)
    assert "other" in shop("runs")
    assert marks["other"] == shop.json("show", "other")["withdrawn_since"]  # what was found once is known
    shop("forget", "example.net")
    assert "its corpus is in the store no more" in shop("show", "other")
    shop.store.publish_bytes("exclusions/damaged.json", b"{")
    assert "cannot be told" in shop("runs")
    assert "would bring back what it withdrew" in shop("forget", "example.com", code=2)
