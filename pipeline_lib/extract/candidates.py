"""What may become a document: records of WARC files, each with its page to be read, or with the reason against it.

Everything that headers alone can say is decided here, before any page is read.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from pipeline_lib.crawl.remote import Remote
from pipeline_lib.crawl.verified_records import verified
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, read_records
from pipeline_lib.extract.opt_outs import domain_opt_out, header_opt_out
from pipeline_lib.extract.page_frames import Page
from pipeline_lib.extract.parameters import ExtractParameters

_HTML_TYPES = ("text/html", "application/xhtml+xml")
_TEXT_TYPE = "text/plain"
_PAGE_HEADERS = ("content-type", "content-encoding", "transfer-encoding")


@dataclass(frozen=True, kw_only=True, slots=True)
class Candidate:
    """Where something is that may become a document, and what is known about it beside its text.

    Attributes:
        offset, length: in bytes of the logical file; of texts, the number of the row and 1.
        reason: why it is no document; None: its page is to be read.
    """

    warc_path: str
    offset: int
    length: int
    record_type: str
    url: str | None
    fetched_at: datetime | None = None
    mime: str = "text/html"
    reason: str | None = None


Item = tuple[Candidate, Page | None]  # no page where there is a reason


def record_items(
    stream: BinaryIO, source: Mapping[str, Any], parameters: ExtractParameters, remote: Remote | None = None
) -> Iterator[Item]:
    """The records of a range of a WARC file, in order.

    Of a range of which only some records are `wanted`, the others are passed over, and a wanted one that is not there
    is a candidate of its own.

    Args:
        remote: fetches records that do not fit their digests once more; None: nothing can be fetched again.

    Raises:
        FetchFailed: a server stopped giving the range; what came before has been given.
    """
    wanted = None if source["wanted"] is None else sorted(set(source["wanted"]))
    missing = list(reversed(wanted or []))
    for record in read_records(stream, parameters.max_body_bytes):
        offset = source["offset"] + record.offset
        while missing and missing[-1] < offset:
            yield _rejected(source, missing.pop(), 0, "record_not_found")
        if missing and missing[-1] == offset:
            missing.pop()
        elif wanted is not None:
            continue
        if parameters.verify_digests:
            record = verified(record, source, parameters.max_body_bytes, remote)
        yield _record_item(record, source, offset, parameters)
    for offset in reversed(missing):
        yield _rejected(source, offset, 0, "record_not_found")


def unread_items(source: Mapping[str, Any], reached: int, reason: str) -> Iterator[Item]:
    """What cannot be had of a range from a place on: each record that is wanted there, or else its rest as one."""
    if source["wanted"] is not None:
        for offset in sorted({offset for offset in source["wanted"] if offset >= reached}):
            yield _rejected(source, offset, 0, reason)
        return
    end = source["offset"] + source["length"] if source["length"] >= 0 else source["bytes"]  # -1: nobody says
    yield _rejected(source, reached, max(0, end - reached), reason)


def _rejected(source: Mapping[str, Any], offset: int, length: int, reason: str) -> Item:
    candidate = Candidate(
        warc_path=source["warc_path"], offset=offset, length=length, record_type="unknown", url=None, reason=reason
    )
    return candidate, None


def _record_item(
    record: Record | BrokenRecord, source: Mapping[str, Any], offset: int, parameters: ExtractParameters
) -> Item:
    page, reason = None, None
    if isinstance(record, BrokenRecord):
        reason = record.reason
    else:
        reason = _reason_against(record, parameters)
        page = None if reason is not None else _page(record)
    candidate = Candidate(
        warc_path=source["warc_path"],
        offset=offset,
        length=record.length,
        record_type=record.record_type,
        url=record.url,
        fetched_at=None if isinstance(record, BrokenRecord) else record.date,
        mime="text/html" if page is None or page.mime is None else page.mime,
        reason=reason,
    )
    return candidate, page


def _reason_against(record: Record, parameters: ExtractParameters) -> str | None:
    """Why a record is no page to be read, as far as its headers and its URL tell."""
    if record.record_type == "conversion":
        if _media_type(record.content_type) not in (None, _TEXT_TYPE):
            return "not_text"
    elif record.record_type != "response":
        return f"record_{record.record_type}"
    elif record.status is None:
        return "no_http_header"
    elif record.status != 200:
        return f"status_{record.status}"
    elif _named_type(record) not in (None, *_HTML_TYPES):
        return "not_html"
    opt_outs = parameters.opt_outs
    return domain_opt_out(host_of(record.url or ""), opt_outs) or header_opt_out(record.headers, opt_outs)


def _page(record: Record) -> Page:
    if record.record_type == "conversion":
        return Page(kind="text", body=record.body, mime=_TEXT_TYPE, truncated=record.truncated)
    return Page(
        kind="response",
        body=record.body,
        mime=_named_type(record),
        headers={name: record.headers[name] for name in _PAGE_HEADERS if name in record.headers},
        truncated=record.truncated,
    )


def _named_type(record: Record) -> str | None:
    """What the crawler found the page to be, else what the server called it; None where neither says."""
    named: Sequence[str | None] = (record.payload_type, record.headers.get("content-type"))
    return next((mime for mime in map(_media_type, named) if mime is not None), None)


def _media_type(named: str | None) -> str | None:
    """The type without parameters; None for what is none."""
    mime = re.split("[;,]", named or "", maxsplit=1)[0].strip().lower()
    return mime if "/" in mime else None


def host_of(url: str) -> str:
    """The host of a URL in lower case, without port and user; empty where the URL has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:  # such as an unclosed bracket
        return ""
