"""Records that are what the archive says it wrote: one that is not is fetched once more, and then has its reason."""

import io
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pipeline_lib.crawl.addresses import is_here
from pipeline_lib.crawl.payload_digests import digest_mismatch
from pipeline_lib.crawl.remote import FetchFailed, Remote
from pipeline_lib.crawl.warc_records import BrokenRecord, Record, read_records


def is_damaged(record: Record | BrokenRecord, max_body_bytes: int) -> bool:
    """Whether a record may have been damaged on its way. One that is merely too large was not."""
    if isinstance(record, BrokenRecord):
        return record.reason != "body_too_large"
    return digest_mismatch(record, max_body_bytes)


def verified(
    record: Record | BrokenRecord, source: Mapping[str, Any], max_body_bytes: int, remote: Remote | None
) -> Record | BrokenRecord:
    """The record itself if its digests fit, or as it is when it is fetched once more.

    What does not fit then either is as the archive has it, and comes as a `BrokenRecord`: with its own reason, or
    `bad_digest`.

    Args:
        record: with its offset in the range.
        source: the row of `SOURCES` that says where the range is.
        remote: None where nothing can be fetched again, as for a file on this machine.
    """
    if not is_damaged(record, max_body_bytes):
        return record
    again = None if remote is None or is_here(source["url"]) else _fetched_again(record, source, max_body_bytes, remote)
    if again is not None:
        return again
    if isinstance(record, BrokenRecord):
        return record
    return BrokenRecord(
        record_type=record.record_type, url=record.url, offset=record.offset, length=record.length, reason="bad_digest"
    )


def _fetched_again(
    record: Record | BrokenRecord, source: Mapping[str, Any], max_body_bytes: int, remote: Remote
) -> Record | None:
    try:
        content = remote.read(source["url"], source["position"] + record.offset, record.length)
    except FetchFailed:
        return None
    found = next(read_records(io.BytesIO(content), max_body_bytes), None)
    if not isinstance(found, Record) or is_damaged(found, max_body_bytes):
        return None
    return replace(found, offset=record.offset, length=record.length)
