"""The extract stage, run on WARC files that a test writes."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from published_stages import publish_stage, publish_tables

from pipeline_lib.crawl.fetching import FetchParameters
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.stage import extract_part
from storage.manifests import Part, PartRecord, PublishedStage
from storage.schemas import SOURCES
from storage.store import Store

PART = "part-00000"
WARC_PATH = "crawl-data/TEST/segments/0/warc/a.warc.gz"


@pytest.fixture
def extract(tmp_path) -> Callable[..., tuple[PartRecord, PublishedStage]]:
    """`extract(path, **parameters)`: what the stage reports of a WARC file, and what it published."""

    def run(path: Path, **parameters):
        store = Store(str(tmp_path / "store"))
        source = {
            "kind": "warc",
            "warc_path": WARC_PATH,
            "url": str(path),
            "position": 0,
            "offset": 0,
            "length": -1,
            "wanted": None,
            "bytes": path.stat().st_size,
            "fingerprint": "x",
        }
        tables = {"sources": (pa.Table.from_pylist([source], SOURCES), SOURCES)}
        inputs = {"fetch": publish_tables(store, "fetch", {PART: tables})}
        stage = publish_stage(
            store,
            "extract",
            [Part(name=PART)],
            lambda part, output: extract_part(
                part, inputs, output, ExtractParameters(**parameters), fetching=FetchParameters()
            ),
        )
        return stage.manifest.parts[0], stage

    return run


@pytest.fixture
def extract_sources(tmp_path) -> Callable[..., tuple[PartRecord, PublishedStage]]:
    """`extract_sources(rows, **parameters)`: the same of any rows of the table of sources, of which defaults fill in
    what they do not say."""

    def run(rows, **parameters):
        store = Store(str(tmp_path / "store"))
        defaults = {
            "kind": "warc",
            "warc_path": WARC_PATH,
            "position": 0,
            "offset": 0,
            "length": -1,
            "wanted": None,
            "bytes": -1,
            "fingerprint": "x",
        }
        table = pa.Table.from_pylist([{**defaults, **row} for row in rows], SOURCES)
        inputs = {"fetch": publish_tables(store, "fetch", {PART: {"sources": (table, SOURCES)}})}
        stage = publish_stage(
            store,
            "extract",
            [Part(name=PART)],
            lambda part, output: extract_part(
                part, inputs, output, ExtractParameters(**parameters), fetching=FetchParameters()
            ),
        )
        return stage.manifest.parts[0], stage

    return run
