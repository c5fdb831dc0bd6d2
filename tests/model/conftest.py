"""A toy tokenizer (a byte, an id), documents of made-up prose, and the stages that a model is trained from."""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import torch

from storage.accounts import Account, add_accounts
from storage.manifests import (
    Manifest,
    Part,
    PartResult,
    PartWriter,
    PublishedStage,
    StageAddress,
    publish_manifest,
)
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

    def writer(self, stage: str, part: str = "all") -> PartWriter:
        return PartWriter(store=self.store, address=StageAddress(stage=stage, key="k"), part=part)

    def publish(self, *done: tuple[PartWriter, PartResult]) -> PublishedStage:
        parts = tuple(writer.commit(result.account, result.metrics) for writer, result in done)
        address = done[0][0].address
        manifest = Manifest(
            stage=address.stage,
            key=address.key,
            parameters={},
            code_digest="",
            libraries={},
            inputs={},
            parts=parts,
            account=add_accounts(part.account for part in parts),
            metrics={},
            environment={},
            seconds=0.0,
        )
        publish_manifest(self.store, manifest)
        return PublishedStage(store=self.store, manifest=manifest)

    def run(
        self,
        stage: str,
        work: Callable[..., PartResult],
        inputs: Mapping[str, PublishedStage],
        *args: Any,
        **kwargs: Any,
    ) -> PublishedStage:
        """One part named `all`, committed."""
        writer = self.writer(stage)
        return self.publish((writer, work(Part(name="all"), inputs, writer, *args, **kwargs)))

    def tokens(self, train: Sequence[Sequence[str]], validation: Sequence[str]) -> PublishedStage:
        """The stage tokens: each list of training texts is a shard."""
        splits = [("train", texts) for texts in train] + [("validation", validation)]
        done = []
        for number, (split, texts) in enumerate(splits):
            writer = self.writer("tokens", f"{split}-{number:05d}")
            with writer.file(split, f"shard-{number:05d}.arrow", rows=len(texts)) as path:
                write_token_shard(self.encoded(texts), path, self.tokenizer.identity)
            account = Account(documents_in=len(texts), documents_out=len(texts))
            done.append((writer, PartResult(account=account)))
        return self.publish(*done)

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
        done = []
        for number, texts in enumerate(parts):
            rows = [{"doc_id": doc_id(text), "text": text} for text in texts]
            blank = {name: _blank(CORPUS.field(name).type) for name in CORPUS.names}
            writer = self.writer("corpus", f"part-{number:05d}")
            writer.table("validation", pa.Table.from_pylist([{**blank, **row} for row in rows], CORPUS), CORPUS)
            account = Account(documents_in=len(texts), documents_out=len(texts))
            done.append((writer, PartResult(account=account)))
        return self.publish(*done)


def doc_id(text: str) -> str:
    return document_id(text, 0)


def _blank(kind: pa.DataType) -> Any:
    if pa.types.is_timestamp(kind):
        return None
    return "" if pa.types.is_string(kind) or pa.types.is_large_string(kind) else 0


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
