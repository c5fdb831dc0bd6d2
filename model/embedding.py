"""Texts as vectors, by an exported model: the mean of its last hidden states."""

# B batch, T time, D model width

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import torch

from model.decoder import Decoder
from model.devices import choose_device, repeatable
from model.exported import FILES, check_texts, is_export, read_export, text_slices
from model.parameters import DeviceChoice
from storage.digests import file_digest, joined_digest
from storage.wrong_request import WrongRequest

_BATCH_TOKENS = 8192

Tokens = npt.NDArray[np.unsignedinteger]


class NoSuchModel(WrongRequest):
    """The recipe names a folder without a model."""


def embed_texts(
    texts: pa.ChunkedArray, folder: str, *, device: DeviceChoice = "auto", num_threads: int | None = 1
) -> npt.NDArray[np.float32]:
    """The mean of the last hidden states over all tokens of each text, float32 (N, D), in float32 arithmetic.

    Start and end token are among them, so that a text without a byte has one, too. A text longer than the context is
    read in windows that do not overlap. On one machine and device equal texts in equal company get equal bits; in other
    company the last bits may differ, since products of matrices of other sizes sum up in another order.

    Args:
        folder: an export: `config.json`, `model.safetensors`, `tokenizer.json`.

    Raises:
        DamagedModel: the folder is not a whole export.
        TypeError, ValueError: the column is not text, or has nulls.
        NoSuchDevice: `device` is not there.
    """
    check_texts(texts)
    place = choose_device(device)
    exported = read_export(Path(folder))
    decoder = exported.decoder
    num_bytes = pc.binary_length(texts).to_numpy().astype(np.int64)
    vectors = np.empty((len(texts), decoder.config.width), np.float32)
    with repeatable(place, num_threads), torch.no_grad():
        decoder.to(place)
        for start, end in text_slices(num_bytes):
            documents = exported.token_ids(texts.slice(start, end - start).to_pylist())
            vectors[start:end] = _mean_states(decoder, documents)
    return vectors


def export_digest(folder: str) -> str:
    """What identifies an exported model beyond its folder's name.

    Raises:
        NoSuchModel: the folder is not there, or holds no export.
    """
    place = Path(folder)
    if not is_export(place):
        what = "no such folder" if not place.is_dir() else f"not all of {', '.join(FILES)} in it"
        raise NoSuchModel(
            f"embedding {folder}: {what}; expected hashing, the folder of an exported model, or module:function"
        )
    return joined_digest(file_digest(place / name) for name in FILES)


def _mean_states(decoder: Decoder, documents: Sequence[Tokens]) -> npt.NDArray[np.float64]:
    device = decoder.lm_head.weight.device
    sums = np.zeros((len(documents), decoder.config.width))
    for batch in _batches([len(tokens) for tokens in documents], decoder.config.context):
        num_columns = max(end - start for _, start, end in batch)
        ids_BT = torch.zeros(len(batch), num_columns, dtype=torch.int64)  # padding follows the text, which sees none
        is_token_BT = torch.zeros(len(batch), num_columns, dtype=torch.bool)
        for row, (document, start, end) in enumerate(batch):
            ids_BT[row, : end - start] = torch.from_numpy(documents[document][start:end].astype(np.int64))
            is_token_BT[row, : end - start] = True
        states_BTD = decoder.model(ids_BT.to(device)).double()
        states_BD = (states_BTD * is_token_BT.to(device)[:, :, None]).sum(dim=1)
        np.add.at(sums, [document for document, _, _ in batch], states_BD.cpu().numpy())
    means: npt.NDArray[np.float64] = sums / np.array([len(tokens) for tokens in documents]).reshape(-1, 1)
    return means


def _batches(lengths: Sequence[int], context: int) -> Iterator[list[tuple[int, int, int]]]:
    """Windows (document, start, end) of about equal length together, the longest first."""
    windows = [
        (document, start, min(start + context, length))
        for document, length in enumerate(lengths)
        for start in range(0, length, context)
    ]
    windows.sort(key=lambda window: (window[1] - window[2], window[0], window[1]))
    first = 0
    while first < len(windows):
        _, start, end = windows[first]
        size = max(1, _BATCH_TOKENS // (end - start))
        yield windows[first : first + size]
        first += size
