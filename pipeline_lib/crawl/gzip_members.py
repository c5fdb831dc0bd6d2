"""The gzip members of a WARC file: each inflated as it is read, and the next found again after damage."""

import zlib

from pipeline_lib.crawl.byte_source import ByteSource

GZIP_MAGIC = b"\x1f\x8b"

_CHUNK_BYTES = 16 << 10  # zlib copies what it did not use: small chunks keep that cheap for files of small records
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # tells zlib to expect a gzip header
_GZIP_HEADER = b"\x1f\x8b\x08"  # deflate is the only method there is
_KEPT_BYTES = 1 << 20  # how far back the search for the next record starts after a damaged member
_PROBE_BYTES = 2048  # enough for a gzip header, a table of codes and the word "WARC/"


class Member:
    """One gzip member, inflated as it is read. Damage ends it early and is told by `failure`."""

    def __init__(self, source: ByteSource) -> None:
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


def skip_to_member(source: ByteSource) -> bool:
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
