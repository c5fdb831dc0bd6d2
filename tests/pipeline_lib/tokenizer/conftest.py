"""A small tokenizer, and corpora published by hand."""

import random
from collections.abc import Callable, Mapping

import pytest
from published_stages import Row, corpus_row, publish_splits

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokenizer.parameters import TokenizerParameters
from pipeline_lib.tokenizer.training import train_model
from storage.manifests import PublishedStage
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


def corpus_rows(texts: Mapping[int, str]) -> list[Row]:
    """CORPUS of {number: text}; even numbers are German, and every third stands on another host."""
    return [
        corpus_row(number, host=f"site{number % 3}.example", language="en" if number % 2 else "de", text=text)
        for number, text in texts.items()
    ]


PublishCorpus = Callable[..., PublishedStage]


@pytest.fixture
def publish_corpus(tmp_path) -> PublishCorpus:
    """Publish `(train texts, validation texts)` for each part as a corpus stage; texts are {number: text}."""
    store = Store(str(tmp_path / "store"))

    def publish(*parts: tuple[Mapping[int, str], Mapping[int, str]], key: str = "by-hand") -> PublishedStage:
        splits = [(corpus_rows(train), corpus_rows(validation)) for train, validation in parts]
        return publish_splits(store, splits, key)

    return publish
