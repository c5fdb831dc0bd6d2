"""A bounded sample of a corpus: the same documents however the corpus is cut into parts."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.seeded_hash import seeded_hash
from storage.manifests import PublishedStage
from storage.schemas import CORPUS

_COLUMNS = ("doc_id", "host", "language", "text")


def sample_documents(corpus: PublishedStage, split: str, *, max_bytes: int, seed: int) -> pa.Table:
    """Documents (doc_id, host, language, text) in the order of their seeded hash, while the text before is < max_bytes.

    Parts are read one at a time: memory is bounded by twice the sample, one document beyond it, and one part.
    """
    sample = _empty()
    pending: list[pa.Table] = []
    pending_bytes = 0
    for part in corpus.part_names:
        documents = corpus.read(split, part, CORPUS, columns=_COLUMNS).select(_COLUMNS)
        documents = documents.append_column(
            "hash", pa.array(seeded_hash(documents["doc_id"], seed, "tokenizer sample"))
        )
        if sample.num_rows and _text_bytes(sample) >= max_bytes:
            documents = documents.filter(pc.less_equal(documents["hash"], sample["hash"][-1]))
        pending.append(documents)
        pending_bytes += _text_bytes(documents)
        if pending_bytes > max_bytes:
            sample = first_bytes(pa.concat_tables([sample, *pending]), max_bytes)
            pending, pending_bytes = [], 0
    return first_bytes(pa.concat_tables([sample, *pending]), max_bytes).drop_columns("hash")


def first_bytes(documents: pa.Table, max_bytes: int) -> pa.Table:
    """The documents in order of (hash, doc_id), as long as the text before them is less than `max_bytes`.

    Taking the first of a union is taking the first of the first of each: what falls out of one part's share would
    fall out of the whole's.
    """
    order = pc.sort_indices(documents, sort_keys=[("hash", "ascending"), ("doc_id", "ascending")])
    num_bytes = pc.binary_length(documents["text"]).to_numpy().astype(np.int64)[order.to_numpy()]
    before = np.cumsum(num_bytes) - num_bytes
    return documents.take(order.slice(0, int(np.searchsorted(before, max_bytes))))


def _text_bytes(documents: pa.Table) -> int:
    return int(pc.sum(pc.binary_length(documents["text"])).as_py() or 0)


def _empty() -> pa.Table:
    fields = [CORPUS.field(name) for name in _COLUMNS]
    return pa.schema([*fields, pa.field("hash", pa.uint64())]).empty_table()
