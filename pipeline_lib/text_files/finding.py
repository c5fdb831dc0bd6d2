"""Which files a person means: paths, globs, folders and URLs of any of these."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import fsspec

from pipeline_lib.text_files.opening import TextFileError, is_url

_LINE_SUFFIXES = (".jsonl", ".ndjson", ".json")
SUFFIXES = (*_LINE_SUFFIXES, *(f"{name}{by}" for name in _LINE_SUFFIXES for by in (".gz", ".zst")), ".parquet")


# A folder that `gristmill extract` or `gristmill dedup` wrote has these beside its documents.
_SUMMARY, _REJECTED, _DECISIONS = "/summary.json", "/rejected", "/decisions"


def find_files(patterns: Sequence[str], suffixes: tuple[str, ...] = SUFFIXES) -> list[str]:
    """The files that `patterns` stand for, in the order of the patterns, sorted within each, none twice.

    Args:
        patterns: local files, globs or folders (their files with a name that ends in one of `suffixes`, however
            deep; of the output of another command its documents, and no tables of what was left out), or fsspec URLs of
            any of these. A local file whose name has a `*`, `?` or `[` may be named as it is.

    Returns:
        absolute local paths, and URLs.

    Raises:
        TextFileError: a pattern matches nothing, or cannot be looked up.
    """
    return list(dict.fromkeys(file for pattern in patterns for file in _expand(pattern, suffixes)))


def _expand(pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    pattern = pattern.removeprefix("file://")
    if not pattern:
        raise TextFileError("an empty path names no file")
    try:
        return _expand_url(pattern, suffixes) if is_url(pattern) else _expand_local(pattern, suffixes)
    except TextFileError:
        raise
    except Exception as error:  # each file system and server has errors of its own
        raise TextFileError(f"{pattern} cannot be looked up: {type(error).__name__}: {error}") from error


def _expand_local(pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    path = os.path.abspath(Path(pattern).expanduser())  # noqa: PTH100 (a link keeps its own name, '..' goes)
    local = Path(path)
    if local.is_dir():
        return _of_folder(pattern, [str(each) for each in local.rglob("*") if each.is_file()], suffixes)
    if local.exists():
        return [path]
    if not any(sign in path for sign in "*?["):
        raise TextFileError(f"{pattern}: there is no such file; check the path")
    filesystem, glob = fsspec.core.url_to_fs(path)
    return _matching(pattern, filesystem.glob(glob, detail=True))


def _expand_url(pattern: str, suffixes: tuple[str, ...]) -> list[str]:
    filesystem, path = fsspec.core.url_to_fs(pattern, use_listings_cache=False)
    # in a web address, what follows '?' is a query
    signs = "*[" if pattern.startswith(("http://", "https://")) else "*?["
    if any(sign in path for sign in signs):
        found = _matching(pattern, filesystem.glob(path, detail=True))
        return [str(filesystem.unstrip_protocol(each)) for each in found]
    if not filesystem.exists(path):
        raise TextFileError(f"{pattern}: there is no such file; check the address")
    if pattern.startswith(("http://", "https://")) or "::" in pattern:
        return [pattern]
    if filesystem.isfile(path):
        return [str(filesystem.unstrip_protocol(path))]
    return [str(filesystem.unstrip_protocol(each)) for each in _of_folder(pattern, filesystem.find(path), suffixes)]


def _of_folder(pattern: str, files: Sequence[str], suffixes: tuple[str, ...]) -> list[str]:
    rejecting = {file.rpartition("/")[0].removesuffix(_REJECTED) for file in files if f"{_REJECTED}/" in file}
    outputs = {file.removesuffix(_SUMMARY) for file in files if file.endswith(_SUMMARY)} & rejecting
    no_texts = tuple(f"{folder}{name}" for folder in outputs for name in (_SUMMARY, f"{_REJECTED}/", f"{_DECISIONS}/"))
    found = sorted(file for file in files if file.lower().endswith(suffixes) and not file.startswith(no_texts))
    if not found:
        raise TextFileError(f"{pattern}: the folder holds no file named {', '.join(f'*{each}' for each in suffixes)}")
    return found


def _matching(pattern: str, matches: dict[str, dict[str, Any]]) -> list[str]:
    # 'other': a link, say
    found = sorted(file for file, information in matches.items() if information.get("type") != "directory")
    if not found:
        raise TextFileError(f"{pattern}: no file matches")
    return found
