"""Documents published by hand up to `dedup`, and the three stages of repeated lines run on them."""

import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import pyarrow as pa
import pytest
from published_stages import publish_stage, publish_tables

from pipeline_lib.repeated_lines.parameters import RepeatedLinesParameters
from pipeline_lib.repeated_lines.stage import COUNTS, REPEATED, count_part, lines_part, repeated_part
from pipeline_lib.survivors import read_survivors, trail_of
from storage.accounts import Account
from storage.manifests import Part, PublishedStage
from storage.schemas import DECISIONS, DOCUMENTS, EDITS, REPEATED_EXAMPLES
from storage.store import Store

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the stages made: `texts` of the documents that are left, by doc_id; tables of all parts together."""

    stages: dict[str, PublishedStage]
    texts: dict[str, str]
    edits: list[Row]
    decisions: dict[str, Row]
    examples: list[Row]
    account: Account


@contextmanager
def _taken_out(parts: Mapping[str, Sequence[Row]], parameters: RepeatedLinesParameters) -> Iterator[Outcome]:
    store = Store(f"memory://{uuid.uuid4().hex}")  # of their own: Hypothesis runs a test many times
    names = [Part(name=name) for name in parts]
    try:
        tables = {
            name: {"documents": (pa.Table.from_pylist(list(rows), schema=DOCUMENTS), DOCUMENTS)}
            for name, rows in parts.items()
        }
        stages = {"extract": publish_tables(store, "extract", tables)}
        counts = publish_stage(
            store, COUNTS, names, lambda part, out: count_part(part, stages, out, parameters.units())
        )
        repeated = publish_stage(
            store,
            REPEATED,
            [Part(name="all")],
            lambda part, out: repeated_part(part, {**stages, COUNTS: counts}, out, parameters),
        )
        lines = publish_stage(
            store,
            "lines",
            names,
            lambda part, out: lines_part(part, {**stages, REPEATED: repeated}, out, parameters),
            parameters={"unit": parameters.unit},
        )
        stages["lines"] = lines
        left = [row for name in parts for row in read_survivors(trail_of(stages), name).to_pylist()]
        yield Outcome(
            stages={**stages, REPEATED: repeated},
            texts={row["doc_id"]: row["text"] for row in left},
            edits=[row for name in parts for row in lines.read("edits", name, EDITS).to_pylist()],
            decisions={
                row["doc_id"]: row for name in parts for row in lines.read("decisions", name, DECISIONS).to_pylist()
            },
            examples=repeated.read("examples", "all", REPEATED_EXAMPLES).to_pylist(),
            account=lines.manifest.account,
        )
    finally:
        store.remove("stages")


@pytest.fixture(scope="session")
def taken_out():
    """`with taken_out(rows, **parameters) as outcome`; `rows` of DOCUMENTS, or of parts by name. Short units count."""

    def run(rows, **parameters):
        parts = rows if isinstance(rows, dict) else {"part-00000": rows}
        return _taken_out(parts, RepeatedLinesParameters(**{"enabled": True, "min_chars": 1, **parameters}))

    return run
