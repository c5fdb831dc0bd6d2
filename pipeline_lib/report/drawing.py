"""Drawing a few rows out of many parts: the same rows for the same seed, whatever the parts."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import TypeAdapter

from pipeline_lib.kernels.seeded_hash import seeded_hash
from pipeline_lib.privacy.parameters import PrivacyParameters
from pipeline_lib.privacy.stage import mask_addresses
from pipeline_lib.survivors import apply_edits
from storage.manifests import PublishedStage
from storage.schemas import DOCUMENTS

PART = "part"
_HASH = "hash"


def draw(
    tables: Iterable[tuple[str, pa.Table]], *, number: int, seed: int, purpose: str, by: str = "doc_id", each: str = ""
) -> pa.Table | None:
    """The `number` rows whose hash of the column `by` is smallest, ordered by it; for every value of `each` if given.

    Takes (part name, table) one at a time and gives their columns and `part`; None where there was no table.
    Rows of a part that cannot be among the first of all are let go at once.
    """
    drawn: pa.Table | None = None
    for part, table in tables:
        table = table.append_column(_HASH, pa.array(seeded_hash(table[by], seed, purpose)))
        table = table.append_column(PART, pa.array([part] * table.num_rows, pa.string()))
        table = _first(table, number, by, each)
        drawn = table if drawn is None else _first(pa.concat_tables([drawn, table]), number, by, each)
    return None if drawn is None else drawn.drop_columns(_HASH)


def _first(table: pa.Table, number: int, by: str, each: str) -> pa.Table:
    keys = [(each, "ascending")] if each else []
    order = pc.sort_indices(table, sort_keys=[*keys, (_HASH, "ascending"), (by, "ascending")])
    table = table.take(order)
    if not each:
        return table.slice(0, number)
    groups = table[each].combine_chunks().dictionary_encode().indices.to_numpy()
    starts = np.flatnonzero(np.diff(groups, prepend=-1))
    rank = np.arange(len(groups)) - np.repeat(starts, np.diff(starts, append=len(groups)))
    return table.filter(pa.array(rank < number))


def read_drawn(
    stage: PublishedStage, table: str, schema: pa.Schema, columns: Sequence[str], wanted: Iterable[tuple[str, str]]
) -> pa.Table:
    """Rows (doc_id and `columns`) for (part, doc_id) pairs; reads the parts they are in, one at a time."""
    by_part: dict[str, list[str]] = {}
    for part, doc_id in wanted:
        by_part.setdefault(part, []).append(doc_id)
    names = ["doc_id", *columns]
    found = [pa.schema([schema.field(name) for name in names]).empty_table()]
    for part, doc_ids in sorted(by_part.items()):
        if stage.has(table, part):
            rows = stage.read(table, part, schema, columns=names).select(names)
            found.append(rows.filter(pc.is_in(rows["doc_id"], value_set=pa.array(doc_ids, pa.string()))))
    return pa.concat_tables([rows.replace_schema_metadata() for rows in found])


def read_extracted(
    inputs: Mapping[str, PublishedStage], columns: Sequence[str], wanted: Iterable[tuple[str, str]]
) -> pa.Table:
    """The same of documents as they were extracted, with addresses masked as in the corpus.

    The privacy stage masks what stays; what was dropped, and is shown as an example, it has never seen.
    """
    documents = read_drawn(inputs["extract"], "documents", DOCUMENTS, columns, wanted)
    return apply_edits(documents, mask_addresses(documents, recorded_privacy(inputs)))


def recorded_privacy(inputs: Mapping[str, PublishedStage]) -> PrivacyParameters:
    """How the corpus was masked; the defaults where it was not."""
    recorded = inputs["privacy"].manifest.parameters if "privacy" in inputs else {}
    return TypeAdapter(PrivacyParameters).validate_python(recorded)
