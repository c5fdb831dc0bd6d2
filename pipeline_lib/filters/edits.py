"""Edits that rule sets make in texts: byte ranges, each with the rule that asked for it."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.filters.conditions import Signals
from pipeline_lib.filters.texts import Texts
from pipeline_lib.kernels.arrow import string_buffers, string_column
from pipeline_lib.kernels.splice import splice
from storage.schemas import EDITS


@dataclass(frozen=True, kw_only=True)
class Edits:
    """E edits of N texts, ordered by text and position, none overlapping another."""

    text: npt.NDArray[np.int64]  # (E,): which text
    start: npt.NDArray[np.int64]  # (E,): byte positions within it
    end: npt.NDArray[np.int64]
    rule: npt.NDArray[np.int8]  # (E,): index in `rules`
    rules: tuple[str, ...]
    replacement: npt.NDArray[np.int8]  # (E,): index in `replacements`
    replacements: tuple[str, ...] = ("",)
    signals: Signals = field(default_factory=dict)  # (N,) each: what editing saw on the way

    def bytes_removed(self) -> dict[str, int]:
        """By rule, the bytes that texts lose."""
        added = np.array([len(each.encode()) for each in self.replacements], np.int64)[self.replacement]
        removed = np.bincount(self.rule, weights=self.end - self.start - added, minlength=len(self.rules))
        return {rule: int(count) for rule, count in zip(self.rules, removed, strict=True)}

    def counts(self) -> dict[str, int]:
        """By rule, how many edits."""
        found = np.bincount(self.rule, minlength=len(self.rules))
        return {rule: int(count) for rule, count in zip(self.rules, found, strict=True)}


def edited(texts: Texts, edits: Edits) -> Texts:
    """The texts with the edits made in them."""
    if len(edits.text) == 0:
        return texts
    edit_offsets = np.searchsorted(edits.text, np.arange(len(texts) + 1)).astype(np.int64)
    replacements = _texts_of(edits.replacement, edits.replacements, pa.large_string())
    column = string_column(*splice(*texts.buffers, edit_offsets, edits.start, edits.end, *string_buffers(replacements)))
    return Texts(pa.chunked_array([column]), texts.words)


def edits_table(doc_ids: pa.ChunkedArray, edits: Edits, step: int) -> pa.Table:
    """The edits as rows of `EDITS`; `step` says how many others edited the texts before."""
    columns = [
        doc_ids.take(pa.array(edits.text)),
        pa.array(np.full(len(edits.text), step, np.int32)),
        _texts_of(edits.rule, edits.rules, pa.string()),
        pa.array(edits.start),
        pa.array(edits.end),
        _texts_of(edits.replacement, edits.replacements, pa.large_string()),
    ]
    return pa.table(columns, schema=EDITS)


def _texts_of(indices: npt.NDArray[np.int8], values: tuple[str, ...], kind: pa.DataType) -> pa.Array:
    return pa.DictionaryArray.from_arrays(pa.array(indices), pa.array(values, kind)).cast(kind)
