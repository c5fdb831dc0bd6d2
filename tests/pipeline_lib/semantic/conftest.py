"""Documents published by hand up to `dedup`, and the two semantic stages run on them."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from published_stages import doc_id, document_row, publish_stage, publish_tables

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import signatures_part
from pipeline_lib.dedup.stage import dedup_part
from pipeline_lib.semantic.embeddings_stage import embeddings_part
from pipeline_lib.semantic.parameters import SemanticParameters, SemanticStageParameters
from pipeline_lib.semantic.stage import semantic_part
from storage.accounts import Account
from storage.manifests import Part, PublishedStage
from storage.schemas import CLUSTERS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS
from storage.store import Store

Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Page:
    """A document before dedup; `vector` is its embedding where a test gives vectors itself."""

    number: int
    text: str = ""
    vector: tuple[float, ...] = ()
    year: int | None = None

    @property
    def doc_id(self) -> str:
        return doc_id(self.number)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the two stages said, all parts together."""

    stages: dict[str, PublishedStage]
    duplicates: dict[str, Row]
    clusters: dict[str, Row]
    dedup_duplicates: dict[str, Row]
    account: Account
    metrics: Mapping[str, Any]


def tables_of(pages: Sequence[Page], document: Callable[[Page], Row]) -> pa.Table:
    return pa.Table.from_pylist([document(page) for page in pages], DOCUMENTS)


@contextmanager
def semantically_deduplicated(
    parts: Mapping[str, Sequence[Page]], semantic: SemanticParameters, dedup: DedupParameters
) -> Iterator[Outcome]:
    store = Store(f"memory://{uuid.uuid4().hex}")
    names = [Part(name=part) for part in parts]
    by_text = {page.text: page.vector for pages in parts.values() for page in pages}

    dimensions = max((len(vector) for vector in by_text.values()), default=0)

    def embed(texts: pa.ChunkedArray) -> Any:
        vectors = [by_text[text] for text in texts.to_pylist()]
        return np.array(vectors, np.float32).reshape(len(vectors), dimensions)

    def document(page: Page) -> Row:
        fetched_at = None if page.year is None else datetime(page.year, 1, 1, tzinfo=UTC)
        return document_row(page.number, fetched_at=fetched_at, text=page.text)

    try:
        stages = {
            name: publish_tables(store, name, {part: {table: (found[part], schema)} for part in parts})
            for name, table, schema, found in (
                ("extract", "documents", DOCUMENTS, {p: tables_of(pages, document) for p, pages in parts.items()}),
                ("signals", "edits", EDITS, dict.fromkeys(parts, EDITS.empty_table())),
                ("judge", "decisions", DECISIONS, dict.fromkeys(parts, DECISIONS.empty_table())),
            )
        }
        stages["signatures"] = publish_stage(
            store, "signatures", names, lambda part, out: signatures_part(part, stages, out, dedup.signatures())
        )
        stages["dedup"] = publish_stage(
            store, "dedup", [Part(name="all")], lambda part, out: dedup_part(part, stages, out, dedup)
        )
        trail = dict(stages)
        stages["embeddings"] = publish_stage(
            store,
            "embeddings",
            names,
            lambda part, out: embeddings_part(part, trail, out, semantic.embeddings(), embed=embed),
        )
        parameters = SemanticStageParameters(semantic=semantic, dedup=dedup)
        stages["semantic"] = publish_stage(
            store, "semantic", [Part(name="all")], lambda part, out: semantic_part(part, stages, out, parameters)
        )

        def rows(stage: str, table: str, schema: pa.Schema) -> dict[str, Row]:
            found = [row for part in parts for row in stages[stage].read(table, part, schema).to_pylist()]
            return {row["doc_id"]: row for row in found}

        yield Outcome(
            stages=stages,
            duplicates=rows("semantic", "duplicates", DUPLICATES),
            clusters=rows("semantic", "clusters", CLUSTERS),
            dedup_duplicates=rows("dedup", "duplicates", DUPLICATES),
            account=stages["semantic"].manifest.account,
            metrics=stages["semantic"].manifest.metrics,
        )
    finally:
        store.remove("stages")


@pytest.fixture
def run_semantic() -> Callable[..., Any]:
    """`with run_semantic(parts, parameters) as outcome`; `parts` may be one list of pages."""

    def run(
        parts: Mapping[str, Sequence[Page]] | Sequence[Page],
        semantic: SemanticParameters | None = None,
        dedup: DedupParameters | None = None,
    ) -> Any:
        named = parts if isinstance(parts, dict) else {"part-00000": parts}
        return semantically_deduplicated(named, semantic or SemanticParameters(), dedup or DedupParameters())

    return run


@pytest.fixture
def page() -> type[Page]:
    return Page
