"""WARC files in Common Crawl's layout and manner, with nothing in them that differs from one writing to the next.

Layout: `crawl-data/<crawl>/segments/<segment>/warc/<name>.warc.gz`; each record one gzip member; first a warcinfo, then
for each capture a request, a response and a metadata record (WARC 1.0, payload and block digests SHA-1 in base 32).
What a crawler takes from its clock and its random numbers is derived here from the crawl's name and the address.
The compressed bytes are zlib's, of the zlib that Python was built with.
"""

import gzip
import hashlib
import io
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import BinaryIO
from urllib.parse import urlsplit

from warcio.statusandheaders import StatusAndHeaders
from warcio.warcwriter import WARCWriter

_CRAWL_START = datetime(2026, 1, 5, tzinfo=UTC)
_CRAWL_DAYS = 7
_SEGMENT_FILES = 4  # WARC files in one segment
_USER_AGENT = "gristmill-documentation/1.0"


@dataclass(frozen=True, slots=True)
class Capture:
    """One answer of a site to one request."""

    address: str
    status: str  # "200 OK"
    headers: tuple[tuple[str, str], ...]  # beside Date, Server and Content-Length
    body: bytes


def warc_path(crawl: str, index: int) -> str:
    """Logical path of a crawl's WARC file, from `crawl-data/` on."""
    end = _CRAWL_START + timedelta(days=_CRAWL_DAYS)
    segment = f"{_CRAWL_START.timestamp():.0f}{index // _SEGMENT_FILES:03d}.{index // _SEGMENT_FILES}"
    name = f"{crawl}-{_CRAWL_START:%Y%m%d%H%M%S}-{end:%Y%m%d%H%M%S}-{index:05d}.warc.gz"
    return f"crawl-data/{crawl}/segments/{segment}/warc/{name}"


def paths_list_path(crawl: str) -> str:
    """Logical path of the list of a crawl's WARC files."""
    return f"crawl-data/{crawl}/warc.paths.gz"


def paths_list(paths: Sequence[str]) -> bytes:
    """A list of WARC paths, gzipped, the same bytes whenever it is written."""
    return gzip.compress("".join(f"{path}\n" for path in paths).encode(), mtime=0)


def address_hash(crawl: str, address: str) -> int:
    """64 bits of SHA-256 over crawl and address: decides in which file a capture is and when it was made."""
    return int.from_bytes(hashlib.sha256(f"{crawl}\n{address}".encode()).digest()[:8], "big")


def fetched_at(crawl: str, address: str) -> datetime:
    """The second of the crawl's week at which an address counts as fetched."""
    seconds = (address_hash(crawl, address) >> 20) % (_CRAWL_DAYS * 86_400)
    return _CRAWL_START + timedelta(seconds=seconds)


def write_warc(stream: BinaryIO, crawl: str, index: int, captures: Sequence[Capture]) -> None:
    """Write a WARC file with the captures in order of time. Equal captures give equal bytes."""
    writer = WARCWriter(stream, gzip=True, warc_version="WARC/1.0")
    file_name = warc_path(crawl, index).rpartition("/")[2]
    warcinfo_id = _record_id(crawl, file_name, "warcinfo")
    _write_record(
        writer,
        "warcinfo",
        None,
        {"WARC-Record-ID": warcinfo_id, "WARC-Date": _warc_date(_CRAWL_START), "WARC-Filename": file_name},
        _warc_fields(
            [
                ("isPartOf", crawl),
                ("description", "Documentation of installed Python packages"),
                ("software", f"{_USER_AGENT} (warcio)"),
                ("format", "WARC File Format 1.0"),
                ("robots", "n/a"),
            ]
        ),
        "application/warc-fields",
    )
    for capture in sorted(captures, key=lambda capture: (fetched_at(crawl, capture.address), capture.address)):
        _write_capture(writer, crawl, warcinfo_id, capture)


def _write_capture(writer: WARCWriter, crawl: str, warcinfo_id: str, capture: Capture) -> None:
    when = fetched_at(crawl, capture.address)
    ids = {kind: _record_id(crawl, capture.address, kind) for kind in ("request", "response", "metadata")}
    shared = {"WARC-Date": _warc_date(when), "WARC-Warcinfo-ID": warcinfo_id}
    number = address_hash(crawl, urlsplit(capture.address).netloc)
    server = {"WARC-IP-Address": f"192.0.2.{1 + number % 254}"}  # TEST-NET-1 (RFC 5737): reaches nobody

    address = urlsplit(capture.address)
    request = StatusAndHeaders(
        f"GET {address.path or '/'} HTTP/1.1",
        [
            ("User-Agent", _USER_AGENT),
            ("Accept", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
            ("Accept-Language", "en-US,en;q=0.5"),
            ("Host", address.netloc),
            ("Connection", "Keep-Alive"),
        ],
        is_http_request=True,
    )
    headers = {"WARC-Record-ID": ids["request"], "WARC-Concurrent-To": ids["response"], **shared, **server}
    _write_record(writer, "request", capture.address, headers, b"", "application/http; msgtype=request", request)

    answer = StatusAndHeaders(
        capture.status,
        [
            ("Date", format_datetime(when, usegmt=True)),
            ("Server", "docs"),
            *capture.headers,
            ("Content-Length", str(len(capture.body))),
        ],
        protocol="HTTP/1.1",
    )
    headers = {"WARC-Record-ID": ids["response"], **shared, **server, "WARC-Identified-Payload-Type": "text/html"}
    _write_record(
        writer, "response", capture.address, headers, capture.body, "application/http; msgtype=response", answer
    )

    fields = [("fetchTimeMs", str(20 + address_hash(crawl, capture.address) % 400)), ("charset-detected", "UTF-8")]
    headers = {"WARC-Record-ID": ids["metadata"], "WARC-Concurrent-To": ids["response"], **shared}
    _write_record(writer, "metadata", capture.address, headers, _warc_fields(fields), "application/warc-fields")


def _write_record(
    writer: WARCWriter,
    kind: str,
    address: str | None,
    headers: dict[str, str],
    payload: bytes,
    content_type: str,
    http_headers: StatusAndHeaders | None = None,
) -> None:
    record = writer.create_warc_record(
        address,
        kind,
        payload=io.BytesIO(payload),
        length=len(payload),
        warc_content_type=content_type,
        warc_headers_dict=headers,
        http_headers=http_headers,
    )
    writer.write_record(record)


def _record_id(crawl: str, address: str, kind: str) -> str:
    return f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{crawl} {kind} {address}')}>"


def _warc_date(when: datetime) -> str:
    return f"{when:%Y-%m-%dT%H:%M:%SZ}"


def _warc_fields(fields: Sequence[tuple[str, str]]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in fields).encode()
