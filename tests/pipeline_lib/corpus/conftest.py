"""Stages to read from: tables published by hand, as a run would publish them."""

from collections.abc import Callable, Mapping

import pyarrow as pa
import pytest

from storage.accounts import Account, add_accounts
from storage.manifests import Manifest, PartWriter, PublishedStage, StageAddress
from storage.store import Store

Tables = Mapping[str, tuple[pa.Table, pa.Schema]]
PublishTables = Callable[[str, Mapping[str, Tables]], PublishedStage]


@pytest.fixture
def store(tmp_path):
    return Store(str(tmp_path / "store"))


@pytest.fixture
def publish_tables(store) -> PublishTables:
    """Publish `{part: {table name: (table, schema)}}` as a stage."""

    def publish(stage: str, parts: Mapping[str, Tables]) -> PublishedStage:
        records = []
        for part, tables in parts.items():
            writer = PartWriter(store=store, address=StageAddress(stage=stage, key="by-hand"), part=part)
            for name, (table, schema) in tables.items():
                writer.table(name, table, schema)
            records.append(writer.commit(Account(documents_in=0, documents_out=0), {}))
        return PublishedStage(
            store=store,
            manifest=Manifest(
                stage=stage,
                key="by-hand",
                parameters={},
                code_digest="",
                libraries={},
                inputs={},
                parts=tuple(records),
                account=add_accounts(record.account for record in records),
                metrics={},
                environment={},
                seconds=0.0,
            ),
        )

    return publish
