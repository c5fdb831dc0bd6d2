"""A small tokenizer, and corpora published by hand."""

import random
from collections.abc import Callable, Mapping

import pyarrow as pa
import pytest

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from storage.accounts import Account, add_accounts
from storage.manifests import Manifest, PartWriter, PublishedStage, StageAddress
from storage.schemas import CORPUS, document_id
from storage.store import Store

SMALL = TokenizerParameters(vocab_size=500, sample_bytes=1 << 20)


def babble(seed: int, num_words: int) -> str:
    """Words of a made-up language, with indents, tables, numbers, a few scripts; the same for the same seed."""
    rng = random.Random(seed)
    syllables = ["ka", "to", "mi", "ner", "sta", "lo", "ing", "the", "re", "é", "日本", "ре"]
    words = []
    for _ in range(num_words):
        word = "".join(rng.choices(syllables, k=rng.randint(1, 3)))
        words.append(rng.choice([word, word, word, word, str(rng.randint(0, 999)), f"{word}.\n", f"\n    {word}\t"]))
    return " ".join(words)


@pytest.fixture(scope="session")
def model() -> bytes:
    return train_model([babble(seed, 400) for seed in range(20)], SMALL)


@pytest.fixture(scope="session")
def tokenizer(model) -> Tokenizer:
    return Tokenizer(model)


def corpus_table(texts: Mapping[int, str]) -> pa.Table:
    """CORPUS of {number: text}; even numbers are German, and every third stands on another host."""
    rows = [
        {
            "doc_id": document_id("crawl-data/test.warc.gz", number),
            "url": f"https://site{number % 3}.example/{number}",
            "host": f"site{number % 3}.example",
            "fetched_at": None,
            "warc_path": "crawl-data/test.warc.gz",
            "warc_offset": number,
            "warc_length": 10,
            "mime": "text/html",
            "charset": "utf-8",
            "language": "en" if number % 2 else "de",
            "language_score": 1.0,
            "title": "",
            "text": text,
            "cluster_id": document_id("crawl-data/test.warc.gz", number),
            "num_edits": 0,
        }
        for number, text in texts.items()
    ]
    return pa.Table.from_pylist(rows, schema=CORPUS)


PublishCorpus = Callable[..., PublishedStage]


@pytest.fixture
def publish_corpus(tmp_path) -> PublishCorpus:
    """Publish `(train texts, validation texts)` for each part as a corpus stage; texts are {number: text}."""
    store = Store(str(tmp_path / "store"))

    def publish(*parts: tuple[Mapping[int, str], Mapping[int, str]], key: str = "by-hand") -> PublishedStage:
        records = []
        for number, (train, validation) in enumerate(parts):
            address = StageAddress(stage="corpus", key=key)
            writer = PartWriter(store=store, address=address, part=f"part-{number:05d}")
            writer.table("train", corpus_table(train), CORPUS)
            writer.table("validation", corpus_table(validation), CORPUS)
            num_documents = len(train) + len(validation)
            records.append(writer.commit(Account(documents_in=num_documents, documents_out=num_documents), {}))
        return PublishedStage(
            store=store,
            manifest=Manifest(
                stage="corpus",
                key=key,
                parameters={},
                code_digest="",
                libraries={},
                inputs={},
                parts=tuple(records),
                account=add_accounts(record.account for record in records),
                metrics={},
                environment={},
                seconds=0.0,
            ),
        )

    return publish
