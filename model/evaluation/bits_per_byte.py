"""Bits per byte of held-out documents: what the model would need to write them down, comparable across tokenizers."""

# B batch, T time

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from model.decoder import Decoder
from model.devices import autocast

_BATCH_TOKENS = 8192
_RESAMPLES = 1000
_SCORED_NOT = -100

Tokens = npt.NDArray[np.unsignedinteger]
Nats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Window:
    """A piece of a document that goes through the model at once: inputs are its tokens from `start` to before `end`,
    targets those one further on. Only targets from `first_scored` on count: the ones before had theirs in the window
    before, and are here for their context."""

    document: int
    start: int
    end: int
    first_scored: int


def windows(lengths: Sequence[int], context: int) -> list[Window]:
    """Windows over documents of so many tokens, in which every token but a document's first is scored exactly once.

    A document longer than the context is read in windows that overlap by half, so that a token is scored with at least
    half a context before it; the last window is moved back to the document's end, to look back as far as it can.
    """
    stride = max(1, context // 2)
    found = []
    for document, length in enumerate(lengths):
        last = length - 1  # inputs are tokens 0 to last - 1, targets 1 to last
        scored = 1
        while scored <= last:
            end = min(last, max(context, scored - 1 + stride))
            found.append(Window(document=document, start=max(0, end - context), end=end, first_scored=scored))
            scored = end + 1
    return found


def document_nats(decoder: Decoder, documents: Sequence[Tokens], *, dtype: torch.dtype) -> Nats:
    """Loss of each document in nats, shape (documents,): of every token but its first, which is given.

    Documents are scored on their own: none sees another. Where they end with an end-of-text token, its prediction is
    part of the loss: a text is not written down before its end is.
    """
    device = decoder.lm_head.weight.device
    nats = np.zeros(len(documents), np.float64)
    planned = windows([len(tokens) for tokens in documents], decoder.config.context)
    for batch in _batches(planned):
        num_columns = batch[0].end - batch[0].start  # the longest comes first
        # padding stands after the text, where no token of the text can see it
        ids_BT = torch.zeros(len(batch), num_columns, dtype=torch.int64)
        targets_BT = torch.full((len(batch), num_columns), _SCORED_NOT)
        for row, window in enumerate(batch):
            tokens = torch.from_numpy(documents[window.document][window.start : window.end + 1].astype(np.int64))
            ids_BT[row, : len(tokens) - 1] = tokens[:-1]
            skipped = window.first_scored - 1 - window.start
            targets_BT[row, skipped : len(tokens) - 1] = tokens[1 + skipped :]
        with autocast(device, dtype):
            losses_BT = decoder.token_losses(ids_BT.to(device), targets_BT.to(device))
        np.add.at(nats, [window.document for window in batch], losses_BT.double().sum(dim=1).cpu().numpy())
    return nats


def _batches(planned: list[Window]) -> Iterator[list[Window]]:
    """Windows of about equal length together, the longest first; each batch within _BATCH_TOKENS after padding."""
    planned = sorted(planned, key=lambda window: (window.start - window.end, window.document, window.start))
    start = 0
    while start < len(planned):
        longest = planned[start].end - planned[start].start
        size = max(1, _BATCH_TOKENS // longest)
        yield planned[start : start + size]
        start += size


def bits_per_byte(nats: Nats, num_bytes: npt.NDArray[np.int64]) -> float:
    """Bits that the model needs for a byte of text: all documents' loss over all their UTF-8 bytes.

    Source: Gao et al. 2020 (The Pile), arXiv:2101.00027.

    Raises:
        ValueError: the documents have no text at all.
    """
    if int(num_bytes.sum()) == 0:
        raise ValueError(f"{len(num_bytes)} documents without a byte of text have no bits per byte")
    return float(nats.sum() / num_bytes.sum() / math.log(2))


def confidence_interval(nats: Nats, num_bytes: npt.NDArray[np.int64], seed: int) -> tuple[float, float]:
    """Where bits per byte lie in 95 of 100 cases if other documents of the same kind are drawn.

    Percentile bootstrap over documents (Efron 1979): text within a document hangs together, documents do not.
    """
    generator = np.random.default_rng(seed)
    estimates = np.empty(_RESAMPLES)
    for number in range(_RESAMPLES):
        drawn = generator.integers(0, len(nats), len(nats))
        # the byte in the rare draw of empty documents only keeps the ratio a number
        estimates[number] = nats[drawn].sum() / max(1, num_bytes[drawn].sum()) / math.log(2)
    low, high = np.quantile(estimates, [0.025, 0.975])
    return float(low), float(high)
