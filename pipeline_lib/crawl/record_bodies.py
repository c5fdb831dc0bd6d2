"""Bodies of records as the server meant them: transfer and content encodings undone, within a bound."""

import io
import re
import zlib
from collections.abc import Callable, Mapping
from typing import Protocol

from fastwarc.stream_io import BrotliReader, ZstdReader

DEFAULT_MAX_BODY_BYTES = 32 << 20

_GZIP_MAGIC = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # tells zlib to expect a gzip header
_MAX_ENCODINGS = 4
_CHUNK_SIZE = re.compile(rb"[0-9A-Fa-f]{1,8}\Z")
_MAX_CHUNK_LINE = 4096


class UndecodableBody(ValueError):
    """A body whose transfer or content encoding cannot be undone.

    Reasons: `bad_transfer_encoding`, `bad_content_encoding`, `unsupported_encoding`, `body_too_large`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


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


decode_zstd = _reader_decoder(ZstdReader)
_DECODERS: Mapping[str, Callable[[bytes, int, bool], bytes]] = {
    "gzip": _gunzip,
    "x-gzip": _gunzip,
    "deflate": _inflate_deflate,
    "br": _reader_decoder(BrotliReader),
    "zstd": decode_zstd,
}
