"""The zstd and lz4 frames of a WARC file: each decompressed as it is read, and its end known though it be damaged."""

from collections.abc import Generator
from typing import BinaryIO, Literal, cast

from fastwarc.stream_io import Lz4Reader, ZstdReader

from pipeline_lib.crawl.byte_source import ByteSource
from pipeline_lib.crawl.record_bodies import UndecodableBody, decode_zstd
from pipeline_lib.rust_panics import is_rust_panic

ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"
LZ4_MAGIC = b"\x04\x22\x4d\x18"
DICTIONARY_MAGIC = b"\x5d\x2a\x4d\x18"  # "WARC Zstandard compression 1.0" (IIPC), section 3

_SKIPPABLE_MAGIC = b"\x2a\x4d\x18"  # after a first byte 0x50..0x5f, in zstd and lz4 alike (RFC 8878, section 3.1.2)
_CHUNK_BYTES = 16 << 10
_PIECE_BYTES = 1 << 20
_PROBE_BYTES = 2048
_MAX_DICTIONARY_BYTES = 64 << 20
_MAX_ZSTD_BLOCK = 128 << 10  # RFC 8878, section 3.1.1.2.4
_MAX_LZ4_BLOCK = 4 << 20

_Ending = Literal["whole", "cut_off", "no_end"]


class Frame:
    """One zstd or lz4 frame, decompressed as it is read. Damage ends it early and is told by `failure`.

    Where it ends in the file, the lengths of its blocks say, damaged or not.
    """

    def __init__(self, source: ByteSource, magic: bytes, dictionary: bytes | None) -> None:
        self.start = source.position
        self.size = 0
        self.failure: str | None = None
        self._source = source
        self._raw = _FrameBytes(_zstd_pieces(source) if magic == ZSTD_MAGIC else _lz4_pieces(source))
        stream = cast(BinaryIO, self._raw)
        self._reader = ZstdReader(stream, dictionary=dictionary) if magic == ZSTD_MAGIC else Lz4Reader(stream)

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


def _zstd_pieces(source: ByteSource) -> Generator[bytes, None, _Ending]:
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


def _lz4_pieces(source: ByteSource) -> Generator[bytes, None, _Ending]:
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


def is_skippable(head: bytes) -> bool:
    return head[1:4] == _SKIPPABLE_MAGIC and head[0] >> 4 == 5


def skippable_content(source: ByteSource) -> bytes | None:
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


def read_dictionary(content: bytes) -> bytes:
    """What the frames of a WARC file in zstd were compressed with; that may be compressed itself."""
    if not content.startswith(ZSTD_MAGIC):
        return content
    try:
        return decode_zstd(content, _MAX_DICTIONARY_BYTES, False)
    except UndecodableBody:
        return b""  # so that every frame is counted as damaged


def skip_to_frame(source: ByteSource) -> bool:
    """Go to the next place that looks like a frame, or to the end; whether anything but zero bytes was passed over."""
    passed_content = False
    while window := source.peek(2 * _PROBE_BYTES):
        at_end = len(window) < 2 * _PROBE_BYTES
        found = [place for magic in (ZSTD_MAGIC, LZ4_MAGIC) if (place := window.find(magic)) >= 0]
        skipped = source.read(min(found) if found else len(window) if at_end else len(window) - 3)
        passed_content = passed_content or skipped.strip(b"\x00") != b""
        if found:
            break
    return passed_content
