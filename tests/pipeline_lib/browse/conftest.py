"""A small run, published by hand, as the tests of the document browser read it."""

import pytest
from made_run import MadeRun, publish_run

from pipeline_lib.browse.documents import DocumentTable, read_document_table
from pipeline_lib.browse.published import PublishedTables
from storage.store import Store


@pytest.fixture(scope="session")
def browsed_run(tmp_path_factory: pytest.TempPathFactory) -> MadeRun:
    return publish_run(Store(str(tmp_path_factory.mktemp("browsed") / "store")), per_part=60, hostile="")


@pytest.fixture(scope="session")
def published(browsed_run: MadeRun) -> PublishedTables:
    return PublishedTables(browsed_run.stages)


@pytest.fixture(scope="session")
def table(published: PublishedTables) -> DocumentTable:
    return read_document_table(published)
