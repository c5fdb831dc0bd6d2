"""What texts cost under an exported model: bits per byte of each, with our own decoder and the export's tokenizer."""

import math
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from model.devices import choose_device, choose_precision, repeatable
from model.evaluation.bits_per_byte import document_nats
from model.exported import check_texts, read_export, text_slices
from model.parameters import DeviceChoice, PrecisionChoice


def score_texts(
    folder: str,
    texts: pa.ChunkedArray,
    *,
    device: DeviceChoice = "auto",
    precision: PrecisionChoice = "auto",
    num_threads: int | None = None,
) -> npt.NDArray[np.float64]:
    """Bits per byte of each text, float64 (N,); NaN for a text without a byte.

    As `evaluate` scores a document: the start token is given, the end token's prediction is part of the cost, and a
    text longer than the context is read in windows that overlap by half. Text that spells a special token is text.

    Args:
        folder: an export: `config.json`, `model.safetensors`, `tokenizer.json`.
        texts: string or large_string, without nulls.
        device, precision, num_threads: as in training; equal ones give equal bits for equal texts.

    Raises:
        DamagedModel: the folder is not a whole export.
        TypeError, ValueError: the column is not text, or has nulls.
        NoSuchDevice: `device` is not there.
    """
    check_texts(texts)
    place = choose_device(device)
    dtype = choose_precision(precision, place)
    exported = read_export(Path(folder))
    num_bytes = pc.binary_length(texts).to_numpy().astype(np.int64)
    nats = np.zeros(len(texts), np.float64)
    with repeatable(place, num_threads):
        exported.decoder.to(place)
        for start, end in text_slices(num_bytes):
            documents = exported.token_ids(texts.slice(start, end - start).to_pylist())
            nats[start:end] = document_nats(exported.decoder, documents, dtype=dtype)
    bits: npt.NDArray[np.float64] = np.divide(
        nats, num_bytes * math.log(2), out=np.full(len(texts), np.nan), where=num_bytes > 0
    )
    return bits
