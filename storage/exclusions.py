"""What was withdrawn from a store: pages, domains and source files that no later run is to keep.

The list lives in `exclusions/`, one file an entry, published whole. An entry withdraws, or it restores what others have
withdrawn; none is ever changed or removed, so that of two that are made at once none is lost, and the list can tell
what was in force when.
"""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, Self, get_args

from storage.digests import value_digest
from storage.store import Store
from storage.wrong_request import WrongRequest

ExclusionKind = Literal["domain", "file", "url"]
Act = Literal["withdraw", "restore"]

_ENTRY_VERSION = 1
_FOLDER = "exclusions"
_SUFFIX = ".json"
_KINDS: tuple[ExclusionKind, ...] = get_args(ExclusionKind)
_ACTS: tuple[Act, ...] = get_args(Act)
_NAME_DIGITS = 16
_TYPES: Mapping[str, type] = {
    "act": str,
    "domain": list,
    "file": list,
    "url": list,
    "made_at": str,
    "reason": str,
    "restores": list,
}


class DamagedExclusion(WrongRequest):
    """An entry that cannot be read: passing over it would bring back what it withdrew."""


@dataclass(frozen=True, order=True, slots=True)
class Exclusion:
    """One page, domain or file that is withdrawn, by its canonical value (`pipeline_lib.withdrawn.targets`)."""

    kind: ExclusionKind
    value: str

    def __str__(self) -> str:
        return f"{'page' if self.kind == 'url' else self.kind} {self.value}"


@dataclass(frozen=True, kw_only=True)
class ExclusionEntry:
    """One act of a person.

    Attributes:
        exclusions: what it is about: sorted, each once.
        made_at: ISO 8601, UTC.
        restores: of an entry that restores: the names of those that had withdrawn it.
    """

    act: Act
    exclusions: tuple[Exclusion, ...]
    made_at: str
    reason: str = ""
    restores: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.exclusions or list(self.exclusions) != sorted(set(self.exclusions)):
            raise ValueError("an entry names something, each thing once, in order")
        if (self.act == "restore") != bool(self.restores):
            raise ValueError("an entry that restores names the entries that had withdrawn; no other does")

    @cached_property
    def name(self) -> str:
        """Follows from all that the entry says, so that a changed file is found."""
        return f"{self.made_at[:10]}-{value_digest(self.as_json())[:_NAME_DIGITS]}"

    def as_json(self) -> dict[str, Any]:
        values: dict[str, list[str]] = {kind: [] for kind in _KINDS}
        for each in self.exclusions:
            values[each.kind].append(each.value)
        return {
            "version": _ENTRY_VERSION,
            "act": self.act,
            **values,
            "made_at": self.made_at,
            "reason": self.reason,
            "restores": list(self.restores),
        }

    @classmethod
    def from_json(cls, value: Any) -> Self:
        if not isinstance(value, dict) or value.get("version") != _ENTRY_VERSION:
            raise ValueError(f"expected an entry of version {_ENTRY_VERSION}")
        if value.keys() != {"version", *_TYPES} or any(type(value[name]) is not kind for name, kind in _TYPES.items()):
            raise ValueError(f"expected the keys {', '.join(_TYPES)}")
        if value["act"] not in _ACTS:
            raise ValueError(f"expected one of the acts {', '.join(_ACTS)}, found {value['act']!r}")
        return cls(
            act=value["act"],
            exclusions=tuple(Exclusion(kind, str(each)) for kind in _KINDS for each in value[kind]),
            made_at=value["made_at"],
            reason=value["reason"],
            restores=tuple(map(str, value["restores"])),
        )


@dataclass(frozen=True)
class Exclusions:
    """The whole list, oldest entry first."""

    entries: Sequence[ExclusionEntry] = ()

    @cached_property
    def in_force(self) -> Mapping[Exclusion, tuple[str, ...]]:
        """What is withdrawn now, and the names of the entries that did it, oldest first."""
        restored = {
            (name, each)
            for entry in self.entries
            if entry.act == "restore"
            for name in entry.restores
            for each in entry.exclusions
        }
        found: dict[Exclusion, list[str]] = {}
        for entry in self.entries:
            if entry.act == "withdraw":
                for each in entry.exclusions:
                    if (entry.name, each) not in restored:
                        found.setdefault(each, []).append(entry.name)
        return {each: tuple(found[each]) for each in sorted(found)}

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(entry.name for entry in self.entries)

    def entry(self, name: str) -> ExclusionEntry:
        return next(entry for entry in self.entries if entry.name == name)

    @cached_property
    def withdrawing(self) -> frozenset[str]:
        """The names of the entries by which something is withdrawn now."""
        return frozenset(name for names in self.in_force.values() for name in names)

    def of(self, names: Collection[str]) -> Self:
        """The list as who has read only the entries of these names knows it."""
        return type(self)([entry for entry in self.entries if entry.name in set(names)])

    def not_applied(self, applied: Collection[str]) -> list[Exclusion]:
        """What is in force by entries of other names alone: what a run that read only those cannot have left out."""
        known = set(applied)
        return [each for each, names in self.in_force.items() if known.isdisjoint(names)]


def entry_path(name: str) -> str:
    return f"{_FOLDER}/{name}{_SUFFIX}"


def publish_exclusions(store: Store, entry: ExclusionEntry) -> None:
    body = json.dumps(entry.as_json(), indent=1, sort_keys=True, allow_nan=False, ensure_ascii=False)
    store.publish_bytes(entry_path(entry.name), body.encode())


def read_exclusions(store: Store) -> Exclusions:
    """The list; an empty one where nothing was ever withdrawn.

    Raises:
        DamagedExclusion: an entry cannot be read, or is not what was published under its name.
    """
    entries = []
    for file_name in store.names(_FOLDER):
        path = f"{_FOLDER}/{file_name}"
        try:
            entry = ExclusionEntry.from_json(json.loads(store.read_bytes(path)))
            if f"{entry.name}{_SUFFIX}" != file_name:
                raise ValueError("it was changed after it was published: its name follows from what it says")
        except (ValueError, TypeError, RecursionError) as error:
            raise DamagedExclusion(
                f"{store.full_path(path)} is not an entry of the list of what was withdrawn ({error}). Passing over it "
                "would bring back what it withdrew: bring the file back from a copy, or, where you know what it said, "
                "remove it and `gristmill forget` that again"
            ) from error
        entries.append(entry)
    return Exclusions(sorted(entries, key=lambda entry: (entry.made_at, entry.name)))
