"""WARC files as records: every record of a file comes out, whole or with the reason why it is not.

fastwarc reads the records. The gzip members around them are inflated here, because fastwarc ends without a word at an
empty member and cannot go on after a damaged one: here a flipped bit costs one record, and every record knows its
place. Plain, lz4 and zstd files go to fastwarc as they are; in them nothing can be found again after a damaged place.
"""

import io
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, Protocol, cast

from fastwarc.stream_io import BrotliReader, ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

DEFAULT_MAX_BODY_BYTES = 32 << 20

_CHUNK_BYTES = 16 << 10  # zlib copies what it did not use: small chunks keep that cheap for files of small records
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # tells zlib to expect a gzip header
_GZIP_HEADER = b"\x1f\x8b\x08"  # deflate is the only method there is
_KEPT_BYTES = 1 << 20  # how far back the search for the next record starts after a damaged member
_PROBE_BYTES = 2048  # enough for a gzip header, a table of codes and the word "WARC/"
_MAX_HTTP_HEADER_BYTES = 32 << 10  # fastwarc reads no longer ones
_MAX_ENCODINGS = 4
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_MAX_CHUNK_LINE = 4096
_LENGTH = re.compile(r"\s*[0-9]{1,18}\s*\Z")


@dataclass(frozen=True, kw_only=True, slots=True)
class Record:
    """One WARC record.

    Attributes:
        offset: where it starts in the file, in bytes. Records that share a gzip member cannot be addressed one by one;
            they count up from where the member starts, so that no two records of a file have the same offset.
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

    Reasons: `truncated_record` (the file ends inside it), `bad_compression` (damaged gzip member), `bad_warc_header`,
    `body_too_large`, `not_a_record` (no WARC record there at all), `shares_gzip_member` (more records in one gzip
    member than it has bytes, so that they cannot be told apart).
    """

    record_type: str
    url: str | None
    offset: int
    length: int
    reason: str


class UndecodableBody(ValueError):
    """A body whose transfer or content encoding cannot be undone.

    Reasons: `bad_transfer_encoding`, `bad_content_encoding`, `unsupported_encoding`, `body_too_large`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


def read_records(stream: BinaryIO, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> Iterator[Record | BrokenRecord]:
    """All records of a WARC file in their order, from its first byte; the stream need not be seekable.

    Raises:
        Exception: what the stream itself raises, after all records that were whole by then; what is wrong with its
            content is a `BrokenRecord`.
    """
    source = _Source(stream)
    compressed = source.peek(2) == _GZIP_MAGIC
    found = _gzip_records(source, max_body_bytes) if compressed else _plain_records(source, max_body_bytes)
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


class EncodedBody(Protocol):
    """A body as it was transferred, and what is known about how; a `Record`, for one."""

    @property
    def body(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str]: ...
    @property
    def truncated(self) -> bool: ...


def decoded_body(record: EncodedBody, max_body_bytes: int = DEFAULT_MAX_BODY_BYTES) -> bytes:
    """The body as the server meant it: chunks joined, then the content encodings undone, last one first.

    Archives often keep the headers of encodings that they have already undone. So a body that cannot be decoded and
    begins with `<` is taken as it is; no compressed page begins like that.

    Raises:
        UndecodableBody: with its reason; more than `max_body_bytes` is `body_too_large`.
    """
    body = record.body
    if "chunked" in record.headers.get("transfer-encoding", "").lower():
        body = _join_chunks(body, record.truncated)
    names = [name.strip().lower() for name in record.headers.get("content-encoding", "").split(",")]
    encodings = [name for name in names if name not in ("", "identity", "none")]
    try:
        if len(encodings) > _MAX_ENCODINGS:
            raise UndecodableBody("unsupported_encoding")
        for name in reversed(encodings):
            decoder = _DECODERS.get(name)
            if decoder is None:
                raise UndecodableBody("unsupported_encoding")
            body = decoder(body, max_body_bytes, record.truncated)
    except UndecodableBody as error:
        if error.reason == "body_too_large" or record.body.lstrip()[:1] != b"<":
            raise
        body = record.body
    if len(body) > max_body_bytes:
        raise UndecodableBody("body_too_large")
    return body


class _Source:
    """The bytes of a file in their order, with their position; what was not needed can be given back."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._kept = b""
        self.position = 0
        self.settled = 0  # up to here all records are complete
        self.error: Exception | None = None

    def read(self, size: int = -1) -> bytes:
        if self._kept:
            size = len(self._kept) if size < 0 else size
            chunk, self._kept = self._kept[:size], self._kept[size:]
        else:
            try:
                chunk = self._stream.read(size)
            except Exception as error:
                self.error = error  # so that nobody on its way takes it for damaged content
                raise
        self.position += len(chunk)
        return chunk

    def give_back(self, chunk: bytes) -> None:
        self._kept = chunk + self._kept
        self.position -= len(chunk)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, or fewer at the end of the file; they stay to be read."""
        found = b""
        while len(found) < size and (chunk := self.read(max(size - len(found), _CHUNK_BYTES))):
            found += chunk
        self.give_back(found)
        return found[:size]

    def tell(self) -> int:
        return self.position


class _Member:
    """One gzip member, inflated as it is read. Damage ends it early and is told by `failure`."""

    def __init__(self, source: _Source) -> None:
        self.start = source.position
        self.size = 0
        self.failure: str | None = None
        self._source = source
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._tail = b""
        self._fed: list[bytes] = []
        self._ended = False

    @property
    def consumed(self) -> int:
        """Compressed bytes that were used so far: never more than the member has."""
        return self._source.position - self.start - len(self._tail)

    def read(self, size: int = -1) -> bytes:
        while not self._ended:
            if not self._tail:
                self._tail = self._source.read(_CHUNK_BYTES)
                self._fed.append(self._tail)
                if len(self._fed) > _KEPT_BYTES // _CHUNK_BYTES:
                    del self._fed[0]
            if not self._tail:
                return self._end("truncated_record")
            try:
                inflated = self._inflater.decompress(self._tail, _CHUNK_BYTES if size < 1 else size)
            except zlib.error:
                return self._end("bad_compression")
            self._tail = self._inflater.unconsumed_tail
            if self._inflater.eof:
                unused = self._inflater.unused_data
                self._source.give_back(unused)
                self._fed[-1] = self._fed[-1][: len(self._fed[-1]) - len(unused)]
                self._ended = True
            if inflated:
                self.size += len(inflated)
                return inflated
        return b""

    def tell(self) -> int:
        return self.size

    def go_on(self) -> bool:
        """Read on in the next member, if it begins in the middle of a record: some writers cut long ones to pieces."""
        if not self._ended or self.failure is not None:
            return False
        inflated = _inflated_start(self._source.peek(_PROBE_BYTES))
        if not inflated or b"WARC/".startswith(inflated[:5]):
            return False
        self._inflater = zlib.decompressobj(_GZIP_WINDOW)
        self._ended = False
        return True

    def drain(self) -> None:
        """Read to the end: only there does the checksum say whether the content is what was written."""
        while self.read(1 << 20):
            pass

    def rewind(self) -> None:
        """After a failure, give back what may belong to other members: everything but this one's first byte."""
        fed = b"".join(self._fed)
        self._source.give_back(fed[1:] if self._source.position - len(fed) == self.start else fed)

    def _end(self, failure: str) -> bytes:
        self.failure = failure
        self._ended = True
        return b""


def _gzip_records(source: _Source, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    while head := source.peek(2):
        source.settled = source.position
        if head != _GZIP_MAGIC:
            start = source.position
            if _skip_to_member(source):
                yield _broken("not_a_record", offset=start)
            continue
        member = _Member(source)
        held: Record | BrokenRecord | None = None
        for number, found in enumerate(_parse(member, source, max_body_bytes)):
            if held is not None:
                yield held
            if number and number >= member.consumed:
                found = _broken("shares_gzip_member", found.record_type, found.url)
            held = replace(found, offset=member.start + number)
        member.drain()
        if held is not None:
            if member.failure is not None:
                held = _broken(member.failure, held.record_type, held.url, held.offset)
            yield held
        elif member.failure is not None or member.size:
            yield _broken(member.failure or "not_a_record", offset=member.start)
        if member.failure is not None:
            member.rewind()
            _skip_to_member(source)


def _skip_to_member(source: _Source) -> bool:
    """Go to the next place where a gzip member inflates to a WARC record, or to the end of the file.

    Returns whether anything but zero bytes was passed over: zeros are padding.
    """
    passed_content = False
    while window := source.peek(2 * _PROBE_BYTES):
        at_end = len(window) < 2 * _PROBE_BYTES
        last_start = len(window) if at_end else _PROBE_BYTES
        start = window.find(_GZIP_HEADER)
        while 0 <= start < last_start:
            if (_inflated_start(window[start:]) or b"").startswith(b"WARC/"):
                break
            start = window.find(_GZIP_HEADER, start + 1)
        found = 0 <= start < last_start
        skipped = source.read(start if found else last_start)
        passed_content = passed_content or skipped.strip(b"\x00") != b""
        if found:
            break
    return passed_content


def _inflated_start(window: bytes) -> bytes | None:
    """The first bytes of the gzip member that a window begins with; None where there is none."""
    if not window.startswith(_GZIP_HEADER):
        return None
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(window, 16)
    except zlib.error:
        return None


def _plain_records(source: _Source, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    held: Record | BrokenRecord | None = None
    for found in _parse(source, source, max_body_bytes):
        if held is not None:
            yield held
        held = found
    while source.read(1 << 20):
        pass
    if held is not None:
        # fastwarc takes a header that the end of the file cut off for a whole one
        cut_off = isinstance(held, BrokenRecord) and held.reason == "bad_warc_header"
        yield _broken("truncated_record", held.record_type, held.url, held.offset) if cut_off else held
    elif source.position:
        yield _broken("not_a_record")


def _parse(stream: _Source | _Member, source: _Source, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    """Records of a stretch of WARC text; their offsets count from its start, their lengths are still to be set."""
    after_last = 0
    try:
        archive = ArchiveIterator(
            cast(BinaryIO, stream),  # all that fastwarc asks of a stream is read and tell
            parse_http=False,
            quirks_mode=True,
            auto_decode="none",
            stream_detect=stream is source,
        )
        for record in archive:
            after_last = record.stream_pos + 1
            yield _read(record, max_body_bytes, stream)
    except BaseException as error:
        if not isinstance(error, OSError) and not is_rust_panic(error):
            raise
        if source.error is not None:
            raise source.error from None
        # fastwarc cannot go on after an error: asked again, it answers with the same one for ever
        yield _broken("bad_warc_header" if isinstance(error, OSError) else "bad_compression", offset=after_last)


def is_rust_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up: fastwarc does on damaged lz4.

    That exception is no `Exception`, so that nobody catches it unawares, and its class cannot be imported.
    """
    return type(error).__module__ == "pyo3_runtime" and type(error).__name__ == "PanicException"


def _read(record: WarcRecord, max_body_bytes: int, stream: _Source | _Member) -> Record | BrokenRecord:
    record_type = str(record.record_type)
    url = record.headers.get("WARC-Target-URI")
    if url is not None:
        url = url.strip().removeprefix("<").removesuffix(">")
    offset = record.stream_pos
    if not _LENGTH.match(record.headers.get("Content-Length") or ""):
        return _broken("bad_warc_header", record_type, url, offset)
    status: int | None = None
    headers: dict[str, str] = {}
    http_header, body = b"", _read_up_to(record, max_body_bytes + _MAX_HTTP_HEADER_BYTES + 1, stream)
    is_cut_off = len(body) < min(record.content_length, max_body_bytes + _MAX_HTTP_HEADER_BYTES + 1)
    if record.record_type == WarcRecordType.response and record.is_http:
        status, headers, num_header_bytes = _read_http_header(body)
        http_header, body = body[:num_header_bytes], body[num_header_bytes:]
    if len(body) > max_body_bytes:
        return _broken("body_too_large", record_type, url, offset)
    if is_cut_off:
        return _broken("truncated_record", record_type, url, offset)
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


def _read_up_to(record: WarcRecord, size: int, stream: _Source | _Member) -> bytes:
    missing = min(size, record.content_length)
    parts: list[bytes] = []
    while missing:
        part: bytes = record.reader.read(missing)
        parts.append(part)
        missing -= len(part)
        if not part and not (isinstance(stream, _Member) and stream.go_on()):
            break
    return b"".join(parts)


def _broken(reason: str, record_type: str = "unknown", url: str | None = None, offset: int = 0) -> BrokenRecord:
    return BrokenRecord(record_type=record_type, url=url, offset=offset, length=0, reason=reason)


def _join_chunks(body: bytes, truncated: bool) -> bytes:
    """Undo chunked transfer (RFC 9112, section 7.1). A body that does not begin with a chunk's size was never chunked,
    or not any more; one that ends after a whole chunk is taken as whole, as browsers do."""
    parts: list[bytes] = []
    position = 0
    while position < len(body):
        end = body.find(b"\n", position, position + _MAX_CHUNK_LINE)
        line = body[position : max(end, position)].split(b";")[0].strip()
        if not _CHUNK_SIZE.match(line):
            if not parts:
                return body
            if truncated:
                break
            raise UndecodableBody("bad_transfer_encoding")
        size = int(line, 16)
        if size == 0:
            break
        chunk = body[end + 1 : end + 1 + size]
        parts.append(chunk)
        if len(chunk) < size and not truncated:
            raise UndecodableBody("bad_transfer_encoding")
        position = end + 1 + size
        position += 2 if body[position : position + 2] == b"\r\n" else 1
    return b"".join(parts)


def _gunzip(body: bytes, max_bytes: int, truncated: bool) -> bytes:
    parts: list[bytes] = []
    size = 0
    rest = body
    while not parts or rest.startswith(_GZIP_MAGIC):
        inflated, rest = _inflate(rest, _GZIP_WINDOW, max_bytes - size, truncated)
        parts.append(inflated)
        size += len(inflated)
    return b"".join(parts)


def _inflate_deflate(body: bytes, max_bytes: int, truncated: bool) -> bytes:
    """RFC 9110 means zlib by "deflate"; many servers send it bare."""
    try:
        return _inflate(body, zlib.MAX_WBITS, max_bytes, truncated)[0]
    except UndecodableBody as error:
        if error.reason == "body_too_large":
            raise
        return _inflate(body, -zlib.MAX_WBITS, max_bytes, truncated)[0]


def _inflate(body: bytes, window_bits: int, max_bytes: int, truncated: bool) -> tuple[bytes, bytes]:
    inflater = zlib.decompressobj(window_bits)
    try:
        inflated = inflater.decompress(body, max_bytes + 1)
    except zlib.error:
        raise UndecodableBody("bad_content_encoding") from None
    if len(inflated) > max_bytes:
        raise UndecodableBody("body_too_large")
    if not inflater.eof and not truncated:
        raise UndecodableBody("bad_content_encoding")
    return inflated, inflater.unused_data


def _reader_decoder(
    reader: type[BrotliReader] | type[ZstdReader],
) -> Callable[[bytes, int, bool], bytes]:
    def decode(body: bytes, max_bytes: int, truncated: bool) -> bytes:
        parts: list[bytes] = []
        size = 0
        stream = reader(io.BytesIO(body))
        try:
            while size <= max_bytes and (part := stream.read(max_bytes + 1 - size)):
                parts.append(part)
                size += len(part)
        except OSError:
            if not (truncated and parts):
                raise UndecodableBody("bad_content_encoding") from None
        if size > max_bytes:
            raise UndecodableBody("body_too_large")
        return b"".join(parts)

    return decode


_DECODERS: Mapping[str, Callable[[bytes, int, bool], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_deflate,
    "br": _reader_decoder(BrotliReader),
    "zstd": _reader_decoder(ZstdReader),
}
