"""WARC files as records: every record of a file comes out, whole or with the reason why it is not.

fastwarc reads the records. What is around them is taken apart here, because fastwarc ends without a word at an empty
gzip member, passes over what is no record, and cannot go on after damage. Files are gzip members, zstd or lz4 frames,
or plain: a flipped bit costs what is compressed with it, which is one record in most files, and every record knows its
place.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, cast

from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

from pipeline_lib.crawl.byte_source import ByteSource
from pipeline_lib.crawl.compressed_frames import (
    DICTIONARY_MAGIC,
    LZ4_MAGIC,
    ZSTD_MAGIC,
    Frame,
    is_skippable,
    read_dictionary,
    skip_to_frame,
    skippable_content,
)
from pipeline_lib.crawl.gzip_members import GZIP_MAGIC, Member, skip_to_member
from pipeline_lib.crawl.record_bodies import DEFAULT_MAX_BODY_BYTES
from pipeline_lib.rust_panics import is_rust_panic

_PIECE_BYTES = 1 << 20
_PROBE_BYTES = 2048
_MAX_HTTP_HEADER_BYTES = 32 << 10  # fastwarc reads no longer ones
_LENGTH = re.compile(r"\s*[0-9]{1,18}\s*\Z")
_VERSION = b"WARC/"
_MAX_HEADER_BYTES = 64 << 10  # twice what fastwarc reads
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_USUAL_LENGTH = re.compile(rb"\nContent-Length: ([0-9]{1,18})\r\n")  # as nearly all spell it: ten times as fast
_NEWLINES = b"\r\n"
_PADDING = b"\x00\r\n"


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One WARC record.

    Attributes:
        offset: where it starts in the file, in bytes. Records that share a gzip member, or a zstd or lz4 frame, cannot
            be addressed one by one; they count up from where the member starts, so that no two records of a file have
            the same offset.
        length: bytes from here to the next record, or to the end of the file.
        truncated: the crawler cut the page short, and says so.
        status: HTTP status of a response; None for other records and for responses without a readable HTTP header.
        content_type: of the block, as the WARC header has it.
        headers: HTTP headers of a response, by lower-case name; values of a repeated header are joined by ", ", but
            those of `x-robots-tag` by a line feed: in it, an agent's name goes for all that follows a comma.
        body: the block after the HTTP header, as it was transferred; `decoded_body` undoes the encodings.
        http_header: the block before it, as archived; empty for other records and where it cannot be read.
        block_digest: what the archive says of the block, HTTP header and body (`sha1:...`).
        payload_digest: what it says of the body; archives differ in whether with or without its encodings.
    """

    record_type: str
    url: str | None
    date: datetime | None
    offset: int
    length: int
    payload_type: str | None
    content_type: str | None
    truncated: bool
    status: int | None
    headers: Mapping[str, str]
    body: bytes
    http_header: bytes = b""
    block_digest: str | None = None
    payload_digest: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class BrokenRecord:
    """A record, or a stretch of the file where records should be, that cannot be read, and why.

    Reasons: `truncated_record` (the file ends inside it), `bad_compression` (damaged gzip member, or zstd or lz4
    frame), `bad_warc_header`, `body_too_large`, `not_a_record` (no WARC record there at all), `shares_gzip_member`
    (more records in one member or frame than it has bytes, so that they cannot be told apart).
    """

    record_type: str
    url: str | None
    offset: int
    length: int
    reason: str


def read_records(stream: BinaryIO, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> Iterator[Record | BrokenRecord]:
    """All records of a WARC file in their order, from its first byte; the stream need not be seekable.

    Raises:
        Exception: what the stream itself raises, after all records that were whole by then; what is wrong with its
            content is a `BrokenRecord`.
    """
    source = ByteSource(stream)
    head = source.peek(4)
    if head.startswith(GZIP_MAGIC):
        found = _gzip_records(source, max_body_bytes)
    elif head in (ZSTD_MAGIC, LZ4_MAGIC) or is_skippable(head):
        found = _framed_records(source, max_body_bytes)
    else:
        found = _plain_records(source, max_body_bytes)
    last: Record | BrokenRecord | None = None
    try:
        for record in found:
            if last is not None:
                yield replace(last, length=record.offset - last.offset)
            last = record
    except Exception:
        if last is not None and source.settled > last.offset:
            yield replace(last, length=source.settled - last.offset)
        raise
    if last is not None:
        yield replace(last, length=source.position - last.offset)


def _gzip_records(source: ByteSource, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    while head := source.peek(2):
        source.settled = source.position
        if head != GZIP_MAGIC:
            start = source.position
            if skip_to_member(source):
                yield _broken("not_a_record", offset=start)
            continue
        member = Member(source)
        yield from _compressed_records(member, source, max_body_bytes)
        if member.failure is not None:
            member.rewind()
            skip_to_member(source)


def _framed_records(source: ByteSource, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    """Records of a file of zstd or lz4 frames, each with one record or with many."""
    dictionary: bytes | None = None
    while head := source.peek(4):
        source.settled = start = source.position
        if is_skippable(head):
            content = skippable_content(source)
            if content is None:
                yield _broken("truncated_record", offset=start)
            elif head == DICTIONARY_MAGIC:
                dictionary = read_dictionary(content)
            continue
        if head not in (ZSTD_MAGIC, LZ4_MAGIC):
            if skip_to_frame(source):
                yield _broken("truncated_record" if len(head) < 4 else "not_a_record", offset=start)
            continue
        frame = Frame(source, head, dictionary)
        yield from _compressed_records(frame, source, max_body_bytes)
        frame.pass_over()
        if frame.failure is not None:
            skip_to_frame(source)


def _compressed_records(
    unit: Member | Frame, source: ByteSource, max_body_bytes: int
) -> Iterator[Record | BrokenRecord]:
    """The records of what was compressed together; only when all of it was read is the last one known to be whole."""
    held: Record | BrokenRecord | None = None
    for number, found in enumerate(_parse(unit, source, max_body_bytes)):
        if held is not None:
            yield held
        if number and number >= unit.consumed:
            found = _broken("shares_gzip_member", found.record_type, found.url)
        held = replace(found, offset=unit.start + number)
    unit.drain()
    if held is not None:
        yield held if unit.failure is None else _broken(unit.failure, held.record_type, held.url, held.offset)
    elif unit.failure is not None or unit.size:
        yield _broken(unit.failure or "not_a_record", offset=unit.start)


def _plain_records(source: ByteSource, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    for found in _parse(source, source, max_body_bytes):
        source.settled = source.position
        yield found


def _parse(
    stream: "ByteSource | Member | Frame", source: ByteSource, max_body_bytes: int
) -> Iterator[Record | BrokenRecord]:
    """Records of a stretch of WARC text, and what is between them that is none.

    Their offsets count from its start, their lengths are still to be set.

    Args:
        source: the file; what its stream raises is no damage.
    """
    text = stream if isinstance(stream, ByteSource) else ByteSource(cast(BinaryIO, stream))
    while True:
        _skip(text, _NEWLINES)
        start = text.position
        head = text.peek(len(_VERSION))
        if not head:
            return
        if head != _VERSION:
            if _skip_to_version(text):
                is_cut_off = head == _VERSION[: len(head)]
                yield _broken("truncated_record" if is_cut_off else "not_a_record", offset=start)
            continue
        header, header_bytes, length = _header(text)
        if length is None:
            at_end = not header_bytes and len(header) < _MAX_HEADER_BYTES
            yield _broken("truncated_record" if at_end else "bad_warc_header", offset=start)
            text.read(len(header) if at_end else len(_VERSION))
            if not at_end:
                _skip_to_version(text)
            continue
        stretch = _Stretch(text, header_bytes + length, stream)
        found = _read_one(stretch, source, max_body_bytes, start)
        stretch.drain()
        if stretch.missing and not (isinstance(found, BrokenRecord) and found.reason == "body_too_large"):
            found = _broken("truncated_record", found.record_type, found.url, start)
        yield found


def _header(text: ByteSource) -> tuple[bytes, int, int | None]:
    """The bytes that a record begins with, how many of them are its header (0: it does not end), and the length of its
    block (None: it has none)."""
    header = text.at_hand()
    end = _header_end(header)
    if not end:
        header = text.peek(_MAX_HEADER_BYTES)
        end = _header_end(header)
    length = _USUAL_LENGTH.search(header, 0, end) or _CONTENT_LENGTH.search(header, 0, end)
    return header, end, int(length.group(1)) if length else None


def _header_end(text: bytes) -> int:
    end = text.find(b"\r\n\r\n", 0, _MAX_HEADER_BYTES) + 4
    if end < 4 or text.find(b"\n\n", 0, end) >= 0:  # some writers end lines with a line feed alone
        found = _HEADER_END.search(text, 0, _MAX_HEADER_BYTES)
        end = found.end() if found else 0
    return end


def _skip(text: ByteSource, what: bytes) -> None:
    """Pass over bytes that are in `what`."""
    while window := text.peek(1):
        if window not in what:
            return
        text.read(1)


def _skip_to_version(text: ByteSource) -> bool:
    """Go to the next line that begins like a record, or to the end; whether anything but padding was passed over."""
    passed_content = False
    while window := text.peek(2 * _PROBE_BYTES):
        found = window.find(b"\n" + _VERSION)
        at_end = len(window) < 2 * _PROBE_BYTES
        end = found + 1 if found >= 0 else len(window) if at_end else len(window) - len(_VERSION)
        skipped = text.read(end)
        passed_content = passed_content or skipped.strip(_PADDING) != b""
        if found >= 0:
            break
    return passed_content


class _Stretch:
    """One record's bytes, header and block, for fastwarc to read."""

    def __init__(self, text: ByteSource, num_bytes: int, stream: "ByteSource | Member | Frame") -> None:
        self._text = text
        self.missing = num_bytes
        self._stream = stream
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        wanted = self.missing if size < 0 else min(size, self.missing)
        if not wanted:
            return b""
        while True:
            # a piece at a time: a length that is not true must not become a buffer of that size
            chunk = self._text.read(min(wanted, _PIECE_BYTES))
            if chunk or not (isinstance(self._stream, Member) and self._stream.go_on()):
                break
        self.missing -= len(chunk)
        self._size += len(chunk)
        return chunk

    def tell(self) -> int:
        return self._size

    def drain(self) -> None:
        while self.missing and self.read(_PIECE_BYTES):
            pass


def _read_one(stretch: _Stretch, source: ByteSource, max_body_bytes: int, offset: int) -> Record | BrokenRecord:
    try:
        archive = ArchiveIterator(
            cast(BinaryIO, stretch),  # all that fastwarc asks of a stream is read and tell
            parse_http=False,
            quirks_mode=True,
            auto_decode="none",
            stream_detect=False,
        )
        for record in archive:
            return _read(record, max_body_bytes, offset)
    except BaseException as error:
        if not isinstance(error, OSError) and not is_rust_panic(error):
            raise
        if source.error is not None:
            raise source.error from None
    return _broken("bad_warc_header", offset=offset)


def _read(record: WarcRecord, max_body_bytes: int, offset: int) -> Record | BrokenRecord:
    record_type = str(record.record_type)
    url = record.headers.get("WARC-Target-URI")
    if url is not None:
        url = url.strip().removeprefix("<").removesuffix(">")
    if not _LENGTH.match(record.headers.get("Content-Length") or ""):
        return _broken("bad_warc_header", record_type, url, offset)
    status: int | None = None
    headers: dict[str, str] = {}
    http_header, body = b"", _read_up_to(record, max_body_bytes + _MAX_HTTP_HEADER_BYTES + 1)
    if record.record_type == WarcRecordType.response and record.is_http:
        status, headers, num_header_bytes = _read_http_header(body)
        http_header, body = body[:num_header_bytes], body[num_header_bytes:]
    if len(body) > max_body_bytes:
        return _broken("body_too_large", record_type, url, offset)
    return Record(
        record_type=record_type,
        url=url,
        date=record.record_date,
        offset=offset,
        length=0,
        payload_type=record.headers.get("WARC-Identified-Payload-Type"),
        content_type=record.headers.get("Content-Type"),
        truncated=record.headers.get("WARC-Truncated") is not None,
        status=status,
        headers=headers,
        body=body,
        http_header=http_header,
        block_digest=record.headers.get("WARC-Block-Digest"),
        payload_digest=record.headers.get("WARC-Payload-Digest"),
    )


def _read_http_header(block: bytes) -> tuple[int | None, dict[str, str], int]:
    """Status and headers at the start of a block, and how many bytes they take; no status and none where it has no
    readable ones."""
    record = WarcRecord()
    record.set_bytes_content(block)
    record.is_http = True
    try:
        record.parse_http(auto_decode="none", quirks_mode=True)
    except OSError:  # longer than 32 KiB, or no header at all
        return None, {}, 0
    headers: dict[str, str] = {}
    for name, value in record.http_headers.items():
        key = name.strip().lower()
        joint = "\n" if key == "x-robots-tag" else ", "
        headers[key] = f"{headers[key]}{joint}{value}" if key in headers else value
    return record.http_headers.status_code, headers, len(block) - record.content_length


def _read_up_to(record: WarcRecord, size: int) -> bytes:
    missing = min(size, record.content_length)
    parts: list[bytes] = []
    while missing and (part := record.reader.read(missing)):
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _broken(reason: str, record_type: str = "unknown", url: str | None = None, offset: int = 0) -> BrokenRecord:
    return BrokenRecord(record_type=record_type, url=url, offset=offset, length=0, reason=reason)
