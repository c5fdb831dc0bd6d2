"""A small tokenizer, and the stages before tokens published by hand."""

import functools
from collections.abc import Callable, Mapping

import pytest
from published_stages import Row, corpus_row, publish_splits, publish_stage

from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.store import Store

Publish = Callable[..., PublishedStage]


@pytest.fixture(scope="session")
def model() -> bytes:
    texts = [f"the cat number {number} sat on a mat\n\twhile it rained in {number * 7}" for number in range(300)]
    return train_model(texts, TokenizerParameters(vocab_size=330))


@pytest.fixture
def publish(tmp_path) -> Publish:
    """Do a stage's work on its parts, commit them, and give the published stage."""
    return functools.partial(publish_stage, Store(str(tmp_path / "store")))


@pytest.fixture
def publish_corpus(tmp_path) -> Publish:
    """Publish `(train, validation)` for each part; each is {doc_id: text}."""

    def run(*parts: tuple[Mapping[str, str], Mapping[str, str]], key: str = "by-hand") -> PublishedStage:
        def rows(texts: Mapping[str, str]) -> list[Row]:
            return [corpus_row(doc_id=doc_id, text=text) for doc_id, text in texts.items()]

        splits = [(rows(train), rows(validation)) for train, validation in parts]
        return publish_splits(Store(str(tmp_path / "store")), splits, key)

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
