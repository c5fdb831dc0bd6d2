"""Semantic near-duplicates in a whole run, under each kind of embedding."""

from pathlib import Path
from random import Random
from typing import Any

import polars as pl
import pytest
from command import Command
from exported_model import write_export
from tiny_crawl import CRAWL, capture, english_sentences, page

from flows.corpus import check_embedding
from flows.recipe import load_recipe
from pipeline_lib.crawl.warc_writing import paths_list, warc_path, write_warc
from storage.wrong_request import WrongRequest

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


def test_a_paraphrase_is_removed_explained_and_on_one_side_of_the_split(shared_gristmill, crawl) -> None:
    stages = run(shared_gristmill, crawl, "--workers", "2")
    assert not any(stages["dedup"]["dropped"].values())
    assert stages["semantic"]["dropped"] == {"semantic_duplicate": 1}
    for earlier, later in (("dedup", "embeddings"), ("embeddings", "semantic"), ("semantic", "privacy")):
        assert stages[earlier]["documents_out"] == stages[later]["documents_in"], (earlier, later)
    corpus = pl.read_parquet(f"{stages['corpus_path']}/*/*.parquet")
    pair = {"https://site0.example/0", "https://site1.example/0"}
    (kept,) = pair & set(corpus["url"])
    (removed,) = pair - {kept}
    (fate,) = shared_gristmill("why", removed, "--json").json()["captures"]
    assert fate["duplicate"]["rule"] == "semantic_duplicate"
    assert fate["duplicate"]["kept_url"] == kept
    assert corpus.filter(pl.col("url") == kept)["cluster_id"].to_list() == [fate["cluster_id"]]
    told = shared_gristmill("why", removed).out
    assert f"semantic   dropped: semantic_duplicate of {kept}" in told
    assert f"cosine {fate['duplicate']['similarity']:.3f}, the line is at 0.850" in told
    report = Path(shared_gristmill("report").out.strip()).read_text(encoding="utf-8")
    by_rule = report.partition("Removed by rule")[2].partition("</table>")[0].replace("<wbr>", "")
    assert "semantic_duplicate" in by_rule


@pytest.mark.slow
def test_an_exported_model_embeds(shared_gristmill, crawl, tmp_path) -> None:
    folder = write_export(tmp_path)
    stages = run(shared_gristmill, crawl, "--set", f"semantic.embedding={folder}", "--set", "semantic.threshold=1.0")
    key = stages["embeddings"]["key"]
    embeddings = pl.read_parquet(shared_gristmill.store / "stages" / "embeddings" / key / "embeddings" / "*.parquet")
    assert embeddings.height == stages["dedup"]["documents_out"]
    assert embeddings["embedding"].dtype == pl.Array(pl.Float32, 64)
    assert embeddings["embedding"].explode().pow(2).sum() == pytest.approx(embeddings.height, rel=1e-5)


@pytest.mark.slow
def test_a_function_of_the_users_own_embeds(shared_gristmill, crawl) -> None:
    module = shared_gristmill.store.parent / "by_length.py"
    module.write_text("def embed(texts):\n    return [[1.0, len(text) / 1e9] for text in texts]\n")
    stages = run(shared_gristmill, crawl, "--set", "semantic.embedding=by_length:embed")
    assert stages["semantic"]["documents_out"] == 1  # all look alike to it


@pytest.mark.parametrize(
    ("embedding", "message"),
    [
        ("no_such_module:embed", "embedding no_such_module:embed: importing no_such_module failed"),
        ("no/such/folder", "embedding no/such/folder: no such folder"),
    ],
)
def test_an_embedding_that_is_not_there_is_a_wrong_request(embedding, message) -> None:
    overrides = ["source.paths=anywhere", "semantic.enabled=true", f"semantic.embedding={embedding}"]
    with pytest.raises(WrongRequest, match=message):
        check_embedding(load_recipe("minicrawl", overrides))
    assert check_embedding(load_recipe("minicrawl", [*overrides, "semantic.enabled=false"])) == {}
