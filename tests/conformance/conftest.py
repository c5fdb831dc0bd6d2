"""The documents that the peers and we judge: all pages of the mini crawl."""

import json
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from peer_agreement import WriteLines
from peer_process import PROJECT
from real_documents import mini_crawl_documents


@pytest.fixture(scope="session")
def documents(shared_data: Path) -> pa.Table:
    """The documents: id, url, language, text."""
    return pq.read_table(mini_crawl_documents(shared_data, PROJECT / ".bench"))


@pytest.fixture(scope="session")
def pages(documents: pa.Table) -> pa.ChunkedArray:
    """Their texts."""
    return documents["text"]


@pytest.fixture(scope="session")
def write_lines(tmp_path_factory: pytest.TempPathFactory) -> WriteLines:
    """Writes values where a peer reads them, one JSON object a line under the given key; returns the path."""

    def write(key: str, values: Iterable[str | None]) -> str:
        path = tmp_path_factory.mktemp("values") / f"{key}.jsonl"
        with path.open("w", encoding="utf-8") as stream:
            stream.writelines(json.dumps({key: value}) + "\n" for value in values)
        return str(path)

    return write


@pytest.fixture(scope="session")
def written(pages: pa.ChunkedArray, write_lines: WriteLines) -> str:
    """The texts where a peer reads them."""
    return write_lines("text", pages.to_pylist())
