"""Repeated units out of the documents of a part: edits, and the documents that are nothing else."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline_lib.kernels.arrow import string_buffers
from pipeline_lib.kernels.text_units import Flags, Places, cut_out
from pipeline_lib.repeated_lines.counting import KeyedUnits, keyed_units
from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters
from storage.schemas import DECISIONS, EDITS


@dataclass(frozen=True, kw_only=True)
class Removal:
    """What is done to N documents.

    Attributes:
        edits: schema EDITS, rule `repeated_line` or `repeated_paragraph`, one a unit.
        decisions: schema DECISIONS, rule `only_repeated_lines` or `only_repeated_paragraphs`: the documents of which
            nothing would be left; `value` is how many units they have. They have no edits.
        num_units, num_removed: all units, and those that edits take out.
        bytes_removed: by edits, with line breaks.
        documents_edited: that have edits.
    """

    edits: pa.Table
    decisions: pa.Table
    num_units: int
    num_removed: int
    bytes_removed: int
    documents_edited: int


def remove_repeated(documents: pa.Table, repeated: pa.Table, parameters: RepeatedLinesParameters) -> Removal:
    """Take the repeated units out.

    Args:
        documents: `counting.COLUMNS`.
        repeated: schema REPEATED_UNITS; may list units that the documents do not have.
    """
    found = keyed_units(documents, parameters.units())
    goes = _which_go(found, repeated, parameters)
    cuts = cut_out(*string_buffers(documents["text"]), found.units, goes)
    num_cuts = len(cuts.texts)
    emptied = np.flatnonzero(cuts.emptied)
    edits = {
        "doc_id": documents["doc_id"].take(pa.array(cuts.texts)),
        "step": pa.array(np.zeros(num_cuts, np.int32)),
        "rule": pa.repeat(f"repeated_{parameters.unit}", num_cuts),
        "start": pa.array(cuts.starts),
        "end": pa.array(cuts.ends),
        "replacement": pa.repeat(pa.scalar("", pa.large_string()), num_cuts),
    }
    decisions = {
        "doc_id": documents["doc_id"].take(pa.array(emptied)),
        "rule": pa.repeat(f"only_repeated_{parameters.unit}s", len(emptied)),
        "value": pa.array(np.diff(found.units.offsets)[emptied].astype(np.float64)),
        "threshold": pa.nulls(len(emptied), pa.float64()),
        "evidence": pa.nulls(len(emptied), pa.large_string()),
    }
    return Removal(
        edits=pa.table(edits, schema=EDITS),
        decisions=pa.table(decisions, schema=DECISIONS),
        num_units=len(found.keys),
        num_removed=num_cuts,
        bytes_removed=int(np.sum(cuts.ends - cuts.starts)),
        documents_edited=len(np.unique(cuts.texts)),
    )


def _which_go(found: KeyedUnits, repeated: pa.Table, parameters: RepeatedLinesParameters) -> Flags:
    listed = repeated.combine_chunks().sort_by("unit")
    units, firsts = listed["unit"].to_numpy(), listed["first"].to_numpy()
    if len(units) == 0:
        return np.zeros(len(found.keys), bool)
    places = np.minimum(np.searchsorted(units, found.keys), len(units) - 1)
    goes: Flags = units[places] == found.keys
    if parameters.keep_first:
        texts = found.units.texts()
        stays = np.flatnonzero(goes & (firsts[places] == found.turns[texts]))
        goes[_first_of_each(texts[stays], places[stays], stays)] = False
    return goes


def _first_of_each(texts: Places, units: Places, positions: Places) -> Places:
    """Of positions, ascending, the first of each text and unit."""
    order = np.lexsort((positions, units, texts))
    texts, units = texts[order], units[order]
    first = np.ones(len(order), bool)
    first[1:] = (texts[1:] != texts[:-1]) | (units[1:] != units[:-1])
    return positions[order[first]]
