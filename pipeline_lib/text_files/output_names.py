"""What the output of a command is called that makes one file of each that it is given."""

from collections.abc import Sequence
from pathlib import Path

from pipeline_lib.text_files.finding import SUFFIXES


def file_name(file: str) -> str:
    """The last part of a path or URL, without a query (which may hold a signature)."""
    path = file.partition("?")[0] if "://" in file else file
    return path.rstrip("/").rpartition("/")[2].encode(errors="replace").decode()


def output_names(files: Sequence[str], suffixes: Sequence[str] = SUFFIXES) -> list[str]:
    """For each file its name without extensions, with `.parquet`; numbered where that is taken, upper case or lower.

    Args:
        suffixes: extensions that belong together, such as `.jsonl.gz`; of other names, the last one goes.
    """
    taken: set[str] = set()
    names = []
    for file in files:
        stem = _stem(file_name(file), suffixes)
        name, number = stem, 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(f"{name}.parquet")
    return names


def _stem(name: str, suffixes: Sequence[str]) -> str:
    longest = max((suffix for suffix in suffixes if name.lower().endswith(suffix)), key=len, default="")
    stem = name[: len(name) - len(longest)] if longest else Path(name).stem
    return stem.lstrip(".") or "documents"  # a name that begins with a dot is hidden
