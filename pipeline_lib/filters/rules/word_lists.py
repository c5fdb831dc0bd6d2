"""List files that rules name: one entry a line, comments behind `#`; plain, gzip or zstd, and archives of them.

Archives are those in which the University of Toulouse (UT1) publishes its blacklists: `<category>/domains` and
`<category>/urls`, in a tar file of one category or of all.
"""

import io
import posixpath
import tarfile
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256

import fsspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline_lib.kernels.arrow import string_column
from storage.digests import joined_digest
from storage.wrong_request import WrongRequest

_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_TAR_MAGIC, _TAR_MAGIC_AT = b"ustar", 257  # POSIX.1-2001 pax, and GNU's older format
_LINE_FEED = 10


@dataclass(frozen=True, kw_only=True)
class ListFile:
    """A file that a rule names.

    Attributes:
        key: the rule's, such as filters.url.domains.
        path: local, or any that fsspec reads.
        version: changes when the file does, as far as its file system can tell without reading it.
    """

    key: str
    path: str
    version: str

    @property
    def name(self) -> str:
        return posixpath.basename(self.path.rstrip("/"))


@dataclass(frozen=True, kw_only=True)
class Entries:
    """The lines of a list that say something, without whitespace at their ends."""

    place: str  # rule key and file, for messages
    text: pa.LargeStringArray
    line: npt.NDArray[np.int64]  # the number of each entry's line, from 1


def list_files(key: str, patterns: Iterable[str]) -> tuple[ListFile, ...]:
    """The files that paths, globs and URLs name, each once, in alphabetical order.

    Raises:
        WrongRequest: a pattern names no file.
    """
    found: dict[str, ListFile] = {}
    for pattern in patterns:
        try:
            filesystem, path = fsspec.core.url_to_fs(pattern)
            if filesystem.isfile(path):
                paths = [path]
            else:
                paths = [each for each in filesystem.glob(path) if filesystem.isfile(each)]
            for each in paths:
                address = each if _is_local(filesystem) else str(filesystem.unstrip_protocol(each))
                found[address] = ListFile(key=key, path=address, version=str(filesystem.ukey(each)))
        except (OSError, ValueError, ImportError) as error:
            raise WrongRequest(f"{key}: {pattern!r} cannot be read: {error}") from error
        if not paths:
            raise WrongRequest(f"{key}: there is no file {pattern!r}; expected a path, a glob or a URL of list files")
    return tuple(found[path] for path in sorted(found))


def _is_local(filesystem: fsspec.AbstractFileSystem) -> bool:
    protocol = filesystem.protocol
    return "file" in ((protocol,) if isinstance(protocol, str) else protocol)


def digests(files: Sequence[ListFile]) -> dict[str, str]:
    """SHA-256 of the files as they are stored, by rule key and file name, not by where they are.

    Of files with one name, such as adult/domains and games/domains, it is the digest of their digests in order.
    """
    by_name: dict[str, list[str]] = {}
    for file in files:
        by_name.setdefault(f"{file.key}/{file.name}", []).append(sha256(_stored(file)).hexdigest())
    return {name: each[0] if len(each) == 1 else joined_digest(sorted(each)) for name, each in sorted(by_name.items())}


def read_entries(file: ListFile) -> Entries:
    """The entries of a file that is no archive.

    Raises:
        WrongRequest: it cannot be read, is no text in UTF-8, or has no entry.
    """
    content = _content(file)
    if _is_tar(content):
        raise WrongRequest(f"{file.key}: {file.path} is an archive; expected a list, one entry a line")
    return _entries(content, f"{file.key}: {file.path}")


def read_members(files: Sequence[ListFile], member: str, categories: Collection[str]) -> list[Entries]:
    """The entries of lists, and of what archives among the files have under `<category>/<member>`.

    Args:
        member: domains or urls.
        categories: which categories of archives; none named: all. Lists that are no archives have no category.

    Raises:
        WrongRequest: as `read_entries`; an archive without such a member; a category that is in none of the archives.
    """
    read: list[Entries] = []
    known: set[str] = set()
    archives: list[ListFile] = []
    for file in files:
        content = _content(file)
        if not _is_tar(content):
            read.append(_entries(content, f"{file.key}: {file.path}"))
            continue
        archives.append(file)
        members = list(_members(file, content))
        known |= {category for category, _ in members}
        wanted = [each for each in members if each[1].name.rpartition("/")[2] == member]
        chosen = [info for category, info in wanted if not categories or category in categories]
        if not wanted:
            raise WrongRequest(f"{file.key}: {file.path} is an archive without a member <category>/{member}")
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for info in chosen:
                stream = archive.extractfile(info)
                assert stream is not None  # _members gives files only
                read.append(_entries(stream.read(), f"{file.key}: {file.path}:{info.name}"))
    missing = sorted(set(categories) - known)
    if archives and missing:
        raise WrongRequest(
            f"{archives[0].key}: categories names {', '.join(missing)}, which {archives[0].path}"
            f"{' and the other archives have' if len(archives) > 1 else ' has'} not; there are "
            f"{', '.join(sorted(known))}"
        )
    if files and not read:
        raise WrongRequest(f"{files[0].key}: {files[0].path} has no {member} in the categories {', '.join(categories)}")
    return read


def _members(file: ListFile, content: bytes) -> Iterable[tuple[str, tarfile.TarInfo]]:
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            for info in archive:
                folder, _, name = info.name.rpartition("/")
                if info.isfile() and name in ("domains", "urls"):
                    yield folder.rpartition("/")[2], info
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise WrongRequest(f"{file.key}: {file.path} is a damaged archive: {error}") from error


def _stored(file: ListFile) -> bytes:
    try:
        filesystem, path = fsspec.core.url_to_fs(file.path)
        content: bytes = filesystem.cat_file(path)
    except (OSError, ValueError) as error:
        raise WrongRequest(f"{file.key}: {file.path} cannot be read: {error}") from error
    return content


def _content(file: ListFile) -> bytes:
    content = _stored(file)
    for magic, compression in _COMPRESSIONS.items():
        if content.startswith(magic):
            try:
                with pa.CompressedInputStream(pa.BufferReader(content), compression) as stream:
                    unpacked: bytes = stream.read()
                    return unpacked
            except OSError as error:
                raise WrongRequest(f"{file.key}: {file.path} is damaged {compression}: {error}") from error
    return content


def _is_tar(content: bytes) -> bool:
    return content[_TAR_MAGIC_AT : _TAR_MAGIC_AT + len(_TAR_MAGIC)] == _TAR_MAGIC


def _entries(content: bytes, place: str) -> Entries:
    content = content.removeprefix(b"\xef\xbb\xbf")
    nul = content.find(b"\0")
    if nul >= 0:
        raise WrongRequest(f"{place}, line {_line_of(content, nul)}: a zero byte; expected text in UTF-8")
    if not content.endswith(b"\n"):
        content += b"\n"
    data = np.frombuffer(content, np.uint8)
    offsets = np.concatenate([[0], np.flatnonzero(data == _LINE_FEED) + 1])
    lines = string_column(data, offsets)
    try:
        lines.validate(full=True)
    except pa.ArrowInvalid:
        try:
            content.decode()
        except UnicodeDecodeError as error:
            where = f"{place}, line {_line_of(content, error.start)}"
            raise WrongRequest(f"{where}: not UTF-8 (byte 0x{content[error.start]:02x}); convert the list") from error
        raise
    lines = pc.utf8_trim_whitespace(lines)
    says_something = pc.and_(pc.not_equal(lines, ""), pc.invert(pc.starts_with(lines, "#")))
    text = lines.filter(says_something)
    if not len(text):
        raise WrongRequest(f"{place}: an empty list; expected one entry a line")
    return Entries(place=place, text=text, line=np.flatnonzero(says_something.to_numpy(zero_copy_only=False)) + 1)


def _line_of(content: bytes, position: int) -> int:
    return content.count(b"\n", 0, position) + 1
