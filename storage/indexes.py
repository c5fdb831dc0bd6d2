"""What a store remembers across runs: indexes, and in each one entry a run that says what that run kept, and where.

An index lives in `indexes/<name>/`, one file an entry, published whole; the entries' names are on a roll, too, so that
a listing of a while ago hides none (`rolls`). Two runs that end at once lose no entry: neither has seen the other, and
`against` says so.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any, Self

from storage.manifests import StageAddress
from storage.records import parse_record, record_bytes
from storage.rolls import Roll
from storage.runs import EarlierRun
from storage.store import Store
from storage.wrong_request import WrongRequest

_ENTRY_VERSION = 2
_FOLDER = "indexes"
_SUFFIX = ".json"


class UnknownIndex(WrongRequest):
    """The store has no index of that name."""


class DamagedEntry(WrongRequest):
    """An entry that cannot be read: passing over it would keep again what its run kept."""


@dataclass(frozen=True, kw_only=True)
class IndexEntry:
    """What one run kept.

    Attributes:
        index, name: where it is. The name follows from the run's sources, and so is the same when they are run again.
        sequence: one more than that of the last entry the run was deduplicated against; entries of runs that did not
            know of each other may share one.
        run_id, recipe_name: of the run that made what the stages hold.
        sources: digest of what the run read.
        rules: digest of all parameters that decide which documents of its sources the run keeps.
        stages: name and key of every stage that the entry needs to be read, and whatever these were made of.
        kept: content digest of the stage `index`.
        documents, bytes: how many it names, and the size of that table.
        against: the earlier runs that it was deduplicated against, in order.
    """

    index: str
    name: str
    sequence: int
    run_id: str
    recipe_name: str
    sources: str
    rules: str
    stages: Mapping[str, str]
    kept: str
    documents: int
    bytes: int
    against: tuple[EarlierRun, ...] = ()
    version: int = _ENTRY_VERSION

    @property
    def address(self) -> StageAddress:
        """Where the table of what was kept is."""
        return StageAddress(stage="index", key=self.stages["index"])

    def as_earlier_run(self) -> EarlierRun:
        return EarlierRun(entry=self.name, run_id=self.run_id, kept=self.kept)

    def as_json(self) -> dict[str, Any]:
        return {**asdict(self), "stages": dict(self.stages), "against": [asdict(each) for each in self.against]}

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, dict) or value.get("version") != _ENTRY_VERSION:
            raise ValueError(f"expected an entry of version {_ENTRY_VERSION}")
        if value.keys() != {each.name for each in fields(cls)} or "index" not in value["stages"]:
            raise ValueError(f"found the keys {', '.join(sorted(value))}")
        return cls(**{**value, "against": tuple(EarlierRun(**each) for each in value["against"])})


def entry_path(index: str, name: str) -> str:
    return f"{_FOLDER}/{index}/{name}{_SUFFIX}"


def publish_entry(store: Store, entry: IndexEntry) -> None:
    """Publish an entry, in place of an earlier one of the same sources."""
    _announce(store, entry)
    store.publish_bytes(entry_path(entry.index, entry.name), record_bytes(entry.as_json()))


def create_entry(store: Store, entry: IndexEntry) -> bool:
    """Publish an entry unless there is one of the same sources; whether this call did."""
    _announce(store, entry)
    return store.create_bytes(entry_path(entry.index, entry.name), record_bytes(entry.as_json()))


def _announce(store: Store, entry: IndexEntry) -> None:
    """Put an entry's names on the rolls, before it is published: one that is there is always found."""
    _roll_of_indexes(store).add(entry.index)
    _roll(store, entry.index).add(entry.name)


def index_names(store: Store) -> list[str]:
    listed = set(store.names(_FOLDER))
    unlisted = {name for name in _roll_of_indexes(store).names() if name not in listed and read_entries(store, name)}
    return sorted(listed | unlisted)


def read_entries(store: Store, index: str) -> list[IndexEntry]:
    """All entries, in order: by sequence, then name. None where the index was never written to.

    Raises:
        DamagedEntry: one of them cannot be read.
    """
    entries = []
    listed = {name.removesuffix(_SUFFIX) for name in store.names(f"{_FOLDER}/{index}")}
    for name in sorted(listed.union(_roll(store, index).names())):
        path = entry_path(index, name)
        try:
            entries.append(IndexEntry.from_json(parse_record(store.read_bytes(path))))
        except FileNotFoundError:
            continue  # removed by hand, or a run was killed before it wrote what it had announced
        except (ValueError, KeyError, TypeError) as error:
            raise DamagedEntry(
                f"{store.full_path(path)} is not an entry of an index that this version reads ({error}). Passing over "
                "it would keep again what its run kept: remove the file, and run that recipe again"
            ) from error
    return sorted(entries, key=lambda entry: (entry.sequence, entry.name))


def _roll_of_indexes(store: Store) -> Roll:
    return Roll(store=store, name=_FOLDER)


def _roll(store: Store, index: str) -> Roll:
    return Roll(store=store, name=f"{_FOLDER}-{index}")


def find_entries(store: Store, index: str) -> list[IndexEntry]:
    """The entries of an index that somebody asks for.

    Raises:
        UnknownIndex: it has none; the message lists the indexes there are.
    """
    entries = read_entries(store, index)
    if not entries:
        listed = ", ".join(index_names(store)) or "none yet; a run with --set dedup_index=NAME makes one"
        raise UnknownIndex(f"no index {index!r} in {store.url}; there are: {listed}")
    return entries


def changed_since(entry: IndexEntry, entries: Iterable[IndexEntry]) -> list[str]:
    """Names of the entries that a run was deduplicated against and that are gone since, or name other documents.

    What it removed for their sake may be in no corpus any more: the run is to be repeated.
    """
    current = {(each.name, each.kept) for each in entries}
    return [each.entry for each in entry.against if (each.entry, each.kept) not in current]


def not_compared(entry: IndexEntry, entries: Sequence[IndexEntry]) -> list[str]:
    """Names of the earlier entries that a run has not seen: both may have kept a document."""
    seen = {each.entry for each in entry.against}
    before = entries[: entries.index(entry)]
    return [each.name for each in before if each.name not in seen]
