"""A store that can be read and not be written: what looks through a store and must leave it as it is has this one."""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import NoReturn

from storage.store import Store


class ReadOnlyStore(Store):
    """A store that publishes and removes nothing.

    Raises:
        PermissionError: on any call that would change something.
    """

    def unfinished(self, path: str) -> AbstractContextManager[Path]:  # type: ignore[override]  # it never returns one
        self._refuse(path)

    def publish(self, unfinished: Path, path: str, *, durable: bool = True) -> None:
        self._refuse(path)

    def publish_new(self, unfinished: Path, path: str, *, durable: bool = True) -> bool:
        self._refuse(path)

    def remove(self, path: str) -> None:
        self._refuse(path)

    def remove_unfinished(self, folder: str) -> int:
        self._refuse(folder)

    def _refuse(self, path: str) -> NoReturn:
        raise PermissionError(f"{self.full_path(path)} may not be changed: the store is only read here")
