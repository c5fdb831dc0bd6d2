"""Scratch folders of one process, named after it, so that those of processes that died can be told and removed."""

import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from storage.processes import process_of, this_process
from storage.store import Store

_PREFIX = "gristmill-"
_NAME = re.compile(rf"{_PREFIX}[a-z]+\.(?P<mark>.+)-[0-9a-f]+")


@contextmanager
def scratch_folder(store: Store, purpose: str, place: Path | None = None) -> Iterator[Path]:
    """An empty folder in `place`, or else where the store has its scratch files, or where the system has: it goes at
    the end, whatever happens.

    Raises:
        OSError: it cannot be made.
    """
    if place is None:
        place = store.scratch_folder
        if not os.access(place, os.W_OK):
            place = Path(tempfile.gettempdir())
    folder = place / f"{_PREFIX}{purpose}.{this_process().mark()}-{secrets.token_hex(4)}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_dead_scratch(store: Store) -> int:
    """Remove the scratch folders in a local store whose process of this machine has ended; returns how many went."""
    if not store.is_local:
        return 0
    dead = [name for name in store.names("") if is_scratch(name) and owner_is_gone(name)]
    for name in dead:
        shutil.rmtree(Path(store.full_path(name)), ignore_errors=True)
    return len(dead)


def is_scratch(name: str) -> bool:
    """Whether a folder has a name of scratch folders: of these, or of temporary folders that our stages make."""
    return name.startswith(_PREFIX)


def owner_is_gone(name: str) -> bool | None:
    """Whether the process that a scratch folder is named after has ended; None: nobody here can tell."""
    found = _NAME.fullmatch(name)
    owner = None if found is None else process_of(found["mark"])
    return owner.is_dead() if owner is not None and owner.is_here() else None
