"""The extract stage: a WARC file becomes a table of documents, and one of the records that are none, with reasons."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import pyarrow as pa

from pipeline_lib.crawl.fetching import FetchParameters, open_range
from pipeline_lib.crawl.remote import Remote
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, UndecodableBody, decoded_body, read_records
from pipeline_lib.extract.charset import decode
from pipeline_lib.extract.language import identify
from pipeline_lib.extract.main_text import UnreadablePage, main_text
from pipeline_lib.extract.normalize import normalize, single_line
from pipeline_lib.extract.parameters import ExtractParameters
from storage.accounts import Account
from storage.manifests import Part, PartResult, PartWriter, PublishedStage
from storage.schemas import DOCUMENTS, REJECTED_RECORDS, SOURCES, document_id

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_SNIFFED_BYTES = 1024
_COMMENT = re.compile(rb"<!--.*?-->|<\?xml[^>]*>", re.DOTALL)
_HTML_START = re.compile(
    rb"(?:\xef\xbb\xbf)?\s*<(?:!doctype\s+html|html|head|body|title|meta|script|style|table|div|h1|p|a|b|br)\b",
    re.IGNORECASE,
)
_MAX_TITLE_CHARS = 1_000
_ROWS_AT_ONCE = 2_048  # become Arrow before the next: Python strings take several times the memory


def extract_part(
    part: Part, inputs: Mapping[str, PublishedStage], output: PartWriter, parameters: ExtractParameters
) -> PartResult:
    """Read the WARC file of a part (`sources` of the stage `fetch`) into `documents` and `rejected`.

    Both tables are in the order of the file. The account counts records: each is a document or has a reason.
    """
    fetched = inputs["fetch"]
    sources = fetched.read("sources", part.name, SOURCES).to_pylist()
    if len(sources) > 1:
        raise ValueError(f"{part.name}: expected one source, found {len(sources)}")
    documents = _Rows(DOCUMENTS)
    rejected = _Rows(REJECTED_RECORDS)
    reasons: Counter[str] = Counter()
    tally = Tally()
    for source in sources:  # none where fetching lost it
        warc_path = source["warc_path"]
        with open_range(Remote(FetchParameters(), fetched.store), source) as stream:
            for record in read_records(stream, parameters.max_body_bytes):
                try:
                    documents.append(read_document(record, warc_path, parameters, tally))
                except NoDocument as none:
                    reasons[none.reason] += 1
                    rejected.append(
                        {
                            "warc_path": warc_path,
                            "warc_offset": record.offset,
                            "warc_length": record.length,
                            "record_type": record.record_type,
                            "url": record.url,
                            "reason": none.reason,
                        }
                    )
    output.table("documents", documents.table(), DOCUMENTS)
    output.table("rejected", rejected.table(), REJECTED_RECORDS)
    account = Account(
        documents_in=documents.count + rejected.count,
        documents_out=documents.count,
        dropped=reasons,
        unit_in="records",
        unit_out="documents",
    )
    return PartResult(account=account, metrics=tally.as_json())


class NoDocument(ValueError):
    """A record that is no document, and why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(kw_only=True)
class Tally:
    """What the stage measures on its way; counts are of documents."""

    bytes_in: int = 0  # HTML of all pages that were read, documents or not
    bytes_out: int = 0  # UTF-8 of the documents' text
    charset_sources: Counter[str] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    extractors: Counter[str] = field(default_factory=Counter)

    def as_json(self) -> dict[str, Any]:
        return {
            "bytes_in": self.bytes_in,
            "bytes_out": self.bytes_out,
            "charset_sources": dict(sorted(self.charset_sources.items())),
            "languages": dict(sorted(self.languages.items())),
            "extractors": dict(sorted(self.extractors.items())),
        }


def read_document(
    record: Record | BrokenRecord, warc_path: str, parameters: ExtractParameters, tally: Tally
) -> dict[str, Any]:
    """A record as a row of `DOCUMENTS`.

    Raises:
        NoDocument: it is none.
    """
    if isinstance(record, BrokenRecord):
        raise NoDocument(record.reason)
    if record.record_type != "response":
        raise NoDocument(f"record_{record.record_type}")
    if record.status is None:
        raise NoDocument("no_http_header")
    if record.status != 200:
        raise NoDocument(f"status_{record.status}")
    named_type = _named_type(record)
    if named_type is not None and named_type not in _HTML_TYPES:
        raise NoDocument("not_html")
    try:
        body = decoded_body(record, parameters.max_body_bytes)
    except UndecodableBody as error:
        raise NoDocument(error.reason) from None
    if not body.strip():
        raise NoDocument("empty_page")
    if named_type is None and not looks_like_html(body):
        raise NoDocument("not_html")
    if len(body) > parameters.max_page_bytes:
        raise NoDocument("page_too_large")
    tally.bytes_in += len(body)
    decoded = decode(body, record.headers.get("content-type", ""))
    if decoded.is_garbage:
        raise NoDocument("undecodable")
    try:
        found = main_text(decoded.text, parameters)
    except UnreadablePage as error:
        raise NoDocument(error.reason) from None
    text = normalize(found.text)
    if not text.strip():
        raise NoDocument("no_main_text")
    language = identify(text, parameters.language_sample_bytes)
    tally.bytes_out += len(text.encode())
    tally.charset_sources[decoded.source] += 1
    tally.languages[language.code] += 1
    tally.extractors[found.extractor] += 1
    url = record.url or ""
    return {
        "doc_id": document_id(warc_path, record.offset),
        "url": url,
        "host": host_of(url),
        "fetched_at": record.date,
        "warc_path": warc_path,
        "warc_offset": record.offset,
        "warc_length": record.length,
        "mime": named_type or "text/html",
        "charset": decoded.charset,
        "language": language.code,
        "language_score": language.score,
        "title": single_line(found.title, _MAX_TITLE_CHARS),
        "text": text,
    }


def _named_type(record: Record) -> str | None:
    """What the crawler found the page to be, else what the server called it; None where neither says."""
    for named in (record.payload_type, record.headers.get("content-type")):
        mime = re.split("[;,]", named or "", maxsplit=1)[0].strip().lower()
        if "/" in mime:
            return mime
    return None


def looks_like_html(body: bytes) -> bool:
    """Whether a page that nobody named a type for is HTML: it begins, after comments, with a tag that HTML begins with
    (after the MIME Sniffing standard, section 7.1)."""
    return _HTML_START.match(_COMMENT.sub(b"", body[:_SNIFFED_BYTES])) is not None


def host_of(url: str) -> str:
    """The host of a URL in lower case, without port and user; empty where the URL has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # such as an unclosed bracket
        return ""


class _Rows:
    """Rows of a table to be, kept as Arrow batches."""

    def __init__(self, schema: pa.Schema) -> None:
        self._schema = schema
        self._rows: list[dict[str, Any]] = []
        self._batches: list[pa.RecordBatch] = []
        self.count = 0

    def append(self, row: dict[str, Any]) -> None:
        self._rows.append(row)
        self.count += 1
        if len(self._rows) == _ROWS_AT_ONCE:
            self._flush()

    def table(self) -> pa.Table:
        self._flush()
        return pa.Table.from_batches(self._batches, self._schema)

    def _flush(self) -> None:
        self._batches.append(pa.RecordBatch.from_pylist(self._rows, self._schema))
        self._rows = []
