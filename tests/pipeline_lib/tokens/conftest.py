"""A small tokenizer, and the stages before tokens published by hand."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import pyarrow as pa
import pytest

from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from storage.accounts import Account, add_accounts
from storage.manifests import Manifest, Part, PartResult, PartWriter, PublishedStage, StageAddress
from storage.schemas import CORPUS
from storage.store import Store

Work = Callable[[Part, PartWriter], PartResult]
Publish = Callable[..., PublishedStage]

EMPTY = Manifest(
    stage="",
    key="",
    parameters={},
    code_digest="",
    libraries={},
    inputs={},
    parts=(),
    account=Account(documents_in=0, documents_out=0),
    metrics={},
    environment={},
    seconds=0.0,
)


@pytest.fixture(scope="session")
def model() -> bytes:
    texts = [f"the cat number {number} sat on a mat\n\twhile it rained in {number * 7}" for number in range(300)]
    return train_model(texts, TokenizerParameters(vocab_size=330))


@pytest.fixture
def publish(tmp_path) -> Publish:
    """Do a stage's work on its parts, commit them, and give the published stage."""
    store = Store(str(tmp_path / "store"))

    def run(stage: str, parts: Sequence[Part], work: Work, key: str = "by-hand") -> PublishedStage:
        records = []
        for part in parts:
            writer = PartWriter(store=store, address=StageAddress(stage=stage, key=key), part=part.name)
            result = work(part, writer)
            records.append(writer.commit(result.account, result.metrics))
        account = add_accounts(record.account for record in records)
        manifest = dataclasses.replace(EMPTY, stage=stage, key=key, parts=tuple(records), account=account)
        return PublishedStage(store=store, manifest=manifest)

    return run


def corpus_table(texts: Mapping[str, str]) -> pa.Table:
    """CORPUS of {doc_id: text}."""
    rows = [
        {
            "doc_id": doc_id,
            "url": "https://site.example/",
            "host": "site.example",
            "fetched_at": None,
            "warc_path": "crawl-data/test.warc.gz",
            "warc_offset": 0,
            "warc_length": 10,
            "mime": "text/html",
            "charset": "utf-8",
            "language": "en",
            "language_score": 1.0,
            "title": "",
            "text": text,
            "cluster_id": doc_id,
            "num_edits": 0,
        }
        for doc_id, text in texts.items()
    ]
    return pa.Table.from_pylist(rows, schema=CORPUS)


@pytest.fixture
def publish_corpus(publish) -> Publish:
    """Publish `(train, validation)` for each part; each is {doc_id: text}."""

    def run(*parts: tuple[Mapping[str, str], Mapping[str, str]], key: str = "by-hand") -> PublishedStage:
        names = [f"part-{number:05d}" for number in range(len(parts))]

        def work(part: Part, output: PartWriter) -> PartResult:
            train, validation = parts[names.index(part.name)]
            output.table("train", corpus_table(train), CORPUS)
            output.table("validation", corpus_table(validation), CORPUS)
            number = len(train) + len(validation)
            return PartResult(account=Account(documents_in=number, documents_out=number))

        return run_parts(names, work, key)

    def run_parts(names: Sequence[str], work: Work, key: str) -> PublishedStage:
        return publish("corpus", [Part(name=name) for name in names], work, key)

    return run


@pytest.fixture
def publish_tokenizer(publish) -> Publish:
    """Publish a model as the tokenizer stage does."""

    def run(model: bytes, key: str = "by-hand") -> PublishedStage:
        def work(part: Part, output: PartWriter) -> PartResult:
            with output.file("model", "tokenizer.model") as path:
                path.write_bytes(model)
            return PartResult(account=Account(documents_in=0, documents_out=0))

        return publish("tokenizer", [Part(name="all")], work, key)

    return run
