"""What turns texts into vectors: hashed words, or a function that someone brings along."""

import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.word_features import hash_words
from storage.digests import file_digest
from storage.wrong_request import WrongRequest

Floats = npt.NDArray[np.float32]
Embedder = Callable[[pa.ChunkedArray], Floats]  # N texts to (N, D)
Function = Callable[[list[str]], Any]

_TEXTS_AT_ONCE = 256
_BYTES_AT_ONCE = 4 << 20


class NoSuchFunction(WrongRequest):
    """The recipe names a function that cannot be imported."""


class WrongEmbedding(ValueError):
    """A function returned something else than one vector for each text."""


def embed_by_hashing(texts: pa.ChunkedArray, dimensions: int) -> Floats:
    """See `hash_words`."""
    data, offsets = string_buffers(texts)
    vectors = np.empty((len(texts), dimensions), np.float32)
    hash_words(data, offsets, fold_tables(), vectors)
    return vectors


def embed_by_function(texts: pa.ChunkedArray, name: str) -> Floats:
    """What the function says of the texts, a few hundred at a time; (0, 0) for no texts.

    Raises:
        NoSuchFunction: it cannot be imported.
        WrongEmbedding: it returned no numbers, not one vector a text, or vectors of another length than before.
    """
    function = import_function(name)
    found: list[Floats] = []
    for batch in _batches(texts):
        vectors = _checked(function(batch), len(batch), name)
        if found and vectors.shape[1] != found[0].shape[1]:
            raise WrongEmbedding(
                f"embedding {name}: a batch of texts got vectors of {vectors.shape[1]} numbers, one before it of "
                f"{found[0].shape[1]}; all have to have the same length"
            )
        found.append(vectors)
    return np.concatenate(found) if found else np.zeros((0, 0), np.float32)


def import_function(name: str) -> Function:
    """The function that `module:function` names; modules in the current folder are found, too.

    Raises:
        NoSuchFunction: there is no such module or function, or importing it failed.
    """
    module_name, _, function_name = name.partition(":")
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a stranger's module raises when it is run
        raise NoSuchFunction(
            f"embedding {name}: importing {module_name} failed ({type(error).__name__}: {error}); it has to be "
            f"installed beside gristmill, or stand in the current folder, {here}"
        ) from error
    finally:
        sys.path.remove(here)
    function = getattr(module, function_name, None)
    if not callable(function):
        raise NoSuchFunction(f"embedding {name}: {module_name} has no function {function_name}")
    return function  # type: ignore[no-any-return]  # callable, as was just checked


def function_digest(name: str) -> str:
    """What tells apart the states of a function's module: the digest of its file.

    Modules that it imports do not count: whoever changes one, or the model it loads, changes the module, too.
    """
    import_function(name)
    path = getattr(sys.modules[name.partition(":")[0]], "__file__", None)
    return "" if path is None else file_digest(Path(path))


def _batches(texts: pa.ChunkedArray) -> Iterator[list[str]]:
    """Runs of texts: as many as allowed, and of no more bytes than allowed, but each of at least one."""
    ends = np.cumsum(pc.binary_length(texts).to_numpy().astype(np.int64))
    start = 0
    while start < len(ends):
        done = int(ends[start - 1]) if start else 0
        end = int(np.searchsorted(ends, done + _BYTES_AT_ONCE, side="right"))
        end = max(start + 1, min(end, start + _TEXTS_AT_ONCE))
        yield texts.slice(start, end - start).to_pylist()
        start = end


def _checked(vectors: Any, num_texts: int, name: str) -> Floats:
    expected = f"embedding {name}: expected an array of numbers of shape ({num_texts}, dimensions)"
    try:
        array = np.asarray(vectors)
    except ValueError as error:
        raise WrongEmbedding(f"{expected}, found rows of different lengths") from error
    if array.ndim != 2 or array.shape[0] != num_texts or array.shape[1] == 0:
        raise WrongEmbedding(f"{expected}, found shape {array.shape}")
    if array.dtype.kind not in "fiu":
        raise WrongEmbedding(f"{expected}, found {array.dtype}")
    return array.astype(np.float32)


def common_length(parts: Sequence[tuple[str, int]]) -> int:
    """The length that the vectors of all parts have, 0 where there is none.

    Args:
        parts: name and length; 0 for a part without documents.

    Raises:
        WrongEmbedding: two parts differ.
    """
    lengths = {length: name for name, length in parts if length}
    if len(lengths) > 1:
        (one, its_part), (other, other_part) = sorted(lengths.items())[:2]
        raise WrongEmbedding(
            f"the embeddings of {its_part} have {one} numbers, those of {other_part} {other}; all have to have the "
            "same length"
        )
    return next(iter(lengths), 0)
