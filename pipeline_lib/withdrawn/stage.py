"""The stage `withdrawn`: leaves out what was withdrawn, after all that is measured of a document for itself.

It stands before `dedup`: what is withdrawn may be nobody's witness, and what had been removed for its sake comes back.
"""

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.survivors import read_survivors, trail_of
from pipeline_lib.withdrawn.rule import COLUMNS, Matcher, Withdrawn, decisions
from storage.accounts import Account
from storage.exclusions import Exclusion
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DECISIONS

Stages = Mapping[str, PublishedStage]


def withdrawn_part(part: Part, inputs: Stages, output: PartWriter, parameters: Withdrawn) -> PartResult:
    """Decide on the documents of a part that `judge` left: reads extract, signals, judge; writes `decisions`."""
    documents = judged_documents(inputs, part.name)
    matcher = Matcher(parameters)
    table = decisions(documents["doc_id"], matcher.find(documents), matcher.listed)
    output.table("decisions", table, DECISIONS)
    dropped = {row["values"]: row["counts"] for row in pc.value_counts(table["rule"]).to_pylist()}
    return PartResult(
        account=Account(
            documents_in=documents.num_rows, documents_out=documents.num_rows - table.num_rows, dropped=dropped
        )
    )


def judged_documents(inputs: Stages, part: str) -> pa.Table:
    """What the rule asks of the documents that `judge` left of a part, with `doc_id`."""
    return read_survivors(trail_of(inputs), part, ["doc_id", *COLUMNS])


def count_withdrawn(documents: pa.Table, matcher: Matcher) -> Counter[Exclusion]:
    """How many of the documents each thing on the list withdraws; one document is counted once."""
    found = matcher.find(documents)
    counts = pc.value_counts(pa.array(found[found >= 0])).to_pylist()
    return Counter({matcher.listed[row["values"]]: row["counts"] for row in counts})
