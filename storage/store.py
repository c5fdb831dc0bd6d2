"""A store: one folder, local or on any fsspec file system, to which files are published whole or not at all."""

import contextlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from storage.processes import process_of, this_process
from storage.remote_files import RemoteFiles, StoredFile, check_inside, is_local, open_filesystem
from storage.wrong_request import WrongRequest

_PARTIAL = ".partial"
# Of a writer on another machine, whose process cannot be looked up here. Its file grows, or is being read whole for its
# digest, which takes minutes: a day leaves room for clocks that differ.
_ABANDONED_SECONDS = 86_400.0


class StoreError(WrongRequest):
    """The store cannot be used as asked; the message says what to do."""


class Store:
    """Files under one root, addressed by relative POSIX paths such as `stages/extract/<key>/manifest.json`.

    Local roots publish by temporary file, fsync and rename. Object stores publish by one put of a finished file: their
    puts are atomic, so a reader sees all of an object or none of it.

    Raises:
        StoreError: the URL is of no kind that is known here, or needs a package that is not installed.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        try:
            filesystem, root = open_filesystem(url)
        except (ImportError, ValueError, OSError) as error:
            raise StoreError(f"store {url}: {error}") from error
        self.is_local = is_local(filesystem)
        self.root = str(Path(root).absolute()) if self.is_local else root.rstrip("/")
        self._remote = RemoteFiles(filesystem, self.root)
        if self.is_local:
            self.url = self.root

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    def full_path(self, path: str) -> str:
        """The address of a file of the store, as other programs spell it."""
        check_inside(path)
        return f"{self.root}/{path}" if self.is_local else self._remote.url(path)

    @property
    def scratch_folder(self) -> Path:
        """Where files may lie that nobody publishes: beside the published ones on a local store, since a folder for
        temporary files may well be memory."""
        return Path(self.root if self.is_local else tempfile.gettempdir())

    def check_writable(self) -> None:
        """Write, read back and remove a small file.

        Raises:
            StoreError: any of that failed.
        """
        name = f"write-check-{secrets.token_hex(6)}"
        try:
            self.publish_bytes(name, b"gristmill")
            if self.read_bytes(name) != b"gristmill":
                raise StoreError(f"store {self.url}: a test file did not read back as written")
            self.remove(name)
        except (OSError, ValueError) as error:
            raise StoreError(
                f"store {self.url} cannot be written: {error}. "
                "Name another with --store URL or the environment variable GRISTMILL_STORE."
            ) from error

    def exists(self, path: str) -> bool:
        if self.is_local:
            return os.path.lexists(self.full_path(path))
        return self._remote.exists(path)

    def size(self, path: str) -> int:
        if self.is_local:
            return Path(self.full_path(path)).stat().st_size
        return self._remote.size(path)

    def read_bytes(self, path: str) -> bytes:
        if self.is_local:
            return Path(self.full_path(path)).read_bytes()
        return self._remote.read_bytes(path)

    def names(self, folder: str) -> list[str]:
        """Names directly under a folder, sorted; empty if there is no such folder. Unfinished files are not listed.

        Elsewhere it may be a listing of a while ago: what was just published can be missing, and what was removed can
        still be there. Who must know all keeps a `storage.rolls.Roll` beside it.
        """
        if self.is_local:
            try:
                found = os.listdir(self.full_path(folder))  # noqa: PTH208 (names only, as object stores give)
            except (FileNotFoundError, NotADirectoryError):
                return []
        else:
            found = self._remote.names(folder)
        return sorted(name for name in found if not name.endswith(_PARTIAL))

    def files(self, folder: str) -> list[StoredFile]:
        """All files below a folder, unfinished ones among them, by path; none if there is no such folder."""
        if self.is_local:
            return sorted(_local_files(Path(self.root), folder), key=lambda file: file.path)
        return sorted(self._remote.files(folder), key=lambda file: file.path)

    def remove(self, path: str) -> None:
        """Remove a file or a folder; what is not there is no error."""
        if self.is_local:
            full = Path(self.full_path(path))
            if full.is_dir() and not full.is_symlink():
                shutil.rmtree(full)
            else:
                full.unlink(missing_ok=True)
            return
        self._remote.remove(path)

    def publish_bytes(self, path: str, content: bytes, *, durable: bool = True) -> None:
        """Publish a small file; not `durable`: a machine that loses its power may lose it, or what is in it."""
        with self.unfinished(path) as unfinished:
            unfinished.write_bytes(content)
            self.publish(unfinished, path, durable=durable)

    def create_bytes(self, path: str, content: bytes, *, durable: bool = True) -> bool:
        """Publish a small file unless there is one; whether what is there is what this call gave. See `publish_new`."""
        with self.unfinished(path) as unfinished:
            unfinished.write_bytes(content)
            created = self.publish_new(unfinished, path, durable=durable)
        return created and (self.is_local or self._remote.creates_exclusively or self.read_bytes(path) == content)

    @contextlib.contextmanager
    def publishing(self, path: str) -> Iterator[Path]:
        """Give a local path to write to; on a clean exit it becomes `path`, whole; on an error nothing is left."""
        with self.unfinished(path) as unfinished:
            yield unfinished
            self.publish(unfinished, path)

    @contextlib.contextmanager
    def unfinished(self, path: str) -> Iterator[Path]:
        """Give a local path to write what is to become `path`; what was not published on exit goes."""
        if self.is_local:
            target = Path(self.full_path(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            writer = f"{this_process().mark()}-{secrets.token_hex(4)}"
            unfinished = target.with_name(f".{target.name}.{writer}{_PARTIAL}")
            try:
                yield unfinished
            finally:
                unfinished.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            yield Path(folder) / PurePosixPath(path).name

    def publish(self, unfinished: Path, path: str, *, durable: bool = True) -> None:
        """Make `path` of a file that `unfinished` gave, in place of one that may be there."""
        if self.is_local:
            target = Path(self.full_path(path))
            if durable:
                _sync(unfinished)
            unfinished.replace(target)
            if durable:
                _sync(target.parent)
        else:
            self._remote.upload(unfinished, path)

    def publish_new(self, unfinished: Path, path: str, *, durable: bool = True) -> bool:
        """Make `path` of a file that `unfinished` gave, unless there is one; whether this call did.

        Of several at once one wins on a folder, and where the file system takes conditions: S3, Google, Azure, memory.
        Elsewhere a look goes before it, and two that look at once both believe that they won; what is there then is one
        of theirs, whole.
        """
        if not self.is_local:
            return self._remote.upload_new(unfinished, path)
        target = Path(self.full_path(path))
        if durable:
            _sync(unfinished)
        try:
            os.link(unfinished, target)
        except FileExistsError:
            return False
        except OSError:  # a file system without hard links
            if target.exists():
                return False
            unfinished.replace(target)
        if durable:
            _sync(target.parent)
        return True

    @contextlib.contextmanager
    def local_copy(self, path: str) -> Iterator[Path]:
        """A local path with the file's content: the file itself on local stores, else a copy that goes on exit."""
        if self.is_local:
            yield Path(self.full_path(path))
            return
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            copy = Path(folder) / PurePosixPath(path).name
            self._remote.download(path, copy)
            yield copy

    def open(self, path: str) -> BinaryIO:
        """A seekable binary stream for reading."""
        if self.is_local:
            return Path(self.full_path(path)).open("rb")
        return self._remote.open(path, jumps=False)

    def open_random(self, path: str) -> BinaryIO:
        """The same, for readers that jump: nothing is read ahead of what they ask for."""
        if self.is_local:
            return self.open(path)
        return self._remote.open(path, jumps=True)

    def remove_unfinished(self, folder: str) -> int:
        """Remove what killed writers left under a folder: unfinished files, or pieces of uploads that nobody goes on
        with; returns how many went.

        What a process of another machine is writing stays, until nobody has touched it for a day.
        """
        if not self.is_local:
            return self._remote.abort_uploads(folder)
        removed = 0
        for unfinished in Path(self.full_path(folder)).rglob(f".*{_PARTIAL}"):
            if not is_abandoned(unfinished):
                continue
            unfinished.unlink(missing_ok=True)
            removed += 1
        return removed


def is_unfinished(name: str) -> bool:
    """Whether a file of a local store has the name of one that is being written, or was when its writer died."""
    return name.startswith(".") and name.endswith(_PARTIAL)


def _local_files(root: Path, folder: str) -> Iterator[StoredFile]:
    for parent, _, names in os.walk(root / folder):
        for name in names:
            path = Path(parent) / name
            with contextlib.suppress(FileNotFoundError):  # gone since it was listed
                found = path.lstat()
                yield StoredFile(path=path.relative_to(root).as_posix(), bytes=found.st_size, modified=found.st_mtime)


def is_abandoned(unfinished: Path) -> bool:
    """Whether nobody writes an unfinished file any more: its writer is gone, or it is on another machine and silent."""
    mark = unfinished.name.removesuffix(_PARTIAL).rsplit(".", 1)[-1].rsplit("-", 1)[0]
    writer = process_of(mark)
    if writer is not None and writer.is_here():
        return writer.is_dead()
    try:
        return time.time() - unfinished.stat().st_mtime > _ABANDONED_SECONDS
    except FileNotFoundError:
        return False  # it was published, or removed by another run


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
