"""The texts that rules look at, and what several rules count of them: counted once, shared."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.arrow import Bytes, Offsets, string_buffers
from pipeline_lib.kernels.words import WordDefinition, count_words


@dataclass(frozen=True)
class Texts:
    """A column of texts, one a document: text without nulls, and whole UTF-8 (kernels trust that)."""

    column: pa.ChunkedArray
    words: WordDefinition = "whitespace"

    def __len__(self) -> int:
        return len(self.column)

    @cached_property
    def buffers(self) -> tuple[Bytes, Offsets]:
        """The UTF-8 bytes and the offsets, as kernels take them."""
        return string_buffers(self.column)

    @cached_property
    def num_chars(self) -> npt.NDArray[np.int64]:
        """Characters of each text, whitespace included."""
        counts: npt.NDArray[np.int64] = pc.utf8_length(self.column).to_numpy().astype(np.int64)
        return counts

    @cached_property
    def num_words(self) -> npt.NDArray[np.int64]:
        """Words of each text, by the texts' word definition."""
        return count_words(*self.buffers, self.words)
