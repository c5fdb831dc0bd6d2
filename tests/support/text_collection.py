"""Texts as the engine of dedup asks for documents."""

from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import fingerprints
from storage.schemas import document_id

PART = "texts"


class TextCollection:
    """One part: document number n is row n."""

    def __init__(self, texts: Sequence[str] | pa.ChunkedArray, parameters: DedupParameters) -> None:
        chunked = isinstance(texts, pa.ChunkedArray)
        self._texts = texts.combine_chunks() if chunked else pa.array(texts, pa.large_string())
        documents = pa.table(
            {
                "doc_id": pa.array([document_id(PART, number) for number in range(len(texts))], pa.string()),
                "url": pa.nulls(len(texts), pa.string()),
                "fetched_at": pa.nulls(len(texts), pa.timestamp("us", "UTC")),
                "text": self._texts,
            }
        )
        self._fingerprints = fingerprints(documents, parameters.signatures())

    @property
    def parts(self) -> tuple[str, ...]:
        return (PART,)

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        yield self._fingerprints

    def texts(self, part: str, rows: npt.NDArray[np.int64]) -> pa.Array:
        return self._texts.take(pa.array(rows))

    def quality(self, part: str) -> npt.NDArray[np.float64]:
        return np.full(len(self._texts), np.nan)

    def source_ranks(self, part: str) -> npt.NDArray[np.int64]:
        return np.zeros(len(self._texts), np.int64)
