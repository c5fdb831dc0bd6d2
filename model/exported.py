"""Reading an exported model, and texts into it: our own decoder, and the export's tokenizer."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from tokenizers import Tokenizer

from model.decoder import Decoder
from model.export.huggingface import read_exported
from model.model_files import DamagedModel, read_json

FILES = ("config.json", "model.safetensors", "tokenizer.json")

_BYTES_AT_ONCE = 8 << 20  # of text, tokenized and read together


def is_export(folder: Path) -> bool:
    """Whether a folder has the files that are read."""
    return all((folder / name).is_file() for name in FILES)


class ExportedModel:
    """A decoder with its tokenizer."""

    def __init__(self, decoder: Decoder, tokenizer: Tokenizer, bos_id: int, eos_id: int) -> None:
        self.decoder = decoder
        self._tokenizer = tokenizer
        self._bos_id, self._eos_id = bos_id, eos_id

    def token_ids(self, texts: list[str]) -> list[npt.NDArray[np.uint32]]:
        """Each text as training saw documents: start token, text, end token."""
        encodings = self._tokenizer.encode_batch_fast(texts, add_special_tokens=False)
        return [np.array([self._bos_id, *encoding.ids, self._eos_id], np.uint32) for encoding in encodings]


def read_export(folder: Path) -> ExportedModel:
    """Raises DamagedModel where the folder is not a whole export."""
    missing = [name for name in FILES if not (folder / name).is_file()]
    if missing:
        raise DamagedModel(f"{folder}: no {', '.join(missing)} in it; expected the folder of an exported model")
    decoder = read_exported(folder)
    config = read_json(folder / "config.json")
    ids = {name: config.get(name) for name in ("bos_token_id", "eos_token_id")}
    vocab_size = decoder.config.vocab_size
    for name, value in ids.items():
        if type(value) is not int or not 0 <= value < vocab_size:
            raise DamagedModel(f"{folder / 'config.json'}: {name} is {value!r}, expected an id below {vocab_size}")
    path = folder / "tokenizer.json"
    try:
        tokenizer = Tokenizer.from_buffer(path.read_bytes())
    except ValueError as error:
        raise DamagedModel(f"{path}: no tokenizer: {error}") from error
    largest = max(tokenizer.get_vocab(with_added_tokens=True).values(), default=-1)
    if largest >= vocab_size:
        raise DamagedModel(f"{path}: has id {largest}, the model knows ids below {vocab_size}")
    tokenizer.no_truncation()
    tokenizer.no_padding()
    tokenizer.encode_special_tokens = True
    return ExportedModel(decoder, tokenizer, ids["bos_token_id"], ids["eos_token_id"])


def check_texts(texts: pa.ChunkedArray) -> None:
    """Raises TypeError, or ValueError, where a column is not text, or has nulls."""
    if not (pa.types.is_string(texts.type) or pa.types.is_large_string(texts.type)):
        raise TypeError(f"expected a column of text, found {texts.type}")
    if texts.null_count:
        raise ValueError(f"expected a column without nulls, found {texts.null_count} in {len(texts)} rows")


def text_slices(num_bytes: npt.NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    """Runs of texts of about _BYTES_AT_ONCE, each of at least one."""
    ends = np.cumsum(num_bytes)
    start = 0
    while start < len(ends):
        done = int(ends[start - 1]) if start else 0
        end = max(start + 1, int(np.searchsorted(ends, done + _BYTES_AT_ONCE, side="right")))
        yield start, end
        start = end
