"""Token shards as training batches: one long sequence, cut into rows, shuffled without a shuffle buffer.

Which rows a step gets follows from the step's number and the seed alone: nothing else is kept, so a run continues
with exactly the batch it would have had, and any number of workers could share a batch without a word.
"""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from storage.tables import DamagedFile
from storage.token_shards import TokenizerIdentity, open_token_shard

_FEISTEL_ROUNDS = 6


class TooFewTokens(ValueError):
    """Token shards that do not fill what they are needed for."""


class TokenStream:
    """The tokens of several shards, one after the other; memory-mapped, never copied as a whole."""

    def __init__(self, tokenizer: TokenizerIdentity, pieces: Sequence[npt.NDArray[np.unsignedinteger]]) -> None:
        self.tokenizer = tokenizer
        self._pieces = [piece for piece in pieces if len(piece)]
        self._starts = np.cumsum([0, *(len(piece) for piece in self._pieces)])
        self.num_tokens = int(self._starts[-1])

    @classmethod
    def open(cls, paths: Sequence[Path]) -> Self:
        """Map the shards, in the given order; the files may be unlinked afterwards.

        Raises:
            TokenizerMismatch: two of them were made with different tokenizers.
            DamagedFile: one is no token shard, or has an id beyond its vocabulary.
            TooFewTokens: there is no shard.
        """
        if not paths:
            raise TooFewTokens("no token shards to read; does the corpus have documents in this split?")
        tokenizer: TokenizerIdentity | None = None
        pieces = []
        for path in paths:
            shard = open_token_shard(path, tokenizer)
            tokenizer = TokenizerIdentity.from_schema(shard.schema, str(path))
            for tokens in token_values(shard):
                if len(tokens) and int(tokens.max()) >= tokenizer.vocab_size:
                    raise DamagedFile(f"{path}: token id {int(tokens.max())} of {tokenizer.vocab_size}; tokenize again")
                pieces.append(tokens)
        assert tokenizer is not None
        return cls(tokenizer, pieces)

    def read(self, start: int, target: npt.NDArray[np.int64]) -> None:
        """Fill `target` with the tokens from `start` on."""
        filled = 0
        piece = int(np.searchsorted(self._starts, start, side="right")) - 1
        while filled < len(target):
            offset = start + filled - int(self._starts[piece])
            tokens = self._pieces[piece][offset : offset + len(target) - filled]
            target[filled : filled + len(tokens)] = tokens
            filled += len(tokens)
            piece += 1


def token_values(shard: pa.Table) -> list[npt.NDArray[np.unsignedinteger]]:
    """The tokens of all documents of a shard as flat arrays, one a record batch: views into the mapped file."""
    return [chunk.flatten().to_numpy(zero_copy_only=True) for chunk in shard["tokens"].chunks]


class Rows:
    """A stream cut into rows of `context` tokens and the one after: row r starts at token r · context.

    Documents run on across rows, marked by their own first and last token; what does not fill a row at the end is left
    out. Attention across documents is not masked: at this size it changes little
    (nanochat measured 0.0002 bits a byte).
    """

    def __init__(self, stream: TokenStream, context: int, purpose: str) -> None:
        self.stream = stream
        self.context = context
        self.num_rows = num_rows(stream.num_tokens, context)
        if self.num_rows == 0:
            raise TooFewTokens(
                f"{purpose} needs at least context + 1 = {context + 1} tokens, the shards have {stream.num_tokens}; "
                "take more documents or a shorter context"
            )

    @property
    def num_tokens(self) -> int:
        """Tokens that are in some row."""
        return self.num_rows * self.context + 1

    def read(self, rows: npt.NDArray[np.int64], target_BT: npt.NDArray[np.int64]) -> None:
        for place, row in enumerate(rows.tolist()):
            self.stream.read(row * self.context, target_BT[place])


class Batches:
    """Batches of shuffled rows, by step. Each epoch has its own order; a batch may end one and begin the next."""

    def __init__(self, rows: Rows, *, rows_per_batch: int, seed: int) -> None:
        self._rows = rows
        self._rows_per_batch = rows_per_batch
        self._seed = seed
        self._buffer_BT = torch.empty(rows_per_batch, rows.context + 1, dtype=torch.int64)

    def row_numbers(self, step: int) -> npt.NDArray[np.int64]:
        return rows_of_step(step, rows_per_batch=self._rows_per_batch, num_rows=self._rows.num_rows, seed=self._seed)

    def read(self, step: int) -> Tensor:
        """Ids of shape (rows_per_batch, context + 1), int64; the next call overwrites them."""
        self._rows.read(self.row_numbers(step), self._buffer_BT.numpy())
        return self._buffer_BT


def num_rows(num_tokens: int, context: int) -> int:
    """Rows of `context` tokens and the one after that a stream fills."""
    return max(0, num_tokens - 1) // context


def rows_of_step(step: int, *, rows_per_batch: int, num_rows: int, seed: int) -> npt.NDArray[np.int64]:
    """The rows of the batch of a step, which counts from 0."""
    first = step * rows_per_batch
    places = np.arange(first, first + rows_per_batch)
    epochs, places = np.divmod(places, num_rows)
    rows = np.empty_like(places)
    for epoch in np.unique(epochs).tolist():
        chosen = epochs == epoch
        rows[chosen] = permute(places[chosen], num_rows, f"{seed}/{epoch}")
    return rows


def permute(places: npt.NDArray[np.int64], size: int, key: str) -> npt.NDArray[np.int64]:
    """A pseudo-random permutation of range(size), evaluated at some places: no table, no state.

    A Feistel network (Luby & Rackoff 1988) over the next even number of bits; what falls outside the range walks on
    through the network until it is inside (Black & Rogaway 2002), at most four rounds on average.
    """
    half_bits = max(1, (int(size - 1).bit_length() + 1) // 2)
    mask = np.uint64((1 << half_bits) - 1)
    keys = [_round_key(key, number) for number in range(_FEISTEL_ROUNDS)]
    values = places.astype(np.uint64)
    outside = np.ones(len(values), bool)
    while outside.any():
        left, right = values[outside] >> np.uint64(half_bits), values[outside] & mask
        for round_key in keys:
            left, right = right, (left ^ _mix(right + round_key)) & mask
        values[outside] = (left << np.uint64(half_bits)) | right
        outside = values >= np.uint64(size)
    return values.astype(np.int64)


def _round_key(key: str, number: int) -> np.uint64:
    return np.uint64(int.from_bytes(hashlib.blake2b(f"{key}/{number}".encode(), digest_size=8).digest(), "little"))


def _mix(values: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    """Finalizer of SplitMix64 in short: every bit of the input sways the low bits."""
    values = values * np.uint64(0x9E3779B97F4A7C15)
    values ^= values >> np.uint64(29)
    values *= np.uint64(0xBF58476D1CE4E5B9)
    return values ^ (values >> np.uint64(32))
