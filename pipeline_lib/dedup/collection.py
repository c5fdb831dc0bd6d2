"""What is deduplicated: documents in parts, as dedup asks for them; a run's, or those of anyone's files."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.kernels.bands import Indices


class Collection(Protocol):
    """Documents in parts. In a part, rows count from 0, and a number always means the same document."""

    @property
    def parts(self) -> tuple[str, ...]: ...

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        """Rows of `fingerprints_schema`, in order, in batches that fit in memory; or, where the band keys of the same
        banding are known already, of `keyed_fingerprints_schema`.

        A doc_id is 32 lower-case hex digits, of no other document of the collection.
        """

    def texts(self, part: str, rows: Indices) -> pa.Array:
        """large_string (len(rows),): the texts that were fingerprinted.

        Args:
            rows: int64, ascending.
        """

    def quality(self, part: str) -> npt.NDArray[np.float64]:
        """What the criterion `quality` goes by, one a row, NaN where it is not known: more is better."""

    def source_ranks(self, part: str) -> npt.NDArray[np.int64]:
        """What the criterion `source` goes by, one a row: 0 for the source that comes first."""
