"""Stages published by hand, as the flows publish them, and rows in whose other columns a test has no interest."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from storage.accounts import Account, add_accounts
from storage.manifests import Manifest, Part, PartResult, PartWriter, PublishedStage, StageAddress
from storage.schemas import CORPUS, document_id
from storage.store import Store

WARC_PATH = "crawl-data/test.warc.gz"

Work = Callable[[Part, PartWriter], PartResult]
Tables = Mapping[str, tuple[pa.Table, pa.Schema]]
Row = dict[str, Any]


def publish_stage(
    store: Store,
    stage: str,
    parts: Sequence[Part],
    work: Work,
    key: str = "by-hand",
    parameters: Mapping[str, Any] | None = None,
    inputs: Mapping[str, PublishedStage] | None = None,
) -> PublishedStage:
    """Do a stage's work on its parts, one after another, and commit them; the manifest is in memory only."""
    records = []
    for part in parts:
        writer = PartWriter(store=store, address=StageAddress(stage=stage, key=key), part=part.name)
        result = work(part, writer)
        records.append(writer.commit(result.account, result.metrics))
    manifest = Manifest(
        stage=stage,
        key=key,
        parameters=parameters or {},
        code_digest="",
        libraries={},
        inputs={name: stage.manifest.key for name, stage in (inputs or {}).items()},
        parts=tuple(records),
        account=add_accounts(record.account for record in records),
        metrics=records[0].metrics if len(records) == 1 else {},
        environment={},
        seconds=0.0,
    )
    return PublishedStage(store=store, manifest=manifest)


def publish_tables(store: Store, stage: str, parts: Mapping[str, Tables], key: str = "by-hand") -> PublishedStage:
    """Publish `{part: {table name: (table, schema)}}` as a stage that counted nothing."""

    def work(part: Part, output: PartWriter) -> PartResult:
        for name, (table, schema) in parts[part.name].items():
            output.table(name, table, schema)
        return PartResult(account=Account(documents_in=0, documents_out=0))

    return publish_stage(store, stage, [Part(name=name) for name in parts], work, key)


def publish_splits(store: Store, parts: Sequence[tuple[list[Row], list[Row]]], key: str = "by-hand") -> PublishedStage:
    """Publish the rows of `(train, validation)`, part by part, as the stage corpus."""
    tables = {
        f"part-{number:05d}": {
            split: (pa.Table.from_pylist(rows, schema=CORPUS), CORPUS)
            for split, rows in zip(("train", "validation"), splits, strict=True)
        }
        for number, splits in enumerate(parts)
    }
    return publish_tables(store, "corpus", tables, key)


def doc_id(number: int) -> str:
    """The id of the document at byte `number` of WARC_PATH."""
    return document_id(WARC_PATH, number)


def document_row(number: int = 0, **changes: Any) -> Row:
    """A row of DOCUMENTS: the one at byte `number` of WARC_PATH, with the columns that the test names."""
    row = {
        "doc_id": doc_id(number),
        "url": f"https://site.example/{number}",
        "host": "site.example",
        "fetched_at": None,
        "published_at": None,
        "warc_path": WARC_PATH,
        "warc_offset": number,
        "warc_length": 10,
        "mime": "text/html",
        "charset": "utf-8",
        "language": "en",
        "language_score": 1.0,
        "title": "",
        "text": "",
    }
    assert changes.keys() <= row.keys(), f"no columns of DOCUMENTS: {changes.keys() - row.keys()}"
    return row | changes


def corpus_row(number: int = 0, **changes: Any) -> Row:
    """A row of CORPUS: such a document, alone in its cluster, with no edit made."""
    row = document_row(number, **changes)
    return {**row, "cluster_id": row["doc_id"], "num_edits": 0}
