"""A store that can be read and not be written: what looks through a store and must leave it as it is has this one."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import NoReturn

from storage.store import Store


class ReadOnlyStore(Store):
    """A store that publishes and removes nothing.

    Raises:
        PermissionError: on any call that would change something.
    """

    @contextlib.contextmanager
    def publishing(self, path: str) -> Iterator[Path]:
        self._refuse(path)
        yield Path()  # unreachable: it makes this a context manager

    def remove(self, path: str) -> None:
        self._refuse(path)

    def remove_unfinished(self, folder: str) -> int:
        self._refuse(folder)

    def _refuse(self, path: str) -> NoReturn:
        raise PermissionError(f"{self.full_path(path)} may not be changed: the store is only read here")
