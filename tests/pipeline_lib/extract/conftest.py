"""The extract stage, run on WARC files that a test writes."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.stage import extract_part
from storage.accounts import Account
from storage.manifests import Manifest, Part, PartRecord, PartWriter, PublishedStage, StageAddress
from storage.schemas import SOURCES
from storage.store import Store

PART = "part-00000"
WARC_PATH = "crawl-data/TEST/segments/0/warc/a.warc.gz"


@pytest.fixture
def extract(tmp_path) -> Callable[..., tuple[PartRecord, PublishedStage]]:
    """`extract(path, **parameters)`: what the stage reports of a WARC file, and what it published."""

    def run(path: Path, **parameters):
        store = Store(str(tmp_path / "store"))
        source = {"warc_path": WARC_PATH, "url": str(path), "bytes": path.stat().st_size, "fingerprint": "x"}
        writer = PartWriter(store=store, address=StageAddress(stage="fetch", key="k"), part=PART)
        writer.table("sources", pa.Table.from_pylist([source], SOURCES), SOURCES)
        fetched = published(store, "fetch", writer.commit(Account(documents_in=1, documents_out=1), {}))
        output = PartWriter(store=store, address=StageAddress(stage="extract", key="k"), part=PART)
        result = extract_part(Part(name=PART), {"fetch": fetched}, output, ExtractParameters(**parameters))
        record = output.commit(result.account, result.metrics)
        return record, published(store, "extract", record)

    return run


def published(store: Store, stage: str, record: PartRecord) -> PublishedStage:
    manifest = Manifest(
        stage=stage,
        key="k",
        parameters={},
        code_digest="",
        libraries={},
        inputs={},
        parts=(record,),
        account=record.account,
        metrics={},
        environment={},
        seconds=0.0,
    )
    return PublishedStage(store=store, manifest=manifest)
