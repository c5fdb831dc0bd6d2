"""Semantic near-duplicates in a whole run, under each kind of embedding."""

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from command import Command
from exported_model import write_export
from tiny_crawl import CRAWL, capture, english_sentences, page

from pipeline_lib.crawl.warc_writing import paths_list, warc_path, write_warc

CORPUS = ("--set", "goal=corpus", "--set", "semantic.enabled=true")


def essays(seed: int) -> tuple[list[str], list[str]]:
    """Sentences, and the same in another order and with words that trade places."""
    rng = Random(seed)
    sentences = rng.sample(english_sentences(), 16)
    moved = []
    for sentence in rng.sample(sentences, len(sentences)):
        words = sentence.removesuffix(".").split()
        for at in range(0, len(words) - 1, 3):
            words[at], words[at + 1] = words[at + 1], words[at]
        moved.append(" ".join(words) + ".")
    return sentences, moved


@pytest.fixture(scope="module")
def crawl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two files of pages; page 0 of the second says in other words what page 0 of the first does."""
    root = tmp_path_factory.mktemp("crawl")
    original, reworded = essays(1)
    files = [
        [original, *(essays(seed)[0] for seed in range(2, 8))],
        [reworded, *(essays(seed)[0] for seed in range(8, 12))],
    ]
    paths = [warc_path(CRAWL, index) for index in range(len(files))]
    for index, (path, pages) in enumerate(zip(paths, files, strict=True)):
        captures = [
            capture(
                f"https://site{index}.example/{number}",
                "200 OK",
                page(f"Page {number}", [" ".join(sentences[at : at + 4]) for at in range(0, 16, 4)]),
            )
            for number, sentences in enumerate(pages)
        ]
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        with (root / path).open("wb") as stream:
            write_warc(stream, CRAWL, index, captures)
    listed = root / "crawl-data" / CRAWL / "warc.paths.gz"
    listed.write_bytes(paths_list(paths))
    return listed


def run(gristmill: Command, crawl: Path, *more: str) -> dict[str, Any]:
    done = gristmill("run", "minicrawl", "--set", f"source.paths={crawl}", *CORPUS, *more)
    assert done.code == 0, done.err
    shown: dict[str, Any] = gristmill("show", "--json").json()
    return {stage["name"]: stage for stage in shown["stages"]} | {"corpus_path": shown["paths"]["corpus"]}


def test_a_paraphrase_is_removed_explained_and_on_one_side_of_the_split(gristmill, crawl) -> None:
    stages = run(gristmill, crawl, "--workers", "2")
    assert stages["dedup"]["dropped"] == {}
    assert stages["semantic"]["dropped"] == {"semantic_duplicate": 1}
    for earlier, later in (("dedup", "embeddings"), ("embeddings", "semantic"), ("semantic", "privacy")):
        assert stages[earlier]["documents_out"] == stages[later]["documents_in"], (earlier, later)
    fates = {
        url: gristmill("why", url, "--json").json()["captures"][0]
        for url in ("https://site0.example/0", "https://site1.example/0")
    }
    (removed,) = [fate for fate in fates.values() if fate["duplicate"]]
    (kept,) = [fate for fate in fates.values() if not fate["duplicate"]]
    assert removed["duplicate"]["rule"] == "semantic_duplicate"
    assert removed["duplicate"]["kept_url"] == kept["url"]
    assert removed["cluster_id"] == kept["cluster_id"]
    told = gristmill("why", removed["url"]).out
    assert f"semantic   dropped: semantic_duplicate of {kept['url']}" in told
    assert "cosine 0.9" in told or "cosine 1.0" in told
    corpus = pl.read_parquet(f"{stages['corpus_path']}/*/*.parquet")
    assert removed["url"] not in corpus["url"].to_list()
    assert corpus.filter(pl.col("url") == kept["url"])["cluster_id"].to_list() == [kept["cluster_id"]]

    again = run(gristmill, crawl, "--set", "semantic.threshold=0.9", "--set", "semantic.memory_bytes=100000000")
    assert again["embeddings"]["reused"]
    assert not again["semantic"]["reused"]


def test_an_exported_model_embeds(gristmill, crawl, tmp_path) -> None:
    folder = write_export(tmp_path)
    stages = run(gristmill, crawl, "--set", f"semantic.embedding={folder}", "--set", "semantic.threshold=1.0")
    assert stages["embeddings"]["documents_out"] == stages["dedup"]["documents_out"]
    (table,) = {path.parent for path in gristmill.store.glob("stages/embeddings/*/embeddings/*.parquet")}
    embeddings = pl.read_parquet(table / "*.parquet")
    assert embeddings.height == stages["dedup"]["documents_out"]
    assert embeddings["embedding"].dtype == pl.Array(pl.Float32, 64)
    assert embeddings["embedding"].arr.explode().pow(2).sum() == pytest.approx(embeddings.height, rel=1e-5)


def test_a_function_of_the_users_own_embeds(gristmill, crawl, tmp_path) -> None:
    (tmp_path / "by_length.py").write_text("def embed(texts):\n    return [[1.0, len(text) / 1e9] for text in texts]\n")
    stages = run(gristmill, crawl, "--set", "semantic.embedding=by_length:embed")
    assert stages["semantic"]["documents_out"] == 1  # all look alike to it


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ("no_such_module:embed", "embedding no_such_module:embed: importing no_such_module failed"),
        ("no/such/folder", "embedding no/such/folder: no such folder"),
    ],
)
def test_an_embedding_that_is_not_there_is_a_wrong_request(gristmill, crawl, embedding, message) -> None:
    done = gristmill(
        "run", "minicrawl", "--set", f"source.paths={crawl}", *CORPUS, "--set", f"semantic.embedding={embedding}"
    )
    assert done.code == 2
    assert message in done.err
