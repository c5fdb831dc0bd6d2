"""The rule: which items a document holds, how much of each, and where. Tables and arrays in, tables out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.decontaminate.items import EvaluationItems
from pipeline_lib.kernels.arrow import string_buffers, string_column
from pipeline_lib.kernels.fold_tables import fold_tables
from pipeline_lib.kernels.item_ngrams import (
    END,
    MATCHED,
    PIECE,
    ROW,
    RUN,
    START,
    Integers,
    find_item_ngrams,
    match_pieces,
    passages,
)
from storage.schemas import DECISIONS, EVALUATION_HITS, EVALUATION_MATCHES

RULE = "contaminated"
# A text that holds a whole benchmark has a match with thousands of items: the best say enough.
MATCHES_A_DOCUMENT = 100
_EXCERPT_BYTES = 240
_BATCH_BYTES = 64 << 20  # of text that is looked through at once


@dataclass(frozen=True)
class Matches:
    """What documents have of items.

    Attributes:
        table: EVALUATION_MATCHES, the best `MATCHES_A_DOCUMENT` of each document, in the order of the documents.
        left_out: matches beyond these.
    """

    table: pa.Table
    left_out: int


def find_hits(documents: pa.Table, items: EvaluationItems) -> pa.Table:
    """Every place where an n-gram of an item stands (EVALUATION_HITS).

    Args:
        documents: doc_id, text.
    """
    found = [EVALUATION_HITS.empty_table()]
    for rows in _batches(documents["text"]):
        batch = documents.slice(rows.start, rows.stop - rows.start)
        data, offsets = string_buffers(batch["text"])
        hits = find_item_ngrams(data, offsets, items.index, fold_tables())
        if len(hits):
            columns = [pa.array(np.ascontiguousarray(column)) for column in hits.T]
            doc_ids = batch["doc_id"].combine_chunks().take(columns[ROW])
            found.append(pa.Table.from_arrays([doc_ids, *columns[1:]], schema=EVALUATION_HITS))
    return pa.concat_tables(found)


def count_documents(hits: pa.Table, num_ngrams: int) -> Integers:
    """In how many documents each n-gram is, int64 (G,)."""
    row = hits["doc_id"].combine_chunks().dictionary_encode().indices.to_numpy().astype(np.int64)
    pairs = np.unique(row * num_ngrams + hits["gram"].to_numpy())
    return np.bincount(pairs % num_ngrams, minlength=num_ngrams) if len(pairs) else np.zeros(num_ngrams, np.int64)


def match_items(documents: pa.Table, hits: pa.Table, items: EvaluationItems, common: Integers | None = None) -> Matches:
    """What the documents have of the items. Of an item's pieces that counts of which a document has the largest share.

    Args:
        documents: doc_id, text; of all documents, or at least of those with hits.
        hits: of these documents, in their order.
        common: n-grams that do not count: the documents have them as if they had them not.
    """
    counted = np.ones(items.num_ngrams, np.bool_)
    if common is not None:
        counted[common] = False
    row = pc.index_in(hits["doc_id"], value_set=documents["doc_id"].combine_chunks())
    if row.null_count:
        raise ValueError("n-grams were found in documents that are not there; look for them in these")
    columns = [row, *(hits[name] for name in EVALUATION_HITS.names[1:])]
    array = np.column_stack([column.to_numpy().astype(np.int64) for column in columns])
    found = match_pieces(array, items.gram_pieces, items.gram_bounds, counted, items.num_pieces)
    of = np.bincount(items.gram_pieces, minlength=items.num_pieces)
    row, item, match, label = _best_by_item(found, of, items)
    chosen = _first_of_each(row, MATCHES_A_DOCUMENT)
    left_out = len(row) - len(chosen)
    row, item, label, found = row[chosen], item[chosen], label[chosen], found[match[chosen]]
    data, offsets = string_buffers(documents["text"])
    starts, ends = np.ascontiguousarray(found[:, START]), np.ascontiguousarray(found[:, END])
    of = of[found[:, PIECE]]
    table = pa.table(
        {
            "doc_id": documents["doc_id"].take(pa.array(row)),
            "set": items.items["set"].take(pa.array(item)),
            "item": items.items["item"].take(pa.array(item)),
            "fields": items.pieces["fields"].take(pa.array(label)),
            "matched": pa.array(np.ascontiguousarray(found[:, MATCHED])),
            "of": pa.array(of),
            "share": pa.array(found[:, MATCHED] / of),
            "longest": pa.array(np.ascontiguousarray(found[:, RUN])),
            "start": pa.array(starts),
            "end": pa.array(ends),
            "excerpt": string_column(*passages(data, offsets, row, starts, ends, _EXCERPT_BYTES)),
        },
        schema=EVALUATION_MATCHES,
    )
    return Matches(table=table, left_out=left_out)


def decide(matches: pa.Table, threshold: float) -> pa.Table:
    """A decision (DECISIONS) for each document that holds at least `threshold` of an item: the item of which it holds
    most, and the passage."""
    held = matches.filter(pc.greater_equal(matches["share"], threshold))
    first = pa.array(_first_of_each(held["doc_id"].combine_chunks().dictionary_encode().indices.to_numpy(), 1))
    held = held.take(first)
    evidence = pc.binary_join_element_wise(
        held["set"].cast(pa.large_string()),
        pa.scalar(":", pa.large_string()),
        held["item"],
        pa.scalar(" (", pa.large_string()),
        held["fields"].cast(pa.large_string()),
        pa.scalar(") ", pa.large_string()),
        held["excerpt"],
        pa.scalar("", pa.large_string()),
    )
    return pa.table(
        {
            "doc_id": held["doc_id"],
            "rule": pa.array([RULE] * held.num_rows, pa.string()),
            "value": held["share"],
            "threshold": pa.array([threshold] * held.num_rows, pa.float64()),
            "evidence": evidence,
        },
        schema=DECISIONS,
    )


def _best_by_item(
    found: Integers, of: Integers, items: EvaluationItems
) -> tuple[Integers, Integers, Integers, Integers]:
    """For each document and item the best of the item's pieces, best items of a document first.

    Returns:
        Arrays (M,): row of the document, item, row of `found`, row of `items.pieces`.
    """
    pieces = items.pieces["piece"].to_numpy()
    bounds = np.searchsorted(pieces, np.arange(items.num_pieces + 1))
    piece = found[:, PIECE]
    counts = bounds[piece + 1] - bounds[piece]
    match = np.repeat(np.arange(len(found)), counts)
    label = np.arange(len(match)) - np.repeat(np.cumsum(counts) - counts, counts) + np.repeat(bounds[piece], counts)
    item = items.pieces["item"].to_numpy().astype(np.int64)[label]
    row = found[match, ROW]
    share = found[match, MATCHED] / of[found[match, PIECE]]
    order = np.lexsort((label, -share, item, row))
    first = np.ones(len(order), np.bool_)
    first[1:] = (np.diff(row[order]) != 0) | (np.diff(item[order]) != 0)
    order = order[first]
    order = order[np.lexsort((item[order], -share[order], row[order]))]
    return row[order], item[order], match[order], label[order]


def _first_of_each(groups: npt.NDArray[np.integer], number: int) -> Integers:
    """The first `number` rows of each run of equal values."""
    starts = np.flatnonzero(np.diff(groups, prepend=groups[:1] - 1))
    rank = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return np.flatnonzero(rank < number)


def _batches(texts: pa.ChunkedArray) -> list[slice]:
    """Consecutive rows, each batch at most `_BATCH_BYTES` unless one text alone has more."""
    ends = np.cumsum(pc.binary_length(texts).to_numpy().astype(np.int64))
    batches: list[slice] = []
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _BATCH_BYTES, side="right")))
        batches.append(slice(start, stop))
        start = stop
    return batches
