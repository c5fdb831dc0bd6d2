"""What the readers of lists and indexes need of a file system or server: a file's size, and ranges of its bytes.

They take whatever does this. Fetching brings its own reader, which is polite and does not give up easily; the plain one
here asks once, which will do for one small file and for files on a disk.
"""

import io
from typing import BinaryIO, Protocol, cast

import fsspec

_MISSING = ("fetch_http_404", "fetch_http_410")


class RangeReader(Protocol):
    """Reads bytes of local paths and URLs.

    Every failure is an OSError. One that is a FileNotFoundError, or has the `reason` "fetch_http_404", says that there
    is no such file.
    """

    def describe(self, url: str) -> tuple[int, str]:
        """Size in bytes, -1 where nobody says, and a fingerprint."""

    def read(self, url: str, start: int = 0, length: int = -1) -> bytes:
        """The bytes of a range; -1: to the end. Fewer than asked for only where the file ends."""

    def open(self, url: str, start: int = 0, length: int = -1) -> BinaryIO:
        """The same as a stream."""


class ReadFailed(OSError):
    """A file cannot be read; `reason` is short and can be counted, `url` says which."""

    def __init__(self, url: str, reason: str, message: str) -> None:
        super().__init__(f"{url}: {message}")
        self.url = url
        self.reason = reason


class PlainReader:
    """Reads through fsspec, once, without patience."""

    def describe(self, url: str) -> tuple[int, str]:
        try:
            filesystem, path = fsspec.core.url_to_fs(url)
            size = filesystem.info(path).get("size")
        except Exception as error:  # each file system and server has errors of its own
            raise failure_of(url, error) from error
        return (-1 if size is None else int(size)), ""

    def read(self, url: str, start: int = 0, length: int = -1) -> bytes:
        if length == 0:
            return b""
        try:
            filesystem, path = fsspec.core.url_to_fs(url)
            content: bytes = filesystem.cat_file(path, start or None, None if length < 0 else start + length)
        except Exception as error:
            raise failure_of(url, error) from error
        if length >= 0 and len(content) > length:  # a server that knows no ranges sent all of it
            content = content[start : start + length]
        return content

    def open(self, url: str, start: int = 0, length: int = -1) -> BinaryIO:
        return io.BytesIO(self.read(url, start, length))


class RangeFile(io.RawIOBase):
    """A file of known size as a seekable stream: every read is one range.

    Wrap it in `io.BufferedReader` where reads are small.
    """

    def __init__(self, reader: RangeReader, url: str, num_bytes: int) -> None:
        super().__init__()
        self._reader = reader
        self._url = url
        self._num_bytes = num_bytes
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._num_bytes}[whence]
        self._place = max(0, base + offset)
        return self._place

    def size(self) -> int:
        """As pyarrow asks for it."""
        return self._num_bytes

    def read(self, size: int | None = -1) -> bytes:
        left = max(0, self._num_bytes - self._place)
        wanted = left if size is None or size < 0 else min(size, left)
        content = self._reader.read(self._url, self._place, wanted) if wanted else b""
        if len(content) != wanted:
            raise ReadFailed(
                self._url, "fetch_short_body", f"gave {len(content)} bytes of the {wanted} from {self._place} on"
            )
        self._place += wanted
        return content

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: object) -> int:
        view = memoryview(cast(bytearray, buffer)).cast("B")
        content = self.read(len(view))
        view[: len(content)] = content
        return len(content)


def is_missing(error: OSError) -> bool:
    """Whether a failure says that there is no such file, rather than that it could not be read."""
    return isinstance(error, FileNotFoundError) or getattr(error, "reason", None) in _MISSING


def failure_reason(error: OSError) -> str:
    """The countable reason of a failure, or the kind of error where it has none."""
    return str(getattr(error, "reason", None) or type(error).__name__)


def joined_url(base: str, path: str) -> str:
    """The address of a file below a folder, local or not."""
    return f"{base.rstrip('/')}/{path}"


def failure_of(url: str, error: Exception) -> OSError:
    """What a file system's own error says, as a reader of ranges says it."""
    if url.startswith("http") and isinstance(error, FileNotFoundError) and isinstance(error.__cause__, Exception):
        error = error.__cause__  # fsspec takes every failure of a web server's HEAD for a missing file
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return FileNotFoundError(f"{url}: there is no such file")
    reason = f"fetch_http_{status}" if status else "fetch_connection"
    return ReadFailed(url, reason, f"{type(error).__name__}: {error}")
