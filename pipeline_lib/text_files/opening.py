"""Text files as they lie around: what kind each is, its bytes, and what to say when it is neither."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import fsspec
import pyarrow as pa

from storage.wrong_request import WrongRequest

Kind = Literal["parquet", "json lines"]
Compression = Literal["gzip", "zstd"]

_HEAD_BYTES = 8
_DIGEST_BYTES = 1 << 20
_GZIP = b"\x1f\x8b"
_ZSTD = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte 0x50..0x5f (RFC 8878, 3.1.2); parallel compressors begin so
_PARQUET = b"PAR1"

# How files begin that are often met and cannot be read, and what to do with them.
_OTHERS = (
    (b"[", "it begins with '[': if the file is one JSON array, write each of its objects on a line of its own"),
    (b"PAR1", "it is Parquet inside a compressed file: decompress it, Parquet is compressed within"),
    (b"ARROW1", "it is an Arrow file: write it as Parquet"),
    (b"BZh", "it is compressed with bzip2: compress it with gzip or zstd"),
    (b"\xfd7zXZ", "it is compressed with xz: compress it with gzip or zstd"),
    (b"PK\x03\x04", "it is a ZIP archive: unpack it"),
    (b"\xff\xfe", "it seems to be UTF-16: write it as UTF-8"),
    (b"\xfe\xff", "it seems to be UTF-16: write it as UTF-8"),
    (b"{\n", "an object may not go over several lines: write each on one line"),
    (b"{\r\n", "an object may not go over several lines: write each on one line"),
)


class TextFileError(WrongRequest):
    """A file of texts cannot be read; the message names the file, the row where there is one, and what to do."""


def is_url(file: str) -> bool:
    """Whether fsspec is to find it, and not the local file system."""
    return "://" in file or "::" in file


def sniff(file: str) -> tuple[Kind, Compression | None]:
    """What a file is by its first bytes, whatever its name says.

    Raises:
        TextFileError: it cannot be opened, is empty, or is called Parquet and is not.
    """
    if not is_url(file) and Path(file).is_dir():
        raise TextFileError(f"{file} is a folder: name the files in it")
    if not is_url(file) and Path(file).exists() and not Path(file).is_file():
        raise TextFileError(f"{file} is a pipe or device, and files are read more than once: write it to a file first")
    with _opened(file, streamed=True) as stream:
        head: bytes = read_exactly(file, stream, _HEAD_BYTES)
    if not head:
        raise TextFileError(f"{file} is empty (0 bytes): leave it out, or write it again")
    if head.startswith(_PARQUET):
        return "parquet", None
    if file.partition("?")[0].lower().endswith((".parquet", ".pq")):
        raise TextFileError(f"{file} is not a Parquet file: it does not begin with PAR1. Write it again, or rename it")
    if head.startswith(_GZIP):
        return "json lines", "gzip"
    if head.startswith(_ZSTD) or (head[1:4] == _ZSTD_SKIPPABLE and head[0] >> 4 == 5):
        return "json lines", "zstd"
    return "json lines", None


@contextmanager
def open_seekable(file: str) -> Iterator[Any]:
    """The file's bytes, to be read anywhere in it."""
    with _opened(file, streamed=False) as stream:
        yield stream


@contextmanager
def open_stream(file: str, compression: Compression | None) -> Iterator[Any]:
    """The file's bytes from front to back, decompressed; `read_exactly` reads them."""
    with _opened(file, streamed=True) as stream:
        if compression is None:
            yield stream
        else:
            yield pa.CompressedInputStream(pa.PythonFile(stream, mode="r"), compression)


def read_exactly(file: str, stream: Any, num_bytes: int) -> bytes:
    """The next `num_bytes`, fewer only at the end: where batches end must not depend on how a network delivers.

    Raises:
        TextFileError: the bytes cannot be had, or are no whole compressed file.
    """
    pieces, missing = [], num_bytes
    while missing:
        try:
            piece: bytes = stream.read(missing)
        except Exception as error:  # each file system and server has errors of its own
            raise TextFileError(
                f"{file} cannot be read to its end: {error}. It seems to be cut off, damaged or out of reach: "
                "fetch or write it again"
            ) from error
        if not piece:
            break
        pieces.append(piece)
        missing -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def content_digest(file: str) -> str:
    """SHA-256 of a file's bytes as they are (compressed, if it is), in hex; reads all of it.

    Raises:
        TextFileError: the file cannot be read.
    """
    digest = hashlib.sha256()
    with _opened(file, streamed=True) as stream:
        while piece := read_exactly(file, stream, _DIGEST_BYTES):
            digest.update(piece)
    return digest.hexdigest()


def advice(head: bytes) -> str:
    """What to do with a file whose text begins with `head`, which is no line of JSON."""
    known = next((text for magic, text in _OTHERS if head.startswith(magic)), None)
    return known or "expected JSON Lines (one JSON object a line; plain, gzip or zstd) or Parquet"


@contextmanager
def _opened(file: str, streamed: bool) -> Iterator[Any]:
    try:
        if not is_url(file):
            opened: Any = Path(file).open("rb")  # noqa: SIM115 (closed below, by `with`)
        else:
            # one request that streams: by blocks, every few megabytes would be a request, which not all servers answer
            options = {"block_size": 0} if streamed and file.startswith(("http://", "https://")) else {}
            opened = fsspec.open(file, "rb", **options).open()
    except FileNotFoundError as error:
        raise TextFileError(f"{file}: there is no such file; check the path") from error
    except Exception as error:
        raise TextFileError(f"{file} cannot be opened: {type(error).__name__}: {error}") from error
    with opened as stream:
        yield stream
