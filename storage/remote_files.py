"""Files of a store elsewhere: on S3, Google Cloud Storage, Azure, or whatever fsspec knows."""

import contextlib
import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO, cast

import fsspec

from storage.remote_calls import StoreUnavailable, is_unsupported, repeated

_SEQUENTIAL_BYTES = 8 << 20  # asked for at once by a reader that goes from front to back
_RANDOM_BYTES = 64 << 10
_ABANDONED = timedelta(days=1)  # an upload in pieces that began longer ago has nobody who goes on with it


_EXCLUSIVE_PROTOCOLS = {"s3", "gs", "gcs", "abfs", "az", "memory"}  # whose put takes mode="create" for a condition


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A file of a store. `modified`: seconds since 1970, by the clock of whoever keeps it; None: it does not say."""

    path: str
    bytes: int
    modified: float | None


class RemoteFiles:
    """The files below a root, by relative path. Every call is repeated where its failure may pass (`remote_calls`).

    Reading, writing and removing go by key and hold at once for all; `names` is a listing, and some stores answer with
    one of a while ago. Nothing here renames.
    """

    def __init__(self, filesystem: Any, root: str) -> None:
        self._filesystem = filesystem
        self._root = root

    def exists(self, path: str) -> bool:
        # not fsspec's own `exists`: with some file systems every error means no
        try:
            self._info(path)
        except FileNotFoundError:
            return False
        return True

    def size(self, path: str) -> int:
        return int(self._info(path)["size"])

    def read_bytes(self, path: str) -> bytes:
        content: bytes = repeated(f"reading {path}", self._filesystem.cat_file, self._at(path))
        return content

    def download(self, path: str, target: Path) -> None:
        repeated(f"reading {path}", self._filesystem.get_file, self._at(path), str(target))

    def upload(self, source: Path, path: str) -> None:
        """One put of a finished file, which readers see whole or not at all."""
        repeated(f"writing {path}", self._filesystem.put_file, str(source), self._at(path))

    @property
    def creates_exclusively(self) -> bool:
        """Whether of several who create a file at once one alone succeeds, and the others hear of it."""
        return bool(_EXCLUSIVE_PROTOCOLS & set(_protocols(self._filesystem)))

    def upload_new(self, source: Path, path: str) -> bool:
        """The same, unless there is a file already; whether what is there is what this call gave.

        Of several at once one wins, where `creates_exclusively`. Elsewhere a look goes before the put, and two that
        look at once both believe that they won.
        """
        if self.exists(path):  # some servers that speak S3 pass over the condition
            return self._holds(path, source)
        if self.creates_exclusively:
            try:
                repeated(f"writing {path}", self._filesystem.put_file, str(source), self._at(path), mode="create")
            except FileExistsError:
                # ours, perhaps: an attempt whose answer was lost on the way
                return self._holds(path, source)
            except StoreUnavailable as error:
                if not is_unsupported(error):
                    raise
            else:
                return True
            # a server that speaks S3 without conditions: what was not there a moment ago is the best there is
        self.upload(source, path)
        return True

    def _holds(self, path: str, source: Path) -> bool:
        return self.size(path) == source.stat().st_size and self.read_bytes(path) == source.read_bytes()

    def names(self, folder: str) -> list[str]:
        """Names directly under a folder; empty if there is no such folder."""
        self._filesystem.invalidate_cache()
        try:
            listed: list[str] = repeated(f"listing {folder}", self._filesystem.ls, self._at(folder), detail=False)
        except FileNotFoundError:
            return []
        return [PurePosixPath(each).name for each in listed]

    def files(self, folder: str) -> list[StoredFile]:
        """All files below a folder, however deep; none if there is no such folder."""
        self._filesystem.invalidate_cache()
        try:
            found = repeated(f"listing {folder}", self._filesystem.find, self._at(folder), detail=True)
        except FileNotFoundError:
            return []
        prefix = self._filesystem._strip_protocol(self._root).rstrip("/") + "/"
        return [
            StoredFile(path=path.removeprefix(prefix), bytes=int(info["size"] or 0), modified=_modified(info))
            for path, info in found.items()
        ]

    def url(self, path: str) -> str:
        return str(self._filesystem.unstrip_protocol(f"{self._root}/{path}"))

    def remove(self, path: str) -> None:
        """Remove a file, or the files under a folder that a listing has; what is not there is no error."""
        with contextlib.suppress(FileNotFoundError):
            if self._info(path)["type"] == "file":
                repeated(f"removing {path}", self._filesystem.rm_file, self._at(path))
            else:
                repeated(f"removing {path}", self._filesystem.rm, self._at(path), recursive=True)

    def open(self, path: str, *, jumps: bool) -> BinaryIO:
        """A seekable stream for reading, of which every piece is asked for until it comes.

        Args:
            jumps: the reader asks for what it needs, here and there; nothing is read ahead.
        """
        pieces = _Pieces(self, path, self.size(path))
        return cast(BinaryIO, io.BufferedReader(pieces, _RANDOM_BYTES if jumps else _SEQUENTIAL_BYTES))

    def read_range(self, path: str, start: int, end: int) -> bytes:
        content: bytes = repeated(
            f"reading {path} from byte {start}", self._filesystem.cat_file, self._at(path), start=start, end=end
        )
        return content

    def abort_uploads(self, folder: str) -> int:
        """Abort uploads in pieces under a folder that somebody began a day ago or earlier; how many there were.

        Of S3 alone, which keeps their pieces, unseen and paid for: other stores forget them by themselves.
        """
        if "s3" not in _protocols(self._filesystem):
            return 0
        bucket, key, _ = self._filesystem.split_path(self._at(folder))
        listed = repeated(
            f"listing uploads under {folder}",
            self._filesystem.call_s3,
            "list_multipart_uploads",
            Bucket=bucket,
            Prefix=f"{key.rstrip('/')}/",
        )
        begun_before = datetime.now(UTC) - _ABANDONED
        abandoned = [each for each in listed.get("Uploads", []) if each["Initiated"] < begun_before]
        for upload in abandoned:
            with contextlib.suppress(FileNotFoundError):
                repeated(
                    f"aborting the upload of {upload['Key']}",
                    self._filesystem.abort_mpu,
                    bucket,
                    upload["Key"],
                    upload["UploadId"],
                )
        return len(abandoned)

    def _info(self, path: str) -> dict[str, Any]:
        found: dict[str, Any] = repeated(f"looking at {path}", self._filesystem.info, self._at(path))
        return found

    def _at(self, path: str) -> str:
        check_inside(path)
        return f"{self._root}/{path}" if path else self._root


class _Pieces(io.RawIOBase):
    """A file that is read by ranges."""

    def __init__(self, files: RemoteFiles, path: str, size: int) -> None:
        super().__init__()
        self.name = path
        self._files = files
        self._size = size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"{self.name}: no position {base + offset}")
        self._position = base + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, buffer: Any) -> int:
        end = min(self._position + len(buffer), self._size)
        if end <= self._position:
            return 0
        piece = self._files.read_range(self.name, self._position, end)
        buffer[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)


def _modified(info: Mapping[str, Any]) -> float | None:
    """When a file was written: each file system says it under a name of its own."""
    for name in ("LastModified", "last_modified", "updated", "mtime", "created"):
        match info.get(name):
            case datetime() as time:
                return time.timestamp()
            case int() | float() as seconds:
                return float(seconds)
            case str() as text:
                with contextlib.suppress(ValueError):
                    return datetime.fromisoformat(text).timestamp()
    return None


def check_inside(path: str) -> None:
    """Refuse a path that could lead out of a store."""
    pure = PurePosixPath(path)
    if pure.is_absolute() or ".." in pure.parts:
        raise ValueError(f"a path inside the store is relative and has no '..': {path!r}")


def open_filesystem(url: str) -> tuple[Any, str]:
    """The file system and path that a URL means, with nothing remembered of what was listed before.

    Raises:
        ImportError: it needs a package that is not installed; the message says how to get it.
    """
    try:
        # one of before another process published would hide what it published
        filesystem, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError as error:
        extra = _EXTRAS.get(url.partition("://")[0])
        if extra is None:
            raise
        raise ImportError(f"{url} needs the extra {extra!r}: pip install 'gristmill[{extra}]' ({error})") from error
    return filesystem, path


def is_local(filesystem: Any) -> bool:
    return "file" in _protocols(filesystem)


def _protocols(filesystem: Any) -> Iterable[str]:
    protocol = filesystem.protocol
    return (protocol,) if isinstance(protocol, str) else protocol


_EXTRAS = {
    "s3": "s3", "s3a": "s3", "gs": "gs", "gcs": "gs", "az": "az", "abfs": "az", "abfss": "az",
}  # fmt: skip
