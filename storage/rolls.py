"""Rolls: names that a store must not forget, found by key and never by a listing alone.

A listing of a store elsewhere may be of a while ago. Where a missed name would do harm, such as a run's entry in an
index, whose documents would be kept twice, the name is put on a roll as well: `rolls/<roll>/<number>.json`, each
record with all names so far, each created only if its number is free. Whoever adds a name at the same time as another
takes the next number, so that none is lost; the last record is found by asking for numbers, which stores answer with
what is there now.
"""

import secrets
from dataclasses import dataclass

from storage.records import parse_record, record_bytes
from storage.store import Store

_VERSION = 1
_FOLDER = "rolls"
_SUFFIX = ".json"


class DamagedRoll(ValueError):
    """A record that cannot be read: going on without it would forget names."""


@dataclass(frozen=True, kw_only=True)
class Roll:
    """One roll of a store.

    Attributes:
        keep: forget all but the newest so many names; None: none. For names that a listing has in the long run.
    """

    store: Store
    name: str
    keep: int | None = None

    def names(self) -> list[str]:
        """The names, in the order in which they were added.

        Raises:
            DamagedRoll: the last record is not one.
        """
        return self._read(self._last())

    def add(self, name: str) -> None:
        """Put a name on the roll, unless it is there."""
        while True:
            last = self._last()
            names = self._read(last)
            if name in names:
                return
            names = [*names, name]
            record = {
                "version": _VERSION,
                "names": names if self.keep is None else names[-self.keep :],
                "writer": secrets.token_hex(8),  # of two equal records one would think that it wrote the other's
            }
            if self.store.create_bytes(self._path(last + 1), record_bytes(record)):
                return

    def _last(self) -> int:
        """The number of the last record, 0 where there is none. Numbers have no gaps."""
        stems = (name.removesuffix(_SUFFIX) for name in self.store.names(f"{_FOLDER}/{self.name}"))
        there = max((int(stem) for stem in stems if stem.isdecimal()), default=0)  # there may be more by now
        step = 1
        while self.store.exists(self._path(there + step)):
            there += step
            step *= 2
        while step > 1:
            step //= 2
            if self.store.exists(self._path(there + step)):
                there += step
        return there

    def _read(self, number: int) -> list[str]:
        if number == 0:
            return []
        path = self._path(number)
        try:
            record = parse_record(self.store.read_bytes(path))
            if record["version"] != _VERSION:
                raise ValueError(f"version {record['version']}, this program reads {_VERSION}")
            return [str(name) for name in record["names"]]
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedRoll(
                f"{self.store.full_path(path)} cannot be read ({error}). Remove {_FOLDER}/{self.name} of the store: "
                "what is named there is then found by listings alone"
            ) from error

    def _path(self, number: int) -> str:
        return f"{_FOLDER}/{self.name}/{number:08d}{_SUFFIX}"
