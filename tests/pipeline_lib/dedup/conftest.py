"""Documents published by hand up to `judge`, and the two stages of dedup run on them."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import signatures_part
from pipeline_lib.dedup.stage import dedup_part
from storage.accounts import Account
from storage.manifests import Part, PublishedStage
from storage.schemas import CLUSTERS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS, fingerprints_schema
from storage.store import Store

Row = dict[str, object]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A document before dedup; `cut` are bytes that the signals' edits take out of the text."""

    number: int
    text: str
    year: int | None = None
    dropped: bool = False
    cut: tuple[int, int] | None = None

    @property
    def doc_id(self) -> str:
        return doc_id(self.number)

    def row(self) -> Row:
        fetched_at = None if self.year is None else datetime(self.year, 1, 1, tzinfo=UTC)
        return document_row(self.number, fetched_at=fetched_at, text=self.text)

    def edits(self) -> list[Row]:
        if self.cut is None:
            return []
        row = {"doc_id": self.doc_id, "step": 0, "rule": "cut", "start": self.cut[0], "end": self.cut[1]}
        return [{**row, "replacement": ""}]

    def decisions(self) -> list[Row]:
        return [{"doc_id": self.doc_id, "rule": "by hand"}] if self.dropped else []


def publish_judged(store: Store, parts: Mapping[str, Sequence[Page]]) -> dict[str, PublishedStage]:
    """The stages extract, signals and judge for pages by part."""

    def publish(stage: str, table: str, schema: pa.Schema, rows_of: Callable[[Page], list[Row]]) -> PublishedStage:
        tables = {
            part: pa.Table.from_pylist([row for page in pages for row in rows_of(page)], schema=schema)
            for part, pages in parts.items()
        }
        return publish_tables(store, stage, {part: {table: (found, schema)} for part, found in tables.items()})

    return {
        "extract": publish("extract", "documents", DOCUMENTS, lambda page: [page.row()]),
        "signals": publish("signals", "edits", EDITS, Page.edits),
        "judge": publish("judge", "decisions", DECISIONS, Page.decisions),
    }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the two stages said, all parts together."""

    stages: dict[str, PublishedStage]
    fingerprints: list[Row]
    duplicates: dict[str, Row]
    clusters: dict[str, Row]
    account: Account
    metrics: Mapping[str, object]


@contextmanager
def deduplicated(parts: Mapping[str, Sequence[Page]], parameters: DedupParameters) -> Iterator[Outcome]:
    """Run both stages in a store of their own: in memory, since Hypothesis runs a test many times."""
    store = Store(f"memory://{uuid.uuid4().hex}")
    try:
        stages = publish_judged(store, parts)
        stages["signatures"] = publish_stage(
            store,
            "signatures",
            [Part(name=part) for part in parts],
            lambda part, out: signatures_part(part, stages, out, parameters.signatures()),
        )
        dedup = publish_stage(
            store, "dedup", [Part(name="all")], lambda part, out: dedup_part(part, stages, out, parameters)
        )
        schema = fingerprints_schema(parameters.signatures().num_permutations)

        def rows(stage: PublishedStage, table: str, schema: pa.Schema) -> list[Row]:
            return [row for part in parts for row in stage.read(table, part, schema).to_pylist()]

        yield Outcome(
            stages={**stages, "dedup": dedup},
            fingerprints=rows(stages["signatures"], "fingerprints", schema),
            duplicates={str(row["doc_id"]): row for row in rows(dedup, "duplicates", DUPLICATES)},
            clusters={str(row["doc_id"]): row for row in rows(dedup, "clusters", CLUSTERS)},
            account=dedup.manifest.account,
            metrics=dedup.manifest.metrics,
        )
    finally:
        store.remove("stages")


@pytest.fixture
def run_dedup():
    """`with run_dedup(parts, parameters) as outcome`; `parts` may be one list of pages."""

    def run(parts, parameters=None):
        named = parts if isinstance(parts, dict) else {"part-00000": parts}
        return deduplicated(named, parameters or DedupParameters())

    return run


@pytest.fixture
def page():
    return Page
