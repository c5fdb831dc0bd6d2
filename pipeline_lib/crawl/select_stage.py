"""The stage that asks an index which records to read: its answer becomes a work list, one table a part of fetching."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import pyarrow as pa

from pipeline_lib.crawl.columnar_index import answers_from_table
from pipeline_lib.crawl.crawls import LATEST, is_crawl_id, list_crawls, resolve_crawl
from pipeline_lib.crawl.index_query import CrawlSelection, IndexQuery
from pipeline_lib.crawl.index_rows import Answer
from pipeline_lib.crawl.index_server import answers_from_server
from pipeline_lib.crawl.listing import absolute_url
from pipeline_lib.crawl.range_reader import RangeReader, joined_url
from pipeline_lib.crawl.work_list import RecordCollector, WorkListParameters, make_work_list, sample_records
from pipeline_lib.crawl.zipnum import answers_from_zipnum
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import SOURCES
from storage.store import Store
from storage.wrong_request import WrongRequest

RANGES = "ranges"


class NothingSelected(WrongRequest):
    """No record of the crawl is as asked for; the message says what the index has instead."""


@dataclass(frozen=True, kw_only=True)
class SelectParameters:
    """All that decides which records are read: where the crawl lies is not part of it, a mirror gives the same.

    Attributes:
        crawl: id of the crawl. What a crawl's index says is taken never to change, as Common Crawl's does not.
        index: which records.
        work_list: how they become ranges and parts.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    crawl: str
    index: IndexQuery = field(default_factory=IndexQuery)
    work_list: WorkListParameters = field(default_factory=WorkListParameters)

    def __post_init__(self) -> None:
        if not is_crawl_id(self.crawl) or self.crawl.lower() == LATEST:
            raise ValueError(f"crawl={self.crawl!r}: expected the id of a crawl, such as CC-MAIN-2026-43")


def resolved(selection: CrawlSelection, reader: RangeReader) -> CrawlSelection:
    """The selection with the id of its crawl in place of `latest`; the list of crawls is read only for that.

    Raises:
        CrawlListError: the list cannot be read.
    """
    if selection.crawl.lower() != LATEST:
        return selection
    return replace(selection, crawl=resolve_crawl(list_crawls(reader, selection.index_server), LATEST).crawl_id)


def select_parts(selection: CrawlSelection) -> list[Part]:
    """The stage's single part; it knows where the crawl and its index are."""
    places = {"base_url": selection.base_url, "index_server": selection.index_server}
    return [Part(name="all", source={name: absolute_url(place) for name, place in places.items()})]


def select_part(
    part: Part,
    inputs: Mapping[str, PublishedStage],
    output: PartWriter,
    parameters: SelectParameters,
    *,
    connect: Callable[[Store], RangeReader],
) -> PartResult:
    """Ask the index, and write the work list: table `ranges`, one file a part of fetching, as SOURCES.

    In it `url` is the path in the crawl: `located` makes it an address. The account counts what the index has of the
    hosts, domains and URLs asked for (of everything, where none is named) in the subsets asked for.

    Args:
        connect: gives the reader that all bytes come through.

    Raises:
        NothingSelected: no record is wanted.
        IndexUnavailable, UnknownCrawl: the index is not there, or not what it should be.
        OSError: it cannot be read.
    """
    reader = connect(output.store)
    collector = RecordCollector()
    dropped: Counter[str] = Counter()
    num_rows = 0
    for answer in _answers(reader, part.source["base_url"], part.source["index_server"], parameters):
        collector.add(answer.records)
        dropped.update(answer.dropped)
        num_rows += answer.rows
    records = collector.records()
    dropped["duplicate"] += records.num_duplicates
    if parameters.index.max_records is not None:
        num_found = len(records)
        records = sample_records(records, parameters.index.max_records, parameters.index.seed)
        dropped["over_max_records"] += num_found - len(records)
    if not len(records):
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in dropped.most_common() if count)
        raise NothingSelected(
            f"crawl {parameters.crawl} has no record as source.index asks for: its index has {num_rows:,} captures of "
            f"the hosts, domains and URLs named{f' ({reasons})' if reasons else ''}; ask for more"
        )
    work_list = make_work_list(records, parameters.work_list)
    for number, table in enumerate(work_list.parts()):
        output.table(RANGES, table, SOURCES, part=f"part-{number:05d}")
    return PartResult(
        account=Account(
            documents_in=num_rows,
            documents_out=len(records),
            dropped=dropped,
            unit_in="captures",
            unit_out="records",
        ),
        metrics={
            "files": len(records.files),
            "ranges": len(work_list.start),
            "parts": work_list.num_parts,
            "wanted_bytes": work_list.wanted_bytes,
            "bytes_to_read": work_list.total_bytes,
            "wasted_bytes": work_list.total_bytes - work_list.wanted_bytes,
        },
    )


def work_list_parts(published: PublishedStage, base_url: str) -> list[Part]:
    """The parts of the fetch stage for a published work list, in order.

    Each names the part of table `ranges` that it fetches, and the folder or address that paths are below.
    """
    return [
        Part(name=record.part, source={"ranges": record.part, "base_url": absolute_url(base_url)})
        for record in published.manifest.files(RANGES)
    ]


def is_of_work_list(part: Part) -> bool:
    """Whether a part of the fetch stage is of a work list: others are whole files."""
    return "ranges" in part.source


def work_list_part(published: PublishedStage, part: Part) -> pa.Table:
    """The ranges that a part of the fetch stage reads, as SOURCES, with the addresses they are at."""
    return located(published.read(RANGES, part.source["ranges"], SOURCES), part.source["base_url"])


def located(ranges: pa.Table, base_url: str) -> pa.Table:
    """Ranges whose `url` is a path in the crawl, with the address of that path below `base_url`."""
    paths = ranges["url"].combine_chunks().dictionary_encode()
    places = pa.array([joined_url(base_url, path) for path in paths.dictionary.to_pylist()], pa.large_string())
    urls = pa.DictionaryArray.from_arrays(paths.indices, places).cast(pa.large_string())
    return ranges.set_column(ranges.schema.get_field_index("url"), SOURCES.field("url"), urls)


def _answers(reader: RangeReader, base_url: str, index_server: str, parameters: SelectParameters) -> Iterator[Answer]:
    match parameters.index.kind:
        case "columnar":
            return answers_from_table(reader, base_url, parameters.crawl, parameters.index)
        case "cdx":
            return answers_from_zipnum(reader, base_url, parameters.crawl, parameters.index)
        case "api":
            return answers_from_server(reader, index_server, parameters.crawl, parameters.index)
