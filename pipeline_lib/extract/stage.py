"""The extract stage: what was fetched becomes a table of documents, and one of what is none, with reasons."""

from collections.abc import Iterator, Mapping
from typing import Any

import pyarrow as pa

from pipeline_lib.crawl.addresses import is_here
from pipeline_lib.crawl.fetching import FetchParameters, open_range
from pipeline_lib.crawl.remote import FetchFailed, Remote
from pipeline_lib.extract.candidates import Item, record_items, unread_items
from pipeline_lib.extract.extraction import Extraction
from pipeline_lib.extract.page_workers import thread_workers
from pipeline_lib.extract.parameters import ExtractParameters
from pipeline_lib.extract.text_rows import text_items
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DOCUMENTS, LOST_SOURCES, REJECTED_RECORDS, SOURCES


def extract_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: ExtractParameters,
    *,
    fetching: FetchParameters,
) -> PartResult:
    """Read the ranges of a part (`sources` of the stage `fetch`) into `documents` and `rejected`.

    Both tables are in the order of the ranges and of what is in them. The account counts records (of texts, rows): each
    is a document or has a reason. Bytes that a server did not give within its budget are one rejected row for each
    range, and stand in the table `lost`, where there are any.

    Args:
        fetching: how to read what is on a server; it shapes nothing.

    Raises:
        FetchFailed: a file on this machine or in the store cannot be read, or with `on_give_up: fail` any file.
        TextFileError: a file of texts has no column of texts.
    """
    fetched = inputs["fetch"]
    remote = Remote(fetching, fetched.store)
    extraction = Extraction()
    lost: list[dict[str, Any]] = []
    for source in fetched.read("sources", part.name, SOURCES).to_pylist():
        extraction.read(source_items(remote, source, parameters), thread_workers(parameters))
        lost += [{**each, "url": source["url"]} for each in extraction.lost[len(lost) :]]
    output.table("documents", extraction.documents(), DOCUMENTS)
    output.table("rejected", extraction.rejected(), REJECTED_RECORDS)
    if lost:
        output.table("lost", pa.Table.from_pylist(lost, schema=LOST_SOURCES), LOST_SOURCES)
    return PartResult(
        account=extraction.account(),
        metrics={**extraction.tally.as_json(), **remote.traffic.as_json()},
    )


def source_items(remote: Remote, source: Mapping[str, Any], parameters: ExtractParameters) -> Iterator[Item]:
    """What a range of a source holds, in order; where a server stops giving it for good, its rest is one item with the
    reason.

    Raises:
        FetchFailed: see `extract_part`.
    """
    reached = source["offset"]
    try:
        with open_range(remote, source) as stream:
            match source["kind"]:
                case "warc":
                    items = record_items(stream, source, parameters, remote)
                case "texts":
                    items = text_items(stream, source, parameters)
                case kind:
                    raise ValueError(f"{source['warc_path']}: expected a source of kind warc or texts, found {kind!r}")
            for candidate, page in items:
                yield candidate, page
                reached = candidate.offset + max(candidate.length, 1)
    except FetchFailed as error:
        if is_here(source["url"]) or error.reason == "fetch_changed" or remote.parameters.on_give_up == "fail":
            raise
        yield from unread_items(source, reached, error.reason)
