"""Which WARC files a run reads: from what a person names, files, folders, globs, URLs and lists, to a list of sources.

A list of paths is what Common Crawl publishes for each crawl (`crawl-data/<crawl>/warc.paths.gz`). Everything that can
be wrong with what was named is found here, before any work starts; but for thousands of files on a server, which would
be a request each: they are looked at when they are fetched.
"""

import gzip
import hashlib
import io
import os
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, Literal
from urllib.parse import urlsplit

import fsspec

from pipeline_lib.crawl.addresses import SCHEME, STORE_SCHEME, UNKNOWN_SIZE, is_local
from pipeline_lib.crawl.index_query import CrawlSelection, check_file_choice
from pipeline_lib.crawl.range_reader import RangeReader, is_missing, joined_url
from pipeline_lib.text_files.finding import find_files
from storage.digests import file_digest
from storage.manifests import MissingStage, PublishedStage
from storage.wrong_request import WrongRequest

# What Common Crawl publishes it never changes: the path in the crawl says what the bytes are, as a digest would.
PATH_FINGERPRINT = "path"

_PACKED = ("", ".gz", ".zst", ".lz4")
_WET_SUFFIXES = tuple(f".warc.wet{packed}" for packed in _PACKED)
_WARC_SUFFIXES = tuple(f".warc{packed}" for packed in _PACKED)
_LIST_SUFFIXES = (".paths.gz", ".paths")
_LAYOUT_ROOT = "crawl-data/"
_MAX_LIST_BYTES = 1 << 30  # unpacked; Common Crawl's lists have 15 MB


class SourceError(WrongRequest):
    """What was named as source cannot be read; the message says which, and what to do."""


@dataclass(frozen=True, kw_only=True)
class SourceFile:
    """One file to read: where it is, and what it is called everywhere.

    Attributes:
        kind: `warc`, records; or `texts`, JSON Lines or Parquet.
        url: absolute local path, fsspec URL, or `store:` and a path inside the store.
        warc_path: logical path, the same on every machine; from `crawl-data/` on where the file's path has that.
        num_bytes: -1 where the server does not say.
        fingerprint: `sha256:` of local files; "path" of files on a server that a crawl's list names; what the server
            has to tell versions apart (entity tag, else size and time of change) of others.
    """

    url: str
    warc_path: str
    num_bytes: int
    fingerprint: str
    kind: Literal["warc", "texts"] = "warc"


def list_texts(reader: RangeReader, paths: Sequence[str]) -> list[SourceFile]:
    """The files of texts that `paths` stand for, each once, in the order of `find_files`.

    Raises:
        TextFileError, SourceError: a path matches nothing, a file cannot be looked at, or two have one logical path.
    """
    found = find_files(paths)
    logical = distinct_paths(found)
    return [replace(_source(reader, _Named(url), logical[url]), kind="texts") for url in found]


def list_sources(
    reader: RangeReader,
    paths: Sequence[str],
    *,
    base_url: str | None = None,
    files: int | None = None,
    every: int = 1,
    sample: int | None = None,
    seed: int = 0,
) -> list[SourceFile]:
    """The WARC files that `paths` stand for, each once.

    They are in the order of `paths`; those of folders and globs are sorted, those of path lists in the list's order.
    Each is looked at, and a local one read for its digest; but files on a server that a list names by a path that
    begins with `crawl-data/` are not asked for: their path in the crawl is their identity, their size is not known.

    Args:
        paths: local files, folders or globs, fsspec URLs of any of these, or lists (`*.paths.gz`, `*.paths`).
        base_url: what the entries of path lists are relative to. Without it: what stands before `crawl-data/` in the
            list's own address, or else the folder that the list is in.
        files: take only the first so many; None takes all.
        every, sample, seed: as in `choose_paths`.

    Raises:
        SourceError: a file is missing, a glob, folder or list is empty, or two files have the same logical path.
        ValueError: the choice of files is none.
    """
    check_file_choice(files, every, sample)
    found = {file.url: file for path in paths for file in _expand(reader, path, base_url)}
    logical = distinct_paths(list(found))
    by_name = {logical[url]: file for url, file in found.items()}
    return [
        _source(reader, by_name[name], name)
        for name in choose_paths(list(by_name), files, every=every, sample=sample, seed=seed)
    ]


def list_crawl_files(reader: RangeReader, selection: CrawlSelection) -> list[SourceFile]:
    """The files of a crawl, or the chosen ones of them, in the order of the crawl's list (`warc.paths.gz`).

    One file is read, the list; sizes are not known, and the path in the crawl is the identity, wherever it lies: a
    mirror's files are those of Common Crawl.

    Raises:
        SourceError: there is no such list, or it is none. `selection.crawl` has to be an id: `latest` is looked up
            before.
    """
    url = joined_url(selection.base_url, f"{_LAYOUT_ROOT}{selection.crawl}/{selection.files}.paths.gz")
    try:
        content = reader.read(url)
    except OSError as error:
        hint = "try again later"
        if is_missing(error):
            hint = "check source.crawl (`gristmill crawls` lists Common Crawl's) and base_url"
        raise SourceError(f"the list of files {url} cannot be read: {error}; {hint}") from error
    entries = path_list(content, url)
    paths = list(dict.fromkeys(entry.removeprefix("/") for entry in entries))
    wrong = [path for path in paths if not path.startswith(_LAYOUT_ROOT)]
    if wrong:
        raise SourceError(f"{url}: expected paths that begin with {_LAYOUT_ROOT}, found {wrong[0]!r}")
    chosen = choose_paths(paths, selection.first, every=selection.every, sample=selection.sample, seed=selection.seed)
    return [
        SourceFile(
            url=absolute_url(joined_url(selection.base_url, path)),
            warc_path=path,
            num_bytes=UNKNOWN_SIZE,
            fingerprint=PATH_FINGERPRINT,
        )
        for path in chosen
    ]


def choose_paths(
    paths: Sequence[str], first: int | None = None, *, every: int = 1, sample: int | None = None, seed: int = 0
) -> list[str]:
    """Some of a list of different paths, in its order.

    Args:
        first: so many from the beginning, of those that `every` leaves.
        every: every so many-th, beginning with the first of all.
        sample: draw so many. Whether a path is drawn depends on it, the seed and the other paths, not on the order of
            the list; a larger sample contains the smaller. Where there are no more, all of them.
    """
    if sample is None:
        return list(paths[::every])[:first]
    drawn = set(sorted(paths, key=lambda path: (_draw(seed, path), path))[:sample])
    return [path for path in paths if path in drawn]


def _draw(seed: int, path: str) -> bytes:
    return hashlib.blake2b(f"{seed}\x00{path}".encode(errors="surrogateescape"), digest_size=16).digest()


def check_paths(reader: RangeReader, paths: Sequence[str], base_url: str | None = None) -> int:
    """Check what a person named without reading any WARC file; the number of files it stands for.

    Raises:
        SourceError: as `list_sources`, except for the entries of path lists, which are not looked for.
    """
    urls: set[str] = set()
    for path in paths:
        expanded = [file.url for file in _expand(reader, path, base_url)]
        if expanded == [absolute_url(path)]:
            _describe(reader, expanded[0], with_digest=False)
        urls.update(expanded)
    return len(urls)


def named_urls(reader: RangeReader, paths: Sequence[str], base_url: str | None = None) -> list[str]:
    """Addresses of the WARC files that a person named, each once, in the order of `list_sources`; none is looked at.

    Raises:
        SourceError: as `check_paths`.
    """
    return list(dict.fromkeys(file.url for path in paths for file in _expand(reader, path, base_url)))


def sources_from_crawl(stage: PublishedStage) -> list[SourceFile]:
    """The WARC files of a published crawl stage, in the order of its path list.

    Raises:
        MissingStage: the list names a file that the stage did not publish.
    """
    with stage.local_file("paths") as listed:
        entries = _entries(listed.read_bytes(), str(listed))
    published = {record.path: record for record in stage.manifest.files("warc")}
    folder = stage.manifest.address.folder
    sources = []
    for entry in entries:
        record = published.get(f"warc/{entry}")
        if record is None:
            raise MissingStage(f"{folder}: the path list names {entry}, which the stage did not publish; run it again")
        sources.append(
            SourceFile(
                url=f"{STORE_SCHEME}{folder}/{record.path}",
                warc_path=entry,
                num_bytes=record.bytes,
                fingerprint=f"sha256:{record.sha256}",
            )
        )
    return sources


def absolute_url(path: str) -> str:
    """A URL as it is, a local path made absolute: workers may have another working directory."""
    path = path.removeprefix("file://")
    if SCHEME.match(path) or path.startswith(STORE_SCHEME):
        return path
    return os.path.abspath(Path(path).expanduser())  # noqa: PTH100 (a link keeps its own name, '..' goes)


@dataclass(frozen=True)
class _Named:
    """A file that was named, and whether by the list of a crawl."""

    url: str
    by_crawl: bool = False


def _source(reader: RangeReader, file: _Named, warc_path: str) -> SourceFile:
    if file.by_crawl and not is_local(file.url):
        return SourceFile(url=file.url, warc_path=warc_path, num_bytes=UNKNOWN_SIZE, fingerprint=PATH_FINGERPRINT)
    num_bytes, fingerprint = _describe(reader, file.url, with_digest=True)
    return SourceFile(url=file.url, warc_path=warc_path, num_bytes=num_bytes, fingerprint=fingerprint)


def _describe(reader: RangeReader, url: str, with_digest: bool) -> tuple[int, str]:
    if not is_local(url):
        try:
            return reader.describe(url)
        except OSError as error:
            raise SourceError(_missing(url) if is_missing(error) else f"{url} cannot be reached: {error}") from error
    path = Path(url)
    if not path.is_file():
        raise SourceError(_missing(url))
    try:
        return path.stat().st_size, f"sha256:{file_digest(path)}" if with_digest else ""
    except OSError as error:
        raise SourceError(f"{url} cannot be read: {error}") from error


def _missing(url: str) -> str:
    hint = "check the path"
    if _LAYOUT_ROOT in url:
        hint += "; if it comes from a list of paths, set base_url to what its entries are relative to"
        hint += " (of Common Crawl: https://data.commoncrawl.org/)"
    return f"{url}: there is no such file; {hint}"


def _expand(reader: RangeReader, path: str, base_url: str | None) -> list[_Named]:
    """The files that one path stands for; not checked to be there unless it took a look to find them."""
    url = absolute_url(path)
    if url.startswith(STORE_SCHEME):
        raise SourceError(f"{path}: name files by their path or URL; what is in the store is found by stage")
    if is_local(url):
        local = Path(url)
        if local.is_dir():
            return [_Named(each) for each in _of_folder(path, local)]
        is_glob = not local.exists() and any(sign in url for sign in "*?[")
    else:
        is_glob = any(sign in url for sign in "*[") or ("?" in url and not url.startswith("http"))
    if is_glob:
        matches = _not_empty(_glob(url), f"{path}: no file matches")
        return [each for match in matches for each in _expand_file(reader, match, base_url)]
    return _expand_file(reader, url, base_url)


def _of_folder(path: str, folder: Path) -> list[str]:
    """The WARC files below a folder, or the WET files where it has no others."""
    found = sorted(str(each) for each in folder.rglob("*") if each.name.endswith((*_WARC_SUFFIXES, *_WET_SUFFIXES)))
    wet = [each for each in found if each.endswith(_WET_SUFFIXES)]
    if 0 < len(wet) < len(found):
        raise SourceError(
            f"{path}: the folder holds WARC files and WET files, which have the text of the same pages; name one kind, "
            f"such as {path}/**/*.warc.gz"
        )
    return _not_empty(found, f"{path}: the folder holds no file named *.warc.gz, *.warc or *.warc.wet.gz")


def _expand_file(reader: RangeReader, url: str, base_url: str | None) -> list[_Named]:
    """The files that a path list names, or the file itself where it is none."""
    if not urlsplit(url).path.endswith(_LIST_SUFFIXES):
        return [_Named(url)]
    entries = path_list(_content(reader, url), url)
    root = _root_of_list(url) if base_url is None else absolute_url(base_url).rstrip("/")
    return [
        _Named(entry) if _is_absolute(entry) else _Named(f"{root}/{entry}", entry.startswith(_LAYOUT_ROOT))
        for entry in entries
    ]


def path_list(content: bytes, url: str) -> list[str]:
    """The entries of a list of paths, plain or gzipped.

    Raises:
        SourceError: it is none, it is empty, or an entry leads out of the list's root.
    """
    entries = _not_empty(_entries(content, url), f"{url}: the list of paths is empty")
    outward = [entry for entry in entries if ".." in PurePosixPath(entry).parts]
    if outward:
        raise SourceError(f"{url}: the list of paths leads out of its root: {outward[0]!r}")
    return entries


def _not_empty(found: list[str], complaint: str) -> list[str]:
    if not found:
        raise SourceError(complaint)
    return found


def _glob(url: str) -> list[str]:
    try:
        filesystem, pattern = fsspec.core.url_to_fs(url)
        found: dict[str, dict[str, Any]] = filesystem.glob(pattern, detail=True)
        matches = sorted(each for each, information in found.items() if information.get("type") == "file")
        return matches if is_local(url) else [str(filesystem.unstrip_protocol(each)) for each in matches]
    except Exception as error:
        raise SourceError(f"{url} cannot be listed: {type(error).__name__}: {error}") from error


def _content(reader: RangeReader, url: str) -> bytes:
    try:
        return reader.read(url)
    except OSError as error:
        raise SourceError(_missing(url) if is_missing(error) else f"{url} cannot be read: {error}") from error


def _entries(content: bytes, place: str) -> list[str]:
    """The lines of a list of paths, gzipped or not."""
    try:
        if content.startswith(b"\x1f\x8b"):
            content = gzip.GzipFile(fileobj=io.BytesIO(content)).read(_MAX_LIST_BYTES + 1)
        if len(content) > _MAX_LIST_BYTES:
            raise SourceError(f"{place}: expected a list of paths, found more than {_MAX_LIST_BYTES:,} bytes")
        text = content.decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SourceError(f"{place}: not a list of paths, plain or gzipped: {error}") from error
    return [line.strip() for line in text.splitlines() if line.strip()]


def _root_of_list(url: str) -> str:
    before, found, _ = url.rpartition(f"/{_LAYOUT_ROOT}")
    return before if found else url.rpartition("/")[0]


def _is_absolute(entry: str) -> bool:
    return entry.startswith("/") or SCHEME.match(entry) is not None


def distinct_paths(urls: Sequence[str]) -> dict[str, str]:
    """The logical path of each URL.

    Raises:
        SourceError: two would have the same.
    """
    logical = _logical_paths(urls)
    names = Counter(logical.values())
    for url in urls:
        if names[logical[url]] > 1:
            same = [other for other in urls if logical[other] == logical[url]]
            raise SourceError(
                f"{' and '.join(same)} would both be called {logical[url]!r}: documents could not be told apart. "
                "Name one of them, or put the files into folders of different names."
            )
    return logical


def _logical_paths(urls: Sequence[str]) -> dict[str, str]:
    """For each URL its path from `crawl-data/` on; of those without, the path below their deepest common folder."""
    logical: dict[str, str] = {}
    others: dict[str, tuple[str, ...]] = {}
    for url in urls:
        parts = _path_parts(url)
        path = "/".join(parts)
        start = f"/{path}".rfind(f"/{_LAYOUT_ROOT}")
        if start >= 0:
            logical[url] = path[start:]
        else:
            others[url] = parts
    num_shared = 0
    if others:
        folders = [parts[:-1] for parts in others.values()]
        num_shared = sum(1 for _ in _common_prefix(folders))
    for url, parts in others.items():
        logical[url] = "/".join(parts[num_shared:])
    return logical


def _path_parts(url: str) -> tuple[str, ...]:
    """Host and path of a URL, or a local path, in parts; without the query, which may hold a signature."""
    if is_local(url):
        return PurePosixPath(url).parts
    split = urlsplit(url)
    return (split.scheme, split.netloc, *(part for part in split.path.split("/") if part))


def _common_prefix(folders: Sequence[tuple[str, ...]]) -> Iterator[str]:
    for parts in zip(*folders, strict=False):
        if len(set(parts)) > 1:
            return
        yield parts[0]
