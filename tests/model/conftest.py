"""A toy tokenizer (a byte, an id), documents of made-up prose, and the stages that a model is trained from."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch
from published_stages import corpus_row, publish_stage, publish_tables

from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import CORPUS, document_id
from storage.store import Store
from storage.token_shards import TokenizerIdentity, write_token_shard

WORDS = ("the", "mill", "turns", "by", "day", "and", "night", "it", "takes", "grain", "that", "comes", "in", "sacks")
IDENTITY = TokenizerIdentity(digest="70" * 32, vocab_size=260, unk_id=0, bos_id=1, eos_id=2, pad_id=3)


@dataclass(frozen=True)
class ToyTokenizer:
    """Ids 0 to 3 are special, byte b is 4 + b."""

    identity: TokenizerIdentity

    def encode(self, text: str) -> list[int]:
        return [4 + byte for byte in text.encode()]

    def decode(self, ids: Sequence[int]) -> str:
        return bytes(each - 4 for each in ids if each >= 4).decode(errors="replace")

    def document(self, text: str) -> list[int]:
        return [self.identity.bos_id, *self.encode(text), self.identity.eos_id]


@dataclass(frozen=True)
class Mill:
    """A store, and what publishes stages in it as the flows do."""

    store: Store
    tokenizer: ToyTokenizer

    def run(
        self,
        stage: str,
        work: Callable[..., PartResult],
        inputs: Mapping[str, PublishedStage],
        *args: Any,
        **kwargs: Any,
    ) -> PublishedStage:
        """One part named `all`, committed."""
        return publish_stage(
            self.store, stage, [Part(name="all")], lambda part, output: work(part, inputs, output, *args, **kwargs)
        )

    def tokens(self, train: Sequence[Sequence[str]], validation: Sequence[str]) -> PublishedStage:
        """The stage tokens: each list of training texts is a shard."""
        splits = [("train", texts) for texts in train] + [("validation", validation)]
        shards = {f"{split}-{number:05d}": (split, texts) for number, (split, texts) in enumerate(splits)}

        def write(part: Part, output: PartWriter) -> PartResult:
            split, texts = shards[part.name]
            with output.file(split, f"{part.name}.arrow", rows=len(texts)) as path:
                write_token_shard(self.encoded(texts), path, self.tokenizer.identity)
            return PartResult(account=Account(documents_in=len(texts), documents_out=len(texts)))

        return publish_stage(self.store, "tokens", [Part(name=name) for name in shards], write)

    def encoded(self, texts: Sequence[str]) -> pa.Table:
        columns = [
            [doc_id(text) for text in texts],
            [len(text.encode()) for text in texts],
            [self.tokenizer.document(text) for text in texts],
        ]
        schema = self.tokenizer.identity.schema()
        return pa.Table.from_arrays(
            [pa.array(column, field.type) for column, field in zip(columns, schema, strict=True)], schema=schema
        )

    def corpus(self, *parts: Sequence[str]) -> PublishedStage:
        """The stage corpus, with validation documents only, in some parts."""
        tables = {}
        for number, texts in enumerate(parts):
            rows = [corpus_row(doc_id=doc_id(text), text=text) for text in texts]
            tables[f"part-{number:05d}"] = {"validation": (pa.Table.from_pylist(rows, CORPUS), CORPUS)}
        return publish_tables(self.store, "corpus", tables)


def doc_id(text: str) -> str:
    return document_id(text, 0)


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors gain nothing from a second thread, and on a busy machine lose much by waiting for it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def mill(tmp_path: Path) -> Mill:
    return Mill(store=Store(str(tmp_path / "store")), tokenizer=ToyTokenizer(IDENTITY))


@pytest.fixture(scope="session")
def prose() -> Callable[[int, int], list[str]]:
    """`prose(count, seed)`: so many documents, different ones for different seeds."""

    def write(count: int, seed: int = 0) -> list[str]:
        draw = random.Random(seed)
        return [
            f"{number} {seed} " + " ".join(draw.choice(WORDS) for _ in range(draw.randint(20, 60)))
            for number in range(count)
        ]

    return write
