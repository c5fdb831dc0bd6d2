"""Documents published by hand up to `judge`, and the two stages of dedup run on them."""

import dataclasses
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from pipeline_lib.dedup.parameters import DedupParameters
from pipeline_lib.dedup.signatures import signatures_part
from pipeline_lib.dedup.stage import dedup_part
from storage.accounts import Account, add_accounts
from storage.manifests import Manifest, Part, PartResult, PartWriter, PublishedStage, StageAddress
from storage.schemas import CLUSTERS, DECISIONS, DOCUMENTS, DUPLICATES, EDITS, document_id, fingerprints_schema
from storage.store import Store

EMPTY = Manifest(
    stage="",
    key="",
    parameters={},
    code_digest="",
    libraries={},
    inputs={},
    parts=(),
    account=Account(documents_in=0, documents_out=0),
    metrics={},
    environment={},
    seconds=0.0,
)
Work = Callable[[Part, PartWriter], PartResult]


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
        return document_id("crawl-data/test.warc.gz", self.number)

    def row(self) -> dict[str, object]:
        return {
            "doc_id": self.doc_id,
            "url": "https://site.example/",
            "host": "site.example",
            "fetched_at": None if self.year is None else datetime(self.year, 1, 1, tzinfo=UTC),
            "warc_path": "crawl-data/test.warc.gz",
            "warc_offset": self.number,
            "warc_length": 10,
            "mime": "text/html",
            "charset": "utf-8",
            "language": "en",
            "language_score": 1.0,
            "title": "",
            "text": self.text,
        }


def publish(store: Store, stage: str, parts: Sequence[str], work: Work) -> PublishedStage:
    """Do a stage's work on its parts and commit them."""
    records = []
    for part in parts:
        writer = PartWriter(store=store, address=StageAddress(stage=stage, key="by-hand"), part=part)
        result = work(Part(name=part), writer)
        records.append(writer.commit(result.account, result.metrics))
    account = add_accounts(record.account for record in records)
    manifest = dataclasses.replace(
        EMPTY, stage=stage, key="by-hand", parts=tuple(records), account=account, metrics=records[0].metrics
    )
    return PublishedStage(store=store, manifest=manifest)


def publish_judged(store: Store, parts: Mapping[str, Sequence[Page]]) -> dict[str, PublishedStage]:
    """The stages extract, signals and judge for pages by part."""
    nothing = PartResult(account=Account(documents_in=0, documents_out=0))

    def extract(part: Part, output: PartWriter) -> PartResult:
        rows = [page.row() for page in parts[part.name]]
        output.table("documents", pa.Table.from_pylist(rows, schema=DOCUMENTS), DOCUMENTS)
        return nothing

    def signals(part: Part, output: PartWriter) -> PartResult:
        rows = [
            {"doc_id": page.doc_id, "rule": "cut", "start": page.cut[0], "end": page.cut[1], "replacement": ""}
            for page in parts[part.name]
            if page.cut is not None
        ]
        output.table("edits", pa.Table.from_pylist(rows, schema=EDITS), EDITS)
        return nothing

    def judge(part: Part, output: PartWriter) -> PartResult:
        rows = [{"doc_id": page.doc_id, "rule": "by hand"} for page in parts[part.name] if page.dropped]
        output.table("decisions", pa.Table.from_pylist(rows, schema=DECISIONS), DECISIONS)
        return nothing

    return {
        name: publish(store, name, list(parts), work)
        for name, work in (("extract", extract), ("signals", signals), ("judge", judge))
    }


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the two stages said, all parts together."""

    stages: dict[str, PublishedStage]
    fingerprints: list[dict[str, object]]
    duplicates: dict[str, dict[str, object]]
    clusters: dict[str, dict[str, object]]
    account: Account
    metrics: Mapping[str, object]


@contextmanager
def deduplicated(parts: Mapping[str, Sequence[Page]], parameters: DedupParameters) -> Iterator[Outcome]:
    """Run both stages in a store of their own: in memory, since Hypothesis runs a test many times."""
    store = Store(f"memory://{uuid.uuid4().hex}")
    try:
        stages = publish_judged(store, parts)
        stages["signatures"] = publish(
            store,
            "signatures",
            list(parts),
            lambda part, out: signatures_part(part, stages, out, parameters.signatures()),
        )
        dedup = publish(store, "dedup", ["all"], lambda part, out: dedup_part(part, stages, out, parameters))
        schema = fingerprints_schema(parameters.num_permutations)

        def rows(stage: PublishedStage, table: str, schema: pa.Schema) -> list[dict[str, object]]:
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
