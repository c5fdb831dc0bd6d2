"""The stages of decontamination.

`evaluation-items` reads the evaluation sets, once. `overlaps` looks for their n-grams in every document, the only step
that reads all text. `common-ngrams`, where the recipe ignores some, counts over all parts. `decontaminate` decides from
what was found: another threshold looks for nothing anew. `shard_stage` looks through the final token shards.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.decontaminate.evaluation_files import FoundSet
from pipeline_lib.decontaminate.figures import add_matches, figures_as_json, listed_figures
from pipeline_lib.decontaminate.items import EvaluationItems, open_items, read_sets, write_index
from pipeline_lib.decontaminate.matching import RULE, count_documents, decide, find_hits, match_items
from pipeline_lib.decontaminate.parameters import CommonParameters, NgramParameters, VerdictParameters
from pipeline_lib.kernels.item_ngrams import Integers
from pipeline_lib.survivors import read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import (
    COMMON_NGRAMS,
    DECISIONS,
    EVALUATION_HITS,
    EVALUATION_ITEMS,
    EVALUATION_MATCHES,
    EVALUATION_PIECES,
)

Stages = Mapping[str, PublishedStage]

_INDEX_FILE = "index.arrow"


def evaluation_items_part(found: Sequence[FoundSet]) -> Part:
    """The one part of `evaluation-items`."""
    return Part(name="all", source={"sets": [each.as_json() for each in found]})


def evaluation_items_identity(found: Sequence[FoundSet]) -> dict[str, Any]:
    """What shapes the items: the content of the files and how they are read, not where they are."""
    return {"sets": [each.identity() for each in found]}


def items_part(part: Part, inputs: Stages, output: PartWriter, parameters: NgramParameters) -> PartResult:
    """Read the evaluation sets: writes `items`, `pieces`, and the file `index`. The account counts items."""
    found = [FoundSet.from_json(each) for each in part.source["sets"]]
    items = read_sets(found, parameters)
    output.table("items", items.items, EVALUATION_ITEMS)
    output.table("pieces", items.pieces, EVALUATION_PIECES)
    with output.file("index", _INDEX_FILE, rows=items.num_ngrams) as path:
        write_index(items, path)
    dropped = _counts(items.items["reason"].drop_null())
    num_items = items.items.num_rows
    return PartResult(
        account=Account(
            documents_in=num_items,
            documents_out=num_items - sum(dropped.values()),
            dropped=dropped,
            unit_in="items",
            unit_out="items",
        ),
        metrics={"items": _counts(items.items["set"]), "ngrams": items.num_ngrams, "pieces": items.num_pieces},
    )


def overlaps_part(part: Part, inputs: Stages, output: PartWriter, parameters: None) -> PartResult:
    """Find the items' n-grams in the documents of a part that are left: writes `hits`. Inputs: the trail so far and
    `evaluation-items`."""
    items = read_items(inputs["evaluation-items"])
    documents = read_survivors(trail_of(inputs), part.name, ["doc_id", "text"])
    hits = find_hits(documents, items)
    output.table("hits", hits, EVALUATION_HITS)
    return PartResult(
        account=Account(documents_in=documents.num_rows, documents_out=documents.num_rows),
        metrics={
            "documents_with_ngrams": len(hits["doc_id"].unique()),
            "text_bytes": pc.sum(pc.binary_length(documents["text"]).cast(pa.int64())).as_py() or 0,
        },
    )


def common_part(part: Part, inputs: Stages, output: PartWriter, parameters: CommonParameters) -> PartResult:
    """Count the documents that have each n-gram, over all parts: writes `ngrams`, those that too many have.

    Inputs: evaluation-items, overlaps. The account counts n-grams.
    """
    num_ngrams = inputs["evaluation-items"].record("index", "all").rows
    documents = np.zeros(num_ngrams, np.int64)
    for name in inputs["overlaps"].part_names:
        hits = inputs["overlaps"].read("hits", name, EVALUATION_HITS, columns=["doc_id", "gram"])
        documents += count_documents(hits, num_ngrams)
    common = np.flatnonzero(documents > parameters.ignore_common)
    table = pa.table({"gram": pa.array(common), "documents": pa.array(documents[common])}, schema=COMMON_NGRAMS)
    output.table("ngrams", table, COMMON_NGRAMS)
    return PartResult(
        account=Account(
            documents_in=num_ngrams,
            documents_out=num_ngrams - len(common),
            dropped={"common": len(common)},
            unit_in="n-grams",
            unit_out="n-grams",
        )
    )


def decontaminate_part(part: Part, inputs: Stages, output: PartWriter, parameters: VerdictParameters) -> PartResult:
    """Decide on the documents of a part: writes `matches`, also those below the line, and `decisions`.

    Inputs: the trail so far, evaluation-items, overlaps, and common-ngrams where n-grams are ignored.
    """
    items = read_items(inputs["evaluation-items"])
    hits = inputs["overlaps"].read("hits", part.name, EVALUATION_HITS)
    columns = ["doc_id", "text"] if hits.num_rows else ["doc_id"]
    documents = read_survivors(trail_of(inputs), part.name, columns)
    num_documents = documents.num_rows
    matches, left_out = EVALUATION_MATCHES.empty_table(), 0
    if hits.num_rows:
        found = match_items(documents, hits, items, common_ngrams(inputs))
        matches, left_out = found.table, found.left_out
    held = decide(matches, parameters.threshold)
    output.table("matches", matches, EVALUATION_MATCHES)
    output.table("decisions", held if parameters.action == "drop" else DECISIONS.empty_table(), DECISIONS)
    num_dropped = held.num_rows if parameters.action == "drop" else 0
    return PartResult(
        account=Account(
            documents_in=num_documents, documents_out=num_documents - num_dropped, dropped={RULE: num_dropped}
        ),
        metrics={
            "documents_with_a_match": len(matches["doc_id"].unique()),
            "documents_contaminated": held.num_rows,
            "matches_left_out": left_out,
            "sets": figures_by_set(items, matches, parameters.threshold),
        },
    )


def read_items(stage: PublishedStage) -> EvaluationItems:
    """What `evaluation-items` published; the index is mapped into memory, which workers on one machine share."""
    items = stage.read("items", "all", EVALUATION_ITEMS)
    pieces = stage.read("pieces", "all", EVALUATION_PIECES)
    # the mapped file stays readable when a remote store's copy of it is removed
    with stage.local_file("index") as path:
        return open_items(items, pieces, path)


def common_ngrams(inputs: Stages) -> Integers | None:
    """The n-grams that do not count; None: all do."""
    if "common-ngrams" not in inputs:
        return None
    grams: Integers = inputs["common-ngrams"].read("ngrams", "all", COMMON_NGRAMS, columns=["gram"])["gram"].to_numpy()
    return grams


def figures_by_set(items: EvaluationItems, matches: pa.Table, threshold: float) -> dict[str, dict[str, int]]:
    """What was found in a part."""
    figures = listed_figures(items.items)
    add_matches(figures, matches, threshold)
    return figures_as_json(figures)


def _counts(column: pa.ChunkedArray) -> dict[str, int]:
    return {pair["values"]: pair["counts"] for pair in pc.value_counts(column).to_pylist()}
