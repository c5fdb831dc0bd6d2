"""WARC files as records: every record of a file comes out, whole or with the reason why it is not.

fastwarc reads the records. What is around them is taken apart here, because fastwarc ends without a word at an empty
gzip member, passes over what is no record, and cannot go on after damage. Files are gzip members, zstd or lz4 frames,
or plain: a flipped bit costs what is compressed with it, which is one record in most files, and every record knows its
place.
"""

import io
import re
import zlib
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import BinaryIO, Literal, Protocol, cast

from fastwarc.stream_io import BrotliReader, Lz4Reader, ZstdReader
from fastwarc.warc import ArchiveIterator, WarcRecord, WarcRecordType

DEFAULT_MAX_BODY_BYTES = 32 << 20

_CHUNK_BYTES = 16 << 10  # zlib copies what it did not use: small chunks keep that cheap for files of small records
_PIECE_BYTES = 1 << 20
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
_VERSION = b"WARC/"
_MAX_HEADER_BYTES = 64 << 10  # twice what fastwarc reads
_HEADER_END = re.compile(rb"\r?\n\r?\n")
_CONTENT_LENGTH = re.compile(rb"^content-length[ \t]*:[ \t]*([0-9]{1,18})[ \t]*\r?$", re.IGNORECASE | re.MULTILINE)
_USUAL_LENGTH = re.compile(rb"\nContent-Length: ([0-9]{1,18})\r\n")  # as nearly all spell it: ten times as fast
_NEWLINES = b"\r\n"
_PADDING = b"\x00\r\n"
_ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
_LZ4_MAGIC = b"\x04\x22\x4d\x18"
_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after a first byte 0x50..0x5f, in zstd and lz4 alike (RFC 8878, section 3.1.2)
_DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"  # "WARC Zstandard compression 1.0" (IIPC), section 3
_MAX_DICTIONARY_BYTES = 64 << 20
_MAX_ZSTD_BLOCK = 128 << 10  # RFC 8878, section 3.1.1.2.4
_MAX_LZ4_BLOCK = 4 << 20

_Ending = Literal["whole", "cut_off", "no_end"]


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
    head = source.peek(4)
    if head.startswith(_GZIP_MAGIC):
        found = _gzip_records(source, max_body_bytes)
    elif head in (_ZSTD_MAGIC, _LZ4_MAGIC) or _is_skippable(head):
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
        """The next `size` bytes, or fewer at the end of the file; they stay to be read, also where the stream fails."""
        found = b""
        try:
            while len(found) < size and (chunk := self.read(max(size - len(found), _CHUNK_BYTES))):
                found += chunk
        finally:
            self.give_back(found)
        return found[:size]

    def at_hand(self) -> bytes:
        """Some of the next bytes, as many as can be had without waiting for more than one; they stay to be read."""
        self.peek(1)
        return self._kept

    def exactly(self, size: int) -> bytes:
        """The next `size` bytes, fewer only at the end of the file."""
        parts: list[bytes] = []
        while size and (part := self.read(size)):
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

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
                self._tail = b""  # zlib may name there, too, what it names unused
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


def _framed_records(source: _Source, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    """Records of a file of zstd or lz4 frames, each with one record or with many."""
    dictionary: bytes | None = None
    while head := source.peek(4):
        source.settled = start = source.position
        if _is_skippable(head):
            content = _skippable_content(source)
            if content is None:
                yield _broken("truncated_record", offset=start)
            elif head == _DICTIONARY_MAGIC:
                dictionary = _dictionary(content)
            continue
        if head not in (_ZSTD_MAGIC, _LZ4_MAGIC):
            if _skip_to_frame(source):
                yield _broken("truncated_record" if len(head) < 4 else "not_a_record", offset=start)
            continue
        frame = _Frame(source, head, dictionary)
        held: Record | BrokenRecord | None = None
        for number, found in enumerate(_parse(frame, source, max_body_bytes)):
            if held is not None:
                yield held
            if number and number >= frame.consumed:
                found = _broken("shares_gzip_member", found.record_type, found.url)
            held = replace(found, offset=frame.start + number)
        frame.drain()
        if held is not None:
            if frame.failure is not None:
                held = _broken(frame.failure, held.record_type, held.url, held.offset)
            yield held
        elif frame.failure is not None or frame.size:
            yield _broken(frame.failure or "not_a_record", offset=frame.start)
        frame.pass_over()
        if frame.failure is not None:
            _skip_to_frame(source)


class _Frame:
    """One zstd or lz4 frame, decompressed as it is read. Damage ends it early and is told by `failure`.

    Where it ends in the file, the lengths of its blocks say, damaged or not.
    """

    def __init__(self, source: _Source, magic: bytes, dictionary: bytes | None) -> None:
        self.start = source.position
        self.size = 0
        self.failure: str | None = None
        self._source = source
        self._raw = _FrameBytes(_zstd_pieces(source) if magic == _ZSTD_MAGIC else _lz4_pieces(source))
        stream = cast(BinaryIO, self._raw)
        self._reader = ZstdReader(stream, dictionary=dictionary) if magic == _ZSTD_MAGIC else Lz4Reader(stream)

    @property
    def consumed(self) -> int:
        """Compressed bytes that were used so far: never more than the frame has."""
        return self._source.position - self.start

    def read(self, size: int = -1) -> bytes:
        if self.failure is not None:
            return b""
        try:
            chunk: bytes = self._reader.read(_CHUNK_BYTES if size < 1 else min(size, _CHUNK_BYTES))
        except BaseException as error:
            if not isinstance(error, OSError) and not is_rust_panic(error):
                raise
            if self._source.error is not None:
                raise self._source.error from None
            self.failure = "bad_compression" if self.pass_over() else "truncated_record"
            return b""
        if not chunk and self._raw.ending == "cut_off":
            self.failure = "truncated_record"
        self.size += len(chunk)
        return chunk

    def tell(self) -> int:
        return self.size

    def drain(self) -> None:
        """Read to the end: only there does the checksum say whether the content is what was written."""
        while self.read(_CHUNK_BYTES):
            pass

    def pass_over(self) -> bool:
        """Go to where the frame ends; whether that is before the file does."""
        while self._raw.read(_CHUNK_BYTES):
            pass
        return self._raw.ending != "cut_off"


class _FrameBytes:
    """The compressed bytes of one frame, no further."""

    def __init__(self, pieces: Generator[bytes, None, _Ending]) -> None:
        self._pieces = pieces
        self._rest = b""
        self.ending: _Ending | None = None

    def read(self, size: int = -1) -> bytes:
        if not self._rest and self.ending is None:
            try:
                self._rest = next(self._pieces)
            except StopIteration as end:
                self.ending = end.value
        size = len(self._rest) if size < 0 else size
        chunk, self._rest = self._rest[:size], self._rest[size:]
        return chunk

    def tell(self) -> int:
        return 0


def _zstd_pieces(source: _Source) -> Generator[bytes, None, _Ending]:
    """A zstd frame block by block (RFC 8878, section 3.1.1)."""
    head = source.exactly(5)
    if len(head) < 5:
        return "cut_off"
    flags = head[4]
    is_single = flags >> 5 & 1
    num_bytes = (1 - is_single) + (0, 1, 2, 4)[flags & 3] + (is_single, 2, 4, 8)[flags >> 6]
    rest = source.exactly(num_bytes)
    yield head + rest
    if len(rest) < num_bytes:
        return "cut_off"
    while True:
        header = source.exactly(3)
        value = int.from_bytes(header, "little")
        kind, size = value >> 1 & 3, value >> 3
        if len(header) == 3 and (kind == 3 or size > _MAX_ZSTD_BLOCK):
            yield header
            return "no_end"
        num_bytes = 1 if kind == 1 else size
        block = source.exactly(num_bytes)
        yield header + block
        if len(header) < 3 or len(block) < num_bytes:
            return "cut_off"
        if value & 1:
            break
    num_bytes = 4 * (flags >> 2 & 1)
    checksum = source.exactly(num_bytes)
    yield checksum
    return "whole" if len(checksum) == num_bytes else "cut_off"


def _lz4_pieces(source: _Source) -> Generator[bytes, None, _Ending]:
    """An lz4 frame block by block (LZ4 Frame Format Description 1.6)."""
    head = source.exactly(6)
    if len(head) < 6:
        return "cut_off"
    flags = head[4]
    num_bytes = 1 + 8 * (flags >> 3 & 1) + 4 * (flags & 1)
    rest = source.exactly(num_bytes)
    yield head + rest
    if len(rest) < num_bytes:
        return "cut_off"
    while True:
        header = source.exactly(4)
        size = int.from_bytes(header, "little") & 0x7FFFFFFF
        if len(header) == 4 and size > _MAX_LZ4_BLOCK:
            yield header
            return "no_end"
        if len(header) == 4 and header == bytes(4):
            yield header
            break
        num_bytes = size + 4 * (flags >> 4 & 1)
        block = source.exactly(num_bytes)
        yield header + block
        if len(header) < 4 or len(block) < num_bytes:
            return "cut_off"
    num_bytes = 4 * (flags >> 2 & 1)
    checksum = source.exactly(num_bytes)
    yield checksum
    return "whole" if len(checksum) == num_bytes else "cut_off"


def _is_skippable(head: bytes) -> bool:
    return head[1:4] == _SKIPPABLE_MAGIC and head[0] >> 4 == 5


def _skippable_content(source: _Source) -> bytes | None:
    """The content of a skippable frame, empty where that is too long to be a dictionary; None: the file ends in it."""
    head = source.exactly(8)
    size = int.from_bytes(head[4:], "little")
    if len(head) < 8:
        return None
    if size <= _MAX_DICTIONARY_BYTES:
        content = source.exactly(size)
        return content if len(content) == size else None
    while size and (skipped := source.read(min(size, 1 << 20))):
        size -= len(skipped)
    return None if size else b""


def _dictionary(content: bytes) -> bytes:
    """What the frames of a WARC file in zstd were compressed with; that may be compressed itself."""
    if not content.startswith(_ZSTD_MAGIC):
        return content
    try:
        return _decode_zstd(content, _MAX_DICTIONARY_BYTES, False)
    except UndecodableBody:
        return b""  # so that every frame is counted as damaged


def _skip_to_frame(source: _Source) -> bool:
    """Go to the next place that looks like a frame, or to the end; whether anything but zero bytes was passed over."""
    passed_content = False
    while window := source.peek(2 * _PROBE_BYTES):
        at_end = len(window) < 2 * _PROBE_BYTES
        found = [place for magic in (_ZSTD_MAGIC, _LZ4_MAGIC) if (place := window.find(magic)) >= 0]
        skipped = source.read(min(found) if found else len(window) if at_end else len(window) - 3)
        passed_content = passed_content or skipped.strip(b"\x00") != b""
        if found:
            break
    return passed_content


def _plain_records(source: _Source, max_body_bytes: int) -> Iterator[Record | BrokenRecord]:
    for found in _parse(source, source, max_body_bytes):
        source.settled = source.position
        yield found


def _parse(
    stream: "_Source | _Member | _Frame", source: _Source, max_body_bytes: int
) -> Iterator[Record | BrokenRecord]:
    """Records of a stretch of WARC text, and what is between them that is none.

    Their offsets count from its start, their lengths are still to be set.

    Args:
        source: the file; what its stream raises is no damage.
    """
    text = stream if isinstance(stream, _Source) else _Source(cast(BinaryIO, stream))
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


def _header(text: _Source) -> tuple[bytes, int, int | None]:
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


def _skip(text: _Source, what: bytes) -> None:
    """Pass over bytes that are in `what`."""
    while window := text.peek(1):
        if window not in what:
            return
        text.read(1)


def _skip_to_version(text: _Source) -> bool:
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

    def __init__(self, text: _Source, num_bytes: int, stream: "_Source | _Member | _Frame") -> None:
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
            if chunk or not (isinstance(self._stream, _Member) and self._stream.go_on()):
                break
        self.missing -= len(chunk)
        self._size += len(chunk)
        return chunk

    def tell(self) -> int:
        return self._size

    def drain(self) -> None:
        while self.missing and self.read(_PIECE_BYTES):
            pass


def _read_one(stretch: _Stretch, source: _Source, max_body_bytes: int, offset: int) -> Record | BrokenRecord:
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


def is_rust_panic(error: BaseException) -> bool:
    """Whether a library written in Rust gave up: fastwarc does on damaged lz4.

    That exception is no `Exception`, so that nobody catches it unawares, and its class cannot be imported.
    """
    return type(error).__module__ == "pyo3_runtime" and type(error).__name__ == "PanicException"


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


_decode_zstd = _reader_decoder(ZstdReader)
_DECODERS: Mapping[str, Callable[[bytes, int, bool], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_deflate,
    "br": _reader_decoder(BrotliReader),
    "zstd": _decode_zstd,
}
