"""Corpus documents as token documents, in shuffled order."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.tokenizer.model import Tokenizer
from pipeline_lib.tokens.shuffle import shuffle_order

# Texts are encoded so many bytes at a time: the 32-bit ids of a batch live beside the text, no longer.
_BATCH_BYTES = 64 << 20


def encode_documents(documents: pa.Table, tokenizer: Tokenizer, seed: int, batch_bytes: int = _BATCH_BYTES) -> pa.Table:
    """Documents (columns doc_id, text) as rows of `encoded_schema`, in the order of the seed.

    Tokens are `<s>`, the text, `</s>`; `num_bytes` counts the UTF-8 bytes of the text.
    """
    documents = documents.select(["doc_id", "text"]).combine_chunks()
    documents = documents.take(shuffle_order(documents["doc_id"], seed)).combine_chunks()
    num_bytes = pc.binary_length(documents["text"]).cast(pa.int64())
    token_type = tokenizer.identity.token_type
    tokens: list[npt.NDArray[np.unsignedinteger]] = []
    lengths = [np.zeros(1, np.int64)]
    for rows in _batches(num_bytes.to_numpy(), batch_bytes):
        ids, offsets = tokenizer.encode_column(documents["text"].slice(rows.start, rows.stop - rows.start))
        tokens.append(ids.astype(token_type.to_pandas_dtype()))
        lengths.append(np.diff(offsets))
    values = pa.array(np.concatenate(tokens) if tokens else [], token_type)
    lists = pa.LargeListArray.from_arrays(
        pa.array(np.cumsum(np.concatenate(lengths))), values, type=tokenizer.identity.schema().field("tokens").type
    )
    return pa.Table.from_arrays([documents["doc_id"], num_bytes, lists], schema=tokenizer.identity.schema())


def _batches(num_bytes: npt.NDArray[np.int64], batch_bytes: int) -> list[slice]:
    """Consecutive rows, each batch at most `batch_bytes` unless one row alone has more."""
    batches: list[slice] = []
    ends = np.cumsum(num_bytes)
    start = 0
    while start < len(num_bytes):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + batch_bytes, side="right")))
        batches.append(slice(start, stop))
        start = stop
    return batches
