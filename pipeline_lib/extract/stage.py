"""The extract stage: what was fetched becomes a table of documents, and one of what is none, with reasons."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from typing import Any

from pipeline_lib.extract.candidates import Item, record_items, unreadable_item
from pipeline_lib.extract.extraction import Extraction
from pipeline_lib.extract.page_workers import thread_workers
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.ranges import lasting_reason, open_range
from pipeline_lib.extract.text_rows import text_items
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, SOURCES
from storage.store import Store


def extract_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: ExtractParameters
) -> PartResult:
    """Read the ranges of a part (`sources` of the stage `fetch`) into `documents` and `rejected`.

    Both tables are in the order of the ranges and of what is in them. The account counts records (of texts, rows): each
    is a document or has a reason.

    Raises:
        SourceError: a source cannot be opened.
        TextFileError: a file of texts has no column of texts.
    """
    fetched = inputs["fetch"]
    sources = fetched.read("sources", part.name, SOURCES).to_pylist()
    extraction = Extraction()
    for source in sources:
        extraction.read(source_items(fetched.store, source, parameters), thread_workers(parameters))
    output.table("documents", extraction.documents(), DOCUMENTS)
    output.table("rejected", extraction.rejected(), REJECTED_RECORDS)
    return PartResult(account=extraction.account(), metrics=extraction.tally.as_json())


def source_items(store: Store, source: Mapping[str, Any], parameters: ExtractParameters) -> Iterator[Item]:
    """What a range of a source holds, in order; where it breaks for good, its rest is one item with the reason."""
    kinds = {"warc": record_items, "texts": text_items}
    if source["kind"] not in kinds:
        raise ValueError(f"{source['warc_path']}: expected a source of kind {' or '.join(kinds)}: {source['kind']!r}")
    with ExitStack() as stack:
        try:
            stream = stack.enter_context(open_range(store, source))
        except Exception as error:
            reason = lasting_reason(error)
            if reason is None:
                raise
            yield unreadable_item(source, reason)
            return
        yield from kinds[source["kind"]](stream, source, parameters)
