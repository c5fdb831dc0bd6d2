"""Documents published by hand up to `judge`, and the two stages of dedup run on them; and documents in memory, for the
engine alone."""

import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.dedup.engine import Decisions, EarlierDocuments, find_duplicates
from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import fingerprints, signatures_part
from pipeline_lib.dedup.stage import dedup_part
from pipeline_lib.withdrawn.rule import Withdrawn
from pipeline_lib.withdrawn.stage import withdrawn_part
from storage.accounts import Account
from storage.manifests import Part, PublishedStage
from storage.schemas import CLUSTERS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS, fingerprints_schema, signals_schema
from storage.store import Store

Row = dict[str, object]

SIGNALS = signals_schema(["other", "quality"])


@dataclass(frozen=True, kw_only=True)
class Page:
    """A document before dedup; `cut` are bytes that the signals' edits take out of the text.

    A page without a `url` has one that no other has.
    """

    number: int
    text: str
    url: str | None = None
    year: int | None = None
    quality: float | None = None
    source: str = "crawl-data/test.warc.gz"
    dropped: bool = False
    cut: tuple[int, int] | None = None

    @property
    def doc_id(self) -> str:
        return doc_id(self.number)

    def row(self) -> Row:
        fetched_at = None if self.year is None else datetime(self.year, 1, 1, tzinfo=UTC)
        url = f"https://site.example/{self.number}" if self.url is None else self.url
        return document_row(self.number, url=url, warc_path=self.source, fetched_at=fetched_at, text=self.text)

    def edits(self) -> list[Row]:
        if self.cut is None:
            return []
        row = {"doc_id": self.doc_id, "step": 0, "rule": "cut", "start": self.cut[0], "end": self.cut[1]}
        return [{**row, "replacement": ""}]

    def signals(self) -> Row:
        return {"doc_id": self.doc_id, "other": 0.0, "quality": np.nan if self.quality is None else self.quality}

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

    signals = {
        part: {
            "edits": (pa.Table.from_pylist([row for page in pages for row in page.edits()], EDITS), EDITS),
            "signals": (pa.Table.from_pylist([page.signals() for page in pages], SIGNALS), SIGNALS),
        }
        for part, pages in parts.items()
    }
    return {
        "extract": publish("extract", "documents", DOCUMENTS, lambda page: [page.row()]),
        "signals": publish_tables(store, "signals", signals),
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
def deduplicated(
    parts: Mapping[str, Sequence[Page]], parameters: DedupParameters, withdrawn: Withdrawn | None = None
) -> Iterator[Outcome]:
    """Run both stages, and between them the one that leaves out what is `withdrawn`, in a store of their own: in
    memory, since Hypothesis runs a test many times."""
    store = Store(f"memory://{uuid.uuid4().hex}")
    try:
        stages = publish_judged(store, parts)
        stages["signatures"] = publish_stage(
            store,
            "signatures",
            [Part(name=part) for part in parts],
            lambda part, out: signatures_part(part, stages, out, parameters.signatures()),
        )
        if withdrawn is not None:
            stages["withdrawn"] = publish_stage(
                store,
                "withdrawn",
                [Part(name=part) for part in parts],
                lambda part, out: withdrawn_part(part, stages, out, withdrawn),
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


class Pages:
    """Pages by part, as a collection."""

    def __init__(self, parts: Mapping[str, Sequence[Page]], parameters: DedupParameters) -> None:
        self._pages = parts
        self._parameters = parameters

    @property
    def parts(self) -> tuple[str, ...]:
        return tuple(self._pages)

    def fingerprints(self, part: str) -> Iterator[pa.Table]:
        """In two batches, the second of which may be empty."""
        pages = self._pages[part]
        for some in (pages[: 1 + len(pages) // 2], pages[1 + len(pages) // 2 :]):
            documents = pa.Table.from_pylist([page.row() for page in some], DOCUMENTS)
            yield fingerprints(documents, self._parameters.signatures())

    def texts(self, part: str, rows: np.ndarray) -> pa.Array:
        assert rows.tolist() == sorted(set(rows.tolist()))
        return pa.array([self._pages[part][row].text for row in rows], pa.large_string())

    def quality(self, part: str) -> np.ndarray:
        return np.array([np.nan if page.quality is None else page.quality for page in self._pages[part]])

    def source_ranks(self, part: str) -> np.ndarray:
        ranks = {source: rank for rank, source in enumerate(self._parameters.source_priority)}
        return np.array([ranks.get(page.source, len(ranks)) for page in self._pages[part]], np.int64)


def decided(
    parts: Mapping[str, Sequence[Page]],
    parameters: DedupParameters,
    earlier: Mapping[str, Mapping[str, Sequence[Page]]] | None = None,
    compare_on: str | None = None,
) -> Decisions:
    runs = [EarlierDocuments(run_id=run, documents=Pages(pages, parameters)) for run, pages in (earlier or {}).items()]
    with tempfile.TemporaryDirectory() as scratch:
        decisions = find_duplicates(
            Pages(parts, parameters), parameters, scratch=Path(scratch), earlier=runs, compare_on=compare_on
        )
        assert list(Path(scratch).iterdir()) == []
        return decisions


@pytest.fixture
def decide():
    """`decide(parts, parameters, earlier, compare_on)` runs the engine; `earlier` are parts by run."""
    return decided


@pytest.fixture
def run_dedup():
    """`with run_dedup(parts, parameters) as outcome`; `parts` may be one list of pages."""

    def run(parts, parameters=None, withdrawn=None):
        named = parts if isinstance(parts, dict) else {"part-00000": parts}
        return deduplicated(named, parameters or DedupParameters(), withdrawn)

    return run


@pytest.fixture
def page():
    return Page
