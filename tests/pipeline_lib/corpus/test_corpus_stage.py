"""The corpus stage: what is left, with its final text, split without cutting a duplicate cluster."""

import datetime

import datasets
import duckdb
import polars as pl
import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.corpus.parameters import CorpusParameters
from pipeline_lib.corpus.stage import corpus_digest, corpus_part, is_held_out
from storage.accounts import UnbalancedAccount
from storage.manifests import Manifest, Part
from storage.schemas import CLUSTERS, CORPUS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store

PART = "part-00000"
PARAMETERS = CorpusParameters(validation_ratio=0.3)


def documents(texts):
    """DOCUMENTS of {number: text}."""
    fetched_at = datetime.datetime(2026, 1, 2, tzinfo=datetime.UTC)
    rows = [
        document_row(number, fetched_at=None if number == 1 else fetched_at, text=text)
        for number, text in texts.items()
    ]
    return pa.Table.from_pylist(rows, schema=DOCUMENTS)


def edits(rows):
    """EDITS of (number, start, end, replacement)."""
    return pa.Table.from_pylist(
        [
            {
                "doc_id": doc_id(number),
                "step": 0,
                "rule": "rule",
                "start": start,
                "end": end,
                "replacement": replacement,
            }
            for number, start, end, replacement in rows
        ],
        schema=EDITS,
    )


def decisions(numbers):
    return pa.Table.from_pylist([{"doc_id": doc_id(number), "rule": "rule"} for number in numbers], schema=DECISIONS)


def duplicates(numbers):
    rows = [
        {
            "doc_id": doc_id(number),
            "rule": "near_duplicate",
            "kept_id": doc_id(0),
            "similarity": 0.9,
            "threshold": 0.8,
            "bands_shared": 3,
            "cluster_id": doc_id(0),
        }
        for number in numbers
    ]
    return pa.Table.from_pylist(rows, schema=DUPLICATES)


def clusters(numbers, cluster):
    rows = [{"doc_id": doc_id(number), "cluster_id": cluster, "kept": True} for number in numbers]
    return pa.Table.from_pylist(rows, schema=CLUSTERS)


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def inputs_of(store):
    """The five inputs, of one part."""

    def publish(stage, tables):
        return publish_tables(store, stage, {PART: tables})

    def build(texts, *, line_edits=(), judged=(), duplicated=(), clustered=None, masked=()):
        return {
            "extract": publish("extract", {"documents": (documents(texts), DOCUMENTS)}),
            "signals": publish("signals", {"edits": (edits(line_edits), EDITS)}),
            "judge": publish("judge", {"decisions": (decisions(judged), DECISIONS)}),
            "dedup": publish(
                "dedup",
                {
                    "duplicates": (duplicates(duplicated), DUPLICATES),
                    "clusters": (clusters([], "") if clustered is None else clustered, CLUSTERS),
                },
            ),
            "privacy": publish("privacy", {"edits": (edits(masked), EDITS)}),
        }

    return build


@pytest.fixture
def make_corpus(store):
    """Run the stage on one part; returns its published output."""

    def make(inputs, parameters=PARAMETERS, key="corpus"):
        return publish_stage(
            store, "corpus", [Part(name=PART)], lambda part, output: corpus_part(part, inputs, output, parameters), key
        )

    return make


def all_rows(corpus):
    tables = [corpus.read(split, PART, CORPUS) for split in ("train", "validation")]
    return {row["doc_id"]: row for table in tables for row in table.to_pylist()}


def test_the_corpus_is_what_nobody_dropped_with_all_edits_made(inputs_of, make_corpus):
    texts = {0: "one two three", 1: "mail me@a.example now", 2: "judged", 3: "copy", 4: "untouched"}
    corpus = make_corpus(
        inputs_of(
            texts,
            line_edits=[(1, 0, 5, ""), (2, 0, 1, "J")],
            judged=[2],
            duplicated=[3],
            masked=[(0, 0, 3, "1"), (0, 4, 7, "2"), (1, 0, 12, "<mail>")],  # positions after the line edits
        )
    )
    rows = all_rows(corpus)
    assert {row["text"]: row["num_edits"] for row in rows.values()} == {"1 2 three": 2, "<mail> now": 2, "untouched": 0}
    assert corpus.manifest.account.documents_in == 3
    assert corpus.manifest.account.documents_out == 3


@pytest.mark.parametrize("left", ["", " ", "\n\t \u00a0\u2003"])
def test_a_document_without_text_after_its_edits_is_dropped_and_counted(inputs_of, make_corpus, left):
    corpus = make_corpus(inputs_of({0: "gone", 1: "stays"}, masked=[(0, 0, 4, left)]))
    assert [row["text"] for row in all_rows(corpus).values()] == ["stays"]
    assert dict(corpus.manifest.account.dropped) == {"empty_after_edits": 1}


def test_a_document_dropped_by_two_stages_is_refused_and_not_counted_twice(inputs_of, make_corpus):
    with pytest.raises(UnbalancedAccount, match="2 documents extracted - 1 by judge - 1 by dedup = 0, but 1 are left"):
        make_corpus(inputs_of({0: "a", 1: "b"}, judged=[1], duplicated=[1]))


@pytest.mark.parametrize("seed", range(8))
def test_a_cluster_stands_on_one_side_of_the_split_and_its_documents_name_it(inputs_of, make_corpus, seed):
    numbers = list(range(10))
    inputs = inputs_of({number: f"text {number}" for number in numbers}, clustered=clusters(numbers[:6], doc_id(99)))
    corpus = make_corpus(inputs, CorpusParameters(seed=seed, validation_ratio=0.5))
    sides = [
        {row["cluster_id"] for row in corpus.read(split, PART, CORPUS).to_pylist()} for split in ("train", "validation")
    ]
    assert not sides[0] & sides[1]
    assert sides[0] | sides[1] == {doc_id(99), *(doc_id(number) for number in numbers[6:])}


@pytest.mark.parametrize("ratio", [0.0, 0.05, 0.5, 0.999])
def test_the_held_out_share_is_the_ratio_asked_for(ratio):
    ids = pa.chunked_array([[doc_id(number) for number in range(20_000)]])
    share = is_held_out(ids, CorpusParameters(validation_ratio=ratio)).mean()
    assert share == pytest.approx(ratio, abs=0.01)


@pytest.mark.parametrize("ratio", [-0.1, 1.0, float("nan")])
def test_a_share_that_leaves_nothing_to_train_on_or_is_no_share_is_refused(ratio):
    with pytest.raises(ValueError, match="validation_ratio"):
        CorpusParameters(validation_ratio=ratio)


def test_a_part_without_documents_publishes_two_empty_tables(inputs_of, make_corpus):
    corpus = make_corpus(inputs_of({}))
    for split in ("train", "validation"):
        assert corpus.read(split, PART, CORPUS).num_rows == 0


def test_the_digest_is_that_of_the_documents_and_not_of_the_run(inputs_of, make_corpus):
    texts = {number: f"text {number}" for number in range(20)}
    first = make_corpus(inputs_of(texts), key="first")
    again = make_corpus(inputs_of(texts), key="again")
    other = make_corpus(inputs_of({**texts, 7: "text 7!"}), key="other")
    resplit = make_corpus(inputs_of(texts), CorpusParameters(seed=1, validation_ratio=0.3), key="resplit")
    assert corpus_digest(first.manifest) == corpus_digest(again.manifest)
    assert len({corpus_digest(corpus.manifest) for corpus in (first, other, resplit)}) == 3


def test_metrics_describe_each_split_and_go_through_json(inputs_of, make_corpus):
    corpus = make_corpus(inputs_of({number: "x" * (number + 1) for number in range(20)}))
    again = Manifest.from_json(corpus.manifest.as_json(), "here")
    metrics = again.parts[0].metrics
    assert metrics["train"]["documents"] + metrics["validation"]["documents"] == 20
    assert metrics["train"]["bytes"] + metrics["validation"]["bytes"] == sum(range(1, 21))


def test_polars_duckdb_and_datasets_open_the_parquet_as_it_is(inputs_of, make_corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    texts = {number: f"Text {number}: é 日本 \U0001f600" for number in range(30)}
    corpus = make_corpus(inputs_of(texts))
    path = corpus.store.full_path(f"{corpus.manifest.address.folder}/train/{PART}.parquet")
    expected = corpus.read("train", PART, CORPUS)
    assert 0 < expected.num_rows < 30

    assert pl.read_parquet(path)["text"].to_list() == expected["text"].to_pylist()
    found = duckdb.sql(f"select text, fetched_at is null from '{path}'").fetchall()
    assert [text for text, _ in found] == expected["text"].to_pylist()
    assert [is_null for _, is_null in found] == [when is None for when in expected["fetched_at"].to_pylist()]
    loaded = datasets.load_dataset("parquet", data_files={"train": path}, cache_dir=str(tmp_path / "hf"), split="train")
    assert loaded.column_names == CORPUS.names
    assert loaded["text"][:] == expected["text"].to_pylist()
