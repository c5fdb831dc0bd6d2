"""A store: one folder, local or on any fsspec file system, to which files are published whole or not at all."""

import contextlib
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from storage.remote_files import RemoteFiles, check_inside, is_local, open_filesystem
from storage.wrong_request import WrongRequest

_PARTIAL = ".partial"


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
        if self.is_local:
            return f"{self.root}/{path}"
        return f"{self.url.rstrip('/')}/{path}"

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

    def create_bytes(self, path: str, content: bytes) -> bool:
        """Publish a file unless there is one already; False where there is another. One of several writers wins."""
        if not self.is_local:
            return self._remote.create(path, content)
        target = Path(self.full_path(path))
        target.parent.mkdir(parents=True, exist_ok=True)
        unfinished = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}")
        try:
            unfinished.write_bytes(content)
            _sync(unfinished)
            os.link(unfinished, target)  # unlike a rename, it does not replace
            _sync(target.parent)
        except FileExistsError:
            return target.read_bytes() == content
        finally:
            unfinished.unlink(missing_ok=True)
        return True

    def publish_bytes(self, path: str, content: bytes) -> None:
        with self.publishing(path) as unfinished:
            unfinished.write_bytes(content)

    @contextlib.contextmanager
    def publishing(self, path: str) -> Iterator[Path]:
        """Give a local path to write to; on a clean exit it becomes `path`, whole; on an error nothing is left."""
        if self.is_local:
            target = Path(self.full_path(path))
            target.parent.mkdir(parents=True, exist_ok=True)
            unfinished = target.with_name(f".{target.name}.{os.getpid()}-{secrets.token_hex(4)}{_PARTIAL}")
            try:
                yield unfinished
                _sync(unfinished)
                unfinished.replace(target)
                _sync(target.parent)
            finally:
                unfinished.unlink(missing_ok=True)
            return
        with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
            unfinished = Path(folder) / PurePosixPath(path).name
            yield unfinished
            self._remote.upload(unfinished, path)

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

    def open(self, path: str) -> Any:
        """A seekable binary stream for reading."""
        if self.is_local:
            return Path(self.full_path(path)).open("rb")
        return self._remote.open(path, jumps=False)

    def open_random(self, path: str) -> Any:
        """The same, for readers that jump: nothing is read ahead of what they ask for."""
        if self.is_local:
            return self.open(path)
        return self._remote.open(path, jumps=True)

    def remove_unfinished(self, folder: str) -> int:
        """Remove what killed writers left under a folder: unfinished files, or pieces of uploads that nobody goes on
        with; returns how many went."""
        if not self.is_local:
            return self._remote.abort_uploads(folder)
        removed = 0
        for unfinished in Path(self.full_path(folder)).rglob(f".*{_PARTIAL}"):
            writer = unfinished.name.removesuffix(_PARTIAL).rsplit(".", 1)[-1].split("-")[0]
            if writer.isdigit() and _is_running(int(writer)):
                continue  # another run is writing this one right now
            unfinished.unlink(missing_ok=True)
            removed += 1
        return removed


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
