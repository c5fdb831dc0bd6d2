"""A folder that comes into being whole or not at all: the output of commands that write beside no store.

It is written under a hidden name beside the one asked for, and gets its name at the end.
"""

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from storage.wrong_request import WrongRequest


class OutputRefused(WrongRequest):
    """The folder asked for cannot be written as asked; the message says what to do."""


@contextmanager
def new_folder(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside `out`; on a clean exit it becomes `out`, on any other nothing of it is left."""
    out = out.expanduser().resolve()
    _refuse_taken(out)
    missing = [parent for parent in out.parents if not parent.exists()]
    folder = out.with_name(f".{out.name}.{os.getpid()}-{secrets.token_hex(4)}.partial")
    try:
        try:
            folder.mkdir(parents=True)
        except OSError as error:
            raise OutputRefused(f"{out} cannot be made: {error}. Name a folder that can be written") from error
        yield folder
        for written in (*folder.rglob("*"), folder):
            _sync(written)
        try:
            folder.rename(out)
        except OSError as error:
            raise OutputRefused(f"{out} was written by another in the meantime: {error}. Name another") from error
        _sync(out.parent)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        with suppress(OSError):  # one that others use by now stays
            for parent in missing:
                parent.rmdir()
        raise


def _refuse_taken(out: Path) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise OutputRefused(f"{out} is a file: name a folder for the output")
    if os.path.ismount(out):
        raise OutputRefused(f"{out} is where a disk is mounted: name a folder in it")
    if any(out.iterdir()):
        raise OutputRefused(f"{out} is there and not empty: name another folder, or remove it")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
