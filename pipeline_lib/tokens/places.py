"""Where a token of the stream that a model reads is, and where in it a document is.

The stream of a split is the tokens of its shards in the order of the manifest, `<s>` and `</s>` of each document
among them: what training reads from front to back, cut into rows (`model.batches`).
"""

import bisect
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.tokens.shuffle import shuffle_hashes
from storage.manifests import FileRecord, PublishedStage
from storage.token_shards import TokenizerIdentity, open_token_shard
from storage.wrong_request import WrongRequest

Ids = npt.NDArray[np.unsignedinteger]
_SHARDS = {"train": "num_shards", "validation": "num_validation_shards"}


class NoSuchToken(WrongRequest):
    """A position beyond the end of the stream."""


@dataclass(frozen=True, kw_only=True)
class DocumentTokens:
    """A document among the tokens of a split.

    Attributes:
        shard: path of the shard in its store.
        row: of the shard.
        first: position of the document's first token in the stream.
        ids: of all its tokens, from `<s>` to `</s>`.
    """

    doc_id: str
    split: str
    shard: str
    row: int
    first: int
    ids: Ids

    def as_json(self) -> dict[str, Any]:
        """Where the document is; its ids are not part of that."""
        return {
            "split": self.split,
            "shard": self.shard,
            "row": self.row,
            "first_token": self.first,
            "num_tokens": len(self.ids),
        }


class TokenPlaces:
    """The tokens of one split of a stage `tokens`. Shards are mapped when they are needed, and stay so.

    Args:
        tokenizer: what the shards must have been made with; None: whatever they were.
    """

    def __init__(self, tokens: PublishedStage, split: str, tokenizer: TokenizerIdentity | None = None) -> None:
        self.split = split
        self._tokens = tokens
        self._tokenizer = tokenizer
        self._records: list[FileRecord] = tokens.manifest.files(split)
        metrics = {part.name: part.metrics for part in tokens.manifest.parts}
        lengths = [int(metrics[record.part]["tokens"]) for record in self._records]
        self._starts: list[int] = [0, *itertools.accumulate(lengths)]
        self._opened: dict[int, pa.Table] = {}

    @property
    def num_tokens(self) -> int:
        return self._starts[-1]

    def at(self, token: int) -> tuple[DocumentTokens, int]:
        """The document that a token of the stream belongs to, and its position there.

        Raises:
            NoSuchToken: the stream is shorter.
            TokenizerMismatch: the shard was made with another tokenizer.
        """
        if not 0 <= token < self.num_tokens:
            last = f"0 to {self.num_tokens - 1:,}" if self.num_tokens else "none"
            raise NoSuchToken(
                f"token {token:,} of the split {self.split}: it has {self.num_tokens:,} tokens ({last}), in "
                f"{len(self._records)} shards"
            )
        shard = bisect.bisect_right(self._starts, token) - 1
        row, position = divmod_rows(self._bounds(shard), token - self._starts[shard])
        return self._document(shard, row), position

    def between(self, start: int, stop: int) -> Iterator[tuple[DocumentTokens, int, int]]:
        """The documents of the tokens [start, stop) in order, each with the first and the end of its tokens there."""
        while start < stop:
            document, position = self.at(start)
            end = min(len(document.ids), position + stop - start)
            yield document, position, end
            start += end - position

    def of_document(self, doc_id: str) -> DocumentTokens | None:
        """The tokens of a document; None: it has none in this split.

        No shard is searched: a document's place in the order follows from its id.
        """
        parameters = self._tokens.manifest.parameters
        seed, num_shards = int(parameters["seed"]), int(parameters[_SHARDS[self.split]])

        def place(each: pa.Array | pa.ChunkedArray) -> tuple[int, str]:
            return int(shuffle_hashes(each, seed)[0]), each[0].as_py()

        wanted = place(pa.array([doc_id], pa.string()))
        shard = wanted[0] * num_shards >> 64  # equal ranges of hashes, as `shuffle.shard_bounds` cuts them
        ids = self._shard(shard)["doc_id"]
        row = bisect.bisect_left(range(len(ids)), wanted, key=lambda row: place(ids.slice(row, 1)))
        return self._document(shard, row) if row < len(ids) and ids[row].as_py() == doc_id else None

    def _document(self, shard: int, row: int) -> DocumentTokens:
        table = self._shard(shard)
        first, end = self._bounds(shard)[row : row + 2]
        return DocumentTokens(
            doc_id=table["doc_id"][row].as_py(),
            split=self.split,
            shard=f"{self._tokens.manifest.address.folder}/{self._records[shard].path}",
            row=row,
            first=self._starts[shard] + int(first),
            ids=self._values(shard)[first:end],
        )

    def _shard(self, shard: int) -> pa.Table:
        if shard not in self._opened:
            record = self._records[shard]
            with self._tokens.local_file(self.split, record.part) as path:
                # a mapped file stays readable when a remote store's copy of it is removed
                self._opened[shard] = open_token_shard(path, self._tokenizer)
        return self._opened[shard]

    def _bounds(self, shard: int) -> npt.NDArray[np.int64]:
        """Where the documents of a shard begin among its tokens, and where the last ends."""
        (lists,) = self._shard(shard)["tokens"].chunks
        bounds: npt.NDArray[np.int64] = lists.offsets.to_numpy()
        return bounds

    def _values(self, shard: int) -> Ids:
        (lists,) = self._shard(shard)["tokens"].chunks
        values: Ids = lists.values.to_numpy(zero_copy_only=True)
        return values


def divmod_rows(bounds: npt.NDArray[np.int64], token: int) -> tuple[int, int]:
    """The row that holds a token, and the token's position in it: as `divmod`, where rows have lengths of their own."""
    row = int(np.searchsorted(bounds, token, side="right")) - 1
    return row, token - int(bounds[row])
