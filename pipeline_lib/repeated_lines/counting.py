"""In how many documents of a part each unit is, by host or over all."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.shingles import Hashes
from pipeline_lib.kernels.text_units import Places, Units, hash_each, once_a_text, scoped_keys, text_units
from pipeline_lib.repeated_lines.parameters import UnitParameters

COLUMNS = ("doc_id", "host", "fetched_at", "text")

# A run of counts, as it lies in a file: ordered by scope, then by unit, each pair once. `unit` 0 stands for the
# documents of the scope themselves, and so comes before its units. `first`: the smallest `turns` of its documents.
COUNT = np.dtype([("scope", "<u8"), ("unit", "<u8"), ("first", "<u8"), ("documents", "<u4")])
Counts = npt.NDArray[np.void]

_CORPUS = np.uint64(1)
_NO_TIME = (1 << 34) - 1  # seconds; the year 2514
_HASH_BITS = np.uint64(30)


@dataclass(frozen=True, kw_only=True)
class KeyedUnits:
    """The units of N documents, and what they are counted by.

    Attributes:
        keys: uint64 (U,): which unit of which scope; 0: not counted.
        scopes: uint64 (N,): a hash of the host, or one number for all; 0: the document takes no part, since nobody
            knows its host.
        turns: uint64 (N,): who comes first: seconds of the fetch, then bits of a hash of the doc_id.
    """

    units: Units
    keys: Hashes
    scopes: Hashes
    turns: Hashes


def keyed_units(documents: pa.Table, parameters: UnitParameters) -> KeyedUnits:
    """Find the units of documents (`COLUMNS`)."""
    units = text_units(*string_buffers(documents["text"]), paragraphs=parameters.unit == "paragraph")
    if parameters.scope == "host":
        scopes = hash_each(*string_buffers(documents["host"]))
    else:
        scopes = np.full(documents.num_rows, _CORPUS)
    keys = scoped_keys(units.offsets, units.hashes, units.num_chars, scopes, parameters.min_chars)
    return KeyedUnits(units=units, keys=keys, scopes=scopes, turns=_turns(documents))


def count_units(documents: pa.Table, parameters: UnitParameters) -> Counts:
    """One record a unit of the documents (`COLUMNS`), and one a scope. A unit counts once a document."""
    found = keyed_units(documents, parameters)
    distinct, texts = np.empty(len(found.keys), np.uint64), np.empty(len(found.keys), np.int64)
    size = once_a_text(found.units.offsets, found.keys, distinct, texts)
    taking_part = np.flatnonzero(found.scopes)
    document = np.concatenate([taking_part, texts[:size]])
    unit = np.concatenate([np.zeros(len(taking_part), np.uint64), distinct[:size]])
    scope = found.scopes[document]
    order = np.lexsort((unit, scope))
    scope, unit, turn = scope[order], unit[order], found.turns[document[order]]
    starts = starts_of_runs(scope, unit)
    counts = np.empty(len(starts), COUNT)
    counts["scope"], counts["unit"] = scope[starts], unit[starts]
    counts["documents"] = np.diff(starts, append=len(order))
    counts["first"] = np.minimum.reduceat(turn, starts) if len(starts) else turn
    return counts


def starts_of_runs(scope: Hashes, unit: Hashes) -> Places:
    """Where in ordered pairs another one begins, int64."""
    changes = np.ones(len(unit), bool)
    changes[1:] = (unit[1:] != unit[:-1]) | (scope[1:] != scope[:-1])
    return np.flatnonzero(changes)


def _turns(documents: pa.Table) -> Hashes:
    seconds = documents["fetched_at"].cast(pa.int64()).fill_null(1000 * _NO_TIME).to_numpy() // 1000
    hashes = hash_each(*string_buffers(documents["doc_id"]))
    turns: Hashes = np.clip(seconds, 0, _NO_TIME).astype(np.uint64) << _HASH_BITS
    return turns | hashes >> (np.uint64(64) - _HASH_BITS)
