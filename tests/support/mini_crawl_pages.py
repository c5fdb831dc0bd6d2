"""Pages of the mini crawl as text: each page once, in the order of the crawl's files."""

import hashlib
from collections.abc import Iterator
from pathlib import Path

from pipeline_lib.crawl.record_bodies import UndecodableBody, decoded_body
from pipeline_lib.crawl.warc_records import BrokenRecord, read_records
from pipeline_lib.extract.charset import decode
from pipeline_lib.extract.parameters import ExtractParameters


def mini_crawl_pages(shared_data: Path) -> Iterator[tuple[str, str]]:
    """URL and markup of the pages that a server answered with 200."""
    seen: set[bytes] = set()
    for url, body, content_type in mini_crawl_bodies(shared_data):
        digest = hashlib.sha256(body).digest()
        if digest in seen:
            continue
        seen.add(digest)
        decoded = decode(body, content_type)
        if not decoded.is_garbage:
            yield url, decoded.text


def mini_crawl_bodies(shared_data: Path) -> Iterator[tuple[str, bytes, str]]:
    """URL, body and Content-Type of every response with status 200 that has a body."""
    max_bytes = ExtractParameters().max_page_bytes
    for path in sorted((shared_data / "minicc" / "crawl-data").rglob("*/warc/*.warc.gz")):
        with path.open("rb") as stream:
            for record in read_records(stream, ExtractParameters().max_body_bytes):
                if isinstance(record, BrokenRecord) or record.record_type != "response" or record.status != 200:
                    continue
                try:
                    body = decoded_body(record, ExtractParameters().max_body_bytes)
                except UndecodableBody:
                    continue
                if body.strip() and len(body) <= max_bytes:
                    yield record.url or "", body, record.headers.get("content-type", "")
