"""The stage `contamination`: looks through the final token shards for the items that decontamination looked for."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.decontaminate.matching import decide, find_hits, match_items
from pipeline_lib.decontaminate.parameters import VerdictParameters
from pipeline_lib.decontaminate.stage import Stages, common_ngrams, figures_by_set, read_items
from pipeline_lib.tokenizer.model import load_tokenizer
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter
from storage.schemas import EVALUATION_MATCHES
from storage.token_shards import open_token_shard

_TOKENS_AT_ONCE = 1 << 24
_SHOWN = 5


class Contaminated(ValueError):
    """Token shards hold an evaluation item that decontamination should have taken away."""


def contamination_part(part: Part, inputs: Stages, output: PartWriter, parameters: VerdictParameters) -> PartResult:
    """Look through a token shard, train or validation, as a model will read it: writes `matches`.

    Inputs: tokens, tokenizer, evaluation-items, and common-ngrams where n-grams are ignored.

    Raises:
        Contaminated: a document of the shard holds an item, and documents that do were to be dropped.
    """
    items = read_items(inputs["evaluation-items"])
    with inputs["tokenizer"].local_file("model") as path:
        tokenizer = load_tokenizer(path)
    (record,) = (each for each in inputs["tokens"].manifest.files() if each.part == part.name)
    with inputs["tokens"].local_file(record.table, part.name) as path:
        shard = open_token_shard(path, tokenizer.identity)
    matches, left_out = [EVALUATION_MATCHES.empty_table()], 0
    common = common_ngrams(inputs)
    for rows in _token_batches(shard["tokens"]):
        batch = shard.slice(rows.start, rows.stop - rows.start)
        documents = pa.table({"doc_id": batch["doc_id"], "text": tokenizer.decode_column(batch["tokens"])})
        hits = find_hits(documents, items)
        if hits.num_rows:
            found = match_items(documents, hits, items, common)
            matches.append(found.table)
            left_out += found.left_out
    table = pa.concat_tables(matches)
    held = decide(table, parameters.threshold)
    if held.num_rows and parameters.action == "drop":
        raise Contaminated(_complaint(held, record.path, parameters))
    output.table("matches", table, EVALUATION_MATCHES)
    return PartResult(
        account=Account(documents_in=shard.num_rows, documents_out=shard.num_rows),
        metrics={
            "documents_with_a_match": len(table["doc_id"].unique()),
            "documents_contaminated": held.num_rows,
            "matches_left_out": left_out,
            "sets": figures_by_set(items, table, parameters.threshold),
        },
    )


def _complaint(held: pa.Table, shard: str, parameters: VerdictParameters) -> str:
    shown = "; ".join(
        f"document {row['doc_id']} has {row['value']:.2f} of {row['evidence']!r}"
        for row in held.slice(0, _SHOWN).to_pylist()
    )
    return (
        f"{shard}: {held.num_rows} documents hold an evaluation item (a share of {parameters.threshold:g} or more), "
        f"and none should: {shown}. They did not when decontamination looked, so that a later edit of their text, such "
        "as a masked address, made it so. Withdraw them or change that edit; with decontamination.action=report the "
        "shards are kept as they are"
    )


def _token_batches(tokens: pa.ChunkedArray) -> list[slice]:
    """Consecutive rows, each batch at most `_TOKENS_AT_ONCE` unless one document alone has more."""
    ends = np.cumsum(pc.list_value_length(tokens).to_numpy())
    batches: list[slice] = []
    start = 0
    while start < len(ends):
        before = int(ends[start - 1]) if start else 0
        stop = max(start + 1, int(np.searchsorted(ends, before + _TOKENS_AT_ONCE, side="right")))
        batches.append(slice(start, stop))
        start = stop
    return batches
